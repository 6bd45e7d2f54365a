"""Payouts where two things happen at once, or a person and the chain disagree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eth_account import Account
from sqlalchemy import text

from core import ids
from core.db import Database
from core.errors import Conflict
from ledger.accounts import EQUITY, Debt, Role, merchant, place
from ledger.journal import Entry, Kind, post, transfer
from payments.payout_decisions import approvers
from risk import drafts
from risk.rules import Decision, Effect
from tests.integration.payments.conftest import Chain
from tests.integration.payments.leaving import PAYEE, REFUSES, Leaving, make_leaving
from tests.integration.payments.test_screening import ban
from tests.waiting import eventually
from tests.world import calldata, connect
from wallets.intents import Order, payments_of
from wallets.signer.client import Verdict

ETHER = 10**18


@pytest.fixture
async def shop(database: Database, one_chain: Chain) -> AsyncIterator[Leaving]:
    """Its merchant has 10 ETH, 1,000 USDC."""
    url, deployed = one_chain
    async with connect(url) as node, make_leaving(database, node, deployed) as leaving:
        await leaving.fund("ETH", "10")
        await leaving.fund("USDC", "1000")
        yield leaving


async def waits_for_a_lock(shop: Leaving) -> None:
    """Returns when somebody waits for a row that another one holds."""
    query = "select count(*) from pg_locks where not granted"

    async def waiting() -> bool:
        async with shop.world.context.database.statement() as connection:
            row = await (await connection.execute(query)).fetchone()
            return bool(row and row[0])

    await eventually(waiting)


async def test_what_is_signed_while_it_is_given_up_is_not_paid_again(shop: Leaving) -> None:
    """The signer said no, the payout is about to be asked anew, and at this moment it says yes."""
    payee = Account.create().address.lower()
    number = await shop.ask("0.5", to=payee)
    await shop.judge()
    shop.signer.refuse = "velocity_exceeded"
    await shop.send()
    [prepared] = await shop.world.rows("transactions")
    assert (prepared.status, prepared.reason) == ("prepared", "velocity_exceeded")
    [due] = await shop.payouts.claim(1)
    shop.signer.refuse = None
    async with shop.world.context.database.begin() as session:
        # a sender that has signed, and commits in a moment
        await session.execute(
            text("update transactions set status = 'sent', nonce = 0, open = true, reason = null")
        )
        giving_up = asyncio.create_task(shop.payouts.step(due))
        await waits_for_a_lock(shop)
    await giving_up
    [row] = await shop.world.rows("payouts")
    [sent] = await shop.world.rows("transactions")
    assert (row.status, row.transaction_id) == ("sending", sent.id)
    assert (sent.status, sent.cancel_asked) == ("sent", False)
    assert row.due_at is None, "nobody looks at it again and again meanwhile"
    assert (await shop.show(number))["status"] == "sending"


async def test_one_that_was_refused_for_now_is_asked_again_and_paid_once(shop: Leaving) -> None:
    payee = Account.create().address.lower()
    number = await shop.ask("0.5", to=payee)
    await shop.judge()
    shop.signer.refuse = "velocity_exceeded"
    await shop.send()
    shop.signer.refuse = None
    await shop.judge()
    await shop.finish()
    assert (await shop.show(number))["status"] == "paid"
    assert await shop.world.node.balance(payee) == ETHER // 2
    statuses = sorted(row.status for row in await shop.world.rows("transactions"))
    assert statuses == ["cancelled", "confirmed"]
    await shop.assert_sound()


async def test_a_late_look_gives_up_nothing_that_is_on_its_way(shop: Leaving) -> None:
    """A worker whose lease ended finds that another one has prepared it: it stays so."""
    number = await shop.ask("0.5")
    await shop.judge()
    async with shop.world.context.database.begin() as session:
        await session.execute(text("update payouts set due_at = created_at"))
    assert await shop.judge() == 1
    [row] = await shop.world.rows("transactions")
    assert row.status == "prepared"
    await shop.finish()
    assert (await shop.show(number))["status"] == "paid"


async def test_no_signature_after_a_no(shop: Leaving) -> None:
    """Approved, but without funds to leave from; rejected; then one more approver signs."""
    shop.signer.limit = ETHER
    await shop.fund("ETH", "200")
    number = await shop.ask("150")
    await shop.judge()
    for person in shop.people[:2]:
        await shop.approve(number, person)
    await shop.judge()
    assert (await shop.show(number))["status"] == "approved"
    assert (await shop.reject(number))["status"] == "rejected"
    with pytest.raises(Conflict) as late:
        await shop.approve(number, shop.people[2])
    assert late.value.code == "no_approval_needed"
    assert (await shop.world.events()).count("approval.given") == 2
    await shop.assert_sound()


async def test_approve_and_reject_at_once(shop: Leaving) -> None:
    """Whichever is first: no money leaves after a no, and all of it is back."""
    shop.signer.limit = ETHER
    before = await shop.world.balances()
    asked = [await shop.ask("1.1") for _ in range(4)]
    await shop.judge()
    for number in asked:
        await shop.approve(number, shop.people[0])
    results = await asyncio.gather(
        *(shop.approve(number, shop.people[1]) for number in asked),
        *(shop.reject(number) for number in asked),
        *(shop.payouts.step(number) for number in asked),
        return_exceptions=True,
    )
    assert all(not isinstance(r, BaseException) or isinstance(r, Conflict) for r in results)
    await shop.finish()
    statuses = [(await shop.show(number))["status"] for number in asked]
    assert set(statuses) <= {"paid", "rejected"}
    left = [row for row in await shop.world.rows("transactions") if row.status == "confirmed"]
    assert len(left) == statuses.count("paid")
    after = await shop.world.balances()
    assert after.get(("reserved", "ETH"), 0) == 0
    if "paid" not in statuses:
        assert after["available", "ETH"] == before["available", "ETH"]
    await shop.assert_sound()


async def released(shop: Leaving, number: UUID) -> bool:
    [row] = await shop.world.rows("policy_requests", reference=ids.show("pay", number))
    return bool(row.released)


async def test_a_failure_that_a_fork_undoes_counts_again(shop: Leaving) -> None:
    """Failed and final, then in another block it works: reserved again, paid, and counted."""
    payee = Account.create().address.lower()
    number = await shop.ask("0.5", to=payee)
    await shop.judge()
    async with shop.world.node.one_block():
        await shop.send()
        await shop.world.node.rpc("anvil_setCode", payee, REFUSES)
    [row] = await shop.world.rows("transactions")
    [variant] = await shop.world.rows("transaction_variants")
    raw = variant.raw
    await shop.world.mine(3)
    await shop.world.follow()
    await shop.judge()
    assert (await shop.show(number))["status"] == "failed"
    assert await released(shop, number)
    await shop.assert_sound()
    await shop.world.node.reorg(5)
    await shop.world.node.rpc("anvil_setCode", payee, "0x")
    await shop.world.follow()
    assert (await shop.show(number))["status"] == "sending"
    assert not await released(shop, number)
    await shop.assert_sound()
    await shop.world.node.receipt(await shop.world.node.rpc("eth_sendRawTransaction", raw))
    await shop.world.mine(3)
    await shop.world.follow()
    await shop.finish(1)
    assert (await shop.show(number))["status"] == "paid"
    assert await shop.world.node.balance(payee) == ETHER // 2
    [again] = await shop.world.rows("transactions")
    assert again.id == row.id
    told = [e for e in await shop.events(number) if e in ("payout.failed", "payout.reversed")]
    assert told == ["payout.failed", "payout.reversed"]
    await shop.assert_sound()


async def test_a_batch_does_not_wait_for_one_that_was_refused(shop: Leaving) -> None:
    """The last that was not judged yet is rejected by a person: the others leave."""
    _, [first, second] = await shop.ask_batch(("0.1", "ETH", PAYEE), ("0.2", "ETH", PAYEE))
    claimed = await shop.payouts.claim(2)
    await shop.payouts.step(first)
    assert (await shop.show(first))["status"] == "approved"
    assert (await shop.reject(second))["status"] == "rejected"
    async with shop.world.context.database.begin() as session:  # the other worker was killed
        await session.execute(text("update payouts set leased_until = null"))
    assert set(claimed) == {first, second}
    await shop.finish()
    assert [(await shop.show(n))["status"] for n in (first, second)] == ["paid", "rejected"]
    await shop.assert_sound()


async def test_tokens_that_keep_a_part_leave_one_by_one(shop: Leaving) -> None:
    """A Multisend pays exactly or not at all, so it would refuse each of them."""
    token, hot_place = shop.network.token("FEE"), place(shop.network.id, Role.HOT)
    assert token is not None
    mint = calldata("mint(address,uint256)", shop.wallet, 100 * ETHER)
    await shop.world.node.send(token.address, data=mint, gas=200_000)
    merchant_id = shop.world.merchant_id
    await shop.world.follow()  # it lies there, unexplained
    lines = transfer("FEE", 50 * ETHER, debit=EQUITY, credit=merchant(merchant_id, Debt.AVAILABLE))
    opening = Entry(
        id=ids.new(), key="opening:fee", kind=Kind.OPENING, reference="fee", merchant_id=None,
        evidence={}, posted_at=shop.world.context.clock.now(), postings=lines,
    )  # fmt: skip
    async with shop.world.context.database.begin() as session:
        await post(session, [opening])
    payees = [Account.create().address.lower() for _ in range(2)]
    _, asked = await shop.ask_batch(
        ("10", "FEE", payees[0]), *[("0.1", "ETH", PAYEE)] * 4, ("10", "FEE", payees[1]),
    )  # fmt: skip
    await shop.finish()
    assert {(await shop.show(n))["status"] for n in asked} == {"paid"}
    purposes = sorted(row.purpose for row in await shop.world.rows("transactions"))
    assert purposes == ["payout", "payout", "payout_batch"]
    held = [await shop.world.node.balance(a, token.address) for a in (*payees, shop.wallet)]
    assert held == [10 * ETHER * 99 // 100] * 2 + [80 * ETHER]
    assert (await shop.world.balances())[hot_place, "FEE"] == 80 * ETHER
    await shop.assert_sound()


async def test_one_that_cannot_be_judged_keeps_nobody_waiting(shop: Leaving) -> None:
    """They are judged together; what the signer's answer to one of them breaks is its own."""

    class Breaks(type(shop.signer)):  # type: ignore[misc]
        async def check(self, order: Order) -> Verdict:
            if payments_of(order.intent)[0].amount == ETHER // 4:
                raise RuntimeError("nobody foresaw this")
            said: Verdict = await super().check(order)
            return said

    shop.signer.__class__ = Breaks
    asked = [await shop.ask(amount) for amount in ("0.1", "0.25", "0.5")]
    await shop.payouts.steps(sorted(await shop.payouts.claim(16)))
    shown = [(await shop.show(number))["status"] for number in asked]
    assert shown == ["sending", "requested", "sending"]
    await shop.assert_sound()


