"""Invoices, deposits and movements as plain rows: read under lock, judged, written back by sets.

The mapped classes say which columns there are; what is judged here tracks no changes, for that
costs more than judging. A row is written when it is not what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, make_dataclass
from operator import attrgetter
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from core.db import Base, Raw
from payments import tables
from payments.depth import WORDS, Word

T = TypeVar("T", bound=Base)
Values = tuple[Any, ...]
AsRead = Mapping[UUID, Values]


def _plain(table: type[T]) -> Callable[..., T]:
    """Makes objects with the mapped class's attributes and nothing else."""
    names = [(name, Any, field(default=None)) for name in _names(table)]
    return cast("Callable[..., T]", make_dataclass(table.__name__, names, slots=True, eq=False))


def _names(table: type[Base]) -> list[str]:
    return [attribute.key for attribute in table.__mapper__.column_attrs]


def _columns(table: type[Base]) -> str:
    return ", ".join(a.columns[0].name for a in table.__mapper__.column_attrs)


Invoice = _plain(tables.Invoice)
Deposit = _plain(tables.Deposit)

_invoice_values, _deposit_values = (
    cast("Callable[[Any], Values]", attrgetter(*_names(table)))
    for table in (tables.Invoice, tables.Deposit)
)

# Sorted, so that two networks never wait for each other in a circle.
_LOCK_INVOICES = f"""
select {_columns(tables.Invoice)} from invoices where id = any(%s) order by id for update
"""  # noqa: S608 - names of our own columns
# A second endpoint's word is written without the invoice's lock (following.py), hence `for update`.
_LOCK_DEPOSITS = f"""
select {_columns(tables.Deposit)} from deposits where invoice_id = any(%s) order by id for update
"""  # noqa: S608

_WORDS = WORDS.format(holder="invoice_id", touched="")

# Not `for update`: a transfer to a wallet refers to its row.
_LOCK_WALLETS = """
select id, merchant_id from wallets where id = any(%s) order by id for no key update
"""
_TOUCHED = """
 and (d.status = 'pending' or d.held or d.network = %s and d.block_number > %s
    or d.tx_hash = any(%s))
"""
_LOCK_DEPOSITS_OF_WALLETS = f"""
select {_columns(tables.Deposit)} from deposits d where d.wallet_id = any(%s) {_TOUCHED}
order by id for update
"""  # noqa: S608
_WORDS_OF_WALLETS = WORDS.format(holder="wallet_id", touched=_TOUCHED)

_JUDGED = ("status", "exception", "amount_paid", "amount_confirmed", "settled_at",
           "first_settled_at", "cancelled_at", "mark", "mark_reason", "settlement")  # fmt: skip
_judged = cast("Callable[[Any], Values]", attrgetter("id", *_JUDGED))
_SAVE_INVOICES = f"""
update invoices set {", ".join(f"{name} = given.{name}" for name in _JUDGED)}
from json_populate_recordset(null::invoices, %s::text::json) as given where invoices.id = given.id
"""  # noqa: S608

_MOVED = ("status", "generation", "account", "required", "waiting_for", "witnessed", "held",
          "value", "price_when_seen", "house_value", "inbox_reason", "resolution", "resolved_at",
          "seen_at", "confirmed_at")  # fmt: skip
_SAVE_DEPOSITS = f"""
insert into deposits select * from json_populate_recordset(null::deposits, %s::text::json)
on conflict (id) do update set {", ".join(f"{name} = excluded.{name}" for name in _MOVED)}
"""  # noqa: S608


async def lock(
    connection: Raw, wanted: Sequence[UUID]
) -> tuple[list[tables.Invoice], list[tables.Deposit], AsRead, dict[UUID, Word]]:
    """These invoices and all their deposits in the order they were seen, what both were when they
    were read, and screening's words about the deposits. One round trip."""
    async with connection.pipeline():
        first = await connection.execute(_LOCK_INVOICES, (wanted,))
        second = await connection.execute(_LOCK_DEPOSITS, (wanted,))
        third = await connection.execute(_WORDS, (wanted,))
    invoices, deposits = await first.fetchall(), await second.fetchall()
    return (
        [Invoice(*values) for values in invoices],
        [Deposit(*values) for values in deposits],
        {values[0]: values for values in (*invoices, *deposits)},
        {deposit: Word(*word) for deposit, *word in await third.fetchall()},
    )


async def lock_of_wallets(
    connection: Raw, wallets: Sequence[UUID], network: str, above: int, tx_hashes: Sequence[str]
) -> tuple[list[tuple[UUID, UUID]], list[tables.Deposit], AsRead, dict[UUID, Word]]:
    """These customers' wallets as (id, merchant's id), and as in `lock` those of their deposits
    that may change yet: pending, held, above a block, or of these transactions. One round trip."""
    touched = (wallets, network, above, tx_hashes)
    async with connection.pipeline():
        first = await connection.execute(_LOCK_WALLETS, (wallets,))
        second = await connection.execute(_LOCK_DEPOSITS_OF_WALLETS, touched)
        third = await connection.execute(_WORDS_OF_WALLETS, touched)
    deposits = await second.fetchall()
    return (
        await first.fetchall(),
        [Deposit(*values) for values in deposits],
        {values[0]: values for values in deposits},
        {deposit: Word(*word) for deposit, *word in await third.fetchall()},
    )


async def save(
    connection: Raw,
    as_read: AsRead,
    invoices: Iterable[tables.Invoice],
    deposits: Iterable[tables.Deposit],
) -> None:
    """Writes what is new or differs: at most two statements, fit for a pipeline."""
    judged = [row for row in invoices if as_read.get(row.id) != _invoice_values(row)]
    if judged:
        names = ("id", *_JUDGED)
        given = [dict(zip(names, _judged(row), strict=True)) for row in judged]
        await connection.execute(_SAVE_INVOICES, (msgspec.json.encode(given).decode(),))
    moved = [row for row in deposits if as_read.get(row.id) != _deposit_values(row)]
    if moved:
        await connection.execute(_SAVE_DEPOSITS, (msgspec.json.encode(moved).decode(),))
