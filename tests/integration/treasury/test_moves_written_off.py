"""Moves that a person ends, because their other side does not arrive; and when it does after all,
before, while and after he says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from core.db import plain_url
from core.errors import Conflict
from exchanges.numbers import ONE
from exchanges.types import TransferStatus, Venue
from ledger.accounts import transit
from ledger.sequence import number_pending
from reconciliation import resolving, runs
from reconciliation.parts import Scope
from reconciliation.running import Reconciling
from tests.integration.reconciliation.rig import Account
from tests.integration.treasury.moving import (
    FEE,
    HELD,
    KEY,
    WINDOWS,
    Moving,
    named,
    order_of,
)
from tests.waiting import eventually
from tests.world import artifact
from treasury.move_work import Moves

LOSSES = "expense:losses", "ETH"


@pytest.fixture(autouse=True)
def _soon(moving: Moving) -> None:
    """What is in transit is late at once."""
    venues: Any = {moving.venue.venue: moving.venue}
    windows = replace(WINDOWS, late=timedelta())
    moving.loop = Moves(moving.world.context, venues, windows=windows)


async def sent(moving: Moving) -> UUID:
    """One ETH from the hot wallet, mined; the venue shows nothing."""
    await moving.world.mine(2)
    number = await moving.ask("hot", "binance")
    await moving.until(number, "sending")
    await moving.send()
    await moving.follow()
    await moving.until(number, "in_transit", "late")
    assert await moving.open_breaks() == [("timing", transit(number))]
    return number


async def withdrawn(moving: Moving, *, told: bool = True) -> tuple[UUID, str]:
    """One ETH that the venue has sent, in a block that the books do not have yet."""
    await moving.world.mine(2)
    number = await moving.ask("binance", "hot")
    await moving.until(number, "in_transit", "late")
    tx_hash = await moving.venue.pay(named(number), tell=told)

    async def is_told() -> bool:
        await moving.work()
        known = (await moving.row(number)).tx_hash
        return bool(known == (tx_hash if told else None))

    await eventually(is_told)
    return number, tx_hash


async def resolve(moving: Moving, how: str = "write_off") -> Any:
    """The last Break, in whatever state."""
    *_, found = await moving.world.rows("breaks")
    context = moving.world.context
    async with context.database.begin() as session:
        return await resolving.resolve(session, context, found.id, how, "it is gone", by=KEY)


async def lost(moving: Moving) -> int:
    return (await moving.balances()).get(LOSSES, 0)


async def ended(moving: Moving, number: UUID, lost_units: int = ONE) -> None:
    shown = await moving.show(number)
    assert (shown["status"], shown["reason"]) == ("failed", "written_off")
    assert (await moving.balances()).get((transit(number), "ETH"), 0) == 0
    assert await lost(moving) == lost_units
    assert await moving.open_breaks() == []


async def again(moving: Moving, number: UUID, status: str, reason: str | None = None) -> Any:
    """The worker hears of it now: it looks at what is over once in an hour."""
    await moving.loop.heard(named(number))
    return await moving.until(number, status, reason)


async def reconcile(moving: Moving, at_venue: int) -> tuple[str, list[Any]]:
    """A whole run; its status, and the kinds of what stands open at the venues."""
    world, venue = moving.world, moving.venue
    multicall = world.context.catalog.networks[moving.network].multicall
    code = artifact("Multicall3")["deployedBytecode"]
    await world.node.rpc("anvil_setCode", multicall, code)
    while await number_pending(world.context.database):
        pass
    async with world.context.database.begin() as session:
        asked = await runs.request(
            session, world.context, Scope.ALL, initiator=KEY, trigger=runs.COMMAND
        )
    accounts: Any = {
        Venue.BINANCE: Account(
            held={"ETH": at_venue}, came=venue.come, went=list(venue.gone.values())
        ),
        Venue.COINBASE: Account(venue=Venue.COINBASE, held={"ETH": HELD}),
    }
    worker = Reconciling(
        world.context, world.endpoints, accounts, every_seconds=None, wait_seconds=0,
        patience=timedelta(),
    )  # fmt: skip
    assert await worker.claim(1) == [asked.id]
    await worker.step(asked.id)
    async with world.context.database.read() as session:
        found = await runs.show(session, asked.id)
    rows = await world.rows("breaks")
    kinds = [r.kind for r in rows if r.status != "resolved" and r.key.startswith("reconciliation:")]
    return found["status"], kinds


async def waiting(moving: Moving, count: int) -> None:
    """Returns once so many wait for a lock."""
    url = plain_url(moving.world.context.database.url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def all_wait() -> bool:
            found = await connection.execute(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and cardinality(pg_blocking_pids(pid)) > 0"
            )
            return await found.fetchone() == (count,)

        await eventually(all_wait)


async def in_turn(
    moving: Moving,
    first: Callable[[], Awaitable[Any]],
    second: Callable[[], Awaitable[Any]],
) -> list[Any]:
    """Both at once: the first has done all but tell of it when the second begins, and waits for it.
    What became of each."""
    url = plain_url(moving.world.context.database.url)
    async with await psycopg.AsyncConnection.connect(url) as holder:
        await holder.execute("lock table events in share mode")  # all that is told waits for us
        one = asyncio.ensure_future(first())
        await waiting(moving, 1)
        other = asyncio.ensure_future(second())
        await waiting(moving, 2)
        await holder.rollback()
    return [*await asyncio.gather(one, other, return_exceptions=True)]


async def test_our_transaction_must_be_final(moving: Moving) -> None:
    number = await sent(moving)
    with pytest.raises(Conflict, match="once it is confirmed") as refused:
        await resolve(moving)
    assert refused.value.code == "transaction_not_final"
    assert await lost(moving) == 0
    await moving.deep()
    answer = await resolve(moving)
    await ended(moving, number)
    assert answer["resolution"] == "write_off"
    assert {(line["account"], line["amount"]) for line in answer["posted"]} == {
        ("expense:losses", f"1.{0:018}"), (transit(number), f"-1.{0:018}"),
    }  # fmt: skip
    [entry] = await moving.world.rows("journal_entries", key=f"break:{answer['id']}")
    assert (entry.kind, entry.reference) == ("break_resolved", named(number))
    said = {"break": f"move:{named(number)}", "resolution": "write_off", "by": KEY}
    assert entry.evidence == {**said, "note": "it is gone"}
    with pytest.raises(Conflict, match="resolved already: write_off"):
        await resolve(moving)
    await ended(moving, number)
    assert await reconcile(moving, HELD) == ("clean", [])
    await again(moving, number, "failed", "written_off")
    assert (await moving.story(number))[-2:] == ["in_transit", "failed"]
    assert await moving.world.events(answer["id"]) == ["break.opened", "break.resolved"]


async def test_a_venue_that_credits_it_after_all(moving: Moving) -> None:
    """All but seven units: those stay lost."""
    number = await sent(moving)
    await moving.deep()
    await resolve(moving)
    moving.venue.credit("ETH", str((await moving.show(number))["tx_hash"]), ONE - 7)
    there = HELD + ONE - 7
    # Its worker will book it: nobody else may, or it would be booked twice.
    assert await reconcile(moving, there) == ("breaks", ["timing"])
    await again(moving, number, "done")
    assert await lost(moving) == 7
    assert (await moving.balances())[moving.venue_place] == there
    assert await reconcile(moving, there) == ("clean", [])
    await moving.books_match()


async def test_found_when_it_is_not_looked_for_any_more(moving: Moving) -> None:
    """A day later reconciliation names it, and a person books it against what was lost."""
    number = await sent(moving)
    await moving.deep()
    await resolve(moving)
    moving.venue.credit("ETH", str((await moving.show(number))["tx_hash"]), ONE)
    async with moving.world.context.database.statement() as connection:
        await connection.execute(
            "update moves set due_at = null, ended_at = ended_at - interval '1 day'"
        )
    assert await reconcile(moving, HELD + ONE) == ("breaks", ["missing_in_ledger"])
    rows = await moving.world.rows("breaks", kind="missing_in_ledger")
    context = moving.world.context
    async with context.database.begin() as session:
        await resolving.resolve(session, context, rows[0].id, "write_off", "found", by=KEY)
    assert await reconcile(moving, HELD + ONE) == ("clean", [])
    await again(moving, number, "failed", "written_off")  # news of any kind book nothing twice
    await ended(moving, number, 0)


async def test_one_that_was_late_and_came_with_less(moving: Moving) -> None:
    """Its Break says so by now: what it cost is no loss."""
    number = await sent(moving)
    await moving.deep()
    moving.venue.credit("ETH", str((await moving.show(number))["tx_hash"]), ONE - 7)
    await moving.until(number, "in_transit", "amount_differs")
    assert await moving.open_breaks() == [("amount", transit(number))]
    await resolve(moving)
    await moving.until(number, "done")
    assert (await moving.balances())["expense:exchange_fees", "ETH"] == 7
    assert await lost(moving) == 0
    await moving.books_match()


async def test_an_explained_one_can_be_written_off_later(moving: Moving) -> None:
    number = await sent(moving)
    await moving.deep()
    assert (await resolve(moving, "explained"))["resolutions"] == ["write_off"]
    await again(moving, number, "in_transit", "late")
    assert (await resolve(moving))["resolutions"] == []
    await ended(moving, number)


@pytest.mark.parametrize("credit_first", [True, False])
async def test_a_credit_at_the_same_moment(moving: Moving, credit_first: bool) -> None:
    """Whoever is second sees what the first has done, and the sums are the same."""
    number = await sent(moving)
    await moving.deep()
    moving.venue.credit("ETH", str((await moving.show(number))["tx_hash"]), ONE)
    both = (lambda: moving.loop.step(number)), (lambda: resolve(moving))
    answers = await in_turn(moving, *(both if credit_first else both[::-1]))
    if credit_first:
        assert answers[0] is None
        assert isinstance(answers[1], Conflict)
        assert answers[1].code == "already_resolved"
    else:
        assert [answers[0]["resolution"], answers[1]] == ["write_off", None]
        await ended(moving, number)  # what the worker had heard is asked for anew
        await again(moving, number, "done")
    assert await lost(moving) == 0
    assert (await moving.show(number))["status"] == "done"
    assert (await moving.balances())[moving.venue_place] == HELD + ONE
    await moving.books_match()
    assert await reconcile(moving, HELD + ONE) == ("clean", [])


async def test_a_withdrawal_that_a_block_brings_after_all(moving: Moving) -> None:
    """Nothing is ever below zero in transit, whether its worker looks or not; a fork takes it
    back, and it comes once more."""
    number, tx_hash = await withdrawn(moving)
    raw = await moving.world.node.raw(tx_hash)
    await resolve(moving)
    await ended(moving, number, ONE - FEE)
    await moving.follow()
    assert await lost(moving) == 0
    assert (await moving.balances()).get((transit(number), "ETH"), 0) == 0
    await again(moving, number, "done")
    await moving.books_match()
    assert await reconcile(moving, HELD - ONE) == ("clean", [])
    await moving.world.node.reorg(1)
    await moving.world.node.rpc("anvil_dropAllTransactions")
    await moving.follow()
    await again(moving, number, "failed", "written_off")
    await ended(moving, number, ONE - FEE)
    await moving.world.node.rpc("eth_sendRawTransaction", raw)
    await moving.world.node.mine()
    await moving.follow()
    await again(moving, number, "done")
    assert await lost(moving) == 0
    await moving.books_match()


async def test_a_block_before_the_word(moving: Moving) -> None:
    """Its worker has not looked yet, so the Break still stands."""
    number, _ = await withdrawn(moving)
    await moving.follow()
    assert await moving.open_breaks() == [("timing", transit(number))]
    with pytest.raises(Conflict, match="nothing of the move is in transit") as refused:
        await resolve(moving)
    assert refused.value.code == "not_in_transit"
    await again(moving, number, "done")
    assert await moving.open_breaks() == []
    await moving.books_match()


async def test_a_block_at_the_same_moment(moving: Moving) -> None:
    number, _ = await withdrawn(moving)
    answers = await in_turn(moving, lambda: resolve(moving), moving.follow)
    assert [answers[0]["resolution"], answers[1]] == ["write_off", None]
    assert (await moving.balances()).get((transit(number), "ETH"), 0) == 0
    await again(moving, number, "done")
    assert await lost(moving) == 0
    await moving.books_match()


async def test_a_withdrawal_that_the_venue_gives_back(moving: Moving) -> None:
    number = await moving.ask("binance", "hot")
    await moving.until(number, "in_transit", "late")
    await resolve(moving)
    await ended(moving, number, ONE - FEE)
    assert await reconcile(moving, HELD - ONE) == ("clean", [])
    moving.venue.fail(named(number))
    await again(moving, number, "failed", "refused_by_venue")
    assert await lost(moving) == 0
    assert (await moving.balances())[moving.venue_place] == HELD
    assert await reconcile(moving, HELD) == ("clean", [])


async def test_a_withdrawal_whose_transaction_is_told_last(moving: Moving) -> None:
    """It is nobody's until then: a person is told, and need not act."""
    number, tx_hash = await withdrawn(moving, told=False)
    await resolve(moving)
    await moving.follow()
    assert await moving.open_breaks() == [("orphan", moving.hot_place[0])]
    assert await lost(moving) == ONE - FEE
    moving.venue.tell(named(number), tx_hash)
    await again(moving, number, "failed", "written_off")

    async def knows_it() -> bool:
        await moving.work()
        return (await moving.row(number)).tx_hash is not None

    await eventually(knows_it)
    assert await moving.look() == 1
    await again(moving, number, "done")
    assert await lost(moving) == 0
    assert await moving.open_breaks() == []
    await moving.books_match()


async def test_one_that_was_unproved_and_then_left(moving: Moving) -> None:
    """Its Break says what is known by now, so that it can be written off."""
    moving.venue.resend_returns_original = False
    number = await moving.ask("binance", "hot")
    await moving.until(number, "approved")
    row = await moving.row(number)
    order_left = await moving.loop.leave(row, row.created_at)
    assert order_left is not None
    await moving.forget_lease(number)
    await moving.until(number, "sending", "outcome_unknown")
    await moving.until_told()
    assert await moving.open_breaks() == [("missing_at_venue", "exchange:binance")]
    with pytest.raises(Conflict, match="cannot be resolved by write_off"):
        await resolve(moving)
    moving.venue.execute(order_of(await moving.row(number)))
    shown = moving.venue.gone[named(number)]
    moving.venue.gone[named(number)] = replace(shown, status=TransferStatus.DONE)
    await moving.until(number, "in_transit", "late")
    assert await moving.open_breaks() == [("timing", transit(number))]
    await resolve(moving)
    await ended(moving, number, ONE - FEE)
