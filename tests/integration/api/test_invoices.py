"""/v1/invoices over HTTP: what is made, what is refused, once."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy import func, select, text

from api.schemas import Invoice as Shown
from core import ids
from core.tables import IdempotencyKey
from merchants import merchants
from payments.tables import Invoice
from tests.integration.api.conftest import NETWORK, World

PATH = "/v1/invoices"
GOOD: dict[str, Any] = {"amount": "25.00", "currency": "USD"}

# What is wrong, and the field that is named.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"amount": None}, "amount"),
    ({"amount": 25}, "amount"),
    ({"amount": 25.5}, "amount"),
    ({"amount": True}, "amount"),
    ({"amount": 10**80}, "amount"),
    ({"amount": "1" + "0" * 80}, "amount"),
    ({"amount": "NaN"}, "amount"),
    ({"amount": "Infinity"}, "amount"),
    ({"amount": "1e400"}, "amount"),
    ({"amount": "1e2"}, "amount"),
    ({"amount": "-1"}, "amount"),
    ({"amount": "+1"}, "amount"),
    ({"amount": " 1"}, "amount"),
    ({"amount": "1\n"}, "amount"),
    ({"amount": "1,5"}, "amount"),
    ({"amount": ".5"}, "amount"),
    ({"amount": "5."}, "amount"),
    ({"amount": ""}, "amount"),
    ({"amount": "0x10"}, "amount"),
    ({"amount": "２５"}, "amount"),
    ({"amount": "0"}, "amount"),
    ({"amount": "0.00"}, "amount"),
    ({"amount": "1.001"}, "amount"),
    ({"amount": "1." + "1" * 30}, "amount"),
    ({"amount": "1." + "0" * 31}, "amount"),
    ({"amount": {"amount": "25.00", "asset": "USD"}}, "amount"),
    ({"currency": "XXX"}, "currency"),
    ({"currency": "usd"}, "currency"),
    ({"currency": ""}, "currency"),
    ({"currency": 978}, "currency"),
    ({"assets": []}, "assets"),
    ({"assets": "ETH"}, "assets"),
    ({"assets": ["DOGE"]}, "assets.0"),
    ({"assets": [1]}, "assets.0"),
    ({"networks": []}, "networks"),
    ({"networks": ["eip155:5"]}, "networks.0"),
    ({"networks": ["mainnet"]}, "networks.0"),
    ({"expires_in": 59}, "expires_in"),
    ({"expires_in": 604_801}, "expires_in"),
    ({"expires_in": "900"}, "expires_in"),
    ({"expires_in": 900.5}, "expires_in"),
    ({"expires_in": True}, "expires_in"),
    ({"expires_in": None}, "expires_in"),
    ({"expires_in": 10**80}, "expires_in"),
    ({"tolerance_percent": "5.1"}, "tolerance_percent"),
    ({"tolerance_percent": "-1"}, "tolerance_percent"),
    ({"tolerance_percent": 1}, "tolerance_percent"),
    ({"tolerance_percent": "10"}, "tolerance_percent"),
    ({"reference": ""}, "reference"),
    ({"reference": "r" * 256}, "reference"),
    ({"reference": 1001}, "reference"),
    ({"description": "d" * 1001}, "description"),
    ({"metadata": None}, "metadata"),
    ({"metadata": []}, "metadata"),
    ({"metadata": {"key": 1}}, "metadata.key"),
    ({"metadata": {"key": None}}, "metadata.key"),
    ({"metadata": {"key": "v" * 501}}, "metadata.key"),
    ({"metadata": {"": "v"}}, "metadata."),
    ({"metadata": {"k" * 41: "v"}}, "metadata." + "k" * 41),
    ({"metadata": {str(n): "v" for n in range(51)}}, "metadata"),
    ({"success_url": "javascript:alert(1)"}, "success_url"),
    ({"success_url": "ftp://shop.example"}, "success_url"),
    ({"success_url": "https://"}, "success_url"),
    ({"success_url": "https://a b"}, "success_url"),
    ({"success_url": "https://a/" + "p" * 2048}, "success_url"),
    ({"webhook_url": "not a url"}, "webhook_url"),
    ({"webhook_url": "https://127.0.0.1/hook"}, "webhook_url"),
    ({"webhook_url": "http://169.254.169.254/latest"}, "webhook_url"),
    ({"surprise": 1}, "surprise"),
    ({"status": "settled"}, "status"),
    ({"merchant": "mer_x"}, "merchant"),
]


async def invoices(world: World) -> int:
    async with world.context.database.read() as session:
        return await session.scalar(select(func.count()).select_from(Invoice)) or 0


async def test_an_invoice_is_made_and_shown(world: World) -> None:
    made = await world.one.post(
        PATH,
        {
            **GOOD,
            "reference": "order-1001",
            "description": "Two lamps",
            "metadata": {"k" * 40: "v" * 500, "emoji": "\U0001f4a1"},
            "success_url": "https://shop.example/thanks?order=1001",
            "tolerance_percent": "0.5",
            "expires_in": 60,
        },
    )
    assert made.status == 201, made.body
    Shown.model_validate(made.json)
    assert made.json["status"] == "new"
    assert made.json["metadata"] == {"k" * 40: "v" * 500, "emoji": "\U0001f4a1"}
    assert {o["asset"] for o in made.json["payment_options"]} == {"ETH", "USDC"}
    assert made.json["payment_options"][0]["amount"] == "0.010000000000000000"
    shown = await world.one.get(f"{PATH}/{made.json['id']}")
    assert shown.json == made.json
    listed = (await world.one.get(f"{PATH}?reference=order-1001&status=new")).json
    assert listed["data"] == [made.json]
    timeline = (await world.one.get(f"{PATH}/{made.json['id']}/timeline")).json
    assert [line["type"] for line in timeline["data"]] == ["invoice.created"]


async def test_a_delivery_is_never_told_before_its_event(world: World) -> None:
    """Attempts have wall time, and a sandbox's clock runs ahead of it."""
    await world.one.post("/v1/webhook_endpoints", {"url": "https://shop.example/hook"})
    made = (await world.one.post(PATH, GOOD)).json
    async with world.context.database.begin() as session:
        await session.execute(
            text(
                "insert into delivery_attempts (delivery_id, attempt, at, duration_ms)"
                " select id, 1, now() - interval '1 day', 5 from deliveries"
            )
        )
    timeline = (await world.one.get(f"{PATH}/{made['id']}/timeline")).json
    assert [line["kind"] for line in timeline["data"]] == ["event", "delivery"]


