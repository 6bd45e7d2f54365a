"""/v1/networks: how far each network is followed. Operators only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from api import paging, schemas
from api.auth import Operator
from core import clock
from core.context import Context
from core.networks import Network
from payments.tables import BlockRow, NetworkCursor
from wallets.addresses import checksum

router = APIRouter(prefix="/v1/networks", tags=["Networks"])

# Of the block that a network is followed from: it is the first one kept.
_FIRST = (
    select(BlockRow.timestamp)
    .where(BlockRow.network == NetworkCursor.network)
    .order_by(BlockRow.number)
    .limit(1)
    .scalar_subquery()
)


@router.get("", response_model=schemas.Page[schemas.Network])
async def list_all(request: Request, caller: Operator) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        rows = (await session.execute(select(NetworkCursor, _FIRST))).all()
    cursors = {cursor.network: cursor for cursor, _ in rows}
    firsts = {cursor.network: first for cursor, first in rows}
    now = context.clock.now()
    networks = context.catalog.networks.values()
    shown = [show(n, cursors.get(n.id), firsts.get(n.id), now) for n in networks]
    return paging.list_json(shown, has_more=False)


def show(
    network: Network, cursor: NetworkCursor | None, first: datetime | None, now: datetime
) -> dict[str, Any]:
    """A network's JSON; what nobody has followed yet is null. `first`: its first block's time."""
    return {
        "id": network.id,
        "object": "network",
        "name": network.name,
        "height": cursor and cursor.number,
        "head": cursor and cursor.head,
        "lag_blocks": cursor and max(0, cursor.head - cursor.number),
        "lag_seconds": cursor and lag_seconds(cursor.followed_until, now),
        "followed_until": cursor and clock.show(cursor.followed_until),
        "safe": cursor and cursor.safe,
        "finalized": cursor and cursor.finalized,
        "stalled": cursor and cursor.stalled,
        "halted": cursor and cursor.halted,
        "endpoints": cursor.endpoints if cursor else [],
        "assets": [
            {
                "asset": token.asset.symbol,
                "asset_id": token.asset_id,
                "address": None if token.is_native else checksum(token.address),
                "decimals": token.asset.decimals,
            }
            for token in network.tokens
        ],
        "created_at": first and clock.show(first),
    }


def lag_seconds(followed_until: datetime, now: datetime) -> int:
    return max(0, int((now - followed_until).total_seconds()))
