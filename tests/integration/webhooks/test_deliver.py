"""Deliveries over real sockets: signatures, refusals, retries, rotation, log."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from standardwebhooks import Webhook, WebhookVerificationError

from core.context import Context
from tests.integration.webhooks.conftest import (
    Received,
    Receiver,
    delivering,
    listen_at,
    move,
    ok,
    receiving,
    rows,
    says,
    tell,
    until,
)
from webhooks import deliveries, endpoints
from webhooks.events import NewEvent, emit
from webhooks.schedule import SCHEDULE

PENDING = "select count(*) from deliveries where status = 'pending'"
ATTEMPTS = "select max(attempts) from deliveries"


def measured() -> tuple[float, float]:
    """What Prometheus has counted: deliveries, and how many of them were timed."""
    value = REGISTRY.get_sample_value
    delivered = value("bezant_webhook_deliveries_total", {"outcome": "delivered"})
    return delivered or 0, value("bezant_seen_to_webhook_seconds_count") or 0


async def test_what_arrives_is_signed_and_exact(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    endpoint, secret = await listen_at(context, shop, receiver.url)
    before = measured()
    async with delivering(context):
        await tell(context, shop, "inv_1")
        [got] = await receiver.gets(1)
        await until(context, PENDING, 0)
    assert measured() == (before[0] + 1, before[1] + 1)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    Webhook(secret).verify(got.body, got.headers)
    assert (await rows(context, "select body from events")) == [(got.body,)]
    assert got.id == json.loads(got.body)["id"]
    assert got.headers["Content-Type"] == "application/json"
    async with context.database.read() as session:
        [shown], more = await deliveries.page(session, endpoint, limit=20, cursor=None)
    assert not more
    assert (shown["status"], shown["type"], shown["event"]) == ("delivered", "refund.paid", got.id)
    [attempt] = shown["attempts"]
    assert (attempt["attempt"], attempt["status_code"], attempt["response"]) == (1, 200, "thanks")


async def test_the_whole_schedule_then_the_endpoint_is_disabled_and_the_others_hear_of_it(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    dead, _ = await listen_at(context, shop, receiver.url, ("refund.*",))
    receiver.answer = says(500)
    async with receiving() as other, delivering(context):
        await listen_at(context, shop, other.url, ("webhook_endpoint.disabled",))
        await tell(context, shop, "inv_1")
        for attempt, delay in enumerate(SCHEDULE[1:], 1):
            await receiver.gets(attempt)
            await until(context, ATTEMPTS, attempt)
            [(due,)] = await rows(context, "select due_at from deliveries")
            wait = (due - context.clock.now()).total_seconds()
            assert delay * 0.95 - 3 < wait <= delay
            move(context, delay)
        [notice] = await other.gets(1)
        await until(context, PENDING, 0)
    assert len({got.id for got in receiver.received}) == 1
    assert len(receiver.received) == len(SCHEDULE)
    stamps = [int(got.headers["webhook-timestamp"]) for got in receiver.received]
    assert max(stamps) - min(stamps) < 60  # wall time, however far the test clock went
    assert json.loads(notice.body)["data"]["object"]["disabled_reason"] == "10 attempts failed"
    states = "select d.status, e.status from deliveries d join webhook_endpoints e"
    found = await rows(context, f"{states} on e.id = d.endpoint_id where e.id = %s", dead)
    assert found == [("failed", "disabled")]
    log = await rows(
        context,
        "select a.attempt, a.status_code from delivery_attempts a"
        " join deliveries d on d.id = a.delivery_id where d.endpoint_id = %s order by 1",
        dead,
    )
    assert log == [(n, 500) for n in range(1, 11)]


async def test_410_disables_the_endpoint_and_what_waits_for_it(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    await listen_at(context, shop, receiver.url)
    receiver.answer = says(500)
    async with delivering(context):
        await tell(context, shop, "inv_1")
        await until(context, ATTEMPTS, 1)
        receiver.answer = says(410)
        await tell(context, shop, "inv_2")
        await until(context, PENDING, 0)
        await tell(context, shop, "inv_3")
    assert await rows(context, "select status, attempts from deliveries order by event_id") == [
        ("disabled", 1),
        ("disabled", 1),
    ]
    found = await rows(context, "select status, disabled_reason from webhook_endpoints")
    assert found == [("disabled", "the endpoint answered 410 Gone")]


async def test_a_redirect_fails_and_is_not_followed(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    async with receiving() as elsewhere, delivering(context):
        receiver.answer = says(307, location=elsewhere.url)
        await listen_at(context, shop, receiver.url)
        await tell(context, shop, "inv_1")
        await until(context, ATTEMPTS, 1)
        assert elsewhere.received == []
    assert await rows(context, "select status_code, response from delivery_attempts") == [
        (307, "no")
    ]
    assert await rows(context, PENDING) == [(1,)]


async def test_silence_fails_after_the_timeout(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    forever = asyncio.Event()

    async def hang(_: Received) -> web.StreamResponse:
        await forever.wait()
        return web.Response()

    receiver.answer = hang
    await listen_at(context, shop, receiver.url)
    async with delivering(context, timeout=0.2):
        await tell(context, shop, "inv_1")
        await until(context, ATTEMPTS, 1)
    forever.set()
    [(code, error, took)] = await rows(
        context, "select status_code, error, duration_ms from delivery_attempts"
    )
    assert (code, error) == (None, "no answer in time")
    assert 200 <= took < 2000


async def test_nobody_there_is_a_failure_like_another(context: Context, shop: UUID) -> None:
    async with receiving() as gone:
        url = gone.url
    await listen_at(context, shop, url)
    async with delivering(context):
        await tell(context, shop, "inv_1")
        await until(context, ATTEMPTS, 1)
    [(error,)] = await rows(context, "select error from delivery_attempts")
    assert error.startswith("ClientConnectorError")


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_puts_the_next_attempt_off(
    context: Context, shop: UUID, receiver: Receiver, status: int
) -> None:
    receiver.answer = says(status, retry_after="600")
    await listen_at(context, shop, receiver.url)
    async with delivering(context):
        await tell(context, shop, "inv_1")
        await until(context, ATTEMPTS, 1)
        [(due,)] = await rows(context, "select due_at from deliveries")
        assert due > context.clock.now() + timedelta(seconds=590)
        receiver.answer = ok
        move(context, 601)
        await until(context, PENDING, 0)
    assert len(receiver.received) == 2


async def test_both_secrets_sign_for_a_day_after_a_rotation(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    endpoint, old = await listen_at(context, shop, receiver.url)
    async with context.database.begin() as session:
        _, new = await endpoints.rotate(session, context, shop, endpoint, context.clock.now())
    async with delivering(context):
        await tell(context, shop, "inv_1")
        [first] = await receiver.gets(1)
        Webhook(old).verify(first.body, first.headers)
        Webhook(new).verify(first.body, first.headers)
        move(context, 24 * 3600 + 1)
        await tell(context, shop, "inv_2")
        second = (await receiver.gets(2))[1]
        Webhook(new).verify(second.body, second.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(old).verify(second.body, second.headers)


async def test_an_invoices_own_url_is_signed_with_the_merchants_secret_until_it_is_rotated(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    async with context.database.begin() as session:
        [(sealed,)] = await rows(context, "select webhook_secret from merchants")
        merchants_secret = context.secrets.open(sealed, f"merchants.webhook_secret:{shop}").decode()
        now = context.clock.now()
        endpoint = await endpoints.for_url(session, context, shop, receiver.url, now)
        assert await endpoints.for_url(session, context, shop, receiver.url, now) == endpoint
    async with delivering(context):
        await tell_one(context, shop, endpoint, now)
        [first] = await receiver.gets(1)
        Webhook(merchants_secret).verify(first.body, first.headers)
        async with context.database.begin() as session:
            _, new = await endpoints.rotate(session, context, shop, endpoint, now)
        await tell_one(context, shop, endpoint, now)
        second = (await receiver.gets(2))[1]
        Webhook(merchants_secret).verify(second.body, second.headers)
        Webhook(new).verify(second.body, second.headers)


async def tell_one(context: Context, shop: UUID, endpoint: UUID, now: datetime) -> None:
    async with context.database.begin() as session:
        await emit(session, [NewEvent(shop, "invoice.created", "inv_1", {}, endpoint)], now)


async def test_what_a_server_answers_cannot_hurt(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    async def nonsense(_: Received) -> web.StreamResponse:
        return web.Response(body=b"\0\xff" * 500_000, headers={"set-cookie": "a=b"})

    receiver.answer = nonsense
    await listen_at(context, shop, receiver.url)
    async with delivering(context):
        await tell(context, shop, "inv_1")
        await tell(context, shop, "inv_2")
        await until(context, PENDING, 0)
    assert [len(r[0]) for r in await rows(context, "select response from delivery_attempts")] == [
        1000,
        1000,
    ]
    assert not any("cookie" in name.lower() for got in receiver.received for name in got.headers)
