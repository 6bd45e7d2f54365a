"""A simulator's memory between two starts: one SQLite file. Integers above 64 bits are text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, TypeVar

from sandbox.exchanges.types import (
    OrderStatus,
    SimDeposit,
    SimFiatDeposit,
    SimFill,
    SimOrder,
    SimWithdrawal,
    TransferStatus,
)

Row = TypeVar("Row", SimOrder, SimFill, SimDeposit, SimFiatDeposit, SimWithdrawal)

_TABLES: dict[type[Any], str] = {
    SimOrder: "orders",
    SimFill: "fills",
    SimDeposit: "deposits",
    SimFiatDeposit: "fiat_deposits",
    SimWithdrawal: "withdrawals",
}
_OTHERS = """
create table if not exists balances (
    account text, asset text, free text, locked text, primary key (account, asset)
) without rowid;
create table if not exists signed (
    withdrawal text primary key, network text, nonce integer, raw text, unique (network, nonce)
) without rowid;
create table if not exists facts (name text primary key, value text) without rowid;
"""


class Store:
    """`file` None: in memory. Writes between two `commit`s happen together or not at all; a
    process that is killed loses none that was committed."""

    def __init__(self, file: Path | None) -> None:
        self._base = sqlite3.connect(file or ":memory:", isolation_level=None)
        self._base.execute("pragma journal_mode = wal")
        self._base.execute("pragma synchronous = normal")
        for kind, table in _TABLES.items():
            columns = ", ".join(f'"{field.name}"' for field in fields(kind))
            self._base.execute(
                f"create table if not exists {table} ({columns}, primary key (id)) without rowid"
            )
        self._base.executescript(_OTHERS)

    def close(self) -> None:
        self._base.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction; within another one a part of it."""
        if self._base.in_transaction:
            yield
            return
        with self._base:  # ends what is begun: by commit, or by rollback after any error
            self._base.execute("begin immediate")
            yield

    def keep(self, rows: Iterable[Row]) -> None:
        """New ones, and newer states of known ones."""
        for row in rows:
            marks = ", ".join("?" for _ in fields(row))
            self._base.execute(
                f"insert or replace into {_TABLES[type(row)]} values ({marks})",  # noqa: S608
                [_written(value) for value in astuple(row)],
            )

    def load(self, kind: type[Row]) -> list[Row]:
        """By id."""
        names = [field.name for field in fields(kind)]
        found = self._base.execute(f"select * from {_TABLES[kind]} order by id")  # noqa: S608
        return [kind(**_read(kind, dict(zip(names, row, strict=True)))) for row in found]

    def keep_balances(self, rows: Iterable[tuple[str, str, int, int]]) -> None:
        """Account, asset, free, locked."""
        self._base.executemany(
            "insert or replace into balances values (?, ?, ?, ?)",
            [(account, asset, str(free), str(locked)) for account, asset, free, locked in rows],
        )

    def load_balances(self) -> list[tuple[str, str, int, int]]:
        found = self._base.execute("select account, asset, free, locked from balances")
        return [(account, asset, int(free), int(locked)) for account, asset, free, locked in found]

    def fact(self, name: str) -> str | None:
        row = self._base.execute("select value from facts where name = ?", [name]).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str | None) -> None:
        """None: forget it."""
        if value is None:
            self._base.execute("delete from facts where name = ?", [name])
        else:
            self._base.execute("insert or replace into facts values (?, ?)", [name, value])

    # -- signed transactions: bytes are kept before they are sent, so that none is made twice

    def keep_signed(self, withdrawal: str, network: str, nonce: int, raw: str) -> None:
        self._base.execute(
            "insert into signed values (?, ?, ?, ?)", [withdrawal, network, nonce, raw]
        )

    def signed(self, withdrawal: str) -> str | None:
        row = self._base.execute(
            "select raw from signed where withdrawal = ?", [withdrawal]
        ).fetchone()
        return None if row is None else str(row[0])

    def last_nonce(self, network: str) -> int | None:
        row = self._base.execute(
            "select max(nonce) from signed where network = ?", [network]
        ).fetchone()
        return None if row[0] is None else int(row[0])


_INTEGERS = frozenset(
    ("quantity", "price", "filled", "quote_filled", "fees", "fee", "amount", "quote_quantity")
)


def _written(value: object) -> object:
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _read(kind: type[Any], row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if name in _INTEGERS:
            row[name] = int(value)
        elif name == "maker":
            row[name] = bool(value)
        elif name == "status":
            row[name] = (OrderStatus if kind is SimOrder else TransferStatus)(value)
    return row
