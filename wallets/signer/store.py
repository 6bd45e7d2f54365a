"""What the signer remembers for ever: signatures, what they counted for, approvals used, policies.

SQLite in the signer's own directory; a commit is on the disk when it returns (WAL, FULL).
Amounts are decimal text (SQLite's integers end at 64 bits), times are unix seconds.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wallets.intents import Cancel, Order, Signed, payments_of
from wallets.signer.audit import Mark
from wallets.signer.facts import Allowed, Facts, Issued, Spent

HOUR, DAY = 3600, 86_400

_SCHEMA = """
create table if not exists policies (
    version integer primary key, hash text not null, text text not null, applied_at integer not null
) strict;
create table if not exists wallets (
    address text primary key, label text not null, kind text not null, path text,
    created_at integer not null, retired_at integer
) strict;
create unique index if not exists wallets_label on wallets (label) where retired_at is null;
create table if not exists holders (
    address text primary key, holder text not null, reference text not null
) strict;
create table if not exists signatures (
    order_id text not null, network text not null, chain_id integer not null, wallet text not null,
    nonce integer not null, gas integer not null, max_fee text not null, priority_fee text not null,
    content blob not null, is_cancel integer not null, reserved_at integer not null,
    raw text, tx_hash text, line integer, line_hash text, broadcast_at integer,
    primary key (chain_id, wallet, nonce, order_id, content, gas, max_fee, priority_fee)
) strict;
create index if not exists signatures_order on signatures (order_id);
create table if not exists spends (
    order_id text not null, chain_id integer not null, wallet text not null, nonce integer not null,
    token text not null, asset text not null, amount text not null, attended integer not null,
    is_move integer not null, at integer not null
) strict;
create index if not exists spends_recent on spends (chain_id, token, at);
create table if not exists fees (
    chain_id integer not null, wallet text not null, nonce integer not null, fee text not null,
    at integer not null, primary key (chain_id, wallet, nonce)
) strict;
create index if not exists fees_recent on fees (chain_id, at);
create table if not exists approvals (
    nonce text primary key, payment text not null, order_id text not null,
    chain_id integer not null, wallet text not null, order_nonce integer not null
) strict;
"""

_ISSUED = (
    "select order_id, content, gas, max_fee, priority_fee, is_cancel, broadcast_at, raw"
    " from signatures"
)


class Store:
    """One connection, one thread."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=5)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_SCHEMA)
        path.chmod(0o600)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("begin immediate")
        try:
            yield self._db
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._db.execute(query, values).fetchall()

    def facts(self, order: Order, now: int) -> Facts:
        """What bears on this order."""
        place = (order.chain_id, order.wallet, order.nonce)
        here = self._issued("where chain_id = ? and wallet = ? and nonce = ?", *place)
        elsewhere = self._issued(
            "where order_id = ? and not (chain_id = ? and wallet = ? and nonce = ?)",
            order.id,
            *place,
        )
        return Facts(
            here=here,
            elsewhere=elsewhere,
            spent=self._spent(order, now),
            fees=self._fees(order, now),
            used=self._used(order),
        )

    def facts_anywhere(self, order: Order, now: int) -> Facts:
        """For an order whose nonce is not chosen yet: what it was signed as is not asked."""
        return Facts(
            spent=self._spent(order, now, besides=order.id),
            fees=self._fees(order, now),
            used=self._used(order, anywhere=True),
        )

    def _issued(self, where: str, *values: object) -> tuple[Issued, ...]:
        rows = self._db.execute(f"{_ISSUED} {where}", values)
        return tuple(
            Issued(
                order_id=order_id,
                content=content,
                gas=gas,
                max_fee=int(max_fee),
                priority_fee=int(priority_fee),
                is_cancel=bool(is_cancel),
                broadcast=broadcast_at is not None,
                raw=raw,
            )
            for order_id, content, gas, max_fee, priority_fee, is_cancel, broadcast_at, raw in rows
        )

    def _spent(self, order: Order, now: int, besides: str = "") -> dict[str, Spent]:
        """Of the tokens that the order pays or moves."""
        tokens = {p.token for p in payments_of(order.intent)}
        tokens.add(getattr(order.intent, "token", ""))
        found = {}
        for token in tokens:
            hour = day = moved = 0
            for amount, at, attended, is_move in self._db.execute(
                "select amount, at, attended, is_move from spends"
                " where chain_id = ? and token = ? and at > ? and order_id <> ?",
                (order.chain_id, token, now - DAY, besides),
            ):
                units = int(amount)
                if is_move:
                    moved += units
                elif not attended:
                    day += units
                    hour += units if at > now - HOUR else 0
            found[token] = Spent(hour=hour, day=day, moved=moved)
        return found

    def _fees(self, order: Order, now: int) -> int:
        rows = self._db.execute(
            "select fee from fees where chain_id = ? and at > ? and not (wallet = ? and nonce = ?)",
            (order.chain_id, now - DAY, order.wallet, order.nonce),
        )
        return sum(int(fee) for (fee,) in rows)

    def _used(self, order: Order, *, anywhere: bool = False) -> frozenset[int]:
        found = set()
        for payment in payments_of(order.intent):
            row = self._db.execute(
                "select order_id, chain_id, wallet, order_nonce from approvals where nonce = ?",
                (str(payment.nonce),),
            ).fetchone()
            if row is None or (anywhere and row[0] == order.id):
                continue
            if row != (order.id, order.chain_id, order.wallet, order.nonce):
                found.add(payment.nonce)
        return frozenset(found)

    def reserve(self, order: Order, allowed: Allowed, now: int) -> None:
        """Counts it: from here on it is as good as signed, whatever happens to this process."""
        place = (order.chain_id, order.wallet, order.nonce)
        with self.writing() as db:
            db.execute(
                "insert or ignore into signatures (order_id, network, chain_id, wallet, nonce, gas,"
                " max_fee, priority_fee, content, is_cancel, reserved_at)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(order.id, order.network, *place, order.gas, str(order.max_fee)),
                    *(str(order.priority_fee), allowed.content, isinstance(order.intent, Cancel)),
                    now,
                ),
            )
            db.executemany(
                "insert into spends values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (order.id, *place, s.token, s.asset, str(s.amount), s.attended, s.is_move, now)
                    for s in allowed.spends
                ],
            )
            row = db.execute(
                "select fee from fees where chain_id = ? and wallet = ? and nonce = ?", place
            ).fetchone()
            fee = max(order.fee, int(row[0]) if row else 0)
            db.execute(
                "insert or replace into fees values (?, ?, ?, ?, ?)", (*place, str(fee), now)
            )
            payments = {p.nonce: p.id for p in payments_of(order.intent)}
            db.executemany(
                "insert or ignore into approvals values (?, ?, ?, ?, ?, ?)",
                [(str(n), payments[n], order.id, *place) for n in allowed.nonces],
            )

    def release(self, order: Order, allowed: Allowed) -> None:
        """Takes back what `reserve` counted, when the key gave no signature. What was reserved
        before (`known`) stays: a signature of it may exist."""
        if allowed.known:
            return
        place = (order.id, order.chain_id, order.wallet, order.nonce)
        with self.writing() as db:
            db.execute(
                "delete from signatures where order_id = ? and chain_id = ? and wallet = ?"
                " and nonce = ? and content = ? and gas = ? and max_fee = ? and priority_fee = ?"
                " and raw is null",
                (
                    *(*place, allowed.content),
                    *(order.gas, str(order.max_fee), str(order.priority_fee)),
                ),
            )
            if allowed.spends:  # a cancel has none, and may go by the id of what it ends
                db.execute(
                    "delete from spends where order_id = ? and chain_id = ? and wallet = ?"
                    " and nonce = ?",
                    place,
                )
            db.executemany(
                "delete from approvals where nonce = ? and order_id = ?",
                [(str(nonce), order.id) for nonce in allowed.nonces],
            )

    def finish(self, order: Order, allowed: Allowed, signed: Signed, mark: Mark) -> None:
        """The bytes, and the line of the audit log that tells of them."""
        with self.writing() as db:
            db.execute(
                "update signatures set raw = ?, tx_hash = ?, line = ?, line_hash = ?"
                " where chain_id = ? and wallet = ? and nonce = ? and order_id = ? and content = ?"
                " and gas = ? and max_fee = ? and priority_fee = ?",
                (
                    *(signed.raw, signed.tx_hash, mark.number, mark.hash),
                    *(order.chain_id, order.wallet, order.nonce, order.id, allowed.content),
                    *(order.gas, str(order.max_fee), str(order.priority_fee)),
                ),
            )

    def broadcast(self, order_id: str, tx_hash: str, now: int) -> bool:
        """False: no such signature was given."""
        with self.writing() as db:
            found = db.execute(
                "update signatures set broadcast_at = coalesce(broadcast_at, ?)"
                " where order_id = ? and tx_hash = ? and raw is not null",
                (now, order_id, tx_hash),
            )
            return found.rowcount == 1

    def marks(self) -> Iterator[tuple[str, int, str]]:
        """(transaction hash, line, hash of the line) of every signature that was given."""
        yield from self._db.execute(
            "select tx_hash, line, line_hash from signatures where raw is not null order by line"
        )

    def policy_version(self) -> int:
        """The one in force; 0: none."""
        (found,) = self._db.execute("select coalesce(max(version), 0) from policies").fetchone()
        return int(found)

    def policy(self) -> tuple[int, str, str] | None:
        """(version, hash, text) in force."""
        found: tuple[int, str, str] | None = self._db.execute(
            "select version, hash, text from policies order by version desc limit 1"
        ).fetchone()
        return found

    def apply_policy(self, text: str, now: int) -> tuple[int, str]:
        """Puts it in force -> (version, SHA-256 of the text)."""
        hashed = hashlib.sha256(text.encode()).hexdigest()
        with self.writing() as db:
            version = self.policy_version() + 1
            db.execute("insert into policies values (?, ?, ?, ?)", (version, hashed, text, now))
        return version, hashed
