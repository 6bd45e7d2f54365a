"""The Coinbase adapter through the suite, with both kinds of keys, and what is Coinbase's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from exchanges.coinbase.adapter import Coinbase
from exchanges.numbers import parse
from exchanges.types import Venue
from sandbox.exchanges.markets import NETWORK_WORDS
from tests.integration.exchanges import coinbase_venue as venue
from tests.integration.exchanges.suite import SYMBOL, ExchangeSuite, World, order


def adapter(served: venue.Served, *, key: str = venue.KEY, secret: str = venue.SECRET) -> Coinbase:
    return Coinbase(
        key=key,
        secret=secret,
        url=f"https://{served.host}",
        stream_url=f"wss://{served.host}",
        ca_file=served.ca_file,
        networks=NETWORK_WORDS[Venue.COINBASE],
        timeout=1,
    )


@pytest.fixture
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[venue.Served]:
    async with venue.serve(tmp_path_factory.getbasetemp() / "tls", per_second=30) as started:
        yield started


@pytest.fixture
def world(served: venue.Served) -> World:
    return World(served.simulator)


@pytest.fixture
async def exchange(world: World, served: venue.Served) -> AsyncIterator[Coinbase]:
    async with adapter(served) as entered:
        yield entered


class TestCoinbase(ExchangeSuite):
    """With an EC key."""


async def test_an_ed25519_key_signs_orders_questions_and_the_stream(
    world: World, served: venue.Served
) -> None:
    async with adapter(served, key=venue.ED25519_KEY, secret=venue.ED25519_SECRET) as exchange:
        placed = await exchange.place(order("ord_first"))
        assert [f.quantity for f in await exchange.fills(SYMBOL, placed.venue_id)] == [parse("0.5")]
        await TestCoinbase().test_the_private_stream_wakes_for_our_orders(exchange, world)
