"""Statements against the books: every line once, the account's balance to the cent, what is not
explained as a Break that closes when the other side arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from core import ids
from core.db import Database
from core.errors import Conflict, Invalid
from ledger.tables import BreakRow
from reconciliation import resolving
from tests.integration.treasury.banking import KEY, TODAY, Banking, on, open_banking
from tests.waiting import eventually
from treasury import bank_deciding, bank_settling, moves
from treasury.move_work import Moves
from treasury.moves import NewMove


@pytest.fixture
async def banking(database: Database) -> AsyncIterator[Banking]:
    async with open_banking(database) as made:
        yield made


async def test_a_move_is_closed_by_its_line(banking: Banking) -> None:
    number = await banking.order("120.50")
    [told] = await banking.csv("1000.00", "1120.50", f"{on(0)},120.50,BINANCE PAYOUT")
    assert (told["lines"], told["matched"]) == (1, 1)
    assert await banking.balance("bank:main") == 112_050
    assert await banking.balance(f"transit:{number}") == 0
    assert await banking.balance("suspense") == 0
    assert await banking.breaks() == []
    [line] = await banking.lines()
    assert (line["status"], line["matched_with"]) == ("matched", [number])
    move_id = ids.read("mov", number)
    assert move_id is not None
    await Moves(banking.context, {}).step(move_id)  # the worker has heard of it
    async with banking.context.database.read() as session:
        assert (await moves.show(session, banking.context, move_id))["status"] == "done"


async def test_a_statement_and_a_line_count_once(banking: Banking) -> None:
    first = [f"{on(0)},10.00,a", f"{on(0)},10.00,a", f"{on(1)},-3.00,b"]
    told = await banking.csv("0", "17.00", *first)
    assert await banking.csv("0", "17.00", *first) == told
    assert await banking.balance("bank:main") == 1_700
    await banking.csv("20.00", "22.00", first[2], f"{on(2)},5.00,c")  # overlaps by one
    assert await banking.balance("bank:main") == 2_200
    assert [line["amount"] for line in await banking.lines()] == ["10.00", "10.00", "-3.00", "5.00"]
    assert [kind for kind, _, _ in await banking.breaks()] == ["missing_in_ledger"] * 4


async def test_what_does_not_add_up_is_refused_with_the_difference(banking: Banking) -> None:
    with pytest.raises(Invalid, match=r"0\.01 EUR are not explained") as caught:
        await banking.csv("0", "10.01", f"{on(0)},10.00,a")
    assert caught.value.extra["difference"] == "0.01"
    assert await banking.lines() == []


async def test_a_gap_is_a_break_until_its_statement_comes(banking: Banking) -> None:
    await banking.csv("0", "10", f"{on(0)},10,a")
    await banking.csv("15", "16", f"{on(4)},1,c")
    gap = ("amount", "bank:main", 500)
    assert gap in await banking.breaks()
    assert await banking.balance("bank:main") == 1_100
    await banking.csv("10", "15", f"{on(2)},5,b")
    assert gap not in await banking.breaks()
    assert await banking.balance("bank:main") == 1_600
    with pytest.raises(Conflict, match="begin with"):
        await banking.csv("0", "1", f"{on(-9)},1,z")


async def test_a_line_that_comes_first_waits_for_its_move(banking: Banking) -> None:
    await banking.csv("0", "75.25", f"{on(0)},75.25,early")
    assert await banking.breaks() == [("missing_in_ledger", "bank:main", 7_525)]
    assert await banking.balance("suspense") == -7_525
    number = await banking.order("75.25")
    assert await banking.breaks() == []
    assert await banking.balance("suspense") == 0
    assert await banking.balance(f"transit:{number}") == 0
    async with banking.context.database.read() as session:
        shown = await moves.show(session, banking.context, ids.read("mov", number))
    assert shown["status"] == "done"


async def test_one_line_for_many_and_many_for_one(banking: Banking) -> None:
    small = [await banking.order("30.00"), await banking.order("12.34")]
    big = await banking.order("500.00")
    await banking.csv(
        "0", "542.34", f"{on(0)},42.34,both", f"{on(1)},200.00,{big[:9]} {big[9:].upper()}",
        f"{on(2)},300.00,rest of {big}",
    )  # fmt: skip
    assert await banking.breaks() == []
    assert await banking.balance("bank:main") == 54_234
    for number in (*small, big):
        assert await banking.balance(f"transit:{number}") == 0


async def test_a_fee_of_the_bank_is_for_a_person(banking: Banking) -> None:
    number = await banking.order("100.00")
    await banking.csv("0", "95.00", f"{on(0)},95.00,{number}")
    assert await banking.breaks() == [("amount", "bank:main", 9_500)]
    [line] = await banking.lines("open")
    context, line_id = banking.context, ids.read("bln", line["id"])
    async with context.database.begin() as session:
        with pytest.raises(Conflict, match=r"-5\.00 EUR more"):
            await bank_deciding.decide(session, context, line_id, [number], None, by=KEY)
    async with context.database.begin() as session:
        told = await bank_deciding.decide(
            session, context, line_id, [number], "exchange_fees", by=KEY
        )
    assert told["status"] == "matched"
    assert await banking.breaks() == []
    assert await banking.balance("expense:exchange_fees") == 500
    assert await banking.balance(f"transit:{number}") == 0
    assert await banking.balance("suspense") == 0


async def test_what_a_person_resolved_is_matched_no_more(banking: Banking) -> None:
    await banking.csv("0", "-4.00", f"{on(0)},-4.00,monthly fee")
    async with banking.context.database.begin() as session:
        [found] = (await session.scalars(select(BreakRow.id))).all()
        await resolving.resolve(
            session, banking.context, found, "write_off", "the bank's fee", by=KEY
        )
    assert await banking.balance("expense:losses") == 400
    await banking.csv("-4.00", "0", f"{on(1)},4.00,other")
    assert [line["status"] for line in await banking.lines()] == ["resolved", "open"]


async def test_what_does_not_arrive_is_told_and_closes_when_it_does(banking: Banking) -> None:
    number = await banking.order("50.00")
    await banking.csv("0", "1", f"{on(9)},1,a")
    late = ("timing", f"transit:{number}", 5_000)
    assert late in await banking.breaks()
    await banking.csv("1", "51", f"{on(12)},50.00,b")
    assert late not in await banking.breaks()


async def test_what_never_arrives_is_written_off(banking: Banking) -> None:
    """Once; and a line that shows it after all is money that was found."""
    number = await banking.order("50.00")
    await banking.csv("0", "1", f"{on(9)},1,a")
    late = ("timing", f"transit:{number}", 5_000)
    assert late in await banking.breaks()
    async with banking.context.database.begin() as session:
        query = select(BreakRow.id).where(BreakRow.key == f"bank_claim:{number}")
        [found] = (await session.scalars(query)).all()
        await resolving.resolve(session, banking.context, found, "write_off", "lost", by=KEY)
        with pytest.raises(Conflict, match="resolved already"):
            await resolving.resolve(session, banking.context, found, "write_off", "lost", by=KEY)
        shown = await moves.show(session, banking.context, ids.read("mov", number))
    assert (shown["status"], shown["reason"]) == ("failed", "written_off")
    assert await banking.balance(f"transit:{number}") == 0
    assert await banking.balance("expense:losses") == 5_000
    await banking.csv("1", "51", f"{on(12)},50.00,{number}")
    assert late not in await banking.breaks()
    assert ("missing_in_ledger", "bank:main", 5_000) in await banking.breaks()
    async with banking.context.database.begin() as session:
        query = select(BreakRow.id).where(BreakRow.actual == 5_000, BreakRow.status == "open")
        [found] = (await session.scalars(query)).all()
        await resolving.resolve(session, banking.context, found, "write_off", "found", by=KEY)
    assert await banking.balance("expense:losses") == 0
    assert await banking.balance(f"transit:{number}") == 0


@pytest.mark.parametrize("line_first", [True, False])
async def test_a_statement_at_the_same_moment(banking: Banking, line_first: bool) -> None:
    """The account's lock keeps both apart: the money is in one place."""
    number = await banking.order("50.00")
    await banking.csv("0", "1", f"{on(9)},1,a")
    async with banking.context.database.read() as session:
        query = select(BreakRow.id).where(BreakRow.key == f"bank_claim:{number}")
        [found] = (await session.scalars(query)).all()

    async def write_off() -> None:
        async with banking.context.database.begin() as session:
            with suppress(Conflict):
                await resolving.resolve(
                    session, banking.context, found, "write_off", "lost", by=KEY
                )

    async with banking.context.database.begin() as session:
        await bank_settling.lock(session, "main")
        come = banking.csv("1", "51", f"{on(12)},50.00,b")
        tasks = []
        for one in [come, write_off()] if line_first else [write_off(), come]:
            tasks.append(asyncio.ensure_future(one))

            async def waits() -> bool:
                query = (
                    "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
                    " where l.locktype = 'advisory' and not l.granted"
                    " and d.datname = current_database()"
                )
                return bool(await session.scalar(text(query)) == len(tasks))

            await eventually(waits)
    await asyncio.gather(*tasks)
    assert await banking.balance(f"transit:{number}") == 0
    sums = await banking.balance("expense:losses"), await banking.balance("suspense")
    assert sums == ((0, -100) if line_first else (5_000, -5_100))