async def publish(shop: Leaving, effect: str, **rule: Any) -> None:
    """A policy of one rule, which allows all the rest."""
    document = {
        "default": {"effect": "allow"},
        "rules": [{"name": "the rule", "effect": effect, **rule}],
    }
    context, by = shop.world.context, ids.new()
    async with context.database.begin() as session:
        draft = await drafts.write(session, document, 0, by, context.clock.now())
        await drafts.publish(session, context, draft.version, by, "why", context.clock.now())


async def test_judged_together_each_counts_for_the_next(shop: Leaving) -> None:
    """Three that fit a policy's window alone: the third is above it."""
    limit = {"asset": "ETH", "above": "1", "window_seconds": 86_400}
    await publish(shop, "block", amount=limit)
    asked = [await shop.ask("0.4") for _ in range(3)]
    await shop.payouts.steps(sorted(await shop.payouts.claim(16)))
    shown = [(await shop.show(number))["status"] for number in asked]
    assert shown == ["sending", "sending", "rejected"]
    await shop.assert_sound()


async def test_judged_again_those_before_it_are_not_kept_back_by_the_next(shop: Leaving) -> None:
    """A batch is judged twice: as it comes, and when it leaves. The one above the window waits for
    a person both times, and keeps none of those waiting that fitted without it."""
    limit = {"asset": "ETH", "above": "0.9", "window_seconds": 86_400}
    await publish(shop, "approve", amount=limit, approvals={"needed": 1})
    _, asked = await shop.ask_batch(*(("0.2", "ETH", PAYEE) for _ in range(5)))
    await shop.finish()  # judged at once, in any order: whichever was last is above it
    shown = [(await shop.show(number))["status"] for number in asked]
    assert sorted(shown) == ["held"] + ["paid"] * 4
    assert [row.purpose for row in await shop.world.rows("transactions")] == ["payout_batch"]


