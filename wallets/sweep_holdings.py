"""What deposit addresses hold: by the books, and on command as the chain says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from chain import standing
from chain.endpoints import Endpoints
from core.db import Database, Raw
from core.ids import show
from core.networks import Network, Token
from wallets.addresses import salt_of
from wallets.sweep_plan import Holding

MOST = 1_000  # of one sweep; the next one takes the rest
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# By the books, with the deposits that make up what is there (newest first, for a sweep takes all),
# what of it can still be taken back, and how it went before.
_HELD = """
select a.address, a.id, h.asset, h.amount, coalesce(d.pending, 0) as pending, d.deposits
from address_holdings h
join deposit_addresses a on a.address = h.address
left join lateral (
    select sum(d.amount) filter (where d.status = 'pending') as pending,
        jsonb_agg(jsonb_build_array(d.id, d.amount::text,
            floor(extract(epoch from d.seen_at))::bigint, d.held)
            order by d.block_number desc, d.id desc)
            filter (where d.status = 'confirmed') as deposits
    from (
        select * from deposits i where i.invoice_id = a.invoice_id
        union all  -- an address that is no invoice's: by the index that there is
        select * from deposits m where a.invoice_id is null and m.merchant_id = a.merchant_id
    ) d
    where d.network = h.network and d.address = h.address and d.asset = h.asset
        and d.status <> 'orphaned'
) d on true
where h.network = %(network)s and h.amount > 0
    and (%(addresses)s::text[] is null or h.address = any(%(addresses)s))
    and (%(assets)s::text[] is null or h.asset = any(%(assets)s))
order by a.id, h.asset limit %(most)s
"""
_ADDRESSES = "select address, id from deposit_addresses where address = any(%s) order by id"
# What other sweeps tell of these: what they take now, where the code is, how tokens behaved.
_PAST = """
select address, token, bool_or(live) as busy, coalesce(bool_or(outcome = 'swept'), false) as swept,
    count(*) filter (where outcome = 'failed' and id::text > coalesce(last, '')) as failures,
    max(finished_at) filter (where outcome = 'failed') as failed_at
from (
    select i.*, max(i.id::text) filter (where i.outcome = 'swept')
        over (partition by i.address, i.token) as last
    from sweep_items i where i.network = %(network)s and i.address = any(%(addresses)s)
) as known group by address, token
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """addresses (lower case) and tokens (contract or NATIVE); None: all that the books know."""

    addresses: tuple[str, ...] | None = None
    tokens: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    address: str
    id: UUID
    asset: str
    amount: int
    pending: int
    deposits: list[list[Any]] | None


@dataclass(frozen=True, slots=True)
class _Past:
    address: str
    token: str
    busy: bool
    swept: bool
    failures: int
    failed_at: datetime | None


async def read(
    database: Database, network: Network, endpoints: Endpoints, wanted: Wanted
) -> list[Holding]:
    """What may be swept. Where addresses are named the chain says what they hold, so that money
    that came before the network was followed, or in a token that is not configured, is found.

    Raises ChainError.
    """
    async with database.statement() as connection:
        found = await _by_books(connection, network, wanted)
        if wanted.addresses is not None:
            found = await _named(connection, network, wanted, found)
    if wanted.addresses is not None:
        pairs = [(h.address, h.token) for h in found]
        found = _as_chain_says(found, await standing.balances(endpoints, pairs))
    addresses = sorted({h.address for h in found})
    async with database.statement() as connection:
        past = await _past(connection, network, addresses)
    known = {one.address for one in past.values() if one.swept}
    code = await standing.deployed(endpoints, [a for a in addresses if a not in known])
    return [_with_past(h, past, known | code) for h in found]


async def _by_books(connection: Raw, network: Network, wanted: Wanted) -> list[Holding]:
    tokens = {t.asset.symbol: t for t in network.tokens}
    symbols = None
    if wanted.tokens is not None:
        symbols = [s for s, t in tokens.items() if t.address in wanted.tokens]
    addresses = None if wanted.addresses is None else list(wanted.addresses)
    values = {"network": network.id, "addresses": addresses, "assets": symbols, "most": MOST}
    async with connection.cursor(row_factory=class_row(_Held)) as cursor:
        await cursor.execute(_HELD, values)
        rows = await cursor.fetchall()
    return [_holding(row, tokens[row.asset]) for row in rows if row.asset in tokens]


def _holding(row: _Held, token: Token) -> Holding:
    amount = row.amount - row.pending
    made_of = covering(row.deposits or [], amount)
    return Holding(
        address=row.address,
        salt="0x" + salt_of(row.id).hex(),
        token=token.address,
        asset=row.asset,
        decimals=token.asset.decimals,
        amount=amount,
        pending=row.pending,
        since=datetime.fromtimestamp(min([d[2] for d in made_of], default=0), UTC),
        held=any(d[3] for d in made_of),
        exact=not token.fee_on_transfer,
        deposits=tuple(show("dep", UUID(d[0])) for d in made_of),
    )


def covering(deposits: Sequence[list[Any]], amount: int) -> list[list[Any]]:
    """Of deposits, newest first, those that make up what is there: a sweep had taken the others.

    Each is [id, amount as text, ...].
    """
    found = []
    for deposit in deposits:
        if amount <= 0:
            break
        found.append(deposit)
        amount -= int(deposit[1])
    return found


async def _named(
    connection: Raw, network: Network, wanted: Wanted, found: list[Holding]
) -> list[Holding]:
    """Every named address with every wanted token, whatever the books know of it."""
    rows = await (await connection.execute(_ADDRESSES, (list(wanted.addresses or ()),))).fetchall()
    tokens = network.by_address()
    known = {(h.address, h.token): h for h in found}
    made: list[Holding] = []
    for address, number in rows:
        for token in wanted.tokens if wanted.tokens is not None else tokens:
            configured = tokens.get(token)
            nothing = Holding(
                address=address,
                salt="0x" + salt_of(number).hex(),
                token=token,
                asset=configured.asset.symbol if configured else None,
                decimals=configured.asset.decimals if configured else 0,
                amount=0,
                since=EPOCH,
                exact=configured is not None and not configured.fee_on_transfer,
            )
            made.append(known.get((address, token), nothing))
    return made[:MOST]


def _as_chain_says(
    found: Sequence[Holding], held: Mapping[tuple[str, str], int | None]
) -> list[Holding]:
    said = []
    for h in found:
        units = held[h.address, h.token]
        if units is None:
            said.append(replace(h, readable=False))
        else:
            said.append(replace(h, amount=units - h.pending))
    return said


async def _past(
    connection: Raw, network: Network, addresses: Sequence[str]
) -> dict[tuple[str, str], _Past]:
    async with connection.cursor(row_factory=class_row(_Past)) as cursor:
        await cursor.execute(_PAST, {"network": network.id, "addresses": list(addresses)})
        return {(row.address, row.token): row for row in await cursor.fetchall()}


def _with_past(h: Holding, past: Mapping[tuple[str, str], _Past], deployed: set[str]) -> Holding:
    mine = past.get((h.address, h.token))
    return replace(
        h,
        deployed=h.address in deployed,
        contested=any(one.busy for key, one in past.items() if key[0] == h.address),
        busy=mine is not None and mine.busy,
        failures=mine.failures if mine else 0,
        failed_at=mine.failed_at if mine else None,
    )
