"""A token's decimals: read once, held against the configuration, pinned (CHAIN 1).

A wrong number misvalues every payment by a power of ten, so nothing is followed with one.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from chain.endpoints import Endpoints
from chain.tokens import decimals
from core.context import Context
from core.errors import Misconfigured
from core.networks import Network, Token
from payments.tables import TokenDecimals


async def check(context: Context, network: Network, endpoints: Endpoints) -> None:
    """Asks the contracts of tokens that are new here. What is pinned needs no node.

    Raises Misconfigured naming token, value and what is expected; ChainError when nobody answers.
    """
    tokens = [token for token in network.tokens if not token.is_native]
    pins = select(TokenDecimals).where(TokenDecimals.network == network.id)
    async with context.database.read() as session:
        pinned = {row.address: row.decimals for row in await session.scalars(pins)}
    new = [token for token in tokens if token.address not in pinned]
    for token in tokens:
        if token.address in pinned:
            _compare(network, token, pinned[token.address])
    if not new:
        return
    found = await decimals(endpoints, [token.address for token in new])
    for token in new:
        _compare(network, token, found[token.address])
    now = context.clock.now()
    rows = [
        {
            "network": network.id,
            "address": token.address,
            "decimals": token.asset.decimals,
            "read_at": now,
        }
        for token in new
    ]
    async with context.database.begin() as session:
        await session.execute(insert(TokenDecimals).values(rows).on_conflict_do_nothing())


def _compare(network: Network, token: Token, found: int | None) -> None:
    expected = token.asset.decimals
    if found == expected:
        return
    answer = "answers no decimals()" if found is None else f"says decimals {found}"
    raise Misconfigured(
        f"networks.{network.id}.tokens.{token.asset.symbol}: the contract at {token.address}"
        f" {answer}, {expected} is configured"
    )
