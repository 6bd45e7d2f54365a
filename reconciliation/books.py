"""The books as they stood at one block: cursor, places and addresses in one snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.context import Context
from core.db import Raw, raw
from core.networks import Network
from ledger.accounts import Role, place

PAGE = 1000  # addresses

_CURSOR = "select number, hash, halted from network_cursors where network = %s"
_BALANCES = "select account, asset, balance from account_balances where account = any(%s)"
_HOUSE = """
select address, role from house_addresses where network = %s and role = any(%s) order by address
"""
# Every address that was ever given out, with what the books hold there.
_ADDRESSES = """
insert into reconciliation_addresses (run_id, network, n, address, held)
select %(run)s, %(network)s, row_number() over (), a.address, h.held
from deposit_addresses a left join (
    select address, jsonb_object_agg(asset, amount::text) as held
    from address_holdings where network = %(network)s group by address
) h on h.address = a.address
"""
_TOTALS = "select asset, sum(amount) from address_holdings where network = %s group by asset"
_FORGET = "delete from reconciliation_addresses where run_id = %s and network = %s"
_PAGE = """
select n, address, held from reconciliation_addresses
where run_id = %s and network = %s and n > %s order by n limit %s
"""


@dataclass(frozen=True, slots=True)
class AtBlock:
    """The books of a network at the cursor's block.

    `places`: (account, asset) -> balance. `held`: asset -> all deposit addresses together, by
    address_holdings. `house`: (address, role) of hot wallets and treasuries.
    """

    number: int
    hash: str
    halted: str | None
    places: Mapping[tuple[str, str], int]
    held: Mapping[str, int]
    house: Sequence[tuple[str, Role]]
    addresses: int


Held = tuple[str, dict[str, str]]  # address, asset -> base units as text


async def at_block(context: Context, run_id: UUID, network: Network) -> AtBlock | None:
    """Reads them in one repeatable-read transaction and keeps the addresses for `pages`.

    None while the network was never followed.
    """
    async with context.database.begin() as session:
        connection = await raw(session)
        await connection.execute("set transaction isolation level repeatable read")
        cursor = await (await connection.execute(_CURSOR, (network.id,))).fetchone()
        if cursor is None:
            return None
        await connection.execute(_FORGET, (run_id, network.id))
        values = {"run": run_id, "network": network.id}
        kept = await connection.execute(_ADDRESSES, values)
        accounts = [place(network.id, role) for role in Role]
        rows = await (await connection.execute(_BALANCES, (accounts,))).fetchall()
        totals = await (await connection.execute(_TOTALS, (network.id,))).fetchall()
        roles = [Role.TREASURY.value, Role.HOT.value]
        house = await (await connection.execute(_HOUSE, (network.id, roles))).fetchall()
    return AtBlock(
        number=cursor[0],
        hash=cursor[1],
        halted=cursor[2],
        places={(account, asset): balance for account, asset, balance in rows},
        held=defaultdict(int, totals),
        house=[(address, Role(role)) for address, role in house],
        addresses=kept.rowcount,
    )


async def pages(
    context: Context, run_id: UUID, network: Network
) -> AsyncGenerator[list[Held], None]:
    """The addresses that `at_block` kept, PAGE at a time; no transaction stays open between."""
    last = 0
    while True:
        async with context.database.statement() as connection:
            rows: list[Any] = await (
                await connection.execute(_PAGE, (run_id, network.id, last, PAGE))
            ).fetchall()
        if rows:
            last = rows[-1][0]
            yield [(address, held or {}) for _, address, held in rows]
        if len(rows) < PAGE:
            return


async def forget(context: Context, run_id: UUID, network: Network) -> None:
    """The run is through with these addresses."""
    async with context.database.statement() as connection:
        await connection.execute(_FORGET, (run_id, network.id))


_LIVE = """
select id, tx_hash, amount from deposits
where network = %s and address = %s and asset = %s and status <> 'orphaned' order by id
"""


async def live_deposits(
    connection: Raw, network: str, address: str, asset: str
) -> list[tuple[UUID, str, int]]:
    """(id, tx_hash, amount) of what is credited at an address."""
    return await (await connection.execute(_LIVE, (network, address, asset))).fetchall()
