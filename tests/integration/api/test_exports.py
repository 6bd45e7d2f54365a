"""Exports: Beancount's own checker proves them, and the same period is the same bytes."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import ids
from core.clock import show
from ledger.accounts import Debt
from ledger.journal import Kind, transfer
from ledger.sequence import number_pending
from tests.integration.api.conftest import World
from tests.integration.api.history import DEPOSITS, HOT, MINUTE, Past, live
from treasury.beancount_names import account, commodity


@pytest.fixture
async def past(world: World) -> Past:
    made = Past(world.context.database, world.ids["one"])
    await live(made)
    return made


async def export(world: World, kind: str = "journal", **asked: str) -> tuple[dict[str, Any], bytes]:
    """Asked for, and taken from its url."""
    made = await world.operator.post("/v1/exports", {"kind": kind, **asked})
    assert (made.status, made.json["status"]) == (202, "ready"), made.body
    path = made.json["url"].removeprefix(world.context.public_url)
    answer = await world.operator.get(path)
    assert answer.status == 200
    return made.json, answer.body


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def check(folder: Path, data: bytes) -> subprocess.CompletedProcess[str]:
    file = folder / "journal.beancount"
    file.write_bytes(data)
    program = Path(sys.executable).with_name("bean-check")
    return subprocess.run([program, file], capture_output=True, text=True, check=False)


async def test_bean_check_accepts_it_and_notices_a_changed_unit(
    world: World, past: Past, tmp_path: Path
) -> None:
    made, whole = await export(world, format="beancount")
    found = check(tmp_path, whole)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    text = whole.decode()
    assert "Assets:Exchange:Binance  5993.999999999999999999 EUR" not in text
    assert "Assets:Exchange:Binance  6000.000000000000000000 EUR" in text  # EUR@18 is EUR
    assert "Liabilities:Merchant:MER-" in text
    assert "@" not in re.sub(r'"[^"]*"', "", text)
    assert made["through"]["hash"] in text
    # One unit more on one line, an entry that is gone: each is noticed.
    changed = whole.replace(b"  6000.000000000000000000 EUR", b"  6000.000000000000000001 EUR", 1)
    end = whole.rindex(b"\n\n2", 0, whole.index(b" balance "))
    gone = whole[: whole.rindex(b"\n\n2", 0, end)] + whole[end:]
    for wrong in (changed, gone):
        assert wrong != whole
        assert check(tmp_path, wrong).returncode == 1


async def test_a_later_period_begins_with_the_balances_before_it(
    world: World, past: Past, tmp_path: Path
) -> None:
    middle = show(past.now - 12 * MINUTE)
    _, early = await export(world, format="beancount", until=middle)
    _, late = await export(world, format="beancount", since=middle)
    _, whole = await export(world, format="beancount")
    for part in (early, late):
        assert check(tmp_path, part).returncode == 0
    assert b'"opening" "Balances before' in late
    entries = re.compile(rb"\n  entry: (.*)\n")
    assert entries.findall(early) + entries.findall(late) == entries.findall(whole)
    closing = re.compile(rb" balance (.*  -?[0-9.]*[1-9][0-9.]* [A-Z]+)\n")
    assert closing.findall(late) == closing.findall(whole)


async def test_the_csv_has_every_posting_and_sums_to_the_balances(world: World, past: Past) -> None:
    _, data = await export(world)
    found = rows(data)
    sums: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in found:
        sums[row["account"], row["asset"]] += Decimal(row["amount"])
    listed = (await world.operator.get("/v1/ledger/accounts?limit=100")).json["data"]
    balances: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for one in listed:
        balances[one["account"], one["asset"]] += Decimal(one["balance"])
    assert sums == balances
    assert [int(row["seq"]) for row in found] == sorted(int(row["seq"]) for row in found)
    assert {row["evidence"] for row in found} >= {
        '{"note": "said \\"so\\", \\\\ and\\nmore", "symbol": "ETH-EUR"}'
    }


async def test_the_same_period_is_the_same_bytes_whatever_comes_later(
    world: World, past: Past
) -> None:
    until = show(past.now + MINUTE // 2)
    wanted = [
        ("journal", {"format": "csv"}), ("journal", {"format": "beancount"}),
        ("gains", {"method": "fifo"}), ("gains", {"method": "average"}), ("lots", {}),
    ]  # fmt: skip
    before = [await export(world, kind, until=until, **asked) for kind, asked in wanted]
    past.now += MINUTE
    later = await past.deposit(10**18, 1)
    await number_pending(past.database)
    after = [await export(world, kind, until=until, **asked) for kind, asked in wanted]
    assert [data for _, data in before] == [data for _, data in after]
    for made, data in before:
        again = await world.operator.get(f"/v1/exports/{made['id']}/file")
        assert again.body == data
        assert (await world.operator.get(f"/v1/exports/{made['id']}")).json == made
    _, now = await export(world)
    assert later.encode() in now


async def test_gains_and_lots_are_exact(world: World, past: Past) -> None:
    _, data = await export(world, "gains")
    sale = next(row for row in rows(data) if row["sold"] == "true" and row["asset"] == "ETH")
    assert (sale["quantity"], sale["cost"]) == ("3", "6000")
    assert sale["proceeds"] == "6593.399999999999999998"  # 5,994 EUR less one unit, at 1.1
    assert Decimal(sale["gain"]) == Decimal(sale["proceeds"]) - Decimal(sale["cost"])
    _, data = await export(world, "lots", method="average")
    heap = {row["asset"]: row for row in rows(data) if row["cost"]}
    assert heap["ETH"]["left"] == "99.500000000000000002"
    assert heap["EUR"]["left"] == "54093.999999999999999999"


async def test_it_waits_for_what_may_still_come(
    world: World, past: Past, database_url: str
) -> None:
    """An entry without a number, and a transaction that runs: the file is not made before."""
    async with await psycopg.AsyncConnection.connect(database_url) as busy:
        await busy.execute("select pg_current_xact_id()")
        made = await world.operator.post("/v1/exports", {"kind": "journal"})
        assert (made.status, made.json["status"], made.json["url"]) == (202, "pending", None)
        path = f"/v1/exports/{made.json['id']}"
        early = await world.operator.get(f"{path}/file")
        assert (early.status, early.code) == (409, "export_pending")
        await busy.commit()
    await past.add(Kind.PAYOUT_PAID, "pay_9", *transfer("ETH", 1, debit=DEPOSITS, credit=HOT))
    assert (await world.operator.get(path)).json["status"] == "pending"
    await number_pending(past.database)
    ready = (await world.operator.get(path)).json
    assert ready["status"] == "ready"
    assert b"pay_9" in (await world.operator.get(f"{path}/file")).body
    listed = (await world.operator.get("/v1/exports")).json["data"]
    assert listed == [ready]


async def test_refusals(world: World) -> None:
    post = world.operator.post
    tomorrow = show(world.context.clock.now() + 1440 * MINUTE)
    for wrong in (
        {"kind": "everything"},
        {"kind": "journal", "until": tomorrow},
        {"kind": "journal", "since": tomorrow},
        {"kind": "journal", "method": "fifo"},
        {"kind": "gains", "format": "beancount"},
        {"kind": "lots", "since": "2020-01-01T00:00:00Z"},
        {"kind": "journal", "since": "0001-01-01T00:00:00+23:00"},
    ):
        assert (await post("/v1/exports", wrong)).status == 422, wrong
    assert (await world.one.post("/v1/exports", {"kind": "journal"})).status == 403
    unknown = ids.show("exp", ids.new())
    for path in (f"/v1/exports/{unknown}", f"/v1/exports/{unknown}/file", "/v1/exports/x/file"):
        assert (await world.operator.get(path)).status == 404
    _, data = await export(world, format="beancount")
    assert b" open " not in data


def test_names_stay_apart() -> None:
    """Two accounts never become one; Beancount takes each."""
    merchant = f"merchant:{ids.show('mer', ids.new())}:{Debt.AVAILABLE}"
    accounts = [
        "bank:haus", "bank:Haus", "bank:HAUS", "bank:ha us", "bank:ha-us", "bank:ha_us", "bank:ß",
        "network:eip155:1:hot", "network:eip155:11:hot", "network:eip155-1:x:hot", merchant,
        "exchange:binance", "trading", "units", "what:ever", "income:fees", "expense:exchange_fees",
    ]  # fmt: skip
    shown = [account(name) for name in accounts]
    assert len(set(shown)) == len(shown)
    for name in shown:
        assert re.fullmatch(r"[A-Z][A-Za-z]+(:[A-Z0-9][A-Za-z0-9-]*)+", name), name
    symbols = [
        "ETH",
        "stETH",
        "STETH",
        "USDC.e",
        "USDC.E",
        "1INCH",
        "x",
        "W" * 30,
        "V" * 31,
        "a-b+c",
    ]
    coins = [commodity(symbol) for symbol in symbols]
    assert len(set(coins)) == len(coins)
    for coin in coins:
        assert re.fullmatch(r"[A-Z]([A-Z0-9'._-]{0,22}[A-Z0-9])?", coin), coin
