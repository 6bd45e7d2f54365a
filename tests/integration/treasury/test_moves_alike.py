"""Moves of one amount from a bank: which deposit is whose, while one of them ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from core.db import Database
from tests.integration.treasury.funding import Funding, named, open_funding
from tests.waiting import eventually


@pytest.fixture
async def house(database: Database) -> AsyncIterator[Funding]:
    async with open_funding(database) as funding:
        yield funding


async def test_what_came_back_is_not_up_for_a_deposit(house: Funding) -> None:
    """Even before anybody has looked at it since."""
    first, second = [await house.ask() for _ in range(2)]
    await house.approve(first)
    await house.line(-100_000, named(first))
    assert await house.now(first) == ("in_transit", None)
    await house.line(100_000, named(first))
    house.venue.credit("1000")
    assert await house.now(second) == ("in_transit", None)
    assert (await house.show(second))["venue_status"] == "done"
    assert await house.now(first) == ("failed", "returned")


async def test_what_came_back_forgets_what_looked_like_it(house: Funding) -> None:
    number = await house.ask()
    await house.approve(number)
    await house.line(-100_000, named(number))
    house.venue.credit("990")
    assert await house.now(number) == ("in_transit", "amount_differs")
    assert (await house.show(number))["venue_status"] == "done"
    await house.line(100_000, named(number))
    assert await house.now(number) == ("failed", "returned")
    assert (await house.show(number))["venue_status"] is None


async def test_two_that_see_one_deposit(house: Funding) -> None:
    """The second one of two is late with its answer: the oldest is cancelled meanwhile, and what
    was the second one's is the third one's now."""
    oldest, second, third = [await house.ask() for _ in range(3)]
    house.venue.credit("1000")
    house.venue.credit("1000")
    async with house.context.database.begin() as session:
        query = text("select id from moves where id = :id for update")
        await session.execute(query, {"id": second})
        late = asyncio.create_task(house.loop.step(second))
        await eventually(lambda: _waits(house), 10)
        await house.cancel(oldest)
        assert await house.now(third) == ("in_transit", None)
    await late
    assert (await house.show(second))["status"] == "approved"
    assert await house.now(second) == ("in_transit", None)
    assert await house.banking.balance(f"transit:{named(second)}") == -100_000
    assert await house.banking.balance(f"transit:{named(third)}") == -100_000


async def _waits(house: Funding) -> bool:
    async with house.context.database.read() as session:
        query = "select count(*) from pg_locks where not granted"
        return bool(await session.scalar(text(query)))
