"""What comes between a worker and an order's end: bans, permissions that go, other conversions."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from sqlalchemy import text

from core.clock import wall
from core.errors import OrderRefused, VenueUnavailable
from exchanges.numbers import ONE
from exchanges.types import Fill, VenueOrder
from tests.integration.treasury.converting import Converting, sell_eth
from tests.integration.treasury.scripted import Place, ScriptedExchange, lost
from tests.integration.treasury.test_unknown import breaks
from tests.waiting import eventually

BAN = 3 * 86_400  # the longest that Binance names


async def test_a_ban_does_not_hold_a_quotes_funds_beyond_its_end(desk: Converting) -> None:
    banned = VenueUnavailable("banned", retry_after=BAN)
    desk.exchange.script.append(Place(executes=False, answer=banned))
    await desk.start(sell_eth())
    await desk.work()
    [row] = await desk.rows("select status, due_at, send_until, blocked from orders")
    assert (row.status, row.blocked) == ("prepared", 2 * ONE)
    assert row.due_at <= row.send_until + timedelta(seconds=30)


async def test_a_person_hears_of_an_unknown_order_before_a_ban_is_over(desk: Converting) -> None:
    desk.exchange.script.append(lost(executed=True))
    await desk.start(sell_eth())
    await desk.work()

    async def ban(symbol: str, client_id: str, since: datetime) -> VenueOrder | None:
        raise VenueUnavailable("banned", retry_after=BAN)

    desk.exchange.order = ban  # type: ignore[method-assign]
    await eventually(lambda: _worked(desk), 5)
    [row] = await desk.rows("select status, due_at from orders")
    assert row.status == "unknown"
    assert row.due_at <= wall() + timedelta(seconds=30)


class Forbidding(ScriptedExchange):
    """Its key may no longer look: a refusal of the question, and no word of the order."""

    async def order(self, symbol: str, client_id: str, since: datetime) -> VenueOrder | None:
        raise OrderRefused("not_permitted", "403")

    async def fills(self, symbol: str, venue_id: str) -> list[Fill]:
        raise OrderRefused("not_permitted", "403")


async def test_a_question_that_is_refused_leaves_an_order_unknown(desk: Converting) -> None:
    desk.exchange = Forbidding()
    desk.exchange.script.append(lost(executed=True))
    number = await desk.start(sell_eth())

    async def told() -> bool:
        await desk.work()
        return await breaks(desk) == [("missing_at_venue", "open")]

    await eventually(told, 5)
    assert (await desk.show(number))["legs"][0]["status"] == "unknown"


async def test_fills_that_may_not_be_read_are_no_end(desk: Converting) -> None:
    desk.exchange = Forbidding()
    number = await desk.start(sell_eth())
    await desk.work()
    assert (await desk.show(number))["legs"][0]["status"] == "open"


async def test_an_outcome_survives_a_deadlock(desk: Converting) -> None:
    """Another conversion that ends holds the result's account and wants what this one booked."""
    better = Place(price=2001 * ONE)
    desk.exchange.script.append(better)
    await desk.until(await desk.start(sell_eth()), "filled")  # the accounts are there
    desk.exchange.script.append(better)
    number = await desk.start(sell_eth())
    lock = "select from account_balances where asset = 'EUR@18' and account = :a for update"
    async with desk.context.database.begin() as session:
        await session.execute(text(lock), {"a": "income:slippage"})
        step = asyncio.create_task(desk.work())
        await eventually(lambda: _waits(desk), 5)
        await session.execute(text(lock), {"a": "trading"})
    await step
    assert (await desk.show(number))["status"] == "filled"
    await desk.agree()


async def _worked(desk: Converting) -> bool:
    return await desk.work() > 0


async def _waits(desk: Converting) -> bool:
    """Whether some statement of this database waits for a lock."""
    query = """
    select from pg_locks join pg_stat_activity using (pid)
    where datname = current_database() and not granted
    """
    return bool(await desk.rows(query))