async def test_only_what_the_merchant_accepts_is_offered(world: World) -> None:
    async with world.context.database.begin() as session:
        await merchants.update(
            session, world.context, world.ids["one"], {"accepts": [(NETWORK, "USDC")]}
        )
    made = (await world.one.post(PATH, GOOD)).json
    assert [o["asset"] for o in made["payment_options"]] == ["USDC"]
    refused = await world.one.post(PATH, {**GOOD, "assets": ["ETH"]})
    assert (refused.status, refused.json["errors"][0]["field"]) == (422, "assets.0")


async def test_what_is_wrong_is_named_and_makes_nothing(world: World) -> None:
    for change, field in BAD:
        answer = await world.one.post(PATH, {**GOOD, **change})
        assert answer.status == 422, (change, answer.body)
        assert answer.headers["content-type"] == "application/problem+json"
        assert [e["field"] for e in answer.json["errors"]] == [field], change
    assert await invoices(world) == 0


async def test_the_largest_amount_that_can_be_written_is_no_failure(world: World) -> None:
    for currency in ("USD", "ETH", "USDC"):
        made = await world.one.post(PATH, {"amount": "9" * 60, "currency": currency})
        assert made.status in (201, 422), made.body
        if made.status == 201:
            assert (await world.one.get(f"{PATH}/{made.json['id']}")).json == made.json


async def test_several_wrong_fields_are_all_named(world: World) -> None:
    answer = await world.one.post(PATH, {"amount": 1, "metadata": {"a": 1, "b": 2}, "x": 1})
    fields = {e["field"] for e in answer.json["errors"]}
    assert fields == {"amount", "currency", "metadata.a", "metadata.b", "x"}


async def test_no_price_no_invoice(world: World) -> None:
    async with world.context.database.begin() as session:
        await session.execute(text("delete from prices"))
    answer = await world.one.post(PATH, GOOD, headers={"Idempotency-Key": "k"})
    assert (answer.status, answer.code) == (503, "price_unavailable")
    async with world.context.database.read() as session:
        assert not (await session.scalars(select(IdempotencyKey))).all()


