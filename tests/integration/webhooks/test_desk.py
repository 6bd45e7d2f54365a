"""What is leased by the statement that emits it: sent at once and once; by others after a crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from core.clock import wall
from core.context import Context
from core.db import raw
from tests.integration.webhooks.conftest import (
    Receiver,
    delivering,
    listen_at,
    rows,
    tell,
    until,
)
from webhooks.desk import Desk, Lease
from webhooks.events import NewEvent, emit_on
from webhooks.queue import Due

PENDING = "select count(*) from deliveries where status = 'pending'"
LEASED = "select count(*) from deliveries where leased_until is not null"


async def emit_leased(
    context: Context, merchant_id: UUID, lease: Lease | None, *subjects: str
) -> list[Due]:
    """One committed transaction; what it leased."""
    told = [NewEvent(merchant_id, "refund.paid", one, {"id": one}) for one in subjects]
    async with context.database.begin() as session:
        emitted = await emit_on(await raw(session), told, context.clock.now(), lease)
        assert emitted is not None
        return await emitted.leased()


def for_a_minute(room: int, busy: Sequence[UUID] = ()) -> Lease:
    return Lease(wall() + timedelta(minutes=1), busy, room)


async def test_the_first_go_out_without_a_claim_the_others_behind_them(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    desk, room = Desk(), 4
    assert desk.offer() is None
    await listen_at(context, shop, receiver.url)
    async with (
        delivering(context, per_endpoint=room, desk=desk),
        delivering(context, poll_seconds=0.01),
    ):
        for batch in range(20):
            await until(context, PENDING, 0)
            lease = desk.offer()
            assert lease is not None
            due = await emit_leased(
                context, shop, lease, *(f"inv_{batch}_{n}" for n in range(room + 3))
            )
            assert 1 <= len(due) <= room
            desk.take(due)
        await until(context, PENDING, 0)
    sent = Counter(got.id for got in receiver.received)
    assert len(sent) == 20 * (room + 3)
    assert set(sent.values()) == {1}
    assert (await rows(context, LEASED))[0][0] == 0
    assert desk.offer() is None


async def test_what_is_leased_is_what_a_claim_would_have_given(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    _, secret = await listen_at(context, shop, receiver.url)
    first, second = await emit_leased(context, shop, for_a_minute(2), "inv_1", "inv_2", "inv_3")
    assert first.event_id < second.event_id
    [(body, created)] = await rows(
        context, "select body, created_at from events where id = %s", first.event_id
    )
    [(id_, leased_until, due_at, endpoint)] = await rows(
        context,
        "select id, leased_until, due_at, endpoint_id from deliveries where event_id = %s",
        first.event_id,
    )
    assert (first.body, first.id, first.leased_until) == (body, id_, leased_until)
    assert (first.endpoint_id, first.url, first.merchant_id) == (endpoint, receiver.url, shop)
    assert (first.attempts, first.enabled, first.original) == (0, True, due_at == created)
    assert first.secret is not None
    place = f"webhook_endpoints.secret:{endpoint}"
    assert context.secrets.open(first.secret, place).decode() == secret


async def test_whoever_leased_and_died_is_taken_over_from_when_the_lease_ends(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    await listen_at(context, shop, receiver.url)
    ends = wall() + timedelta(milliseconds=300)
    assert len(await emit_leased(context, shop, Lease(ends, (), 4), "inv_1")) == 1
    async with delivering(context, poll_seconds=0.05):
        await receiver.gets(1)
        assert wall() >= ends
        await until(context, PENDING, 0)
    assert len(receiver.received) == 1


async def test_a_fact_that_was_rolled_back_leaves_nothing_to_send(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    await listen_at(context, shop, receiver.url)
    async with context.database.rehearse() as session:
        told = [NewEvent(shop, "refund.paid", "inv_1", {"id": "inv_1"})]
        emitted = await emit_on(await raw(session), told, context.clock.now(), for_a_minute(4))
        assert emitted is not None
        assert len(await emitted.leased()) == 1
    assert await rows(context, "select id from deliveries") == []


async def test_nothing_is_leased_past_what_waits_nor_of_a_busy_endpoint(
    context: Context, shop: UUID, receiver: Receiver
) -> None:
    here, _ = await listen_at(context, shop, receiver.url)
    assert await emit_leased(context, shop, for_a_minute(4, [here]), "inv_1") == []
    assert await emit_leased(context, shop, for_a_minute(4), "inv_2") == []
    assert await emit_leased(context, shop, None, "inv_3") == []
    other, _ = await listen_at(context, shop, receiver.url)
    leased = await emit_leased(context, shop, for_a_minute(1), "inv_4", "inv_5")
    assert [due.endpoint_id for due in leased] == [other]
    await tell(context, shop, "inv_6")
    async with delivering(context, poll_seconds=0.05):
        await receiver.gets(6 + 2)  # all but the one that is leased to nobody here
        await until(context, PENDING, 1)
