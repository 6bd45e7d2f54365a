"""Fiat from a bank to a venue: either side may show it first, and some of it nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from core import ids
from core.db import Database
from core.errors import Conflict, Invalid
from exchanges.numbers import ONE, parse
from exchanges.types import Venue
from ledger.accounts import exchange
from ledger.tables import JournalEntry
from tests.integration.treasury.banking import KEY
from tests.integration.treasury.funding import Funding, euro, named, open_funding
from tests.settings import SEED, numbers
from treasury import bank_deciding, moves
from treasury.move_machine import Windows
from treasury.move_work import Moves
from treasury.moves import NewMove


@pytest.fixture
async def house(database: Database) -> AsyncIterator[Funding]:
    async with open_funding(database) as funding:
        yield funding


async def test_the_statement_first(house: Funding) -> None:
    number = await house.ask()
    assert await house.now(number) == ("approved", "order_at_bank")
    assert (await house.approve(number))["status"] == "sending"
    assert await house.now(number) == ("sending", None)
    await house.line(-100_000, "OUR REFERENCE AT BINANCE")
    assert await house.now(number) == ("in_transit", None)
    assert await house.banking.balance(f"transit:{named(number)}") == 100_000
    house.venue.credit("1000")
    assert await house.now(number) == ("done", None)
    assert (await house.approve(number))["status"] == "done", "again is harmless"
    shown = await house.show(number)
    assert (shown["venue_transfer"], shown["venue_status"], shown["fee"]) == ("b0", "done", None)
    await house.settled(number, -100_000, 100_000)


async def test_the_venue_first_and_nobody_said_that_it_was_ordered(house: Funding) -> None:
    number = await house.ask()
    house.venue.credit("1000.00")
    assert await house.now(number) == ("in_transit", None)
    assert await house.banking.balance(f"transit:{named(number)}") == -100_000
    assert await house.reconcile() == "clean"
    assert await house.now(number) == ("in_transit", None)
    with pytest.raises(Conflict, match="too late"):
        await house.cancel(number)
    await house.line(-100_000, day=3)
    assert await house.now(number) == ("done", None)
    await house.settled(number, -100_000, 100_000)


async def test_a_line_that_names_it_comes_before_anybodys_word(house: Funding) -> None:
    number = await house.ask()
    await house.line(-100_000, f"to binance {named(number)}")
    assert await house.now(number) == ("in_transit", None)
    with pytest.raises(Conflict, match="too late"):
        await house.cancel(number)
    house.venue.credit("1000")
    assert await house.now(number) == ("done", None)
    await house.settled(number, -100_000, 100_000)


async def test_a_line_that_was_there_before_the_move(house: Funding) -> None:
    await house.line(-100_000)
    assert await house.banking.breaks() == [("missing_in_ledger", "bank:main", -100_000)]
    number = await house.ask()
    assert (await house.approve(number))["status"] == "in_transit"
    house.venue.credit("1000")
    assert await house.now(number) == ("done", None)
    await house.settled(number, -100_000, 100_000)


async def test_a_fee_that_the_venue_tells(house: Funding) -> None:
    number = await house.ask()
    await house.approve(number)
    house.venue.credit("997.50", fee="2.50")
    assert await house.now(number) == ("in_transit", None)
    await house.line(-100_000)
    assert await house.now(number) == ("done", None)
    assert (await house.show(number))["fee"] == "2.5"
    assert await house.banking.balance("expense:exchange_fees", "EUR@18") == parse("2.50")
    await house.settled(number, -100_000, 99_750)


async def test_a_fee_that_nobody_tells_is_for_a_person(house: Funding) -> None:
    number = await house.ask()
    await house.approve(number)
    house.venue.credit("985")
    assert await house.now(number) == ("sending", None), "it may be anything"
    await house.line(-100_000)
    assert await house.now(number) == ("in_transit", "amount_differs")
    differs = ("amount", f"transit:{named(number)}", 1_500)
    assert await house.banking.breaks() == [differs]
    assert await house.banking.balance(f"transit:{named(number)}") == 100_000, "nothing is guessed"
    assert (await house.show(number))["venue_transfer"] == "b0"
    assert await house.now(number) == ("in_transit", "amount_differs")
    assert await house.reconcile() == "breaks"
    assert [kind for kind, _, _ in await house.banking.breaks()] == ["amount", "timing"]
    await house.resolve("amount", "write_off")
    assert await house.now(number) == ("done", None)
    assert await house.banking.balance("expense:exchange_fees") == 1_500
    assert await house.reconcile() == "clean"
    await house.settled(number, -100_000, 98_500)


async def test_another_amount_that_is_not_it(house: Funding) -> None:
    number = await house.ask()
    await house.approve(number)
    await house.line(-100_000)
    house.venue.credit("985")
    assert await house.now(number) == ("in_transit", "amount_differs")
    await house.resolve("amount", "explained")
    assert await house.now(number) == ("in_transit", None)
    assert (await house.show(number))["venue_transfer"] is None
    assert await house.reconcile() == "breaks"
    assert [kind for kind, _, _ in await house.banking.breaks()] == ["missing_in_ledger"]
    house.venue.credit("1000")
    assert await house.now(number) == ("done", None)
    await house.resolve("missing_in_ledger", "owner_funds")
    await house.settled(number, -100_000, 198_500)


async def test_a_fee_of_the_bank_on_top_is_for_a_person(house: Funding) -> None:
    number = await house.ask()
    await house.approve(number)
    await house.line(-100_300, named(number))
    assert await house.banking.breaks() == [("amount", "bank:main", -100_300)]
    [line] = await house.banking.lines("open")
    async with house.context.database.begin() as session:
        await bank_deciding.decide(
            session, house.context, ids.read("bln", line["id"]), [named(number)],
            "exchange_fees", by=KEY,
        )  # fmt: skip
    assert await house.now(number) == ("in_transit", None)
    house.venue.credit("1000")
    assert await house.now(number) == ("done", None)
    assert await house.banking.balance("expense:exchange_fees") == 300
    await house.settled(number, -100_300, 100_000)


async def test_what_was_cancelled_explains_nothing(house: Funding) -> None:
    number = await house.ask()
    await house.approve(number)
    cancelled = await house.cancel(number)
    assert (cancelled["status"], cancelled["reason"]) == ("failed", "cancelled")
    assert (await house.cancel(number))["status"] == "failed", "again is harmless"
    await house.line(-100_000, named(number))
    house.venue.credit("1000")
    assert await house.reconcile() == "breaks"
    assert await house.banking.breaks() == [
        ("missing_in_ledger", "bank:main", -100_000),
        ("missing_in_ledger", "exchange:binance", 1000 * ONE),
    ]


async def test_two_that_are_equal(house: Funding) -> None:
    first, second = await house.ask(), await house.ask()
    await house.line(-100_000)
    house.venue.credit("1000")
    steps = [house.loop.step(number) for number in (second, first, second, first)]
    await asyncio.gather(*steps)
    assert (await house.show(first))["status"] == "done", "the oldest"
    assert (await house.show(second))["status"] == "approved"
    house.venue.credit("1000")
    assert await house.now(second) == ("in_transit", None)
    await house.line(-100_000)
    assert await house.now(second) == ("done", None)
    for number in (first, second):
        await house.settled(number, -200_000, 200_000)


async def test_one_deposit_more_than_moves_is_for_a_person(house: Funding) -> None:
    number = await house.ask()
    await house.line(-100_000)
    house.venue.credit("1000")
    house.venue.credit("1000")
    assert await house.now(number) == ("in_transit", None)
    assert await house.reconcile() == "breaks"
    assert [kind for kind, _, _ in await house.banking.breaks()] == ["missing_in_ledger"] * 2
    await house.resolve("missing_in_ledger", "owner_funds")
    assert await house.now(number) == ("done", None)
    await house.settled(number, -100_000, 200_000)


async def test_one_that_nobody_ordered(house: Funding) -> None:
    house.venue.credit("40")
    assert await house.reconcile() == "breaks"
    place = exchange("binance")
    assert await house.banking.breaks() == [("missing_in_ledger", place, 40 * ONE)]
    assert await house.reconcile() == "breaks", "the same one"
    assert len(await house.banking.breaks()) == 1
    await house.resolve("missing_in_ledger", "owner_funds")
    assert await house.reconcile() == "clean"
    number = await house.ask("40.00")
    assert await house.now(number) == ("approved", "order_at_bank"), "that one is explained"


async def test_what_a_move_waits_for_is_merely_early(house: Funding) -> None:
    number = await house.ask()
    house.venue.credit("1000")
    assert await house.reconcile() == "breaks"
    assert await house.banking.breaks() == [("timing", exchange("binance"), 1000 * ONE)]
    await house.now(number)
    await house.line(-100_000)
    await house.now(number)
    await house.settled(number, -100_000, 100_000)


async def test_a_deposit_that_the_venue_took_back(house: Funding) -> None:
    number = await house.ask()
    house.venue.credit("1000")
    await house.now(number)
    [came], house.venue.banked = house.venue.banked, []
    assert await house.reconcile() == "clean", "the sums agree"
    house.venue.held["EUR"] -= came.amount
    assert await house.reconcile() == "breaks"
    place = exchange("binance")
    assert await house.banking.breaks() == [("missing_at_venue", place, -1000 * ONE)]


async def test_it_comes_back_to_the_bank(house: Funding) -> None:
    number = await house.ask()
    await house.line(-100_000)
    assert await house.now(number) == ("in_transit", None)
    await house.line(100_000, f"RETURN {named(number)} UNKNOWN ACCOUNT")
    assert await house.now(number) == ("failed", "returned")
    assert await house.banking.balance(f"transit:{named(number)}") == 0
    assert await house.banking.breaks() == []
    assert await house.reconcile() == "clean"


async def test_what_no_statement_shows_is_told_once_it_was_ordered(house: Funding) -> None:
    number = await house.ask()
    await house.line(-1, "fee", day=9)
    unknown = ("missing_in_ledger", "bank:main", -1)
    assert await house.banking.breaks() == [unknown]
    await house.approve(number)
    late = ("timing", "bank:main", 100_000)
    assert await house.banking.breaks() == [unknown, late]
    await house.line(-100_000, day=10)
    assert await house.banking.breaks() == [unknown]
    other = await house.ask("7.00")
    await house.approve(other)
    assert await house.banking.breaks() == [unknown, ("timing", "bank:main", 700)]
    await house.cancel(other)
    assert await house.banking.breaks() == [unknown]


async def test_what_a_venue_never_shows_is_written_off(house: Funding) -> None:
    """What it brings after all is a Break of its own, and books what was lost."""
    number = await house.ask()
    await house.approve(number)
    house.impatient()
    assert await house.now(number) == ("sending", "late")
    with pytest.raises(Conflict, match="cannot be resolved by write_off"):
        await house.resolve("timing", "write_off")  # nothing has left
    await house.line(-100_000)
    assert await house.now(number) == ("in_transit", "late")
    assert await house.banking.breaks() == [("timing", f"transit:{named(number)}", 100_000)]
    await house.resolve("timing", "write_off")
    assert await house.now(number) == ("failed", "written_off")
    assert await house.banking.balance("expense:losses") == 100_000
    assert await house.reconcile() == "clean"
    house.venue.credit("1000")
    assert await house.now(number) == ("failed", "written_off")
    assert await house.reconcile() == "breaks"
    await house.resolve("missing_in_ledger", "write_off")
    assert await house.reconcile() == "clean"
    assert await house.banking.balance(f"transit:{named(number)}") == 0
    assert await house.banking.balance("expense:losses", "EUR@18") == -1000 * ONE


async def test_what_no_statement_ever_shows_is_written_off(house: Funding) -> None:
    """The venue has it, so it is done; a line that comes after all is the loss again."""
    number = await house.ask()
    house.venue.credit("1000")
    assert await house.now(number) == ("in_transit", None)
    await house.line(-1, "fee", day=9)
    late_ = ("timing", f"transit:{named(number)}", -100_000)
    assert late_ in await house.banking.breaks()
    await house.resolve("timing", "write_off")
    assert await house.now(number) == ("done", None)
    assert await house.banking.balance(f"transit:{named(number)}") == 0
    assert await house.banking.balance("expense:losses") == -100_000
    await house.line(-100_000, named(number), day=10)
    assert ("missing_in_ledger", "bank:main", -100_000) in await house.banking.breaks()
    assert await house.now(number) == ("done", None)
    assert await house.banking.balance(f"transit:{named(number)}") == 0


async def test_moves_share_a_question_and_reconciliation_asks_for_differences(
    house: Funding,
) -> None:
    exchanges: Any = {Venue.BINANCE: house.venue}
    shared = Moves(house.context, exchanges, windows=Windows(fiat=timedelta(hours=1)))
    for _ in range(3):
        await shared.step(await house.ask("10"))
    assert house.venue.questions == 1
    assert await house.reconcile() == "clean"
    assert house.venue.questions == 1
    house.venue.held["EUR"] += 1
    assert await house.reconcile() == "breaks"
    assert house.venue.questions == 2


class History:
    """Everybody does what he likes; what the world shows is kept beside the books."""

    def __init__(self, house: Funding, seed: int) -> None:
        self.house, self.random = house, Random(f"{SEED}:{seed}")
        self.asked: dict[UUID, int] = {}  # cents
        self.gone: set[UUID] = set()
        self.came: set[UUID] = set()

    async def step(self) -> None:
        acts = [
            self.ask, self.ask, self.decide, self.leave, self.leave, self.arrive, self.arrive,
            self.come_back, self.strange, self.write_off, self.work,
        ]  # fmt: skip
        await self.random.choice(acts)()

    async def ask(self) -> None:
        cents = self.random.choice([10_000, 10_000, 25_000])
        self.asked[await self.house.ask(euro(cents))] = cents

    async def decide(self) -> None:
        for number in self.some(self.asked):
            with suppress(Conflict):
                await self.random.choice([self.house.approve, self.house.cancel])(number)

    async def leave(self) -> None:
        for number in self.some(self.asked.keys() - self.gone):
            self.gone.add(number)
            words = self.random.choice(["", named(number)])
            await self.house.line(-self.asked[number], words)

    async def arrive(self) -> None:
        for number in self.some(self.asked.keys() - self.came):
            self.came.add(number)
            fee = self.random.choice([0, 0, 150])
            self.house.venue.credit(euro(self.asked[number] - fee), euro(fee))

    async def come_back(self) -> None:
        for number in self.some(self.gone - self.came):
            self.came.add(number)
            await self.house.line(self.asked[number], named(number))

    async def write_off(self) -> None:
        with suppress(Conflict, ValueError):  # nothing is late, or nothing of it in transit
            await self.house.resolve("timing", "write_off")

    async def strange(self) -> None:
        cents = self.random.choice([10_000, 24_000])
        if self.random.random() < 0.5:
            await self.house.line(-cents)
        else:
            self.house.venue.credit(euro(cents))

    async def work(self) -> None:
        await asyncio.gather(*(self.house.loop.step(number) for number in self.asked))

    def some(self, numbers: Iterable[UUID]) -> list[UUID]:
        known = sorted(numbers)
        return [self.random.choice(known)] if known else []


@pytest.mark.parametrize("seed", range(numbers(1, 60)))
async def test_whatever_happens_books_and_world_agree(house: Funding, seed: int) -> None:
    house.impatient()
    history = History(house, seed)
    for _ in range(30):
        await history.step()
    for _ in range(2):
        await history.work()
    balance, venue = house.banking.balance, house.venue
    stood = house.closing if house.lines else 0  # the first statement tells what was there before
    assert await balance("bank:main") == stood, "every line"
    done = 0
    for number in history.asked:
        shown, left = await house.show(number), await balance(f"transit:{named(number)}")
        if shown["status"] in ("done", "failed", "approved", "sending"):
            assert left == 0, shown
        else:
            assert shown["status"] == "in_transit"
            assert abs(left) == history.asked[number]
        done += shown["venue_status"] == "done" and shown["reason"] != "amount_differs"
    # Each deposit once, whoever it was for; what is in no books is named, and nothing besides.
    async with house.context.database.read() as session:
        query = select(JournalEntry.key).where(JournalEntry.key.startswith("venue_transfer:"))
        booked = {key.rpartition(":")[2] for key in await session.scalars(query)}
    assert len(booked) == done
    held = sum(one.amount for one in venue.banked if one.id in booked)
    assert await balance(exchange("binance"), "EUR@18") == 10_000 * ONE + held
    is_whole = len(booked) == len(venue.banked)
    assert await house.reconcile() == ("clean" if is_whole else "breaks")
    place = exchange("binance")
    unbooked = sorted(one.amount for one in venue.banked if one.id not in booked)
    told = [units for _, where, units in await house.banking.breaks() if where == place]
    assert sorted(told) == unbooked


async def test_what_cannot_be_asked_for(house: Funding) -> None:
    body: dict[str, Any] = {
        "asset": "EUR", "amount": "1", "network": None, "source": "bank:main",
        "destination": "binance", "initiator": KEY,
    }  # fmt: skip
    for change, field_, code in (
        ({"asset": "ETH"}, "asset", "no_such_way"),
        ({"network": "eip155:31337"}, "asset", "no_such_way"),
        ({"asset": "USD"}, "from", "unknown_account"),
        ({"source": "bank:nowhere"}, "from", "unknown_account"),
        ({"destination": "hot"}, "to", "no_such_way"),
        ({"destination": "bank:other"}, "to", "no_such_way"),
        ({"amount": "0"}, "amount", "invalid_amount"),
        ({"amount": "1.001"}, "amount", "invalid_amount"),
    ):
        async with house.context.database.rehearse() as session:
            with pytest.raises(Invalid) as refused:
                await moves.create(session, house.context, NewMove(**(body | change)))
        found = [one.field for one in refused.value.errors], refused.value.code
        assert found == ([field_], code), change
