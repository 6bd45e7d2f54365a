"""What an invoice rests on is kept from the last one, and never older than the database's."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import text

from core.listen import Listener
from tests.integration.api.conftest import NETWORK, World

PATH = "/v1/invoices"
GOOD = {"amount": "25.00", "currency": "USD", "assets": ["ETH"]}


async def execute(world: World, statement: str, **values: Any) -> None:
    async with world.context.database.begin() as session:
        await session.execute(text(statement), values)


async def rate(world: World) -> str:
    made = await world.one.post(PATH, GOOD)
    assert made.status == 201
    told: str = made.json["payment_options"][0]["rate"]
    return told


async def test_a_price_counts_from_its_commit_on(world: World) -> None:
    assert await rate(world) == "2500.00000000"
    await execute(world, "update prices set price = 3000 * 10::numeric ^ 18 where base = 'ETH'")
    assert await rate(world) == "3000.00000000"
    await execute(world, "update prices set refused = 'jump' where base = 'ETH'")
    refused = await world.one.post(PATH, GOOD)
    assert (refused.status, refused.code) == (503, "price_unavailable")
    await execute(world, "update prices set refused = null where base = 'ETH'")
    assert await rate(world) == "3000.00000000"


async def test_settings_count_from_their_commit_on(world: World) -> None:
    assert len((await world.one.post(PATH, GOOD | {"assets": None})).json["payment_options"]) == 2
    await execute(
        world,
        "update merchants set accepts = cast(:accepts as jsonb) where id = :id",
        accepts=f'[["{NETWORK}", "USDC"]]',
        id=world.ids["one"],
    )
    after = await world.one.post(PATH, GOOD | {"assets": None})
    assert [option["asset"] for option in after.json["payment_options"]] == ["USDC"]
    other = await world.two.post(PATH, GOOD | {"assets": None})
    assert len(other.json["payment_options"]) == 2


async def test_the_first_answer_comes_again_without_a_price(world: World) -> None:
    key = {"Idempotency-Key": "k"}
    first = await world.one.post(PATH, GOOD, headers=key)
    again = await world.one.post(PATH, GOOD, headers=key)
    await execute(world, "delete from prices")
    later = await world.one.post(PATH, GOOD, headers=key)
    for answer in (again, later):
        assert (answer.status, answer.body) == (201, first.body)
        assert answer.headers["idempotency-replayed"] == "true"
    other = await world.one.post(PATH, GOOD | {"amount": "26.00"}, headers=key)
    assert (other.status, other.code) == (422, "idempotency_mismatch")


async def test_an_answer_with_a_body_of_its_own_comes_again(world: World) -> None:
    """As an API wrote it that the migration has overtaken."""
    key = {"Idempotency-Key": "k"}
    first = await world.one.post(PATH, GOOD | {"description": "Käse \u2028"}, headers=key)
    await execute(
        world,
        "update idempotency_keys k set event_id = null,"
        " body = convert_to((e.body::json #> '{data,object}')::text, 'UTF8')"
        " from events e where e.id = k.event_id",
    )
    again = await world.one.post(PATH, GOOD | {"description": "Käse \u2028"}, headers=key)
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["idempotency-replayed"] == "true"


async def test_prices_that_move_under_many_requests(world: World) -> None:
    """Each invoice has a rate that was stored, and each key makes one invoice."""

    async def move() -> None:
        for price in range(2501, 2521):
            await execute(
                world, "update prices set price = :p * 10::numeric ^ 18 where base = 'ETH'", p=price
            )

    async def make(number: int) -> str:
        made = await world.one.post(PATH, GOOD, headers={"Idempotency-Key": f"k{number}"})
        assert made.status == 201
        told: str = made.json["payment_options"][0]["rate"]
        return told

    *rates, _ = await asyncio.gather(*(make(number) for number in range(40)), move())
    assert {f"{price}.00000000" for price in range(2500, 2521)} >= set(rates)
    async with world.context.database.read() as session:
        counted = await session.execute(
            text("select count(*), (select count(*) from events) from invoices")
        )
        assert tuple(counted.one()) == (40, 40)


async def test_the_event_tells_the_answer(world: World) -> None:
    made = await world.one.post(PATH, GOOD | {"description": "caf\u00e9 {}", "metadata": {"a": ""}})
    async with world.context.database.read() as session:
        body = await session.scalar(text("select body from events"))
    assert body is not None
    assert body.encode().endswith(b'"data":{"object":' + made.body + b"}}")


async def test_the_sequencer_is_woken_once_for_many(world: World) -> None:
    listener = Listener(world.context.database)
    listening = asyncio.create_task(listener.run(("event_pending",)))
    await listener.ready.wait()
    async with listener.subscribe("event_pending") as woken:
        for _ in range(2):  # at once, and what comes meanwhile together
            for _ in range(100):
                world.context.database.notify_soon("event_pending")
            assert await woken.next(5) == ""
        assert await woken.next(0.2) is None
        await world.one.post(PATH, GOOD)
        assert await woken.next(5) == ""
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
