"""Destinations that a merchant knows. A new one cools down first: whoever steals a key cannot make
his own address a known one and be paid in the same hour."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock, ids
from core.addresses import checksum
from core.context import Context
from core.errors import Conflict, Invalid, NotFound
from core.pages import page_of
from risk import requests
from risk.addresses import check
from risk.tables import AddressBookEntry

EVERYWHERE = ""  # an entry for every network


async def add(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    *,
    address: str,
    network: str | None,
    label: str,
    group: str | None,
    own: Collection[str],
    author: UUID | None,
    now: datetime,
) -> AddressBookEntry:
    """A new entry, usable once `RiskSettings.cooling` has passed. `own`: as risk.addresses.check.

    Raises Invalid, Conflict `already_known`. Another label or group is another entry: remove this
    one first, and the cooling begins anew.
    """
    networks = list(context.catalog.networks.values())
    if network is not None:
        networks = [n for n in networks if n.id == network]
        if not networks:
            raise Invalid.of("network", "is not a configured network")
    recent = await requests.recent(session, merchant_id, now)
    lower = check(networks, address, own=own, recent=recent)
    entry = AddressBookEntry(
        id=ids.new(),
        merchant_id=merchant_id,
        network=network or EVERYWHERE,
        address=lower,
        label=label,
        group=group,
        author=author,
        created_at=now,
        usable_at=now + timedelta(seconds=context.risk.cooling),
        removed_at=None,
        removed_by=None,
    )
    try:
        async with session.begin_nested():
            session.add(entry)
    except IntegrityError:
        raise Conflict("this address is in the address book", code="already_known") from None
    return entry


async def remove(
    session: AsyncSession, entry_id: UUID | None, author: UUID | None, now: datetime
) -> AddressBookEntry:
    """Ends an entry at once; it stays as history. Raises NotFound."""
    entry = await find(session, entry_id)
    if entry.removed_at is None:
        entry.removed_at, entry.removed_by = now, author
        await session.flush()
    return entry


async def find(session: AsyncSession, entry_id: UUID | None) -> AddressBookEntry:
    """Raises NotFound."""
    entry = await session.get(AddressBookEntry, entry_id) if entry_id else None
    if entry is None:
        raise NotFound("no such entry")
    return entry


async def lookup(
    session: AsyncSession, merchant_id: UUID, network: str, address: str, now: datetime
) -> AddressBookEntry | None:
    """The usable entry for a destination in lower case: the network's own before a general one."""
    query = (
        select(AddressBookEntry)
        .where(
            AddressBookEntry.merchant_id == merchant_id,
            AddressBookEntry.address == address,
            AddressBookEntry.network.in_((network, EVERYWHERE)),
            AddressBookEntry.removed_at.is_(None),
            AddressBookEntry.usable_at <= now,
        )
        .order_by(AddressBookEntry.network.desc())
        .limit(1)
    )
    return (await session.scalars(query)).first()


async def entries(
    session: AsyncSession, merchants: Collection[UUID], addresses: Collection[str]
) -> Sequence[AddressBookEntry]:
    """All that these merchants' books say of these addresses, for `usable`."""
    query = select(AddressBookEntry).where(
        AddressBookEntry.merchant_id.in_(merchants),
        AddressBookEntry.address.in_(addresses),
        AddressBookEntry.removed_at.is_(None),
    )
    return (await session.scalars(query)).all()


def usable(
    known: Sequence[AddressBookEntry], merchant_id: UUID, network: str, address: str, at: datetime
) -> AddressBookEntry | None:
    """As `lookup`, of what was read before."""
    fit = [
        one
        for one in known
        if (one.merchant_id, one.address) == (merchant_id, address)
        and one.network in (network, EVERYWHERE)
        and one.usable_at <= at
    ]
    return max(fit, key=lambda one: one.network != EVERYWHERE, default=None)


async def page(
    session: AsyncSession,
    merchant_id: UUID | None,
    *,
    address: str | None,
    removed: bool,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[AddressBookEntry], bool]:
    """Entries, newest first; with `removed` the history as well. And whether there are more."""
    return await page_of(
        session,
        AddressBookEntry,
        limit,
        cursor,
        *(() if removed else (AddressBookEntry.removed_at.is_(None),)),
        merchant_id=merchant_id,
        address=address and address.lower(),
    )


def show(entry: AddressBookEntry, now: datetime) -> dict[str, Any]:
    """The API's JSON of an entry."""
    status = "usable" if entry.usable_at <= now else "cooling"
    return {
        "id": ids.show("adb", entry.id),
        "object": "address_book_entry",
        "merchant": ids.show("mer", entry.merchant_id),
        "network": entry.network or None,
        "address": checksum(entry.address),
        "label": entry.label,
        "group": entry.group,
        "status": "removed" if entry.removed_at else status,
        "author": ids.show("key", entry.author) if entry.author else None,
        "created_at": clock.show(entry.created_at),
        "usable_at": clock.show(entry.usable_at),
        "removed_at": clock.show(entry.removed_at) if entry.removed_at else None,
    }
