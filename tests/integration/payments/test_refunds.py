"""Refunds on a real chain: what came back to its payer, never more than came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from eth_account import Account

from core import ids
from core.db import Database
from core.errors import Conflict, Invalid, NotFound
from payments import decisions, refunds
from tests.integration.payments.conftest import Chain
from tests.integration.payments.leaving import KEY, REFUSES, Leaving, make_leaving
from tests.integration.payments.test_payout_races import publish
from tests.world import connect

ETHER = 10**18
PRICE = 10**16  # 25 USD in ETH


@pytest.fixture
async def shop(database: Database, one_chain: Chain) -> AsyncIterator[Leaving]:
    """A merchant who has 1 ETH besides, for fees."""
    url, deployed = one_chain
    async with connect(url) as node, make_leaving(database, node, deployed) as leaving:
        await leaving.fund("ETH", "1")
        yield leaving


def customer() -> str:
    return str(Account.create().address).lower()


async def paid(shop: Leaving, asset: str = "ETH", amount: int = PRICE) -> dict[str, Any]:
    """An invoice of 25 USD (0.01 ETH), paid and confirmed."""
    invoice: dict[str, Any] = await shop.world.invoice()
    await shop.world.pay(invoice, asset, amount=amount)
    await shop.world.mine(3)
    await shop.world.follow()
    return invoice


async def late(shop: Leaving) -> dict[str, Any]:
    invoice: dict[str, Any] = await shop.world.invoice()
    await shop.world.advance(1000)
    await shop.world.follow()
    await shop.world.pay(invoice, amount=PRICE)
    await shop.world.mine(3)
    await shop.world.follow()
    return invoice


async def resolve(shop: Leaving, invoice: dict[str, Any], address: str | None) -> Any:
    deposit = (await shop.world.show(invoice))["deposits"][-1]
    context = shop.world.context
    async with context.database.begin() as session:
        return await refunds.resolve(
            session, context, shop.world.merchant_id, ids.read("dep", deposit["id"]), address, KEY
        )


async def ask(shop: Leaving, invoice: dict[str, Any], to: str) -> list[dict[str, Any]]:
    context = shop.world.context
    async with context.database.begin() as session:
        return await refunds.ask(session, context, ids.read("inv", invoice["id"]), to)


async def confirm(shop: Leaving, asked: dict[str, Any]) -> dict[str, Any]:
    context = shop.world.context
    async with context.database.begin() as session:
        return await refunds.confirm(
            session, context, shop.world.merchant_id, ids.read("ref", asked["id"]), None, KEY
        )


async def not_confirmed(shop: Leaving, asked: dict[str, Any]) -> str:
    with pytest.raises(Conflict) as caught:
        await confirm(shop, asked)
    return caught.value.code


async def refused(shop: Leaving, invoice: dict[str, Any], **request: Any) -> str:
    with pytest.raises((Conflict, Invalid)) as caught:
        await shop.refund(invoice, **request)
    code: str = caught.value.code
    return code


async def test_all_of_it(shop: Leaving) -> None:
    invoice, to = await paid(shop), customer()
    refund = await shop.refund(invoice, address=to)
    assert (refund["status"], refund["variant"]) == ("requested", "full")
    assert refund["amount"] == "0.010000000000000000"
    assert await refused(shop, invoice) == "nothing_refundable"
    await shop.finish()
    shown = await shop.show_refund(refund)
    assert (shown["status"], shown["transactions"][0]["status"]) == ("paid", "confirmed")
    assert await shop.world.node.balance(to) == PRICE
    assert await refused(shop, invoice) == "nothing_refundable"
    told = await shop.world.events(refund["id"])
    assert told == ["refund.requested", "refund.approved", "refund.sending", "refund.paid"]
    assert (await shop.world.show(invoice))["status"] == "settled", "what was paid was paid"
    await shop.assert_sound()


async def test_what_was_too_much(shop: Leaving) -> None:
    invoice, to = await paid(shop, amount=PRICE + PRICE // 2), customer()
    assert (await shop.world.show(invoice))["exception"] == "paid_over"
    refund = await shop.refund(invoice, "overpaid", address=to)
    assert refund["amount"] == "0.005000000000000000"
    assert await refused(shop, invoice, variant="overpaid") == "nothing_refundable"
    deposit = (await shop.world.show(invoice))["deposits"][0]
    assert deposit["inbox"]["resolution"] == "refund"
    # the rest of it may still go back
    assert await refused(shop, invoice, variant="custom", amount="0.011") == "exceeds_refundable"
    rest = await shop.refund(invoice, address=to)
    assert rest["amount"] == "0.010000000000000000"
    await shop.finish()
    assert await shop.world.node.balance(to) == PRICE + PRICE // 2
    await shop.assert_sound()
    assert await refused(shop, await paid(shop), variant="overpaid") == "not_overpaid"


async def test_a_part_and_who_pays_the_fee(shop: Leaving) -> None:
    invoice, to = await paid(shop), customer()
    first = await shop.refund(invoice, "custom", amount="0.004", address=to)
    second = await shop.refund(invoice, "custom", amount="0.004", address=to, fee="customer")
    fee = int(second["network_fee"].replace(".", ""))
    assert int(second["amount"].replace(".", "")) == 4 * 10**15 - fee
    house = await shop.refund(invoice, "custom", amount="0.002", address=to, fee="house")
    assert (first["fee_paid_by"], second["fee_paid_by"]) == ("merchant", "customer")
    await shop.finish()
    for refund in (first, second, house):
        assert (await shop.show_refund(refund))["status"] == "paid"
    assert await shop.world.node.balance(to) == PRICE - fee
    balances = await shop.world.balances()
    assert -balances["available", "ETH"] == ETHER - fee
    assert -balances["income:fees", "ETH"] == 2 * fee
    await shop.assert_sound()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"variant": "custom"}, "invalid_request"),
        ({"variant": "custom", "amount": "0"}, "invalid_amount"),
        ({"variant": "custom", "amount": "0.0000000000000000001"}, "invalid_amount"),
        ({"variant": "custom", "amount": "0.010000000000000001"}, "exceeds_refundable"),
        ({"variant": "full", "amount": "0.001"}, "invalid_request"),
        ({"variant": "custom", "amount": "0.000001", "fee": "customer"}, "invalid_request"),
        ({"address": "0x" + "0" * 40}, "zero_address"),
        ({"asset": "USDC"}, "nothing_refundable"),
    ],
)
async def test_what_is_wrong(shop: Leaving, request_: dict[str, Any], code: str) -> None:
    invoice = await paid(shop)
    before = await shop.world.balances()
    assert await refused(shop, invoice, **request_) == code
    assert await shop.world.balances() == before


async def test_only_what_is_confirmed(shop: Leaving) -> None:
    invoice = await shop.world.invoice()
    await shop.world.pay(invoice)
    await shop.world.follow()
    assert await refused(shop, invoice) == "nothing_refundable"
    # a part of an invoice that is still being paid is nobody's to give
    half = await paid(shop, amount=PRICE // 2)
    assert await refused(shop, half) == "nothing_refundable"
    with pytest.raises(NotFound):
        await shop.refund({"id": ids.show("inv", ids.new())})


async def test_several_assets_must_be_named(shop: Leaving) -> None:
    invoice = await paid(shop, amount=PRICE // 2)
    await shop.world.pay(invoice, "USDC", amount=13 * 10**6)
    await shop.world.mine(3)
    await shop.world.follow()
    assert await refused(shop, invoice) == "invalid_request"
    # its fee is in USDC, of which the merchant has what was paid and no more
    assert await refused(shop, invoice, asset="USDC") == "insufficient_funds"
    refund = await shop.refund(invoice, asset="USDC", fee="customer")
    assert refund["asset"] == "USDC"
    await shop.finish()
    assert (await shop.show_refund(refund))["status"] == "paid"
    await shop.assert_sound()


async def test_late_money_goes_back_from_the_inbox(shop: Leaving) -> None:
    invoice, to = await late(shop), customer()
    assert (await shop.world.balances())["inbox", "ETH"] == -PRICE
    refund = await resolve(shop, invoice, to)
    assert ("inbox", "ETH") not in await shop.world.balances()
    shown = (await shop.world.show(invoice))["deposits"][0]
    assert shown["inbox"]["resolution"] == "refund"
    with pytest.raises(Conflict) as again:
        await resolve(shop, invoice, to)
    assert again.value.code == "already_resolved"
    assert await refused(shop, invoice) == "nothing_refundable"
    await shop.finish()
    assert (await shop.show_refund(refund))["status"] == "paid"
    assert await shop.world.node.balance(to) == PRICE
    await shop.assert_sound()


async def test_a_refund_that_fails_is_in_the_inbox_again(shop: Leaving) -> None:
    invoice, to = await late(shop), customer()
    await shop.world.node.rpc("anvil_setCode", to, REFUSES)
    before = await shop.world.balances()
    refund = await resolve(shop, invoice, to)
    await shop.finish()
    assert (await shop.show_refund(refund))["status"] == "failed"
    assert await shop.world.balances() == before
    shown = (await shop.world.show(invoice))["deposits"][0]
    assert (shown["inbox"]["resolution"], shown["inbox"]["reason"]) == (None, "late")
    again = await shop.refund(invoice, address=customer())
    await shop.finish()
    assert (await shop.show_refund(again))["status"] == "paid"
    await shop.assert_sound()


async def test_one_that_fails_is_in_the_inbox_again_beside_one_that_is_paid(shop: Leaving) -> None:
    invoice, refuses, to = await late(shop), customer(), customer()
    await shop.world.node.rpc("anvil_setCode", refuses, REFUSES)
    failed = await resolve(shop, invoice, refuses)
    await shop.world.pay(invoice, amount=PRICE // 2)
    await shop.world.mine(3)
    await shop.world.follow()
    done = await resolve(shop, invoice, to)
    await shop.finish()
    assert (await shop.show_refund(failed))["status"] == "failed"
    assert (await shop.show_refund(done))["status"] == "paid"
    inbox = [one["inbox"]["resolution"] for one in (await shop.world.show(invoice))["deposits"]]
    assert inbox == [None, "refund"]
    [asked] = await ask(shop, invoice, to)
    await confirm(shop, asked)
    await shop.finish()
    assert await shop.world.node.balance(to) == PRICE + PRICE // 2
    assert await refused(shop, invoice) == "nothing_refundable"
    await shop.assert_sound()


async def test_many_refunds_at_once_never_exceed(shop: Leaving) -> None:
    invoice = await paid(shop)

    async def part() -> bool:
        try:
            await shop.refund(invoice, "custom", amount="0.003", address=customer())
        except Invalid:
            return False
        return True

    done = await asyncio.gather(*(part() for _ in range(10)))
    assert sum(done) == 3
    await shop.finish()
    gone = sum(int(row.amount) for row in await shop.world.rows("payouts", status="paid"))
    assert gone == 9 * 10**15
    await shop.assert_sound()


async def test_a_deposit_that_flips_back_is_not_refunded_twice(shop: Leaving) -> None:
    invoice: dict[str, Any] = await shop.world.invoice()
    paid_by = await shop.world.pay(invoice)
    raw = await shop.world.node.raw(paid_by)
    await shop.world.mine(2)
    await shop.world.follow()
    await shop.refund(invoice, address=customer())
    await shop.world.node.reorg(3, (raw, 1))
    await shop.world.follow()
    await shop.world.mine(3)
    await shop.world.follow()
    assert await refused(shop, invoice) == "nothing_refundable"
    await shop.finish()
    await shop.assert_sound()


async def test_a_mark_afterwards_makes_no_money(shop: Leaving) -> None:
    """A part payment that went back stays gone when a person settles the invoice."""
    invoice = await paid(shop, amount=PRICE // 2)
    await shop.world.advance(1000)
    await shop.world.follow()
    await shop.refund(invoice, address=customer())
    context = shop.world.context
    async with context.database.begin() as session:
        await decisions.mark(
            session, context, shop.world.merchant_id, ids.read("inv", invoice["id"]),
            "settled", "paid in cash",
        )  # fmt: skip
    await shop.finish()
    balances = await shop.world.balances()
    assert ("inbox", "ETH") not in balances
    assert -balances["available", "ETH"] < ETHER
    await shop.assert_sound()


async def test_a_customer_asks_and_the_merchant_confirms(shop: Leaving) -> None:
    invoice, wrong, to = await late(shop), customer(), customer()
    before = await shop.world.balances()
    [mistyped] = await ask(shop, invoice, wrong)
    [asked] = await ask(shop, invoice, to)
    assert (asked["status"], asked["reasons"]) == ("requested", ["merchant_confirmation"])
    assert (await shop.show_refund(mistyped))["status"] == "rejected", "replaced"
    assert await shop.world.balances() == before, "nothing is set aside before the merchant's word"
    done = await confirm(shop, asked)
    assert (done["id"], done["status"], done["asked_by"]) == (asked["id"], "requested", "customer")
    assert await not_confirmed(shop, asked) == "refund_not_open"
    await shop.finish()
    assert (await shop.show_refund(asked))["status"] == "paid"
    assert await shop.world.node.balance(to) == PRICE
    with pytest.raises(Conflict) as nothing:
        await ask(shop, invoice, to)
    assert nothing.value.code == "nothing_refundable"
    await shop.assert_sound()


async def test_a_rule_on_customers_asks_people_about_what_they_asked_for_alone(
    shop: Leaving,
) -> None:
    await publish(shop, "approve", who={"initiators": ["customer"]}, approvals={"needed": 2})
    [asked] = await ask(shop, await late(shop), customer())
    mine, theirs = await shop.refund(await paid(shop)), await confirm(shop, asked)
    await shop.judge()
    assert (await shop.show_refund(mine))["status"] == "sending"
    shown = await shop.show_refund(theirs)
    assert (shown["status"], shown["reasons"]) == ("held", ["approval_needed"])


@pytest.mark.parametrize("first", ["merchant", "customer"])
async def test_excess_that_both_give_back_leaves_once(shop: Leaving, first: str) -> None:
    """The customer asks for it, and the merchant refunds it himself as well, in either order."""
    invoice, to = await paid(shop, amount=PRICE + PRICE // 2), customer()
    [asked] = await ask(shop, invoice, to)
    assert asked["variant"] == "overpaid"
    if first == "merchant":
        await shop.refund(invoice, "overpaid", address=to)
        assert await not_confirmed(shop, asked) == "nothing_refundable"
    else:
        await confirm(shop, asked)
        assert await refused(shop, invoice, variant="overpaid") == "nothing_refundable"
    await shop.finish()
    assert await shop.world.node.balance(to) == PRICE // 2
    await shop.assert_sound()


@pytest.mark.parametrize("first", ["refunds", "credits", "customer"])
async def test_late_money_that_both_give_back_leaves_once(shop: Leaving, first: str) -> None:
    invoice, to = await late(shop), customer()
    [asked] = await ask(shop, invoice, to)
    if first == "customer":
        await confirm(shop, asked)
        with pytest.raises(Conflict) as again:
            await resolve(shop, invoice, to)
        assert again.value.code == "already_resolved"
    elif first == "refunds":
        await resolve(shop, invoice, to)
        assert await not_confirmed(shop, asked) == "nothing_refundable"
    else:  # it pays the invoice: it is no longer the customer's to ask for
        context, [deposit] = shop.world.context, (await shop.world.show(invoice))["deposits"]
        async with context.database.begin() as session:
            await decisions.resolve(
                session, context, None, ids.read("dep", deposit["id"]), "credit"
            )
        assert await not_confirmed(shop, asked) == "nothing_refundable"
    await shop.finish()
    assert await shop.world.node.balance(to) == (0 if first == "credits" else PRICE)
    await shop.assert_sound()


async def too_much_and_late(shop: Leaving) -> dict[str, Any]:
    """0.005 ETH too much, and 0.003 ETH that came late."""
    invoice = await paid(shop, amount=PRICE + PRICE // 2)
    await shop.world.advance(1000)
    await shop.world.follow()
    await shop.world.pay(invoice, amount=3 * 10**15)
    await shop.world.mine(3)
    await shop.world.follow()
    return invoice


@pytest.mark.parametrize("order", [("custom", "overpaid"), ("overpaid", "custom")])
async def test_two_requests_of_one_customer_are_both_confirmed(
    shop: Leaving, order: tuple[str, str]
) -> None:
    invoice, to = await too_much_and_late(shop), customer()
    asked = {one["variant"]: one for one in await ask(shop, invoice, to)}
    amounts = {variant: one["amount"] for variant, one in asked.items()}
    assert amounts == {"custom": "0.003000000000000000", "overpaid": "0.005000000000000000"}
    for variant in order:
        await confirm(shop, asked[variant])
    assert await refused(shop, invoice, variant="overpaid") == "nothing_refundable"
    await shop.finish()
    assert await shop.world.node.balance(to) == 8 * 10**15
    assert ("inbox", "ETH") not in await shop.world.balances()
    await shop.assert_sound()


async def test_confirmed_and_refunded_at_once_leaves_once(shop: Leaving) -> None:
    """All of it waits for the invoice's row: whoever is second finds nothing."""
    invoice, to = await too_much_and_late(shop), customer()
    asked = await ask(shop, invoice, to)
    results = await asyncio.gather(
        *(confirm(shop, one) for one in asked),
        *(confirm(shop, one) for one in asked),
        resolve(shop, invoice, to),
        shop.refund(invoice, "overpaid", address=to),
        return_exceptions=True,
    )
    done = [one for one in results if not isinstance(one, BaseException)]
    assert all(not isinstance(r, BaseException) or isinstance(r, Conflict) for r in results)
    assert len(done) == 2, results
    await shop.finish()
    assert await shop.world.node.balance(to) == 8 * 10**15
    await shop.assert_sound()


