"""The worker's loops for venues: what they say is stored, what is to be converted is ordered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from core.context import Context
from exchanges.protocol import Exchange
from exchanges.types import Venue
from payments import settle_fills
from prices.refreshing import Refresher
from prices.watching import Watcher
from treasury import hot_levels, order_unasked
from treasury.move_work import Moves
from treasury.orders import Orders
from treasury.rule_work import Claims, Rules

Loop = Callable[[], Awaitable[None]]


def loops(context: Context, exchanges: Mapping[Venue, Exchange]) -> dict[str, Loop]:
    """By name; where no venue is configured, of moves alone."""
    found: dict[str, Loop] = {}
    for exchange in exchanges.values():
        found |= _venue_loops(context, exchange)
    return found | _order_loops(context, exchanges) | _move_loops(context, exchanges)


def _order_loops(context: Context, exchanges: Mapping[Venue, Exchange]) -> dict[str, Loop]:
    """One for all venues; any number of workers may run it."""
    if not exchanges:
        return {}
    # Payments and treasury meet in the books alone; here one is handed what the other knows.
    claims = Claims(settle_fills.waiting, settle_fills.distribute)
    return {
        "orders": lambda: Orders(context, exchanges).run(),
        "rules": lambda: Rules(context, claims).run(),
    }


def _move_loops(context: Context, exchanges: Mapping[Venue, Exchange]) -> dict[str, Loop]:
    """One for all places, also where no venue is configured: hot wallet and treasury are there."""
    found: dict[str, Loop] = {
        "moves": lambda: Moves(context, exchanges).run(),
        "unasked": lambda: order_unasked.run(context, exchanges.keys()),
    }
    if any(token.hot is not None for _, token in context.catalog.pairs()):
        found["hot levels"] = lambda: hot_levels.run(context)
    return found


def _venue_loops(context: Context, exchange: Exchange) -> dict[str, Loop]:
    return {
        f"books {exchange.venue}": lambda: Watcher(context, exchange).run(),
        f"account {exchange.venue}": lambda: Refresher(context, exchange).run(),
    }
