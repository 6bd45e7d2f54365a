"""`Idempotency-Key`: once, and the first answer again, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.idempotency import once, purge
from api.schemas import Body
from core import ids
from core.errors import Conflict
from core.tables import IdempotencyKey
from merchants.tables import Merchant
from tests.integration.api.conftest import Client, World

PATH = "/v1/merchants"


class Order(Body):
    name: str
    refuse: bool = False


GATE: dict[str, asyncio.Event] = {}
RUNS: list[str] = []


@pytest.fixture
def extra_routers() -> list[APIRouter]:
    """A write that waits at a gate, and one that is refused half-way."""
    router = APIRouter(prefix="/v1/slow", include_in_schema=False)
    GATE["entered"], GATE["open"] = asyncio.Event(), asyncio.Event()
    RUNS.clear()

    @router.post("/{name}")
    async def slow(body: Order, request: Request, caller: Caller) -> Response:
        async def do(session: AsyncSession) -> tuple[int, Mapping[str, Any]]:
            RUNS.append(body.name)
            await session.execute(
                text("update merchants set name = :n where id = :id"),
                {"n": body.name, "id": caller.merchant_id},
            )
            GATE["entered"].set()
            await GATE["open"].wait()
            if body.refuse:
                raise Conflict("refused half-way")
            return 201, {"ran": len(RUNS)}

        return await once(request, caller, do)

    return [router]


def with_key(key: str) -> dict[str, Any]:
    return {"headers": {"Idempotency-Key": key}}


async def count(world: World, table: Any) -> int:
    async with world.context.database.read() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def test_the_first_answer_comes_again(world: World) -> None:
    first = await world.operator.post(PATH, {"name": "x", "spread_percent": "1"}, **with_key("k"))
    merchants = await count(world, Merchant)
    assert "Idempotency-Replayed" not in first.headers
    for body in (
        b'{"name":"x","spread_percent":"1"}',
        b' { "spread_percent" : "1",\n"name":"\\u0078"} ',
    ):
        again = await world.operator(
            "POST",
            PATH,
            data=body,
            headers={"Idempotency-Key": "k", "Content-Type": "application/json"},
        )
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (again.status, again.body) == (first.status, first.body)
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert await count(world, Merchant) == merchants


async def test_another_body_is_a_mismatch(world: World) -> None:
    await world.operator.post(PATH, {"name": "x"}, **with_key("k"))
    answer = await world.operator.post(PATH, {"name": "y"}, **with_key("k"))
    assert (answer.status, answer.code) == (422, "idempotency_mismatch")


async def test_without_a_key_each_request_is_its_own(world: World) -> None:
    before = await count(world, Merchant)
    for _ in range(2):
        assert (await world.operator.post(PATH, {"name": "x"})).status == 201
    assert await count(world, Merchant) == before + 2
    assert await count(world, IdempotencyKey) == 0


async def test_a_refusal_stores_nothing(world: World) -> None:
    assert (await world.operator.post(PATH, {"name": ""}, **with_key("k"))).status == 422
    bad = {"name": "x", "accepts": [{"network": "eip155:5", "asset": "ETH"}]}
    assert (await world.operator.post(PATH, bad, **with_key("k"))).status == 422
    assert await count(world, IdempotencyKey) == 0
    assert (await world.operator.post(PATH, {"name": "x"}, **with_key("k"))).status == 201


async def test_a_refusal_half_way_takes_its_writes_back(world: World) -> None:
    GATE["open"].set()
    refused = await world.one.post("/v1/slow/a", {"name": "n", "refuse": True}, **with_key("k"))
    assert refused.status == 409
    async with world.context.database.read() as session:
        merchant = await session.get_one(Merchant, world.ids["one"])
        assert merchant.name == "Shop one"
    done = await world.one.post("/v1/slow/a", {"name": "n"}, **with_key("k"))
    assert (done.status, done.json) == (201, {"ran": 2})


async def test_while_it_runs_the_same_key_is_in_progress(world: World) -> None:
    running = asyncio.create_task(world.one.post("/v1/slow/a", {"name": "n"}, **with_key("k")))
    await GATE["entered"].wait()
    answer = await world.one.post("/v1/slow/a", {"name": "n"}, **with_key("k"))
    assert (answer.status, answer.code) == (409, "idempotency_in_progress")
    GATE["open"].set()
    first = await running
    again = await world.one.post("/v1/slow/a", {"name": "n"}, **with_key("k"))
    assert (again.status, again.body) == (201, first.body)
    assert RUNS == ["n"]


async def test_a_key_belongs_to_its_merchant_and_its_path(world: World) -> None:
    GATE["open"].set()
    callers: list[tuple[Client, str]] = [
        (world.one, "/v1/slow/a"),
        (world.one, "/v1/slow/b"),
        (world.two, "/v1/slow/a"),
        (world.operator, "/v1/slow/a"),
    ]
    answers = [await caller.post(path, {"name": "n"}, **with_key("k")) for caller, path in callers]
    assert [a.json["ran"] for a in answers] == [1, 2, 3, 4]
    other_key = await world.key("one", "*")
    again = await other_key.post("/v1/slow/a", {"name": "n"}, **with_key("k"))
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_twenty_at_once_are_one(world: World) -> None:
    GATE["open"].set()
    answers = await asyncio.gather(
        *(world.one.post("/v1/slow/a", {"name": "n"}, **with_key("k")) for _ in range(20))
    )
    assert RUNS == ["n"]
    made = [a for a in answers if a.status == 201]
    assert len({a.body for a in made}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in made) == 1
    for answer in answers:
        if answer.status != 201:
            assert (answer.status, answer.code) == (409, "idempotency_in_progress")


async def test_keys_out_of_bounds_are_refused(world: World) -> None:
    for key in ("", "x" * 256, "naïve", "tab\tinside"):
        answer = await world.operator.post(PATH, {"name": "x"}, **with_key(key))
        assert answer.status == 422, key
        assert answer.json["errors"][0]["field"] == "Idempotency-Key"


async def test_the_longest_key_is_taken(world: World) -> None:
    key = "~ !" + "k" * 252
    assert (await world.operator.post(PATH, {"name": "x"}, **with_key(key))).status == 201
    again = await world.operator.post(PATH, {"name": "x"}, **with_key(key))
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_the_purge_keeps_a_day_and_all_that_moved_money(world: World) -> None:
    now = world.context.clock.now()
    old, young = now - timedelta(hours=25), now - timedelta(hours=23)
    rows = {
        "POST /v1/invoices": (old, False),
        "POST /v1/merchants": (young, True),
        "POST /v1/payouts": (old, True),
        "POST /v1/payout_batches": (old, True),
        "POST /v1/transfers": (old, True),
        "POST /v1/conversions": (old, True),
        f"POST /v1/invoices/{ids.show('inv', ids.new())}/refunds": (old, True),
        f"POST /v1/wallets/{ids.show('wal', ids.new())}/payouts": (old, True),
        f"POST /v1/invoices/{ids.show('inv', ids.new())}/cancel": (old, False),
    }
    async with world.context.database.begin() as session:
        for route, (moment, _) in rows.items():
            session.add(
                IdempotencyKey(
                    scope=world.ids["one"],
                    route=route,
                    key="k",
                    fingerprint=b"",
                    status=201,
                    body=b"",
                    created_at=moment,
                )
            )
    async with world.context.database.begin() as session:
        assert await purge(session, now) == 2
    async with world.context.database.read() as session:
        kept = set(await session.scalars(select(IdempotencyKey.route)))
    assert kept == {route for route, (_, stays) in rows.items() if stays}
