"""/healthz, /readyz, /metrics."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from core.context import Context
from core.schema import newest
from tests.integration.api.conftest import NETWORK, World


async def follow(context: Context, seconds_ago: int, halted: str | None = None) -> None:
    moment = context.clock.now() - timedelta(seconds=seconds_ago)
    async with context.database.begin() as session:
        await session.execute(text("delete from network_cursors"))
        await session.execute(
            text(
                "insert into network_cursors values (:network, 90, '0xaa', 7, '0x00', 100, null,"
                " null, :moment, false, :halted, '[]', :moment)"
            ),
            {"network": NETWORK, "moment": moment, "halted": halted},
        )


async def failing(world: World) -> dict[str, Any]:
    answer = await world.stranger.get("/readyz")
    checks: dict[str, Any] = answer.json["checks"]
    bad = {name: check for name, check in checks.items() if not check["ok"]}
    assert (answer.status == 503) == bool(bad)
    assert (answer.json["status"] == "ready") == (not bad)
    return bad


async def test_the_process_is_healthy(world: World) -> None:
    assert (await world.stranger.get("/healthz")).json == {"status": "ok"}


async def test_ready_when_all_is_well(world: World) -> None:
    await follow(world.context, 1)
    assert await failing(world) == {}
    answer = (await world.stranger.get("/readyz")).json["checks"]
    assert answer["migrations"]["revision"] == newest()
    assert answer[f"network {NETWORK}"]["lag_blocks"] == 10
    assert answer["price ETH/USD"]["age_seconds"] < 60


async def test_a_network_that_lags_halts_or_was_never_followed(world: World) -> None:
    assert set(await failing(world)) == {f"network {NETWORK}"}
    await follow(world.context, 121)
    assert (await failing(world))[f"network {NETWORK}"]["lag_seconds"] >= 121
    await follow(world.context, 0, halted="fork below the finalized block 36")
    assert "finalized" in (await failing(world))[f"network {NETWORK}"]["halted"]


async def test_a_price_that_is_stale_or_missing(world: World) -> None:
    await follow(world.context, 0)
    async with world.context.database.begin() as session:
        await session.execute(
            text("update prices set valid_until = :past, refused = 'too old'"),
            {"past": world.context.clock.now() - timedelta(seconds=1)},
        )
    assert (await failing(world))["price ETH/USD"]["refused"] == "too old"
    async with world.context.database.begin() as session:
        await session.execute(text("delete from prices"))
    assert set(await failing(world)) == {"price ETH/USD"}


async def test_an_older_schema_is_not_ready(world: World, database_url: str) -> None:
    await follow(world.context, 0)
    async with await psycopg.AsyncConnection.connect(database_url) as owner:
        await owner.execute("update alembic_version set version_num = '0000'")
    assert (await failing(world))["migrations"]["revision"] == "0000"


async def test_metrics_carry_lag_and_price_age(world: World) -> None:
    await follow(world.context, 30)
    answer = await world.stranger.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    assert samples["bezant_chain_lag_blocks", (NETWORK,)] == 10
    assert 30 <= samples["bezant_chain_lag_seconds", (NETWORK,)] < 60
    assert 0 <= samples["bezant_price_age_seconds", ("ETH", "USD")] < 60
