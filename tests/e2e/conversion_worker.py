"""The worker's loop of orders at one venue, in a process of its own: test_conversion_kill.py kills
it. Started by a fork server that has imported all of this already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.db import Database
from exchanges.protocol import Exchange
from tests.contexts import context_of
from tests.integration.api.conftest import CATALOG
from tests.integration.treasury.test_fault_matrix import FAST
from treasury.orders import Orders

LEASE_SECONDS = 2


def run(url: str, make: Callable[..., Exchange], arguments: dict[str, object]) -> None:
    """Until it is killed. `make` is the adapter of the venue."""
    asyncio.run(_run(url, make(**arguments)))


async def _run(url: str, adapter: Exchange) -> None:
    database = Database(url)
    context = context_of(database, CATALOG)
    async with adapter as exchange:
        orders = Orders(
            context,
            {exchange.venue: exchange},
            windows=FAST,
            poll_seconds=0.1,
            lease_seconds=LEASE_SECONDS,
        )
        await asyncio.gather(context.listener.run(("orders", "venue_account")), orders.run())
