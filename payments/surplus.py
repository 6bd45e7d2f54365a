"""A sweep that brings more than the books knew to be there (MONEY 1: each place equals the chain).

Money that came to a deposit address before its network was followed is known to nobody until a
sweep brings it in. The treasury has it then, and whose it is a person must say: suspense, a Break.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from chain.types import BALANCE
from core import ids
from payments.tables import Deposit, HouseMovement

_HELD = text("""
select address, asset, amount from address_holdings
where network = :network and address = any(:addresses)
""")


async def part(
    session: AsyncSession,
    found: Sequence[HouseMovement],
    gone: Iterable[Deposit],
    arrived: Iterable[Deposit],
    unswept: Iterable[HouseMovement],
) -> list[HouseMovement]:
    """Sweeps among `found`, which are in chain order, cut to what was booked there by then; what
    they brought beyond is an inflow that nobody knows. All else stays as it is.

    gone and arrived: what the same blocks do to deposits; unswept: sweeps that a fork takes back.
    """
    swept = [row for row in found if row.meaning == "swept"]
    if not swept:
        return list(found)
    held = await _held(session, swept, gone, unswept)
    # What only a balance showed came at some block before: this comparison has seen the sweeps.
    coming = sorted(arrived, key=lambda d: 0 if d.position == BALANCE else d.block_number)
    kept: list[HouseMovement] = []
    for row in found:
        if row.meaning != "swept":
            kept.append(row)
            continue
        while coming and (
            coming[0].position == BALANCE or coming[0].block_number <= row.block_number
        ):
            deposit = coming.pop(0)
            held[deposit.address, deposit.asset] += deposit.amount
        booked = min(row.amount, max(0, held[row.source, row.asset]))
        held[row.source, row.asset] -= booked
        kept += _cut(row, booked)
    return kept


async def _held(
    session: AsyncSession,
    swept: Sequence[HouseMovement],
    gone: Iterable[Deposit],
    unswept: Iterable[HouseMovement],
) -> defaultdict[tuple[str, str], int]:
    """By address and asset, at the block that these blocks begin behind."""
    asked = {"network": swept[0].network, "addresses": list({row.source for row in swept})}
    held: defaultdict[tuple[str, str], int] = defaultdict(int)
    for address, asset, amount in await session.execute(_HELD, asked):
        held[address, asset] = int(amount)
    for deposit in gone:
        held[deposit.address, deposit.asset] -= deposit.amount
    for row in unswept:
        if row.meaning == "swept":
            held[row.source, row.asset] += row.amount
    return held


def _cut(row: HouseMovement, booked: int) -> list[HouseMovement]:
    """The sweep of what was booked, and the rest as it arrived."""
    more = row.amount - booked
    if not more:
        return [row]
    known = row.arrived * booked // row.amount
    rest = HouseMovement(
        id=ids.new(),
        network=row.network,
        block_hash=row.block_hash,
        block_number=row.block_number,
        tx_hash=row.tx_hash,
        position=f"{row.position}:more",
        meaning="unknown",
        asset=row.asset,
        amount=row.arrived - known,
        arrived=row.arrived - known,
        source=row.source,
        destination=row.destination,
        place=row.place,
        status=row.status,
        generation=row.generation,
    )
    row.amount, row.arrived = booked, known
    return [one for one in (row, rest) if one.amount]
