"""What the ledger says that a rule may convert: each entry is counted once, by its number."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.networks import Catalog
from exchanges.types import Venue
from ledger.accounts import TRADING, exchange
from ledger.journal import Kind
from ledger.units import fine
from treasury.blocked import blocked
from treasury.rule_machine import Basis
from treasury.units import ledger_code

_HEAD = text("select coalesce(max(seq), 0) from entry_chain")
_NUMBERED = """
from entry_chain c
join journal_entries j on j.id = c.entry_id join postings p on p.entry_id = j.id
where c.seq > :after and c.seq <= :head and j.kind = any(:kinds) and p.asset = :asset
"""
# Debts are credits, and so is what the house takes over into `trading`: what came is negative.
_SETTLED = text(f"""
select coalesce(-sum(p.amount), 0) {_NUMBERED} and p.account like :account
""")
_TAKEN = text(f"""
select coalesce(-sum(p.amount), 0) {_NUMBERED} and p.account = :account
    and j.evidence ->> 'settle_in' = 'fiat_at_quote' and j.evidence ->> 'currency' = :currency
""")
_HELD = text("""
select coalesce(sum(balance), 0) from account_balances
where account = any(:places) and asset = :asset
""")

_BY_DEPOSITS = [
    Kind.DEPOSIT_CONFIRMED.value,
    Kind.DEPOSIT_MOVED.value,
    Kind.DEPOSIT_REVERSED.value,
    Kind.INBOX_RESOLVED.value,
]


async def head(session: AsyncSession) -> int:
    """The number of the last entry that has one."""
    return int(await session.scalar(_HEAD) or 0)


async def counted(
    session: AsyncSession,
    catalog: Catalog,
    basis: Basis,
    asset: str,
    currency: str,
    after: int,
    to: int,
) -> int:
    """Units of 10**-18 that came by the entries numbered `after` + 1 to `to`."""
    values: dict[str, Any] = {"after": after, "head": to}
    if basis is Basis.SETTLED:
        values |= {"kinds": _BY_DEPOSITS, "asset": asset, "account": "merchant:%:available"}
        known = catalog.asset(asset)
        assert known is not None  # noqa: S101  (a rule names one that is configured)
        return fine(known, int(await session.scalar(_SETTLED, values) or 0))
    values |= {"kinds": [Kind.SETTLED_IN_FIAT.value], "asset": ledger_code(catalog, asset)}
    values |= {"account": TRADING, "currency": currency}
    return int(await session.scalar(_TAKEN, values) or 0)


async def held(session: AsyncSession, catalog: Catalog, asset: str) -> int:
    """Units of 10**-18 at all venues that no working conversion or move holds."""
    places = [exchange(venue.value) for venue in Venue]
    values = {"places": places, "asset": ledger_code(catalog, asset)}
    total = int(await session.scalar(_HELD, values) or 0)
    busy = await blocked(session)
    return total - sum(units for (_, symbol), units in busy.items() if symbol == asset)
