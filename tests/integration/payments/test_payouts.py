"""Payouts on a real chain: once, exact, approved where that is asked, back when they fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import update

from core import ids
from core.db import Database
from core.errors import Conflict, Invalid
from ledger.accounts import Role, place
from payments.payout_tables import Approval, Payout
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import breaks
from tests.integration.payments.leaving import PAYEE, REFUSES, Leaving, make_leaving
from tests.world import connect

ETHER = 10**18
ALL = ["payout.requested", "payout.approved", "payout.sending", "payout.paid"]


@pytest.fixture
async def shop(database: Database, one_chain: Chain) -> AsyncIterator[Leaving]:
    """Its merchant has 10 ETH and 1,000 USDC."""
    url, deployed = one_chain
    async with connect(url) as node, make_leaving(database, node, deployed) as leaving:
        await leaving.fund("ETH", "10")
        await leaving.fund("USDC", "1000")
        yield leaving


async def test_eth_is_paid_once_and_exactly(shop: Leaving) -> None:
    payee = Account.create().address.lower()
    number = await shop.ask("0.5", to=payee)
    await shop.judge()
    shown = await shop.show(number)
    assert (shown["status"], shown["reasons"]) == ("sending", [])
    await shop.send()
    await shop.world.follow()
    shown = await shop.show(number)
    [transaction] = shown["transactions"]
    assert (shown["status"], transaction["status"], transaction["nonce"]) == ("sending", "mined", 0)
    assert transaction["tx_hash"] == transaction["variants"][0]["tx_hash"]
    await shop.assert_sound()
    await shop.world.mine(3)
    await shop.world.follow()
    await shop.finish()
    shown = await shop.show(number)
    assert (shown["status"], shown["finished_at"] is not None) == ("paid", True)
    assert await shop.world.node.balance(payee) == ETHER // 2
    balances = await shop.world.balances()
    fee = int(shown["network_fee"].replace(".", ""))
    assert -balances["income:fees", "ETH"] == fee
    assert -balances["available", "ETH"] == 10 * ETHER - ETHER // 2 - fee
    assert await shop.events(number) == ALL
    await shop.assert_sound()


async def test_tokens_and_many_at_once(shop: Leaving) -> None:
    payees = [Account.create().address.lower() for _ in range(6)]
    numbers = [await shop.ask("1.5", "USDC", to=payee) for payee in payees]
    await shop.finish()
    for number, payee in zip(numbers, payees, strict=True):
        assert (await shop.show(number))["status"] == "paid"
        token = shop.network.token("USDC")
        assert token is not None
        assert await shop.world.node.balance(payee, token.address) == 1_500_000
    await shop.assert_sound()


async def test_two_workers_send_each_once(shop: Leaving) -> None:
    payee = Account.create().address.lower()
    numbers = [await shop.ask("0.1", to=payee) for _ in range(10)]
    # both have read the same rows before either writes
    await asyncio.gather(*(shop.payouts.step(n) for n in [*numbers, *numbers]))
    await shop.finish()
    assert {(await shop.show(n))["status"] for n in numbers} == {"paid"}
    assert await shop.world.node.balance(payee) == ETHER
    await shop.assert_sound()


async def test_above_the_limit_people_sign(shop: Leaving) -> None:
    shop.signer.limit = ETHER
    small, large = await shop.ask("0.5"), await shop.ask("2")
    await shop.judge()
    assert (await shop.show(small))["status"] == "sending"
    shown = await shop.show(large)
    assert (shown["status"], shown["reasons"]) == ("held", ["approval_needed"])
    assert shown["approvals"] == {"needed": 2, "given": 0}
    assert "approval.requested" in await shop.world.events()
    stranger = Account.create()
    with pytest.raises(Invalid) as refused:
        await shop.approve(large, stranger)
    assert refused.value.code == "unknown_approver"
    with pytest.raises(Invalid) as refused:
        await shop.give(large, shop.people[0].address, "0x" + "11" * 65)
    assert refused.value.code == "approval_invalid"
    for _ in range(2):  # again is harmless
        shown = await shop.approve(large, shop.people[0])
        assert (shown["status"], shown["approvals"]["given"]) == ("held", 1)
    shown = await shop.approve(large, shop.people[2])
    assert (shown["status"], shown["approvals"]["given"]) == ("approved", 2)
    await shop.finish()
    assert (await shop.show(large))["status"] == "paid"
    sent = [o for o in shop.signer.signed if o.intent.payment.amount == 2 * ETHER]  # type: ignore[union-attr]
    assert {len(o.intent.payment.approvals) for o in sent} == {2}  # type: ignore[union-attr]
    with pytest.raises(Conflict) as late:
        await shop.approve(large, shop.people[1])
    assert late.value.code == "no_approval_needed"
    assert (await shop.world.events()).count("approval.given") == 2
    await shop.assert_sound()


async def test_nobody_signs_in_time(shop: Leaving) -> None:
    shop.signer.limit = ETHER
    number = await shop.ask("2")
    await shop.judge()
    await shop.world.advance(8 * 86_400)
    with pytest.raises(Conflict) as late:
        await shop.approve(number, shop.people[0])
    assert late.value.code == "approval_expired"
    await shop.judge()
    shown = await shop.show(number)
    assert (shown["status"], shown["rejection"]) == ("rejected", "nobody approved it in time")
    await shop.assert_sound()


@pytest.mark.parametrize("change", [{"payout": 5}, {"amount": "1"}, {"amount": "-1"}])
async def test_what_nobody_can_read_any_more_ends_once(
    shop: Leaving, change: dict[str, Any]
) -> None:
    """Signed by all or not. Another amount than approvers saw is as bad; those beside it leave."""
    shop.signer.limit = ETHER
    _, numbers = await shop.ask_batch(*((n, "ETH", PAYEE) for n in ("2", "3", "4")))
    await shop.judge()
    for number in numbers[:2]:
        for person in shop.people[:2]:
            await shop.approve(number, person)
    approvals = await shop.world.rows("payout_approvals")
    async with shop.world.context.database.begin() as session:
        for row in approvals:
            if row.payout_id != numbers[1]:
                typed = {**row.typed_data, "message": {**row.typed_data["message"], **change}}
                await session.execute(
                    update(Approval).where(Approval.id == row.id).values(typed_data=typed)
                )
        await session.execute(update(Payout).values(due_at=shop.world.context.clock.now()))
    await shop.finish()
    shown = [await shop.show(number) for number in numbers]
    assert [one["status"] for one in shown] == ["rejected", "paid", "rejected"]
    for number, one in zip(numbers, shown, strict=True):
        if one["status"] == "rejected":
            assert one["reasons"] == ["approval_unreadable"]
            assert (await shop.events(number)).count("payout.rejected") == 1
    stand = {row.payout_id: row.status for row in await shop.world.rows("payout_approvals")}
    assert stand == dict(zip(numbers, ("given", "given", "withdrawn"), strict=True))
    assert await shop.judge() == 0
    await shop.assert_sound()


@pytest.mark.parametrize(
    ("code", "status", "reasons"),
    [
        ("destination_refused", "rejected", ["destination_refused"]),
        ("amount_above_limit", "rejected", ["amount_above_limit"]),
        ("velocity_exceeded", "held", ["velocity_exceeded"]),
    ],
)
async def test_what_the_signer_refuses(
    shop: Leaving, code: str, status: str, reasons: list[str]
) -> None:
    shop.signer.code = code
    number = await shop.ask()
    await shop.judge()
    shown = await shop.show(number)
    assert (shown["status"], shown["reasons"]) == (status, reasons)
    await shop.assert_sound()
    shop.signer.code = None
    await shop.world.advance(61)
    await shop.finish()
    assert (await shop.show(number))["status"] == ("paid" if status == "held" else "rejected")


async def test_a_signer_that_is_away_only_delays(shop: Leaving) -> None:
    shop.signer.away = True
    number = await shop.ask()
    await shop.judge()
    assert (await shop.show(number))["status"] == "requested"
    shop.signer.away = False
    await shop.world.advance(6)
    await shop.finish()
    assert (await shop.show(number))["status"] == "paid"


async def test_without_hot_funds_it_stays_approved(shop: Leaving) -> None:
    await shop.fund("ETH", "200")
    number = await shop.ask("150")
    await shop.judge()
    await shop.world.advance(16)
    await shop.judge()
    shown = await shop.show(number)
    assert (shown["status"], shown["reasons"]) == ("approved", ["hot_wallet_short"])
    told = ["payout.requested", "payout.approved", "payout.delayed"]
    assert await shop.events(number) == told, "once, however often it is looked at"
    assert (await shop.reject(number))["status"] == "rejected"
    await shop.assert_sound()


async def test_a_payee_that_refuses_brings_the_money_back(shop: Leaving) -> None:
    """Known before it is sent, and only once it is in a block."""
    before = await shop.world.balances()
    at_once = Account.create().address.lower()
    await shop.world.node.rpc("anvil_setCode", at_once, REFUSES)
    number = await shop.ask(to=at_once)
    await shop.judge()
    await shop.send()
    await shop.judge()
    shown = await shop.show(number)
    assert (shown["status"], shown["reasons"]) == ("failed", ["reverted"])
    assert shown["failure"].startswith("reverts")
    later = Account.create().address.lower()
    second = await shop.ask(to=later)
    await shop.judge()
    async with shop.world.node.one_block():
        await shop.send()
        await shop.world.node.rpc("anvil_setCode", later, REFUSES)
    await shop.world.follow()
    assert (await shop.show(second))["status"] == "sending"
    await shop.finish()
    shown = await shop.show(second)
    assert (shown["status"], shown["transactions"][0]["status"]) == ("failed", "failed")
    after = await shop.world.balances()
    assert after["available", "ETH"] == before["available", "ETH"]
    assert after["expense:gas", "ETH"] > 0, "the gas of the failed one is the house's"
    assert (await shop.events(second))[-1] == "payout.failed"
    await shop.assert_sound()


async def test_a_fork_takes_a_payout_back_and_brings_it_again(shop: Leaving) -> None:
    number = await shop.ask()
    await shop.judge()
    await shop.send()
    await shop.world.follow()
    hot = place(shop.network.id, Role.HOT)
    with_it = (await shop.world.balances())[hot, "ETH"]
    await shop.world.node.reorg(1)
    await shop.world.follow()
    without = (await shop.world.balances())[hot, "ETH"]
    assert without == 100 * ETHER > with_it
    assert (await shop.show(number))["status"] == "sending"
    await shop.assert_sound()
    await shop.world.advance(3)
    await shop.finish(5)
    assert (await shop.show(number))["status"] == "paid"
    assert len({row.tx_hash for row in await shop.world.rows("transaction_variants")}) == 1
    assert await shop.events(number) == ALL
    await shop.assert_sound()


async def test_a_batch_leaves_in_one_transaction(shop: Leaving) -> None:
    """Fifty payees, one of whom refuses: he alone fails, and only his money is back."""
    payees = [Account.create().address.lower() for _ in range(50)]
    await shop.world.node.rpc("anvil_setCode", payees[7], REFUSES)
    batch, numbers = await shop.ask_batch(*(("0.01", "ETH", payee) for payee in payees))
    await shop.finish()
    [transaction] = await shop.world.rows("transactions")
    assert (transaction.purpose, transaction.reference) == (
        "payout_batch", ids.show("bat", batch),
    )  # fmt: skip
    for payee, number in zip(payees, numbers, strict=True):
        shown = await shop.show(number)
        refused = payee == payees[7]
        assert shown["status"] == ("failed" if refused else "paid")
        assert await shop.world.node.balance(payee) == (0 if refused else ETHER // 100)
    assert (await shop.show(numbers[7]))["failure"] == "the destination refused the payment"
    await shop.assert_sound()


async def test_a_batch_of_tokens_waits_for_its_allowance(shop: Leaving) -> None:
    payees = [Account.create().address.lower() for _ in range(5)]
    _, numbers = await shop.ask_batch(*(("2.5", "USDC", payee) for payee in payees))
    await shop.finish(5)
    purposes = [row.purpose for row in await shop.world.rows("transactions")]
    assert sorted(purposes) == ["allowance", "payout_batch"]
    assert {(await shop.show(n))["status"] for n in numbers} == {"paid"}
    await shop.assert_sound()


async def test_few_leave_one_by_one_and_are_quoted_so(shop: Leaving) -> None:
    """At the boundary: as many as make one transaction cheaper, and one less of each."""
    alone = await shop.show(await shop.ask("0.1")), await shop.show(await shop.ask("1", "USDC"))
    shown = []
    for eth, usdc in ((3, 2), (4, 3)):
        asked = [("0.1", "ETH", PAYEE)] * eth + [("1", "USDC", PAYEE)] * usdc
        _, numbers = await shop.ask_batch(*asked)
        shown.append((await shop.show(numbers[0]), await shop.show(numbers[-1])))
    await shop.finish(5)
    purposes = Counter(row.purpose for row in await shop.world.rows("transactions"))
    assert purposes == {"payout": 2 + 5, "payout_batch": 2, "allowance": 1}
    assert {row.status for row in await shop.world.rows("payouts")} == {"paid"}
    for one, few, enough in zip(alone, *shown, strict=True):
        assert few["network_fee"] == one["network_fee"]
        assert Decimal(enough["network_fee"]) < Decimal(one["network_fee"])
    await shop.assert_sound()


async def test_a_batch_waits_for_all_and_leaves_without_the_held(shop: Leaving) -> None:
    shop.signer.limit = ETHER
    payees = [Account.create().address.lower() for _ in range(5)]
    amounts = ("0.1", "2", "0.2", "0.3", "0.4")
    _, numbers = await shop.ask_batch(
        *((amount, "ETH", payee) for amount, payee in zip(amounts, payees, strict=True))
    )
    await shop.finish()
    statuses = [(await shop.show(n))["status"] for n in numbers]
    assert statuses == ["paid", "held", "paid", "paid", "paid"]
    for person in shop.people[:2]:
        await shop.approve(numbers[1], person)
    await shop.finish()
    assert (await shop.show(numbers[1]))["status"] == "paid"
    assert len(await shop.world.rows("transactions")) == 2
    await shop.assert_sound()


async def test_a_batch_that_is_too_much_together_leaves_one_by_one(shop: Leaving) -> None:
    class Together(type(shop.signer)):  # type: ignore[misc]
        async def check(self, order: Any) -> Any:
            said = await super().check(order)
            if len(getattr(order.intent, "payments", ())) > 1:
                return type(said)(
                    allowed=False, needed=2, approvers=(), code="approval_needed", detail=""
                )
            return said

    shop.signer.__class__ = Together
    _, numbers = await shop.ask_batch(*(("0.1", "ETH", PAYEE) for _ in range(4)))
    await shop.finish()
    assert {(await shop.show(n))["status"] for n in numbers} == {"paid"}
    assert [row.purpose for row in await shop.world.rows("transactions")] == ["payout"] * 4
    await shop.assert_sound()


async def test_a_reversal_holds_what_has_not_left(shop: Leaving) -> None:
    """The chain takes a deposit back: what it would have paid waits until it is there again."""
    shop.signer.limit = ETHER
    invoice = await shop.world.invoice("5", "ETH", assets=["ETH"])
    paid = await shop.world.pay(invoice)
    raw = await shop.world.node.raw(paid)
    await shop.world.mine(2)
    await shop.world.follow()
    number = await shop.ask("14")
    await shop.judge()
    for person in shop.people[:1]:
        await shop.approve(number, person)
    await shop.world.node.reorg(3)
    await shop.world.follow()
    shown = await shop.show(number)
    assert (shown["status"], shown["reasons"]) == ("held", ["overdrawn", "approval_needed"])
    assert [b.kind for b in await breaks(shop.world)] == ["missing_on_chain"]
    await shop.approve(number, shop.people[1])
    await shop.finish()
    assert (await shop.show(number))["reasons"] == ["overdrawn"]
    await shop.world.node.receipt(await shop.world.node.rpc("eth_sendRawTransaction", raw))
    await shop.world.mine(3)
    await shop.world.follow()
    await shop.finish()
    assert (await shop.show(number))["status"] == "paid"
    await shop.assert_sound()