async def test_another_statement_under_the_same_number_is_refused(banking: Banking) -> None:
    from tests.unit.treasury.test_camt import document, entry

    good = document(entries=entry("10.00"), opening="0.00", closing="10.00")
    await banking.take(good)
    with pytest.raises(Conflict, match="other content"):
        await banking.take(document(entries=entry("11.00"), opening="0.00", closing="11.00"))


async def test_an_export_with_balances_newest_first(banking: Banking) -> None:
    number = await banking.order("1234.56", "other")
    rows = [
        "Tag;Betrag;Saldo;Zweck",
        f"{TODAY:%d.%m.%Y};-0,50;2.234,06;Gebühr",
        f"{TODAY:%d.%m.%Y};1.234,56;2.234,56;{number}",
    ]
    [told] = await banking.take("\r\n".join(rows).encode(), "other")
    assert (told["opening"], told["closing"], told["matched"]) == ("1000.00", "2234.06", 1)
    assert await banking.balance("bank:other") == 223_406
    with pytest.raises(Invalid, match="differs from that of row 2"):
        await banking.take("\n".join(rows).replace("2.234,06", "2.234,07"), "other")


async def test_at_once_is_as_one_after_the_other(banking: Banking) -> None:
    content = f"Date,Amount,Text\n{on(0)},80.00,a"
    asked = NewMove("EUR", "80.00", None, "binance", "bank:main", KEY)
    context = banking.context
    async with context.database.begin() as session:
        number = (await moves.create(session, context, asked))["id"]

    async def approve() -> None:
        async with context.database.begin() as session:
            await moves.approve(session, context, ids.read("mov", number), KEY)

    take = [banking.take(content, opening="0", closing="80.00") for _ in range(3)]
    await asyncio.gather(*take, approve(), approve())
    assert await banking.balance("bank:main") == 8_000
    assert await banking.balance(f"transit:{number}") == 0
    assert await banking.balance("suspense") == 0
    assert await banking.breaks() == []


async def test_history_cannot_be_changed(banking: Banking) -> None:
    await banking.csv("0", "1", f"{on(0)},1,a")
    for statement in (
        "update bank_statements set closing = 0",
        "delete from bank_statement_lines",
        "update bank_lines set amount = 0",
        "delete from bank_lines",
    ):
        async with banking.context.database.rehearse() as session:
            with pytest.raises(DBAPIError, match=r"append-only|permission denied"):
                await session.execute(text(statement))
