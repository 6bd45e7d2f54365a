"""One statement stores the events and queues a delivery for each endpoint that listens."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from core import ids
from core.db import Database, raw
from webhooks.events import NewEvent, emit

NOW = datetime(2026, 11, 22, 10, 0, 0, 123456, UTC)


async def merchant(database: Database) -> UUID:
    new = ids.new()
    async with database.begin() as session:
        await (await raw(session)).execute(
            "insert into merchants (id, name, settle_in, spread_percent, payout_fee,"
            " webhook_secret, created_at) values (%s, 'm', 'crypto', '0', 'house', '', now())",
            [new],
        )
    return new


async def endpoint(
    database: Database,
    merchant_id: UUID,
    events: list[str],
    *,
    per_invoice: bool = False,
    status: str = "enabled",
) -> UUID:
    new = ids.new()
    async with database.begin() as session:
        await (await raw(session)).execute(
            "insert into webhook_endpoints (id, merchant_id, url, events, per_invoice, status,"
            " created_at) values (%s, %s, 'https://shop.example/', %s, %s, %s, now())",
            [new, merchant_id, events, per_invoice, status],
        )
    return new


async def told(database: Database) -> set[tuple[str, UUID]]:
    async with database.statement() as connection:
        cursor = await connection.execute(
            "select e.type, d.endpoint_id from deliveries d join events e on e.id = d.event_id"
        )
        return {(row[0], row[1]) for row in await cursor.fetchall()}


async def test_who_hears_of_what(database: Database) -> None:
    shop, other = await merchant(database), await merchant(database)
    everything = await endpoint(database, shop, ["*"])
    invoices = await endpoint(database, shop, ["invoice.*", "deposit.seen"])
    exact = await endpoint(database, shop, ["invoice.settled"])
    await endpoint(database, shop, ["*"], status="disabled")
    one_invoice = await endpoint(database, shop, ["*"], per_invoice=True)
    foreign = await endpoint(database, other, ["*"])
    async with database.begin() as session:
        await emit(
            session,
            [
                NewEvent(shop, "invoice.settled", "inv_1", {"id": "inv_1"}),
                NewEvent(shop, "invoice.created", "inv_2", {"id": "inv_2"}, one_invoice),
                NewEvent(shop, "deposit.confirmed", "dep_1", {}),
                NewEvent(shop, "deposit.seen", "dep_1", {}, exact),
                NewEvent(None, "price.unavailable", "ETH/USD", {}),
            ],
            NOW,
        )
    assert await told(database) == {
        ("invoice.settled", everything),
        ("invoice.settled", invoices),
        ("invoice.settled", exact),
        ("invoice.created", everything),
        ("invoice.created", invoices),
        ("invoice.created", one_invoice),
        ("deposit.confirmed", everything),
        ("deposit.seen", everything),
        ("deposit.seen", invoices),
        ("deposit.seen", exact),
    }
    async with database.begin() as session:
        await emit(session, [NewEvent(other, "invoice.settled", "inv_3", {})], NOW)
    assert ("invoice.settled", foreign) in await told(database)


async def test_the_body_is_kept_as_rendered_and_ids_follow_the_order(database: Database) -> None:
    shop = await merchant(database)
    await endpoint(database, shop, ["*"])
    given = [
        NewEvent(shop, "deposit.seen", f"dep_{n}", {"n": n, "amount": "1.00"}) for n in range(200)
    ]
    async with database.begin() as session:
        await emit(session, given, NOW)
    async with database.statement() as connection:
        cursor = await connection.execute("select id, body, created_at from events order by id")
        rows = await cursor.fetchall()
        cursor = await connection.execute("select count(distinct id) from deliveries")
        count = await cursor.fetchone()
    assert [json.loads(body)["data"]["object"]["n"] for _, body, _ in rows] == list(range(200))
    assert rows[0][1] == (
        f'{{"id":"{ids.show("evt", rows[0][0])}","type":"deposit.seen",'
        '"timestamp":"2026-11-22T10:00:00.123Z","data":{"object":{"n":0,"amount":"1.00"}}}'
    )
    assert count == (200,)


async def test_a_rolled_back_fact_was_never_told(database: Database) -> None:
    shop = await merchant(database)
    await endpoint(database, shop, ["*"])

    async def fail() -> None:
        async with database.begin() as session:
            await emit(session, [NewEvent(shop, "invoice.created", "inv_1", {})], NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await told(database) == set()