async def test_twenty_at_once_with_one_key_are_one_invoice(world: World) -> None:
    answers = await asyncio.gather(
        *(world.one.post(PATH, GOOD, headers={"Idempotency-Key": "k"}) for _ in range(20))
    )
    made = [a for a in answers if a.status == 201]
    assert len({a.body for a in made}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in made) == 1
    for answer in answers:
        if answer.status != 201:
            assert (answer.status, answer.code) == (409, "idempotency_in_progress")
    assert await invoices(world) == 1
    again = await world.one.post(PATH, GOOD, headers={"Idempotency-Key": "k"})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.body == made[0].body
    other = await world.one.post(PATH, {**GOOD, "amount": "1"}, headers={"Idempotency-Key": "k"})
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    elsewhere = await world.two.post(PATH, GOOD, headers={"Idempotency-Key": "k"})
    assert elsewhere.json["id"] != again.json["id"]


async def test_a_refused_invoice_leaves_its_key_free(world: World) -> None:
    key = {"Idempotency-Key": "k"}
    assert (await world.one.post(PATH, {**GOOD, "currency": "XXX"}, headers=key)).status == 422
    assert (await world.one.post(PATH, GOOD, headers=key)).status == 201


async def test_cancel_and_mark(world: World) -> None:
    first, second = [(await world.one.post(PATH, GOOD)).json["id"] for _ in range(2)]
    cancelled = await world.one.post(f"{PATH}/{first}/cancel", headers={"Idempotency-Key": "c"})
    assert cancelled.json["status"] == "expired"
    again = await world.one.post(f"{PATH}/{first}/cancel", headers={"Idempotency-Key": "c"})
    assert (again.body, again.headers["Idempotency-Replayed"]) == (cancelled.body, "true")
    marked = await world.one.post(
        f"{PATH}/{second}/mark", {"status": "settled", "reason": "paid in cash"}
    )
    assert (marked.json["status"], marked.json["exception"]) == ("settled", "marked")
    for body, field in (
        ({"status": "settled"}, "reason"),
        ({"status": "new", "reason": "x"}, "status"),
        ({"status": "settled", "reason": ""}, "reason"),
    ):
        answer = await world.one.post(f"{PATH}/{second}/mark", body)
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, field)


async def test_what_is_not_there_yet_says_so(world: World) -> None:
    invoice = (await world.one.post(PATH, GOOD)).json["id"]
    answer = await world.one.get(f"{PATH}/{invoice}/evidence")
    assert (answer.status, answer.code) == (422, "not_available")
    nobody = f"{PATH}/inv_01h455vb4pex5vsknk084sn02q"
    assert (await world.one.get(f"{nobody}/evidence")).status == 404


async def test_an_operator_reads_all_and_writes_for_nobody(world: World) -> None:
    made = (await world.one.post(PATH, GOOD)).json
    await world.two.post(PATH, GOOD)
    assert (await world.operator.get(f"{PATH}/{made['id']}")).json == made
    assert len((await world.operator.get(PATH)).json["data"]) == 2
    assert (await world.operator.post(PATH, GOOD)).status == 403
    assert (await world.operator.post(f"{PATH}/{made['id']}/cancel")).status == 403


QUERIES = [
    ("status=paid", "status"),
    ("status=", "status"),
    ("created_after=yesterday", "created_after"),
    ("created_after=1700000000", "created_after"),
    ("created_after=2026-01-01", "created_after"),
    ("created_after=2026-01-01T00:00:00", "created_after"),
    ("created_after=0000-01-01T00:00:00Z", "created_after"),
    ("created_after=0001-01-01T00:00:00%2B14:00", "created_after"),
    ("reference=" + "r" * 256, "reference"),
    ("cursor=inv_x", "cursor"),
]


async def test_filters_that_cannot_be_are_refused(world: World) -> None:
    for query, field in QUERIES:
        answer = await world.one.get(f"{PATH}?{query}")
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, field), query


async def test_created_after_filters(world: World) -> None:
    made = (await world.one.post(PATH, GOOD)).json
    for query, count in (
        ("2000-01-01T00:00:00Z", 1),
        ("2000-01-01T00:00:00.123456789+02:00", 1),
        ("2000-01-01T00:00:00%2B02:00", 1),
        ("2999-01-01T00:00:00Z", 0),
    ):
        page = (await world.one.get(f"{PATH}?created_after={query}")).json
        assert len(page["data"]) == count, query
    assert ids.read("inv", made["id"]) is not None
