"""Bodies and parameters that must be refused, each with its documented answer and never a 500."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import func, select

from merchants.tables import Merchant
from tests.integration.api.conftest import World

JSON = {"Content-Type": "application/json"}

# Raw bodies: status and code.
RAW = {
    "empty": (b"", 400, "invalid_json"),
    "words": (b"not json", 400, "invalid_json"),
    "cut off": (b'{"name": "x"', 400, "invalid_json"),
    "two documents": (b'{"name":"x"} {"name":"y"}', 400, "invalid_json"),
    "latin-1": ('{"name": "caf\xe9"}'.encode("latin-1"), 400, "invalid_json"),
    "utf-16": ('{"name": "x"}'.encode("utf-16"), 400, "invalid_json"),
    "raw NUL": (b'{"name": "a\x00b"}', 400, "invalid_json"),
    "raw newline in text": (b'{"name": "a\nb"}', 400, "invalid_json"),
    "nested deeply": (b"[" * 100_000, 400, "bad_request"),
    "nested deeply in objects": (b'{"a":' * 5_000, 400, "bad_request"),
    "list": (b"[]", 422, "invalid_request"),
    "null": (b"null", 422, "invalid_request"),
    "text": (b'"name"', 422, "invalid_request"),
    "number": (b"1", 422, "invalid_request"),
    "NaN": (b'{"name": NaN}', 422, "invalid_request"),
    "infinity": (b'{"name": -Infinity}', 422, "invalid_request"),
    "1e400": (b'{"name": 1e400}', 422, "invalid_request"),
    "10^80": (b'{"name": 1' + b"0" * 80 + b"}", 422, "invalid_request"),
    "escaped NUL": (b'{"name": "a\\u0000b"}', 422, "invalid_request"),
    "escaped NUL in a field's name": (b'{"name": "x", "a\\u0000": 1}', 422, "invalid_request"),
    "lone surrogate": (b'{"name": "\\ud800"}', 422, "invalid_request"),
    "lone surrogate, capitals": (b'{"name": "\\uDFFF"}', 422, "invalid_request"),
    "lone surrogate as a field": (b'{"name": "x", "\\udc00": 1}', 422, "invalid_request"),
}

# Bodies of a merchant: the field that is named.
FIELDS: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"name": None}, "name"),
    ({"name": True}, "name"),
    ({"name": 12}, "name"),
    ({"name": ["x"]}, "name"),
    ({"name": "x", "id": "mer_1"}, "id"),
    ({"name": "x", "settle_in": "gold"}, "settle_in"),
    ({"name": "x", "settle_in": "fiat_at_quote"}, "settle_currency"),
    ({"name": "x", "settle_currency": "XXX"}, "settle_currency"),
    ({"name": "x", "settle_currency": "eur"}, "settle_currency"),
    ({"name": "x", "spread_percent": 1}, "spread_percent"),
    ({"name": "x", "spread_percent": "-1"}, "spread_percent"),
    ({"name": "x", "spread_percent": "１"}, "spread_percent"),
    ({"name": "x", "spread_percent": "1e2"}, "spread_percent"),
    ({"name": "x", "spread_percent": "1\n"}, "spread_percent"),
    ({"name": "x", "payout_fee": "nobody"}, "payout_fee"),
    ({"name": "x", "accepts": []}, "accepts"),
    ({"name": "x", "accepts": {}}, "accepts"),
    ({"name": "x", "accepts": [{"network": "eip155:31337"}]}, "accepts.0.asset"),
    ({"name": "x", "accepts": [{"network": "eip155:5", "asset": "ETH"}]}, "accepts.0.network"),
    ({"name": "x", "accepts": [{"network": "eip155:31337", "asset": "DAI"}]}, "accepts.0.asset"),
]


async def test_a_body_that_cannot_be_is_refused(world: World) -> None:
    for case, (body, status, code) in RAW.items():
        answer = await world.operator("POST", "/v1/merchants", data=body, headers=JSON)
        assert (answer.status, answer.code) == (status, code), case
        if status == 422:
            assert answer.json["errors"], case


async def test_fields_are_named(world: World) -> None:
    async with world.context.database.read() as session:
        before = await session.scalar(select(func.count()).select_from(Merchant))
    for body, field in FIELDS:
        answer = await world.operator.post("/v1/merchants", body)
        assert (answer.status, answer.code) == (422, "invalid_request"), body
        assert [e["field"] for e in answer.json["errors"]] == [field], body
        assert all(e["message"] for e in answer.json["errors"])
    async with world.context.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Merchant)) == before


async def test_a_body_without_a_content_type_is_read_as_json(world: World) -> None:
    body = json.dumps({"name": "x"}).encode()
    answer = await world.operator(
        "POST", "/v1/merchants", data=body, skip_auto_headers=["Content-Type"]
    )
    assert answer.status == 201


async def test_another_content_type_is_not_json(world: World) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = await world.operator(
            "POST", "/v1/merchants", data=b'{"name":"x"}', headers={"Content-Type": kind}
        )
        assert (answer.status, answer.code) == (400, "invalid_json"), kind


async def test_text_that_merely_spells_the_escape_is_taken(world: World) -> None:
    name = "a literal \\u0000 and \\ud800 and an emoji \U0001f600"
    answer = await world.operator.post("/v1/merchants", {"name": name})
    assert (answer.status, answer.json["name"]) == (201, name)


QUERIES = (
    *("limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "limit=1.0", "limit=%2B1"),
    *("limit=1_0", "limit=%EF%BC%91", "limit=true", "limit=9999999999999999999999"),
    *("cursor=x", "cursor=", "cursor=mer_x", "cursor=mer_zzzzzzzzzzzzzzzzzzzzzzzzzz"),
    *("cursor=%00", "limit=1%00", "x=%00", "cursor=" + "a" * 1000),
)


async def test_pages_that_cannot_be_are_refused(world: World) -> None:
    for query in QUERIES:
        answer = await world.operator.get(f"/v1/merchants?{query}")
        assert answer.status == 422, query
        assert answer.json["errors"][0]["field"] in ("limit", "cursor", "query"), query


async def test_ids_that_name_nothing_are_404(world: World) -> None:
    for identifier in (
        *("mer_", "mer_x", "key_01h455vb4pex5vsknk084sn02q"),
        *("mer_01h455vb4pex5vsknk084sn02q", "%F0%9F"),
    ):
        for answer in (
            await world.operator.get(f"/v1/merchants/{identifier}"),
            await world.operator("PATCH", f"/v1/merchants/{identifier}", json={"name": "x"}),
        ):
            assert (answer.status, answer.code) == (404, "not_found"), identifier


async def test_nul_in_a_path_is_refused(world: World) -> None:
    answer = await world.operator.get("/v1/merchants/mer_%00")
    assert (answer.status, answer.code) == (422, "invalid_request")
