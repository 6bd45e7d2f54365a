"""The worker's loop of orders at one venue, in a process of its own: test_conversion_kill.py kills
it. Started by a fork server that has imported all of this already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.secrets import SecretBox
from exchanges.protocol import Exchange
from tests.integration.api.conftest import CATALOG
from tests.integration.treasury.test_fault_matrix import FAST
from treasury.orders import Orders

LEASE_SECONDS = 2


def run(url: str, make: Callable[..., Exchange], arguments: dict[str, object]) -> None:
    """Until it is killed. `make` is the adapter of the venue."""
    asyncio.run(_run(url, make(**arguments)))


async def _run(url: str, adapter: Exchange) -> None:
    database = Database(url)
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=CATALOG,
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
    )
    async with adapter as exchange:
        orders = Orders(
            context,
            {exchange.venue: exchange},
            windows=FAST,
            poll_seconds=0.1,
            lease_seconds=LEASE_SECONDS,
        )
        await asyncio.gather(context.listener.run(("orders", "venue_account")), orders.run())
