"""The feed is complete and in order, whatever commits when; the stream resumes."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import aiohttp

from core import ids
from core.context import Context
from tests.integration.api.conftest import Client, World
from tests.integration.webhooks.conftest import DEADLINE, rows, tell
from webhooks import sequence
from webhooks.events import NewEvent, emit


def subjects(page: dict[str, Any]) -> list[str]:
    return [event["data"]["object"]["id"] for event in page["data"]]


async def test_a_transaction_that_commits_late_is_not_skipped(world: World) -> None:
    context, shop = world.context, world.ids["one"]
    async with context.database.begin() as slow:
        await emit(
            slow, [NewEvent(shop, "refund.paid", "early", {"id": "early"})], context.clock.now()
        )
        await tell(context, shop, "fast")
        assert await sequence.number_pending(context.database) == 1
        first = (await world.one.get("/v1/events")).json
        assert subjects(first) == ["fast"]
    assert await sequence.number_pending(context.database) == 1
    second = (await world.one.get(f"/v1/events?cursor={first['next_cursor']}")).json
    assert subjects(second) == ["early"]
    assert subjects((await world.one.get("/v1/events")).json) == ["fast", "early"]


async def test_pages_hold_everything_once_and_the_cursor_never_ends(world: World) -> None:
    shop = world.ids["one"]
    told = [f"inv_{n}" for n in range(25)]
    for subject in told:
        await tell(world.context, shop, subject)
    empty = (await world.one.get("/v1/events")).json
    assert empty == {"object": "list", "data": [], "has_more": False, "next_cursor": "0"}
    assert await sequence.number_pending(world.context.database, 20) == 20
    assert await sequence.number_pending(world.context.database, 20) == 5
    seen: list[str] = []
    cursor = empty["next_cursor"]
    for expected in (True, True, False):
        page = (await world.one.get(f"/v1/events?limit=10&cursor={cursor}")).json
        assert page["has_more"] is expected
        seen += subjects(page)
        cursor = page["next_cursor"]
    assert seen == told
    last = (await world.one.get(f"/v1/events?cursor={cursor}")).json
    assert (last["data"], last["next_cursor"]) == ([], cursor)


async def test_numbers_are_gapless_with_two_at_it(context: Context, shop: UUID) -> None:
    async def telling(worker: int) -> None:
        for n in range(20):
            await tell(context, shop, f"{worker}_{n}_a", f"{worker}_{n}_b")

    async def numbering() -> None:
        while True:
            await sequence.number_pending(context.database, 7)

    numberers = [asyncio.create_task(numbering()) for _ in range(3)]
    await asyncio.gather(*(telling(worker) for worker in range(4)))
    for task in numberers:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    while await sequence.number_pending(context.database):
        pass
    numbers = await rows(context, "select seq from event_seq order by seq")
    assert numbers == [(n,) for n in range(1, 161)]
    assert await rows(context, "select count(distinct event_id) from event_seq") == [(160,)]


async def test_filters_and_whose_events(world: World) -> None:
    one, two = world.ids["one"], world.ids["two"]
    await tell(world.context, one, "inv_1", kind="invoice.created")
    await tell(world.context, one, "dep_1", kind="deposit.seen")
    await tell(world.context, two, "inv_2", kind="invoice.settled")
    async with world.context.database.begin() as session:
        house = NewEvent(None, "price.unavailable", "ETH/USD", {"id": "ETH/USD"})
        await emit(session, [house], world.context.clock.now())
    await sequence.number_pending(world.context.database)

    async def seen(client: Client, query: str = "") -> list[str]:
        return subjects((await client.get(f"/v1/events{query}")).json)

    assert await seen(world.one) == ["inv_1", "dep_1"]
    assert await seen(world.two) == ["inv_2"]
    assert await seen(world.operator) == ["inv_1", "dep_1", "inv_2", "ETH/USD"]
    assert await seen(world.operator, "?type=invoice.*") == ["inv_1", "inv_2"]
    assert await seen(world.one, "?type=deposit.seen") == ["dep_1"]
    assert await seen(world.one, "?type=invoice.settled") == []
    for query in ("?type=x'", "?cursor=abc", "?cursor=-1", "?cursor=99999999999999999999"):
        assert (await world.one.get(f"/v1/events{query}")).status == 422

    [(foreign,)] = await rows(
        world.context, "select id from events where subject = 'inv_2' and merchant_id = %s", two
    )
    path = f"/v1/events/{ids.show('evt', foreign)}"
    shown = (await world.two.get(path)).json
    assert (shown["object"], shown["type"], shown["data"]["object"]) == (
        "event",
        "invoice.settled",
        {"id": "inv_2"},
    )
    refused = await world.one.get(path)
    unknown = await world.one.get(f"/v1/events/{ids.show('evt', ids.new())}")
    assert (refused.status, refused.code) == (unknown.status, unknown.code) == (404, "not_found")
    assert (await world.one.post(f"{path}/redeliver", {})).status == 404
    reader = await world.key("one", "invoices:read")
    assert (await reader.get("/v1/events")).status == 403


class Stream:
    """A reader of server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> dict[str, str]:
        """The next event that is no comment."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(DEADLINE):
            while True:
                line = (await self._response.content.readline()).decode().rstrip("\r\n")
                name, _, value = line.partition(": ")
                if not line and "data" in fields:
                    return fields
                if name:
                    fields[name] = value


async def test_the_stream_goes_on_where_it_was_left(world: World) -> None:
    shop = world.ids["one"]
    numbering = asyncio.create_task(sequence.run(world.context))
    await tell(world.context, shop, "inv_1", "inv_2")
    headers = {"Authorization": f"Bearer {world.one.key}"}
    url = f"{world.url}/v1/events/stream"
    async with world.http.get(f"{url}?cursor=0", headers=headers) as response:
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = Stream(response)
        first = await stream.next()
        assert (await stream.next())["id"] == "2"
        await tell(world.context, shop, "inv_3")
        assert json.loads((await stream.next())["data"])["data"]["object"] == {"id": "inv_3"}
    assert first["event"] == "refund.paid"
    assert (first["data"],) in await rows(world.context, "select body from events")
    await tell(world.context, shop, "inv_4")
    await tell(world.context, world.ids["two"], "foreign")
    async with world.http.get(url, headers={**headers, "Last-Event-ID": "2"}) as response:
        stream = Stream(response)
        resumed = [json.loads((await stream.next())["data"]) for _ in range(2)]
        assert [event["data"]["object"]["id"] for event in resumed] == ["inv_3", "inv_4"]
        await tell(world.context, shop, "inv_5")
        assert '"inv_5"' in (await stream.next())["data"]
    numbering.cancel()
    with suppress(asyncio.CancelledError):
        await numbering


async def test_a_key_has_a_handful_of_streams(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.one.key}"}
    url = f"{world.url}/v1/events/stream?cursor=0"
    await tell(world.context, world.ids["one"], "inv_1")
    await sequence.number_pending(world.context.database)
    held = []
    for _ in range(20):
        response = await world.http.get(url, headers=headers)
        await Stream(response).next()
        held.append(response)
    async with world.http.get(url, headers=headers) as refused:
        assert refused.status == 429
        assert int(refused.headers["Retry-After"]) > 0
    for response in held:
        response.close()


async def test_a_second_sequencer_stands_by_and_takes_over(context: Context, shop: UUID) -> None:
    first = asyncio.create_task(sequence.run(context))
    second = asyncio.create_task(sequence.run(context))
    async with context.listener.subscribe("events") as numbered:
        await tell(context, shop, "inv_1")
        assert await numbered.next(DEADLINE) == "1"
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        await tell(context, shop, "inv_2")
        assert await numbered.next(DEADLINE) == "2"
    second.cancel()
    with suppress(asyncio.CancelledError):
        await second
