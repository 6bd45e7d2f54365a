"""The hash chain: gapless, recomputable by hand, and loud when somebody changed the past."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from core import ids
from core.db import Database
from core.ids import show
from ledger.sequence import GENESIS, number_pending
from ledger.verify import Report, verify
from tests.integration.ledger_chain.entries import START, confirmed, entry, write


async def rows(database: Database, query: Any) -> list[tuple[Any, ...]]:
    async with database.statement() as connection:
        cursor = await connection.execute(query)
        found: list[tuple[Any, ...]] = await cursor.fetchall()
    return found


async def test_the_chain_can_be_recomputed_by_hand(database: Database) -> None:
    shop = ids.new()
    first, second = entry(0, shop), confirmed(0, shop)
    await write(database, first)
    await write(database, second)
    assert await number_pending(database) == 2
    assert await number_pending(database) == 0
    head = GENESIS
    for n, made in enumerate((first, second)):
        at = (START.replace(minute=10) if n else START).strftime("%Y-%m-%dT%H:%M:%S.%f")
        content = {
            "evidence": made.evidence,
            "id": str(made.id),
            "key": made.key,
            "kind": made.kind.value,
            "merchant_id": str(shop),
            "posted_at": f"{at}+00:00",
            "postings": [
                [i, p.account, p.asset, str(p.amount), at] for i, p in enumerate(made.postings)
            ],
            "reference": made.reference,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        head = hashlib.sha256(head + text.encode()).digest()
        assert (await rows(database, "select hash from entry_chain order by seq"))[n] == (head,)
    report = await verify(database)
    assert report == Report(entries=2, head=head, pending=0, problems=(), seq=2)
    assert report.ok


async def test_an_empty_ledger_is_in_order_and_what_waits_is_no_problem(
    database: Database,
) -> None:
    assert await verify(database) == Report(0, GENESIS, 0, ())
    await write(database, entry(0, ids.new()))
    assert await verify(database) == Report(0, GENESIS, 1, ())


async def test_gapless_with_several_at_it_and_late_commits(database: Database) -> None:
    shop = ids.new()

    async def posting(worker: int) -> None:
        for n in range(15):
            await write(database, entry(100 * worker + n, shop), confirmed(100 * worker + n, shop))

    async def numbering() -> None:
        while True:
            await number_pending(database, 7)

    numberers = [asyncio.create_task(numbering()) for _ in range(3)]
    await asyncio.gather(*(posting(worker) for worker in range(4)))
    for task in numberers:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    while await number_pending(database):
        pass
    numbers = await rows(database, "select seq from entry_chain order by seq")
    assert numbers == [(n,) for n in range(1, 121)]
    report = await verify(database)
    assert (report.ok, report.entries, report.pending) == (True, 120, 0)


TAMPERING = {
    "a posting's amount, both sides, and the balance with it": (
        """update postings set amount = amount * 2 where entry_id = '{id}';
           update account_balances b set balance = (
               select sum(amount) from postings p
               where p.account = b.account and p.asset = b.asset)""",
        {"hash"},
    ),
    "a posting's account": (
        (
            "update postings set account = 'merchant:mer_thief:available'"
            " where entry_id = '{id}' and n = 1"
        ),
        {"hash", "balance"},
    ),
    "one posting's amount": (
        "update postings set amount = amount + 1 where entry_id = '{id}' and n = 0",
        {"hash", "unbalanced", "balance"},
    ),
    "a posting's time": (
        "update postings set posted_at = posted_at - interval '1 day' where entry_id = '{id}'",
        {"hash"},
    ),
    "an entry's evidence": (
        """update journal_entries set evidence = evidence || '{{"block_hash":"0x0"}}'
           where id = '{id}'""",
        {"hash"},
    ),
    "an entry's merchant": (
        "update journal_entries set merchant_id = null where id = '{id}'",
        {"hash"},
    ),
    "an entry and its postings are gone": (
        (
            "delete from postings where entry_id = '{id}'; delete from journal_entries"
            " where id = '{id}'"
        ),
        {"missing_entry", "balance"},
    ),
    "its link is gone too": (
        (
            "delete from postings where entry_id = '{id}'; delete from entry_chain"
            " where entry_id = '{id}'; delete from journal_entries where id = '{id}'"
        ),
        {"gap", "balance"},
    ),
    "its link alone is gone": ("delete from entry_chain where entry_id = '{id}'", None),
    "its hash": ("update entry_chain set hash = sha256(hash) where entry_id = '{id}'", {"hash"}),
}


@pytest.mark.parametrize("how", TAMPERING)
async def test_tampering_is_found_and_named(
    database: Database, database_url: str, how: str
) -> None:
    shop = ids.new()
    made = [entry(n, shop, amount=10**18 + n) for n in range(7)]
    await write(database, *made)
    await number_pending(database)
    statement, kinds = TAMPERING[how]
    victim = made[3]
    with psycopg.connect(database_url, autocommit=True) as superuser:
        superuser.execute("set session_replication_role = replica")  # no trigger, no foreign key
        superuser.execute(statement.format(id=victim.id))
    report = await verify(database)
    assert not report.ok
    found = {problem.kind for problem in report.problems}
    assert found == (kinds if kinds is not None else {"gap", "unchained"})
    names = [show("je", e.id) for e in made]
    # Where the link itself is gone, the first one that shows it is the one behind; so too where a
    # hash was changed, beside the victim.
    expected = names[4] if "gap" in found else names[3]
    assert report.first_tampered == expected
    named = {problem.entry for problem in report.problems} - {None}
    assert named <= {names[3], names[4]}


async def test_an_entry_put_in_by_hand_is_found(database: Database, database_url: str) -> None:
    shop = ids.new()
    await write(database, entry(0, shop))
    await number_pending(database)
    forged = entry(1, shop)
    await write(database, forged)
    with psycopg.connect(database_url, autocommit=True) as superuser:
        superuser.execute("delete from entry_pending")
    report = await verify(database)
    assert [(p.kind, p.entry) for p in report.problems] == [("unchained", show("je", forged.id))]


async def test_the_services_may_not_change_what_is_chained(database: Database) -> None:
    await write(database, entry(0, ids.new()))
    await number_pending(database)
    for statement in (
        "update entry_chain set seq = 2",
        "delete from entry_chain",
        "update postings set amount = 0",
        "delete from journal_entries",
        "alter table postings disable trigger all",
        "set session_replication_role = replica",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with database.statement() as connection:
                await connection.execute(statement)
