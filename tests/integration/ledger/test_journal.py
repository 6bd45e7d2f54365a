"""What the ledger refuses, in Python and in the database itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core import ids
from core.db import Database, raw
from core.errors import Conflict, LedgerError
from ledger.journal import Entry, Kind, Posting, check, post, transfer
from tests.settings import numbers

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HUGE = 10**77


def entry(*postings: Posting, key: str | None = None) -> Entry:
    number = ids.new()
    return Entry(
        id=number,
        key=key or f"test:{number}",
        kind=Kind.OPENING,
        reference="test",
        merchant_id=None,
        evidence={"note": "a test"},
        posted_at=NOW,
        postings=postings,
    )


async def balance(database: Database, account: str, asset: str = "ETH") -> int:
    async with database.read() as session:
        value = await session.scalar(
            text("select balance from account_balances where account = :a and asset = :b"),
            {"a": account, "b": asset},
        )
        return int(value or 0)


async def test_amounts_beyond_2_to_the_53_stay_exact(database: Database) -> None:
    async with database.begin() as session:
        await post(session, [entry(*transfer("ETH", HUGE, debit="place", credit="equity"))])
        await post(session, [entry(*transfer("ETH", 1, debit="place", credit="equity"))])
    assert await balance(database, "place") == HUGE + 1
    assert await balance(database, "equity") == -HUGE - 1


async def test_a_key_happens_once(database: Database) -> None:
    one = entry(*transfer("ETH", 5, debit="place", credit="equity"), key="once")
    two = replace(one, id=ids.new())
    async with database.begin() as session:
        posted = await post(session, [one])
        assert posted.new == {one.id}
        assert posted.balances == {("place", "ETH"): 5, ("equity", "ETH"): -5}
    async with database.begin() as session:
        assert (await post(session, [two], repeated=True)).new == frozenset()
    with pytest.raises(LedgerError, match="once"):
        async with database.begin() as session:
            await post(session, [two])
    assert await balance(database, "place") == 5


async def test_a_race_for_a_key_is_won_once(database: Database) -> None:
    async def attempt() -> int:
        async with database.begin() as session:
            made = entry(*transfer("ETH", 5, debit="place", credit="equity"), key="raced")
            return len((await post(session, [made], repeated=True)).new)

    assert sum(await asyncio.gather(*(attempt() for _ in range(8)))) == 1
    assert await balance(database, "place") == 5


async def test_enough_funds_is_a_condition_of_the_write(database: Database) -> None:
    debt = "merchant:x:available"
    async with database.begin() as session:
        await post(session, [entry(*transfer("ETH", 100, debit="place", credit=debt))])

    async def spend() -> str | None:
        try:
            async with database.begin() as session:
                made = entry(*transfer("ETH", 30, debit=debt, credit="merchant:x:reserved"))
                await post(session, [made], guarded=[debt])
        except Conflict as error:
            return error.code
        return None

    done = await asyncio.gather(*(spend() for _ in range(8)))
    assert sorted(map(str, done)) == ["None"] * 3 + ["insufficient_funds"] * 5
    assert await balance(database, debt) == -10
    async with database.read() as session:
        assert await session.scalar(text("select count(*) from journal_entries")) == 4


@pytest.mark.parametrize(
    "postings",
    [
        (),
        (Posting("a", "ETH", 1),),
        (Posting("a", "ETH", 1), Posting("b", "USD", -1)),
        (Posting("a", "ETH", 0), Posting("b", "ETH", 0)),
    ],
)
def test_python_refuses_what_does_not_balance(postings: tuple[Posting, ...]) -> None:
    with pytest.raises(LedgerError):
        check(entry(*postings))


async def _insert(database: Database, *amounts: tuple[str, int]) -> None:
    async with database.begin() as session:
        number = ids.new()
        lines = ", ".join(
            f"('{number}', {n}, 'a{n}', '{asset}', {amount}, now())"
            for n, (asset, amount) in enumerate(amounts)
        )
        written = f"""
            with e as (insert into journal_entries values
                ('{number}', '{number}', 'opening', 'x', null, '{{}}', now()))
            insert into postings (entry_id, n, account, asset, amount, posted_at) values {lines}
        """  # noqa: S608
        await (await raw(session)).execute(written)


async def test_the_database_refuses_what_does_not_balance(database: Database) -> None:
    await _insert(database, ("ETH", 1), ("ETH", -1))
    for wrong in [[("ETH", 1)], [("ETH", 1), ("USD", -1)], [("ETH", 2), ("ETH", -1)]]:
        with pytest.raises(psycopg.errors.CheckViolation):
            await _insert(database, *wrong)


async def test_the_database_refuses_an_entry_without_postings(database: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        async with database.begin() as session:
            await (await raw(session)).execute(
                "insert into journal_entries values (%s, 'k', 'opening', 'x', null, '{}', now())",
                (ids.new(),),
            )


async def test_the_database_refuses_to_add_to_an_entry_that_stands(database: Database) -> None:
    made = entry(*transfer("ETH", 5, debit="place", credit="equity"))
    async with database.begin() as session:
        await post(session, [made])
    with pytest.raises(psycopg.errors.RestrictViolation):
        async with database.begin() as session:
            await (await raw(session)).execute(
                "insert into postings (entry_id, n, account, asset, amount, posted_at)"
                " values (%s, 8, 'x', 'ETH', 1, now()), (%s, 9, 'y', 'ETH', -1, now())",
                (made.id, made.id),
            )


GUARDED = ["journal_entries", "postings", "entry_chain", "events", "event_seq"]


@pytest.mark.parametrize("table", GUARDED)
async def test_what_is_written_stays_written(
    database: Database, database_url: str, table: str
) -> None:
    """The services lack the right, and even the owner meets the trigger."""
    column = {"postings": "account", "entry_chain": "seq", "event_seq": "seq"}.get(table, "id")
    change = f"update {table} set {column} = {column}"  # noqa: S608
    for statement in (change, f"delete from {table}", f"truncate {table} cascade"):  # noqa: S608
        async with database.statement() as connection:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement)
        with (
            psycopg.connect(database_url) as owner,
            pytest.raises(psycopg.errors.RestrictViolation),
        ):
            owner.execute(statement)
    async with database.statement() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(f"alter table {table} disable trigger all")


accounts = st.sampled_from(["a", "b", "c", "d"])
moves = st.lists(
    st.tuples(accounts, accounts, st.sampled_from(["ETH", "USD"]), st.integers(1, HUGE // 100)),
    min_size=1,
    max_size=20,
)


@settings(
    max_examples=numbers(15, 200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches=st.lists(moves, min_size=1, max_size=3))
async def test_balances_are_the_sum_of_postings(
    database: Database, batches: list[list[tuple[str, str, str, int]]]
) -> None:
    for batch in batches:
        async with database.begin() as session:
            made = [
                entry(*transfer(asset, amount, debit=debit, credit=credit))
                for debit, credit, asset, amount in batch
            ]
            await post(session, made)
    async with database.read() as session:
        wrong = await session.execute(
            text(
                "select * from (select account, asset, sum(amount) s from postings group by 1, 2) p"
                " full join account_balances b using (account, asset)"
                " where p.s is distinct from b.balance"
            )
        )
        assert wrong.all() == []
        total = await session.execute(
            text("select asset, sum(balance) from account_balances group by 1")
        )
        assert all(value == 0 for _, value in total)