async def test_the_excess_refunded_alone_leaves_late_money_where_it_is(shop: Leaving) -> None:
    invoice = await too_much_and_late(shop)
    await shop.refund(invoice, "overpaid", address=customer())
    assert (await shop.world.balances())["inbox", "ETH"] == -3 * 10**15
    [asked] = await ask(shop, invoice, customer())
    assert (asked["variant"], asked["amount"]) == ("custom", "0.003000000000000000")


async def test_a_part_that_went_back_is_asked_for_no_more(shop: Leaving) -> None:
    invoice, to = await paid(shop, amount=PRICE + PRICE // 2), customer()
    [asked] = await ask(shop, invoice, to)
    part = await shop.refund(invoice, "custom", amount="0.002", address=to)
    assert await not_confirmed(shop, asked) == "nothing_refundable"
    assert (await shop.show_refund(asked))["status"] == "requested", "the merchant may reject it"
    await shop.reject(
        (await shop.world.rows("refunds", id=ids.read("ref", part["id"])))[0].payout_id
    )
    await confirm(shop, asked)
    assert await refused(shop, invoice, variant="overpaid") == "nothing_refundable"
    rest = await shop.refund(invoice, "custom", amount="0.01", address=to)
    assert rest["amount"] == "0.010000000000000000"
    await shop.finish()
    assert await shop.world.node.balance(to) == PRICE + PRICE // 2
    await shop.assert_sound()


async def test_all_of_the_excess_went_back_in_parts(shop: Leaving) -> None:
    invoice = await paid(shop, amount=PRICE + PRICE // 2)
    await shop.refund(invoice, "custom", amount="0.005", address=customer())
    with pytest.raises(Conflict) as nothing:
        await resolve(shop, invoice, customer())
    assert nothing.value.code == "nothing_refundable"


async def test_money_that_a_fork_took_back_is_not_given_back(shop: Leaving) -> None:
    """A fork between the request and the merchant's word; in its new block it is there again."""
    invoice, to = await paid(shop), customer()
    sent = await shop.world.pay(invoice, amount=PRICE // 2)
    raw = await shop.world.node.raw(sent)
    await shop.world.mine(2)
    await shop.world.follow()
    [asked] = await ask(shop, invoice, to)
    await shop.world.node.reorg(3)
    await shop.world.follow()
    assert await not_confirmed(shop, asked) == "nothing_refundable"
    await shop.world.node.receipt(await shop.world.node.rpc("eth_sendRawTransaction", raw))
    await shop.world.follow()
    assert await not_confirmed(shop, asked) == "nothing_refundable", "not deep enough yet"
    assert await refused(shop, invoice, variant="overpaid") == "not_overpaid"
    await shop.world.mine(3)
    await shop.world.follow()
    await confirm(shop, asked)
    await shop.finish()
    assert await shop.world.node.balance(to) == PRICE // 2
    await shop.assert_sound()


async def test_excess_that_flips_back_is_not_refunded_twice(shop: Leaving) -> None:
    """Another block has it, so another row: what went back of the first one still counts."""
    invoice, to = await paid(shop), customer()
    raw = await shop.world.node.raw(await shop.world.pay(invoice, amount=PRICE // 2))
    await shop.world.mine(2)
    await shop.world.follow()
    await resolve(shop, invoice, to)
    await shop.world.node.reorg(3, (raw, 1))
    await shop.world.follow()
    await shop.world.mine(3)
    await shop.world.follow()
    assert await refused(shop, invoice, variant="overpaid") == "nothing_refundable"
    with pytest.raises(Conflict):
        await ask(shop, invoice, to)
    await shop.finish()
    assert await shop.world.node.balance(to) == PRICE // 2
    await shop.assert_sound()


async def test_excess_paid_in_two_assets_goes_back_once(shop: Leaving) -> None:
    """15 USD in USDC and 20 USD in ETH for 25: the 10 too much, in whichever is asked first."""
    invoice = await paid(shop, "USDC", 15 * 10**6)
    await shop.world.pay(invoice, amount=8 * 10**15)
    await shop.world.mine(3)
    await shop.world.follow()
    [asked] = await ask(shop, invoice, customer())
    assert (asked["amount"], asked["asset"]) == ("0.004000000000000000", "ETH")
    part = {"variant": "overpaid", "fee": "house"}
    refund = await shop.refund(invoice, **part, asset="USDC")
    assert refund["amount"] == "10.000000"
    assert await refused(shop, invoice, **part, asset="ETH") == "nothing_refundable"
    assert await refused(shop, invoice, **part, asset="USDC") == "nothing_refundable"
    assert await not_confirmed(shop, asked) == "nothing_refundable"
