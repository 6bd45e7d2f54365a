"""/healthz, /readyz and /metrics: for orchestrators and Prometheus, not part of the API."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

import psycopg
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from api.networks import lag_seconds
from api.paging import json
from core import metrics
from core.context import Context
from core.schema import newest

router = APIRouter(include_in_schema=False)

_REVISION = "select version_num from alembic_version"
_CURSORS = "select network, head - number, followed_until, halted from network_cursors"
_PRICES = "select base, quote, updated_at, valid_until, refused from prices"

Check = dict[str, Any]


@router.api_route("/healthz", methods=["GET", "HEAD"])
async def healthz() -> Response:
    """The process answers."""
    return json({"status": "ok"})


@router.api_route("/readyz", methods=["GET", "HEAD"])
async def readyz(request: Request) -> Response:
    """Whether money can be taken now: 200, or 503 with what is amiss."""
    context: Context = request.app.state.context
    checks = await _checks(context)
    ready = all(check["ok"] for check in checks.values())
    return json(
        {"status": "ready" if ready else "not_ready", "checks": checks}, 200 if ready else 503
    )


@router.get("/metrics")
async def prometheus(request: Request) -> Response:
    """Lag and price age are read at each scrape; without a database the rest is still told."""
    context: Context = request.app.state.context
    try:
        await _gauges(context)
    except (psycopg.Error, SQLAlchemyError):
        metrics.CHAIN_LAG_BLOCKS.clear()
        metrics.CHAIN_LAG_SECONDS.clear()
        metrics.PRICE_AGE_SECONDS.clear()
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _checks(context: Context) -> dict[str, Check]:
    try:
        async with context.database.statement() as connection:
            revisions = await (await connection.execute(_REVISION)).fetchall()
            cursors = await (await connection.execute(_CURSORS)).fetchall()
            prices = await (await connection.execute(_PRICES)).fetchall()
    except (psycopg.Error, SQLAlchemyError) as error:
        return {"database": {"ok": False, "error": type(error).__name__}}
    revision = revisions[0][0] if revisions else None
    wanted = _newest()
    now = context.clock.now()
    return {
        "database": {"ok": True},
        "migrations": {"ok": revision == wanted, "revision": revision, "newest": wanted},
        **_network_checks(context, {row[0]: row[1:] for row in cursors}, now),
        **_price_checks(context, {row[:2]: row[2:] for row in prices}, now),
    }


def _network_checks(
    context: Context, cursors: dict[str, tuple[Any, ...]], now: datetime
) -> dict[str, Check]:
    """A network is well when it was followed to its head not long ago and nothing halts it."""
    checks: dict[str, Check] = {}
    for network in context.catalog.networks.values():
        name = f"network {network.id}"
        if network.id not in cursors:
            checks[name] = {"ok": False, "error": "not followed yet"}
            continue
        blocks, followed_until, halted = cursors[network.id]
        seconds = lag_seconds(followed_until, now)
        checks[name] = {
            "ok": halted is None and seconds <= network.stalled_after_seconds,
            "lag_blocks": blocks,
            "lag_seconds": seconds,
            "limit_seconds": network.stalled_after_seconds,
            "halted": halted,
        }
    return checks


def _price_checks(
    context: Context, prices: dict[tuple[str, str], tuple[Any, ...]], now: datetime
) -> dict[str, Check]:
    """A price is well while it is not refused, nor as old as its feed's heartbeat and grace."""
    checks: dict[str, Check] = {}
    for network in context.catalog.networks.values():
        for feed in network.feeds:
            name = f"price {feed.pair}"
            updated_at, valid_until, refused = prices.get(
                (feed.base, feed.quote), (None, None, "never read")
            )
            checks[name] = {
                "ok": refused is None and valid_until is not None and now < valid_until,
                "age_seconds": updated_at and lag_seconds(updated_at, now),
                "refused": refused,
            }
    return checks


async def _gauges(context: Context) -> None:
    async with context.database.statement() as connection:
        cursors = await (await connection.execute(_CURSORS)).fetchall()
        prices = await (await connection.execute(_PRICES)).fetchall()
    now = context.clock.now()
    for network, blocks, followed_until, _ in cursors:
        metrics.CHAIN_LAG_BLOCKS.labels(network).set(max(0, blocks))
        metrics.CHAIN_LAG_SECONDS.labels(network).set(lag_seconds(followed_until, now))
    for base, quote, updated_at, _, _ in prices:
        if updated_at is not None:
            metrics.PRICE_AGE_SECONDS.labels(base, quote).set(lag_seconds(updated_at, now))


@cache
def _newest() -> str | None:
    """The newest revision of the migrations beside this code: read from disk once."""
    return newest()
