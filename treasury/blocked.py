"""Funds at venues that working conversions and moves hold, and the write that takes more of them
(VENUES 2).

An order blocks what it may still take until its end is proved, an unknown one too; what a first
step brought stays held until the second step is ordered. Nothing is counted twice in the books:
blocked is a sum over orders, not a balance.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Conflict
from core.networks import Catalog
from core.singleton import lock_number
from exchanges.numbers import show
from ledger.accounts import exchange
from treasury.units import ledger_code

Funds = Mapping[tuple[str, str], int]

_BLOCKED = """
select venue, asset, sum(units) as units from (
    select venue, from_asset as asset, blocked as units from orders where blocked > 0
    union all
    select venue, to_asset, held from orders where held > 0
    union all
    select venue, asset, blocked from moves where blocked > 0
) as b group by venue, asset
"""
_SHORT = f"""
select n.venue, n.asset, n.units, coalesce(b.balance, 0) - coalesce(o.units, 0) as free
from unnest(
    cast(:venues as text[]), cast(:assets as text[]), cast(:accounts as text[]),
    cast(:codes as text[]), cast(:units as numeric[])
) as n (venue, asset, account, code, units)
left join account_balances b on b.account = n.account and b.asset = n.code
left join ({_BLOCKED}) as o on o.venue = n.venue and o.asset = n.asset
where coalesce(b.balance, 0) - coalesce(o.units, 0) < n.units
order by 1, 2
"""  # noqa: S608 - no value is pasted in


async def blocked(session: AsyncSession) -> dict[tuple[str, str], int]:
    """(venue, asset) -> units of 10**-18 that are not free to plan with."""
    rows = await session.execute(text(_BLOCKED))
    return {(row.venue, row.asset): int(row.units) for row in rows}


async def reserve(session: AsyncSession, catalog: Catalog, needed: Funds) -> None:
    """Makes room for orders that the caller writes in this same transaction: from here to its end
    nobody else takes of these (venue, asset), so that what is enough now is enough at the commit.

    Enough is what the ledger holds there less what is blocked: balance and blocked change in one
    transaction when a fill is booked, so one statement sees both or neither. Whoever else takes
    money out of a venue asks here too. Raises Conflict `insufficient_funds`.
    """
    keys = sorted(key for key, units in needed.items() if units > 0)
    for venue, asset in keys:
        number = lock_number(f"funds:{venue}:{asset}")
        await session.execute(text("select pg_advisory_xact_lock(:n)"), {"n": number})
    short = await session.execute(
        text(_SHORT),
        {
            "venues": [venue for venue, _ in keys],
            "assets": [asset for _, asset in keys],
            "accounts": [exchange(venue) for venue, _ in keys],
            "codes": [ledger_code(catalog, asset) for _, asset in keys],
            "units": [needed[key] for key in keys],
        },
    )
    row = short.first()
    if row is not None:
        free = show(max(0, int(row.free)))
        raise Conflict(
            f"{row.venue} has {free} {row.asset} free, {show(int(row.units))} are needed",
            code="insufficient_funds",
        )
