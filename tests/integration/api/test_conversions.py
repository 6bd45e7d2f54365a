"""Conversions over HTTP: operators only, once by key, a quote once and in time."""

from __future__ import annotations

from core import ids
from exchanges.numbers import ONE
from tests.integration.api.conftest import World
from tests.integration.treasury.converting import Converting, sell_eth


async def desk_of(world: World) -> Converting:
    desk = Converting(world.context)
    await desk.open()
    return desk


async def test_accepted_once_and_shown(world: World) -> None:
    desk = await desk_of(world)
    operator = await world.key(None, "treasury:read", "treasury:write")
    quote = ids.show("qte", await desk.quote(sell_eth()))
    once = {"Idempotency-Key": "one"}
    made = await operator.post("/v1/conversions", {"quote": quote}, headers=once)
    assert made.status == 201
    body = made.json
    assert (body["object"], body["status"], body["quote"]) == ("conversion", "accepted", quote)
    assert body["quoted"] == {"from_amount": "2", "to_amount": "3996.00"}
    assert [leg["status"] for leg in body["legs"]] == ["prepared"]
    again = await operator.post("/v1/conversions", {"quote": quote}, headers=once)
    assert again.json == body
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await operator.post(
        "/v1/conversions", {"quote": quote}, headers={"Idempotency-Key": "two"}
    )
    assert (other.status, other.code) == (409, "quote_used")

    number = ids.read("cnv", body["id"])
    assert number is not None
    await desk.until(number, "filled")
    shown = (await operator.get(f"/v1/conversions/{body['id']}")).json
    assert (shown["from_amount"], shown["to_amount"]) == ("2", "3996.00")
    assert shown["legs"][0]["average_price"] == "2000.00"
    listed = (await operator.get("/v1/conversions?status=filled")).json
    assert listed["data"] == [shown]
    assert (await operator.get("/v1/conversions?status=failed")).json["data"] == []


async def test_refusals(world: World) -> None:
    desk = await desk_of(world)
    operator = await world.key(None, "treasury:read", "treasury:write")
    quote = {"quote": ids.show("qte", await desk.quote(sell_eth(), seconds=-1))}
    without = await operator.post("/v1/conversions", quote)
    assert (without.status, without.code) == (422, "idempotency_key_required")
    key = {"Idempotency-Key": "one"}
    expired = await operator.post("/v1/conversions", quote, headers=key)
    assert (expired.status, expired.code) == (409, "quote_expired")
    dear = {"quote": ids.show("qte", await desk.quote(sell_eth(101 * ONE)))}
    short = await operator.post("/v1/conversions", dear, headers=key)
    assert (short.status, short.code) == (409, "insufficient_funds")
    for unknown in ("qte_none", ids.show("qte", ids.new())):
        none = await operator.post("/v1/conversions", {"quote": unknown}, headers=key)
        assert (none.status, none.code) == (404, "not_found")
    assert (await operator.get(f"/v1/conversions/{ids.show('cnv', ids.new())}")).status == 404
    reader = await world.key(None, "treasury:read")
    assert (await reader.post("/v1/conversions", quote, headers=key)).status == 403
