"""What people do about Breaks: look after one, explain it, or book what is right.

Nothing is corrected without a person's word. What may be booked depends on where the difference
is: only an account of the ledger can take an entry, and a sum that contradicts itself cannot be
mended by one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.pages import page_of
from ledger.accounts import EQUITY, LOSSES, SUSPENSE, Role
from ledger.breaks import break_json
from ledger.journal import Entry, Kind, post, transfer
from ledger.tables import BreakRow
from reconciliation.parts import PREFIX
from webhooks.events import NewEvent, emit


class Resolution(StrEnum):
    """How a Break may be resolved by a person."""

    EXPLAINED = "explained"
    """The note says why it is so. Nothing is posted; as long as the amounts stay the same, the
    difference does not open again."""
    WRITE_OFF = "write_off"
    """The books take what is there; the difference is the house's loss or gain
    (`expense:losses`)."""
    BOOK_TO_SUSPENSE = "book_to_suspense"
    """The books take what is there; the difference waits in `suspense` for what it was."""
    OWNER_FUNDS = "owner_funds"
    """The books take what is there: the owner put it in, or took it out (`equity`)."""


_AGAINST = {
    Resolution.WRITE_OFF: LOSSES,
    Resolution.BOOK_TO_SUSPENSE: SUSPENSE,
    Resolution.OWNER_FUNDS: EQUITY,
}
_HOLDING = text("""
insert into address_holdings as h (network, address, asset, amount)
values (:network, :address, :asset, :amount)
on conflict (network, address, asset) do update set amount = h.amount + excluded.amount
""")


@dataclass(frozen=True, slots=True)
class Booking:
    """What a resolution would post: `debit` gets `amount` of the asset, or gives it when that is
    negative. `holding`: (network, address) whose books it belongs to besides."""

    debit: str
    amount: int
    allowed: Collection[Resolution]
    holding: tuple[str, str] | None = None


def booking(row: BreakRow) -> Booking | None:
    """None where no entry can put it right."""
    if row.asset is None or row.expected is None or row.actual is None:
        return None
    difference = row.actual - row.expected
    if not difference:
        return None
    everything = tuple(_AGAINST)
    if row.key.startswith(
        ("unknown_inflow:", "bank_line:")
    ):  # the place has it, and suspense owes it
        return Booking(SUSPENSE, difference, (Resolution.WRITE_OFF, Resolution.OWNER_FUNDS))
    if row.key.startswith("overdrawn:"):
        return Booking(row.place, difference, (Resolution.WRITE_OFF,))
    if not row.key.startswith(PREFIX):
        return None
    part, rest = _named(row.key)
    if part == "chain" and rest.startswith("place:"):
        return Booking(row.place, difference, everything)
    if part == "chain" and rest.startswith(f"{Role.DEPOSITS}:"):
        holding = row.facts["network"], row.facts["address"]
        return Booking(row.place, difference, everything, holding)
    if part == "venue" and rest.startswith(("balance:", "deposit:", "withdrawal:")):
        return Booking(row.place, difference, everything)
    return None


def _named(key: str) -> tuple[str, str]:
    """`reconciliation:chain:eip155:1:deposits:0x..` -> `chain`, `deposits:0x..`."""
    part, _, rest = key.removeprefix(PREFIX).partition(":")
    if part in ("chain", "blocks"):
        rest = rest.partition(":")[2]  # CAIP-2 has a colon of its own
    return part, rest.partition(":")[2]


async def find(session: AsyncSession, break_id: UUID | None, *, lock: bool = False) -> BreakRow:
    """Raises NotFound."""
    query = select(BreakRow).where(BreakRow.id == break_id)
    if lock:
        query = query.with_for_update()
    row = (await session.scalars(query)).one_or_none() if break_id else None
    if row is None:
        raise NotFound("no such break")
    return row


def shown(row: BreakRow, context: Context) -> dict[str, Any]:
    """As the API shows it, with the resolutions that are open to it."""
    allowed: list[str] = []
    if row.status != "resolved":
        allowed = [Resolution.EXPLAINED.value]
        found = booking(row)
        if found is not None:
            allowed += [one.value for one in found.allowed]
    return {**break_json(row, context.catalog, context.clock.now()), "resolutions": allowed}


async def page(
    session: AsyncSession,
    context: Context,
    *,
    status: str | None,
    kind: str | None,
    place: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more. place: it and all below it."""
    conditions = []
    if place is not None:
        below = BreakRow.place.startswith(f"{place}:", autoescape=True)
        conditions.append((BreakRow.place == place) | below)
    rows, more = await page_of(
        session, BreakRow, limit, cursor, *conditions, status=status, kind=kind
    )
    return [shown(row, context) for row in rows], more


