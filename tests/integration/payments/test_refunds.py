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
from tests.world import connect

ETHER = 10**18
PRICE = 10**16  # 25 USD in ETH


@pytest.fixture
async def shop(database: Database, first_chain: Chain) -> AsyncIterator[Leaving]:
    """A merchant who has 1 ETH besides, for fees."""
    url, deployed = first_chain
    async with connect(url) as node, make_leaving(database, node, deployed) as leaving:
        await leaving.fund("ETH", "1")
        yield leaving


def customer() -> str:
    return str(Account.create().address).lower()


async def paid(shop: Leaving, amount: int = PRICE, **more: Any) -> dict[str, Any]:
    """An invoice of 25 USD (0.01 ETH), paid and confirmed."""
    invoice: dict[str, Any] = await shop.world.invoice(**more)
    await shop.world.pay(invoice, amount=amount)
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
    context, merchant_id = shop.world.context, shop.world.merchant_id
    number = ids.read("inv", invoice["id"])
    before = await shop.world.balances()
    async with context.database.begin() as session:
        [mistyped] = await refunds.ask(session, context, number, wrong)
    async with context.database.begin() as session:
        [asked] = await refunds.ask(session, context, number, to)
    assert (asked["status"], asked["reasons"]) == ("requested", ["merchant_confirmation"])
    assert (await shop.show_refund(mistyped))["status"] == "rejected", "replaced"
    assert await shop.world.balances() == before, "nothing is set aside before the merchant's word"
    async with context.database.begin() as session:
        done = await refunds.confirm(
            session, context, merchant_id, ids.read("ref", asked["id"]), None, KEY
        )
    assert (done["id"], done["status"], done["asked_by"]) == (asked["id"], "requested", "customer")
    async with context.database.begin() as session:
        with pytest.raises(Conflict):
            await refunds.confirm(
                session, context, merchant_id, ids.read("ref", asked["id"]), None, KEY
            )
    await shop.finish()
    assert (await shop.show_refund(asked))["status"] == "paid"
    assert await shop.world.node.balance(to) == PRICE
    async with context.database.begin() as session:
        with pytest.raises(Conflict) as nothing:
            await refunds.ask(session, context, number, to)
    assert nothing.value.code == "nothing_refundable"
    await shop.assert_sound()
