"""The Binance adapter through the suite, with both kinds of keys, and what is Binance's own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from exchanges.binance.adapter import Binance
from exchanges.numbers import parse
from exchanges.protocol import Exchange
from sandbox.exchanges.markets import NETWORK_WORDS
from tests.integration.exchanges import binance_venue as venue
from tests.integration.exchanges.suite import SYMBOL, ExchangeSuite, World, order


def adapter(port: int, *, key: str = venue.KEY, secret: str = venue.SECRET) -> Binance:
    return Binance(
        key=key,
        secret=secret,
        url=f"http://127.0.0.1:{port}",
        ws_api_url=f"ws://127.0.0.1:{port}/ws-api/v3",
        stream_url=f"ws://127.0.0.1:{port}",
        networks=NETWORK_WORDS[Binance.venue],
        timeout=1,
    )


@pytest.fixture
async def served() -> AsyncIterator[venue.Binance]:
    async with venue.served(venue.simulator()) as started:
        yield started


@pytest.fixture
def world(served: venue.Binance) -> World:
    return World(served.simulator)


@pytest.fixture
async def exchange(world: World, served: venue.Binance) -> AsyncIterator[Binance]:
    async with adapter(served.port) as entered:
        yield entered


class TestBinance(ExchangeSuite):
    """With an HMAC key."""

    async def test_frames_are_not_logged_for_one_carries_the_key(
        self, exchange: Exchange, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        await self.test_the_private_stream_wakes_for_our_orders(exchange, world)
        assert not [one for one in caplog.records if "TEXT" in one.getMessage()]
        assert venue.KEY not in caplog.text
        assert venue.SECRET not in caplog.text


async def test_an_ed25519_key_signs_orders_questions_and_the_stream(
    world: World, served: venue.Binance
) -> None:
    # as an editor on another system leaves it: the SDK alone would take it for RSA
    pem = venue.ED_PEM.replace("\n", "\r\n") + "\r\n"
    async with adapter(served.port, key=venue.ED_KEY, secret=pem) as exchange:
        placed = await exchange.place(order())
        assert [f.quantity for f in await exchange.fills(SYMBOL, placed.venue_id)] == [parse("0.5")]
        await ExchangeSuite().test_the_private_stream_wakes_for_our_orders(exchange, world)