@pytest.mark.parametrize("meanwhile", ["list", "policy"])
@pytest.mark.parametrize("batch", [True, False])
async def test_approved_ones_are_judged_again_when_they_leave(
    shop: Leaving, tmp_path: Path, meanwhile: str, batch: bool
) -> None:
    """Days after they were judged people approve them, and then something forbids the first."""
    shop.signer.limit = ETHER // 2
    payees = [Account.create().address.lower() for _ in range(5)]
    wanted = [("1.5" if n == 0 else "1", "ETH", payee) for n, payee in enumerate(payees)]
    if batch:
        _, asked = await shop.ask_batch(*wanted)
    else:
        asked = [await shop.ask(*one) for one in wanted]
    await shop.judge()
    await shop.world.advance(3 * 86_400)
    for number in asked:
        for person in shop.people[:2]:
            await shop.approve(number, person)
    assert {(await shop.show(number))["status"] for number in asked} == {"approved"}
    if meanwhile == "list":
        await ban(shop.world, tmp_path, payees[0])
    else:
        await publish(shop, "block", amount={"asset": "ETH", "above": "1.2"})
    await shop.finish()
    shown = [await shop.show(number) for number in asked]
    assert [one["status"] for one in shown] == ["rejected"] + ["paid"] * 4
    assert shown[0]["reasons"] == ["screening" if meanwhile == "list" else "policy"]
    purposes = [row.purpose for row in await shop.world.rows("transactions")]
    assert purposes == (["payout_batch"] if batch else ["payout"] * 4)
    assert await shop.world.node.balance(payees[0]) == 0
    await shop.assert_sound()


def test_a_policy_names_nobody_whom_the_signer_does_not() -> None:
    """The signer named none: the only approver asked for it with a key of his own."""
    mine = Account.create().address.lower()
    decision = Decision(
        effect=Effect.APPROVE, needed=1, rule="large", approvers=(mine,), version=1, steps=()
    )
    word = Verdict(allowed=True, needed=0, approvers=(), code=None, detail="")
    assert approvers(decision, word) == ()
    word = Verdict(allowed=True, needed=0, approvers=(mine, PAYEE), code=None, detail="")
    assert approvers(decision, word) == (mine,)
