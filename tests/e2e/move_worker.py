"""The worker's loops that a move needs, in a process of their own: test_move_kill.py kills it.
Started by a fork server that has imported all of this already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from chain.endpoints import Endpoints
from core.context import MoveSettings
from core.db import Database
from core.networks import Catalog, Network
from exchanges.protocol import Exchange
from payments import arrivals
from payments.following import follow
from tests.contexts import context_of
from tests.fakes import LocalSigner
from treasury.move_machine import Windows
from treasury.move_work import Moves
from wallets.sending import Sending
from webhooks.desk import Desk

LEASE_SECONDS = 2
CHANNELS = ("block", "clock", "events", "moves", "transactions")
WINDOWS = Windows(
    polling=timedelta(milliseconds=500),
    tell=timedelta(seconds=6),
    soonest=timedelta(milliseconds=100),
    latest=timedelta(milliseconds=200),
)


def run(
    url: str,
    network: Network,
    keys: dict[str, str],
    make: Callable[..., Exchange],
    arguments: dict[str, object],
) -> None:
    """Until it is killed. `make` is the adapter of the venue, `keys` those of our wallets."""
    asyncio.run(_run(url, network, keys, make(**arguments)))


async def _run(url: str, network: Network, keys: dict[str, str], adapter: Exchange) -> None:
    database = Database(url)
    context = context_of(
        database,
        Catalog({network.id: network}),
        sandbox=True,
        moves=MoveSettings(hold_new_addresses=False),
    )
    async with adapter as exchange, Endpoints(network) as endpoints:
        moves = Moves(
            context,
            {exchange.venue: exchange},
            windows=WINDOWS,
            poll_seconds=0.1,
            lease_seconds=LEASE_SECONDS,
        )
        sending = Sending(
            context, network, endpoints, LocalSigner(keys), lease_seconds=LEASE_SECONDS
        )
        await asyncio.gather(
            context.listener.run(CHANNELS),
            moves.run(),
            arrivals.run(context),
            sending.run(),
            follow(context, network, endpoints, Desk()),
        )
