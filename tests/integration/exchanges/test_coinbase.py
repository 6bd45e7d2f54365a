"""The Coinbase adapter through the suite, with both kinds of keys, and what is Coinbase's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from core.clock import wall
from core.errors import OrderRefused, OutcomeUnknown
from exchanges.coinbase.adapter import Coinbase
from exchanges.numbers import parse
from exchanges.types import Venue
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.markets import NETWORK_WORDS
from tests.integration.exchanges import coinbase_venue as venue
from tests.integration.exchanges.suite import SYMBOL, ExchangeSuite, World, order, withdrawal


def adapter(
    served: venue.Served, *, key: str = venue.KEY, secret: str = venue.SECRET, timeout: float = 1
) -> Coinbase:
    return Coinbase(
        key=key,
        secret=secret,
        url=f"https://{served.host}",
        stream_url=f"wss://{served.host}",
        ca_file=served.ca_file,
        networks=NETWORK_WORDS[Venue.COINBASE],
        timeout=timeout,
    )


@pytest.fixture
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[venue.Served]:
    async with venue.serve(tmp_path_factory.getbasetemp() / "tls", per_second=30) as started:
        yield started


@pytest.fixture
def world(served: venue.Served) -> World:
    return World(served.simulator)


@pytest.fixture
def since() -> datetime:
    return wall() - timedelta(seconds=5)


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


async def test_what_a_key_may_not_do_is_a_problem_and_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.getbasetemp() / "tls"
    async with (
        venue.serve(directory, scopes={"view"}) as served,
        adapter(served) as exchange,
    ):
        assert "permissions" in str((await exchange.health()).problem)
        for doing in (exchange.place(order()), exchange.withdraw(withdrawal())):
            with pytest.raises(OrderRefused) as refused:
                await doing
            assert refused.value.reason == "not_permitted"


async def test_success_beside_a_failure_may_be_either(
    exchange: Coinbase, world: World, since: datetime
) -> None:
    world.fault(Operation.PLACE, Fault.SUCCESS_WITH_FAILURE_REASON, 2)
    found = []
    for client_id in ("ord_1", "ord_2"):
        with pytest.raises(OutcomeUnknown):
            await exchange.place(order(client_id))
        found.append(await exchange.order(SYMBOL, client_id, since))
    assert found[0] is None
    assert found[1] is not None
    assert found[1].filled == parse("0.5")


async def test_an_id_sent_again_with_other_terms_is_not_taken_for_its_order(
    exchange: Coinbase, world: World
) -> None:
    await exchange.place(order())
    with pytest.raises(OutcomeUnknown, match="another order"):
        await exchange.place(order(price="1800"))
    assert len(world.orders) == 1


async def test_a_crowd_of_calls_stays_within_the_venues_limit(
    world: World, served: venue.Served
) -> None:
    """The simulator counts 30 a second for a key, as the venue does: no 429 is heard."""
    async with adapter(served, timeout=10) as exchange:
        placed = await asyncio.gather(
            *(exchange.place(order(f"ord_{n}", quantity="0.01")) for n in range(20))
        )
        assert len({each.venue_id for each in placed}) == len(world.orders) == 20
        assert (await exchange.health()).used_weight_percent is not None
