"""Exchanges: the adapters of the venues that bezant.toml names, with the keys from the environment.

Only the worker (and `bezant doctor`) opens them: no other process reads these keys. An SDK is
imported where its venue is configured, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from bezant.environment import secret
from bezant.settings import Settings
from core.errors import Misconfigured, VenueError
from exchanges.protocol import Exchange
from exchanges.types import Venue

log = structlog.get_logger()

Row = tuple[str, str, str]  # verdict, about, sentence
LARGEST_OFFSET_MS = 1000


@asynccontextmanager
async def open_exchanges(
    settings: Settings, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[Mapping[Venue, Exchange]]:
    """All that are configured and whose keys are here. A worker without them asks no venue and
    says so: another one does. Raises Misconfigured when one of a venue's two is missing."""
    async with AsyncExitStack() as stack:
        found: dict[Venue, Exchange] = {}
        for venue in settings.venues:
            if not _variables_set(venue, environment):
                names = " and ".join(_variables(venue))
                log.warning("no_venue_keys", venue=venue.value, detail=f"{names} are not set")
                continue
            exchange = _adapter(settings, venue, environment)
            found[venue] = await stack.enter_async_context(exchange)
        yield found


async def examine(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[Row]:
    """What `bezant doctor` says of each venue; one that does not answer is a finding."""
    return [await _examine(settings, venue, environment) for venue in settings.venues]


async def _examine(settings: Settings, venue: Venue, environment: Mapping[str, str]) -> Row:
    if not _variables_set(venue, environment):
        names = " and ".join(_variables(venue))
        return "note", venue, f"{names} are not set here, so it is not asked: the worker has them."
    try:
        exchange = _adapter(settings, venue, environment)
        async with exchange:
            health = await exchange.health()
            await exchange.balances()  # a venue may tell its health to anybody
    except (VenueError, Misconfigured) as error:
        return "bad", venue, f"{error}."
    if health.problem is not None:
        return "bad", venue, health.problem
    if abs(health.clock_offset_ms) > LARGEST_OFFSET_MS:
        return "note", venue, f"it answers; its clock is {health.clock_offset_ms} ms from ours."
    return "ok", venue, f"it answers and takes our keys; clocks differ {health.clock_offset_ms} ms."


def _variables(venue: Venue) -> tuple[str, str]:
    return f"{venue.upper()}_API_KEY", f"{venue.upper()}_API_SECRET"


def _variables_set(venue: Venue, environment: Mapping[str, str]) -> bool:
    return any(
        environment.get(name) or environment.get(f"{name}_FILE") for name in _variables(venue)
    )


def _keys(venue: Venue, environment: Mapping[str, str]) -> tuple[str, str]:
    found = []
    for name in _variables(venue):
        value = secret(environment, name)
        if value is None:
            raise Misconfigured(
                f"{name} is not set, and exchanges.{venue} is configured: the venue's API key is"
                f" allowed, or {name}_FILE with a file's name"
            )
        found.append(value)
    return found[0], found[1]


def _adapter(settings: Settings, venue: Venue, environment: Mapping[str, str]) -> Exchange:
    key, secret_ = _keys(venue, environment)
    sections = settings.configuration.exchanges
    if venue is Venue.BINANCE and sections.binance is not None:
        from exchanges.binance.adapter import Binance

        binance = sections.binance
        return Binance(
            key=key,
            secret=secret_,
            url=binance.url,
            ws_api_url=binance.ws_api_url,
            stream_url=binance.stream_url,
            networks=binance.networks,
            timeout=binance.timeout_seconds,
        )
    from exchanges.coinbase.adapter import Coinbase

    coinbase = sections.coinbase
    assert coinbase is not None  # noqa: S101  (settings.venues names what is configured)
    return Coinbase(
        key=key,
        secret=secret_,
        url=coinbase.url,
        stream_url=coinbase.stream_url,
        ca_file=settings.coinbase_ca_file,
        networks=coinbase.networks,
        timeout=coinbase.timeout_seconds,
    )
