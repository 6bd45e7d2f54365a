"""The worker's loops for venues: what they say is stored, what is to be converted is ordered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from core.context import Context
from exchanges.protocol import Exchange
from exchanges.types import Venue
from prices.refreshing import Refresher
from prices.watching import Watcher

Loop = Callable[[], Awaitable[None]]


def loops(context: Context, exchanges: Mapping[Venue, Exchange]) -> dict[str, Loop]:
    """By name. None where no venue is configured."""
    found: dict[str, Loop] = {}
    for exchange in exchanges.values():
        found |= _venue_loops(context, exchange)
    return found


def _venue_loops(context: Context, exchange: Exchange) -> dict[str, Loop]:
    return {
        f"books {exchange.venue}": lambda: Watcher(context, exchange).run(),
        f"account {exchange.venue}": lambda: Refresher(context, exchange).run(),
    }
