"""What leaving costs: figures that the worker stores, and a quote from them (MONEY 5).

A request never asks a node. What is quoted stands: the house keeps or bears the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from chain.fees import FLOOR, Market, Urgency
from core.clock import show, wall
from core.context import Context
from core.db import Raw
from core.errors import ChainError, PriceUnavailable
from core.networks import GWEI, Network, Token
from core.work import DATABASE_AWAY
from payments.values import owed
from prices.book import PriceBook

log = structlog.get_logger()

FRESH = timedelta(minutes=2)  # blocks come faster everywhere
STORE_SECONDS = 5

# Gas by measure: a transfer of ETH to a plain account, of a proxied token to a new holder; and
# the same as one of many in a Multisend, whose 21,000 are shared. Keys: whether it is ETH.
BASE_GAS = 21_000
ALONE = {True: 21_000, False: 65_000}
AMONG = {True: 15_000, False: 45_000}
# From how many on one Multisend is cheaper than as many transfers (contracts/gas-report.md, which a
# test compares), to payees that hold some already: who does not is not known here. An allowance is
# given once per wallet and token, so it is not reckoned.
TOGETHER_FROM = {True: 4, False: 3}
# What a payment may cost at most: a payee that is a contract, and fees ten times as high as now.
ROOM = 3
GROWTH = 10
LEAST_CAP_PER_GAS = 50 * GWEI

_STORE = """
insert into network_fees (network, base_fee, priority_fee, at) values (%s, %s, %s, %s)
on conflict (network) do update set base_fee = excluded.base_fee,
    priority_fee = excluded.priority_fee, at = excluded.at
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """Wei per gas, as of `at` (wall time)."""

    base_fee: int
    priority_fee: int
    at: datetime


@dataclass(frozen=True, slots=True)
class FeeQuote:
    """`units` in the payout's asset; `cap` in wei for its whole transaction."""

    units: int
    cap: int
    evidence: dict[str, Any]


async def load(connection: Raw) -> dict[str, Figures]:
    """Network -> what its gas costs, fresh or not."""
    cursor = await connection.execute(
        "select network, base_fee, priority_fee, at from network_fees"
    )
    return {row[0]: Figures(*row[1:]) for row in await cursor.fetchall()}


async def store(connection: Raw, network: str, base_fee: int, priority_fee: int) -> None:
    await connection.execute(_STORE, (network, base_fee, priority_fee, wall()))


def quote(
    network: Network,
    token: Token,
    known: dict[str, Figures],
    prices: PriceBook,
    now: datetime,
    *,
    together: int = 1,
) -> FeeQuote:
    """The network fee of one payment of `together` that share a transaction, rounded up.

    Raises PriceUnavailable when gas or the asset has no fresh price: nothing is guessed.
    """
    figures = known.get(network.id)
    if figures is None or figures.at < wall() - FRESH:
        raise PriceUnavailable(f"what gas costs on {network.id} is not known now")
    gas = gas_of(token, together if goes_together(network, token, together) else 1)
    per_gas = figures.base_fee + max(figures.priority_fee, FLOOR)
    native = network.tokens[0].asset
    rate = prices.rate(token.asset.symbol, native.symbol, now)
    most = min(network.fees.max_fee, max(GROWTH * per_gas, LEAST_CAP_PER_GAS))
    return FeeQuote(
        units=owed(gas * per_gas, native, token.asset, rate.price),
        cap=ROOM * gas_of(token, 1) * most,
        evidence={
            "gas": gas,
            "wei": str(gas * (2 * figures.base_fee + max(figures.priority_fee, FLOOR))),
            "base_fee": str(figures.base_fee),
            "priority_fee": str(figures.priority_fee),
            "at": show(figures.at),
            "rate": str(rate.price),
            "price": rate.evidence,
        },
    )


def goes_together(network: Network, token: Token, count: int) -> bool:
    """Whether `count` payouts of a token leave in one transaction: where that is cheaper. A token
    that keeps a part of each transfer never does: a Multisend pays exactly or not at all."""
    may = network.multisend is not None and not token.fee_on_transfer
    return may and count >= TOGETHER_FROM[token.is_native]


def gas_of(token: Token, together: int) -> int:
    """Of one payment among `together` in a transaction."""
    if together == 1:
        return ALONE[token.is_native]
    return AMONG[token.is_native] + BASE_GAS // together


async def follow(
    context: Context, network: Network, market: Callable[[], Awaitable[Market]]
) -> None:
    """Keeps a network's figures for ever; a loop of the worker. `market` asks its nodes."""
    while True:
        try:
            now = await market()
            async with context.database.statement() as connection:
                await store(connection, network.id, now.base_fee, now.tips[Urgency.NORMAL])
        except (ChainError, *DATABASE_AWAY) as error:
            log.warning("fees_not_stored", network=network.id, error=str(error))
        await asyncio.sleep(STORE_SECONDS)