async def acknowledge(
    session: AsyncSession,
    context: Context,
    break_id: UUID | None,
    *,
    owner: str,
    note: str | None = None,
) -> dict[str, Any]:
    """Somebody looks after it; another one may take it over. Raises NotFound, Conflict."""
    row = await find(session, break_id, lock=True)
    _refuse_resolved(row)
    row.status, row.owner = "acknowledged", owner
    row.acknowledged_at = row.acknowledged_at or context.clock.now()
    if note is not None:
        row.note = note
    await session.flush()
    return shown(row, context)


async def resolve(
    session: AsyncSession,
    context: Context,
    break_id: UUID | None,
    resolution: str,
    note: str,
    *,
    by: str,
) -> dict[str, Any]:
    """Closes it by a person's word. Raises NotFound, Invalid `unknown_resolution`, and Conflict
    `already_resolved` or `not_allowed`."""
    if resolution not in set(Resolution):
        known = ", ".join(one.value for one in Resolution)
        raise Invalid.of("resolution", f"is one of {known}", code="unknown_resolution")
    chosen = Resolution(resolution)
    row = await find(session, break_id, lock=True)
    _refuse_resolved(row)
    now = context.clock.now()
    if chosen is not Resolution.EXPLAINED:
        await _book(session, context, row, chosen, by=by, note=note)
    row.status, row.resolution, row.note = "resolved", chosen.value, note
    row.resolved_at, row.resolved_by = now, by
    row.owner = row.owner or by
    await session.flush()
    answer = shown(row, context)
    await emit(session, [NewEvent(None, "break.resolved", answer["id"], answer)], now)
    return answer


async def _book(
    session: AsyncSession,
    context: Context,
    row: BreakRow,
    chosen: Resolution,
    *,
    by: str,
    note: str,
) -> None:
    found = booking(row)
    if found is None or chosen not in found.allowed:
        allowed = ["explained", *(found.allowed if found else ())]
        raise Conflict(
            f"this break cannot be resolved by {chosen}: {', '.join(allowed)} are allowed",
            code="not_allowed",
        )
    assert row.asset is not None  # noqa: S101  (`booking` looked)
    name = ids.show("brk", row.id)
    entry = Entry(
        id=ids.new(),
        key=f"break:{name}",
        kind=Kind.BREAK_RESOLVED,
        reference=name,
        merchant_id=None,
        evidence={"break": row.key, "resolution": chosen.value, "note": note, "by": by},
        posted_at=context.clock.now(),
        postings=transfer(row.asset, found.amount, debit=found.debit, credit=_AGAINST[chosen]),
    )
    await post(session, [entry])
    row.entry_id = entry.id
    if found.holding is not None:
        network, address = found.holding
        values = {
            "network": network,
            "address": address,
            "asset": row.asset,
            "amount": found.amount,
        }
        await session.execute(_HOLDING, values)


def _refuse_resolved(row: BreakRow) -> None:
    if row.status == "resolved":
        raise Conflict(f"resolved already: {row.resolution}", code="already_resolved")
