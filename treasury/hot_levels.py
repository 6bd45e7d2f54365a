"""Keeps hot wallets at their levels (MONEY 5): too little is filled up from the treasury, too much
goes there. Each is a move as a person would ask for: signed at once where the treasury's key is our
signer's, else with the Safe's transaction in its answer.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.errors import Refused
from core.networks import HotLevel, Network, Token
from core.singleton import Lost, hold
from core.work import DATABASE_AWAY
from ledger.accounts import Role
from treasury import moves
from treasury.move_sending import free
from treasury.moves import POLICY, NewMove

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30
AGAIN = timedelta(hours=1)  # after one of them has failed

# One is under way already, or has just failed.
_WAITS = text("""
select exists (select from moves where trigger = 'policy' and network = :network and asset = :asset
    and (status not in ('done', 'failed') or status = 'failed' and finished_at > :since))
""")


def wanted(level: HotLevel, hot: int, treasury: int) -> int:
    """What should go from the treasury to the hot wallets (negative: back), in base units."""
    if level.most is not None and hot > level.most:
        return level.target - hot
    if 2 * hot < level.target:
        return max(0, min(level.target - hot, treasury))
    return 0


async def run(context: Context) -> None:
    """For ever; one worker of the installation looks."""
    while True:
        try:
            async with hold(context.database, "hot_levels") as lock:
                while True:
                    await lock.check()
                    for network, token in context.catalog.pairs():
                        await look(context, network, token)
                    await asyncio.sleep(LOOK_SECONDS)
        except (Lost, *DATABASE_AWAY) as error:
            log.warning("hot_levels_interrupted", error=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)


async def look(context: Context, network: Network, token: Token) -> bool:
    """Whether a move was asked for."""
    if token.hot is None:
        return False
    try:
        async with context.database.begin() as session:
            asked = await _asked(session, context, network, token, context.clock.now())
            if asked is not None:
                await moves.make(session, context, asked)
    except Refused as error:  # no wallet, or somebody was faster: the next look judges again
        log.warning("no_move_for_level", asset=token.asset.symbol, reason=error.code)
        return False
    except IntegrityError:  # moves_policy: another worker has asked
        return False
    return asked is not None


async def _asked(
    session: AsyncSession, context: Context, network: Network, token: Token, now: datetime
) -> NewMove | None:
    symbol = token.asset.symbol
    assert token.hot is not None  # noqa: S101  (the caller has looked)
    waits = {"network": network.id, "asset": symbol, "since": now - AGAIN}
    if await session.scalar(_WAITS, waits):
        return None
    hot, treasury = [
        await free(session, context, network.id, role, symbol) for role in (Role.HOT, Role.TREASURY)
    ]
    units = wanted(token.hot, hot, treasury)
    if not units:
        return None
    source, destination = ("treasury", "hot") if units > 0 else ("hot", "treasury")
    return NewMove(
        asset=symbol,
        amount=token.asset.format(abs(units)),
        network=network.id,
        source=source,
        destination=destination,
        initiator="",
        trigger=POLICY,
    )
