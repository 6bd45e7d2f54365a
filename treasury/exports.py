"""Exports asked for over the API. No file is kept: asking again makes the same bytes again.

An export is `pending` while something of its period may still come: an entry that has no number
yet, or a transaction that ran when it was asked for. Then the last entry's number is fixed, once,
and with it every byte. A crash at any moment loses nothing: the next look does what is left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.pages import page_of
from ledger.tables import EntryChain
from treasury import export_beancount, export_csv, export_lots
from treasury.export_period import Format, Period, What
from treasury.export_tables import Export
from treasury.lots import Method

TYPES = {Format.CSV: "text/csv; charset=utf-8", Format.BEANCOUNT: "text/plain; charset=utf-8"}

# Its own number: what runs and has written by then has a lower one.
_HORIZON = text("select pg_current_xact_id()::text::bigint")
_SETTLED = text("""
select pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= :horizon and not exists (
    select from entry_pending p join journal_entries j on j.id = p.entry_id
     where j.posted_at < :until)
""")
_LAST = text("select coalesce(max(seq), 0) from entry_chain")


async def create(
    session: AsyncSession,
    context: Context,
    *,
    what: What,
    format: Format,  # noqa: A002 - the API's word
    method: Method | None,
    since: datetime | None,
    until: datetime | None,
    created_by: str,
) -> dict[str, Any]:
    """since <= time < until, by default until now. Raises Invalid."""
    now = context.clock.now()
    until = until or now
    check(what, format, method, since, until, now)
    row = Export(
        id=ids.new(),
        kind=what.value,
        format=format.value,
        method=(method or Method.FIFO).value if what is not What.JOURNAL else None,
        since=since,
        until=until,
        horizon=await session.scalar(_HORIZON) or 0,
        through=None,
        created_by=created_by,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return await shown(session, context, row)


def check(
    what: What,
    format: Format,  # noqa: A002
    method: Method | None,
    since: datetime | None,
    until: datetime,
    now: datetime,
) -> None:
    """Raises Invalid for a period or a form that cannot be."""
    if until > now:
        raise Invalid.of("until", "is not over yet: what may still be booked cannot be exported")
    if since is not None and since >= until:
        raise Invalid.of("since", "must be before until")
    if format is Format.BEANCOUNT and what is not What.JOURNAL:
        raise Invalid.of("format", "beancount is for the journal; gains and lots are csv")
    if method is not None and what is What.JOURNAL:
        raise Invalid.of("method", "is for gains and lots")
    if since is not None and what is What.LOTS:
        raise Invalid.of("since", "lots are as they stood at until")


async def show(session: AsyncSession, context: Context, number: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    return await shown(session, context, await _find(session, number))


async def page(
    session: AsyncSession, context: Context, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    rows, more = await page_of(session, Export, limit, cursor)
    return [await shown(session, context, row) for row in rows], more


async def shown(session: AsyncSession, context: Context, row: Export) -> dict[str, Any]:
    """The API's JSON. Writes down through which entry, the first time that it can be said."""
    await _settle(session, row)
    number = ids.show("exp", row.id)
    ready = row.through is not None
    return {
        "id": number,
        "object": "export",
        "status": "ready" if ready else "pending",
        "kind": row.kind,
        "format": row.format,
        "method": row.method,
        "since": show_time(row.since) if row.since else None,
        "until": show_time(row.until),
        "url": f"{context.public_url}/v1/exports/{number}/file" if ready else None,
        "through": await _through(session, row.through),
        "created_at": show_time(row.created_at),
    }


async def file(
    session: AsyncSession, context: Context, number: UUID | None
) -> tuple[str, str, AsyncIterator[bytes]]:
    """Its media type, its name, and its bytes, made while they are read.

    Raises NotFound, Conflict `export_pending`.
    """
    row = await _find(session, number)
    await _settle(session, row)
    if row.through is None:
        raise Conflict("it is not ready yet: ask again", code="export_pending")
    form = Format(row.format)
    extension = {Format.CSV: "csv", Format.BEANCOUNT: "beancount"}[form]
    period = Period(row.since, row.until, row.through)
    method = Method(row.method) if row.method else Method.FIFO
    name = f"bezant-{row.kind}-{row.until:%Y%m%dT%H%M%SZ}.{extension}"
    return TYPES[form], name, stream(context, What(row.kind), form, method, period)


def stream(
    context: Context,
    what: What,
    format: Format,  # noqa: A002
    method: Method,
    period: Period,
) -> AsyncIterator[bytes]:
    """The bytes of an export, a page of the ledger at a time."""
    if what is What.GAINS:
        return export_lots.gains(context, method, period)
    if what is What.LOTS:
        return export_lots.lots(context, method, period)
    if format is Format.BEANCOUNT:
        return export_beancount.journal(context, period)
    return export_csv.journal(context, period)


async def _find(session: AsyncSession, number: UUID | None) -> Export:
    row = await session.get(Export, number) if number else None
    if row is None:
        raise NotFound("no such export")
    return row


async def _settle(session: AsyncSession, row: Export) -> None:
    if row.through is not None:
        return
    of = {"horizon": row.horizon, "until": row.until}
    if not await session.scalar(_SETTLED, of):
        return
    last = await session.scalar(_LAST)
    fixed = update(Export).where(Export.id == row.id, Export.through.is_(None))
    await session.execute(fixed.values(through=last).execution_options(synchronize_session=False))
    await session.refresh(row)  # another one may have been first


async def _through(session: AsyncSession, seq: int | None) -> dict[str, Any] | None:
    """Where the ledger's chain stood: its hash proves that nothing before was changed since."""
    if not seq:
        return None
    link = await session.scalar(select(EntryChain.hash).where(EntryChain.seq == seq))
    return {"seq": seq, "hash": link.hex() if link else None}
