"""/v1/reconciliations and /v1/breaks over HTTP: who may, what is shown, every refusal."""

from __future__ import annotations

from typing import Any

import pytest

from api.breaks import Break
from api.reconciliations import Reconciliation
from core import ids
from ledger.breaks import BreakKind, Difference, open_break
from tests.integration.api.conftest import NETWORK, World

HOT = f"network:{NETWORK}:hot"


@pytest.fixture
async def found(world: World) -> list[str]:
    """Two Breaks as a reconciliation opens them; their ids, oldest first."""
    made = []
    async with world.context.database.begin() as session:
        for place, kind, actual in (
            (HOT, BreakKind.MISSING_ON_CHAIN, 4),
            ("exchange:binance", BreakKind.AMOUNT, 9),
        ):
            key = f"reconciliation:chain:{NETWORK}:place:hot:ETH"
            if place != HOT:
                key = "reconciliation:venue:binance:balance:ETH"
            difference = Difference(
                key=key, kind=kind, place=place, asset="ETH", expected=5, actual=actual,
                facts={"network": NETWORK},
            )  # fmt: skip
            row = await open_break(session, difference, world.context.clock.now())
            assert row is not None
            made.append(ids.show("brk", row.id))
    return made


async def test_a_run_is_asked_for_once(world: World) -> None:
    headers = {"Idempotency-Key": "k"}
    answer = await world.operator.post("/v1/reconciliations", {"scope": "chain"}, headers=headers)
    assert answer.status == 202, answer.body
    made = answer.json
    Reconciliation.model_validate(made)
    assert (made["status"], made["scope"], made["trigger"]) == ("running", "chain", "command")
    assert (made["blocks"], made["venues"], made["compared"]) == ([], [], 0)
    again = await world.operator.post("/v1/reconciliations", {"scope": "chain"}, headers=headers)
    assert again.body == answer.body
    everything = await world.operator.post("/v1/reconciliations")
    assert everything.json["scope"] == "all"
    path = f"/v1/reconciliations/{made['id']}"
    assert (await world.operator.get(path)).json == made
    listed = (await world.operator.get("/v1/reconciliations?status=running")).json["data"]
    assert [one["id"] for one in listed] == [everything.json["id"], made["id"]]
    assert (await world.operator.get("/v1/reconciliations?status=clean")).json["data"] == []


@pytest.mark.parametrize("body", [{"scope": "everything"}, {"scope": None}, {"surprise": 1}])
async def test_a_run_that_nobody_can_make(world: World, body: dict[str, Any]) -> None:
    answer = await world.operator.post("/v1/reconciliations", body)
    assert (answer.status, answer.code) == (422, "invalid_request")


async def test_only_operators(world: World, found: list[str]) -> None:
    for method, path in (
        ("GET", "/v1/reconciliations"),
        ("POST", "/v1/reconciliations"),
        ("GET", "/v1/breaks"),
        ("GET", f"/v1/breaks/{found[0]}"),
        ("POST", f"/v1/breaks/{found[0]}/acknowledge"),
        ("POST", f"/v1/breaks/{found[0]}/resolve"),
    ):
        assert (await world.one(method, path)).status == 403
        assert (await world.stranger(method, path)).status == 401
    reader = await world.key(None, "treasury:read")
    assert (await reader.post("/v1/reconciliations", {})).status == 403
    for path in ("/v1/breaks/brk_01h455vb4pex5vsknk084sn02q", "/v1/reconciliations/rec_1"):
        assert (await world.operator.get(path)).code == "not_found"


async def test_breaks_are_listed(world: World, found: list[str]) -> None:
    listed = (await world.operator.get("/v1/breaks?status=open")).json["data"]
    assert [one["id"] for one in listed] == found[::-1]
    Break.model_validate(listed[1])
    assert (listed[1]["expected"], listed[1]["actual"]) == (f"0.{'0' * 17}5", f"0.{'0' * 17}4")
    assert listed[1]["difference"] == f"-0.{'0' * 17}1"
    for query, count in (
        ("kind=amount", 1), ("kind=timing", 0), (f"place={HOT}", 1),
        (f"place=network:{NETWORK}", 1), ("place=network:eip155:3", 0), ("status=resolved", 0),
    ):  # fmt: skip
        answer = await world.operator.get(f"/v1/breaks?{query}")
        assert len(answer.json["data"]) == count, query
    assert (await world.operator.get("/v1/breaks?kind=odd")).status == 422


async def test_one_is_acknowledged_and_resolved(world: World, found: list[str]) -> None:
    path = f"/v1/breaks/{found[0]}"
    taken = await world.operator.post(f"{path}/acknowledge", {"owner": "Ada"})
    assert (taken.status, taken.json["status"], taken.json["owner"]) == (200, "acknowledged", "Ada")
    for body in ({"resolution": "forget", "note": "x"}, {"resolution": "explained"}, {"note": "x"}):
        assert (await world.operator.post(f"{path}/resolve", body)).status == 422
    body = {"resolution": "write_off", "note": "an exact note"}
    done = await world.operator.post(f"{path}/resolve", body, headers={"Idempotency-Key": "r"})
    assert (done.status, done.json["status"]) == (200, "resolved")
    assert done.json["note"] == "an exact note"
    Break.model_validate(done.json)
    assert [(p["account"], p["asset"], p["amount"]) for p in done.json["posted"]] == [
        (HOT, "ETH", "-0.000000000000000001"), ("expense:losses", "ETH", "0.000000000000000001"),
    ]  # fmt: skip
    assert (await world.operator.get(path)).json["posted"] == done.json["posted"]
    again = await world.operator.post(f"{path}/resolve", body, headers={"Idempotency-Key": "r"})
    assert again.body == done.body
    entry = (await world.operator.get(f"/v1/ledger/entries/{done.json['entry']}")).json
    assert (entry["kind"], entry["reference"]) == ("break_resolved", found[0])
    assert {(p["account"], p["amount"][0]) for p in entry["postings"]} == {
        (HOT, "-"), ("expense:losses", "0"),
    }  # fmt: skip
    refused = await world.operator.post(f"{path}/resolve", body)
    assert (refused.status, refused.code) == (409, "already_resolved")
    assert (await world.operator.post(f"{path}/acknowledge")).code == "already_resolved"


async def test_a_trade_made_by_hand_is_booked(world: World) -> None:
    """The answer says what was posted; twice is once."""
    facts = {
        "venue": "binance", "symbol": "ETH-EUR", "fill": "77", "order": "1", "side": "sell",
        "price": str(2500 * 10**18), "quantity": str(10**18), "quote_quantity": str(2500 * 10**18),
        "fee": str(10**18), "fee_asset": "EUR", "at": "2026-11-23T00:00:00+00:00", "booked": False,
        "reason": "no entry was made of it",
    }  # fmt: skip
    async with world.context.database.begin() as session:
        difference = Difference(
            key="reconciliation:venue:binance:fill:ETH-EUR:77", kind=BreakKind.MISSING_IN_LEDGER,
            place="exchange:binance", asset="ETH", expected=0, actual=-(10**18), facts=facts,
        )  # fmt: skip
        row = await open_break(session, difference, world.context.clock.now())
    assert row is not None
    path = f"/v1/breaks/{ids.show('brk', row.id)}"
    assert (await world.operator.get(path)).json["resolutions"] == ["explained", "book_trade"]
    wrong = {"resolution": "write_off", "note": "x"}
    assert (await world.operator.post(f"{path}/resolve", wrong)).code == "not_allowed"
    body = {"resolution": "book_trade", "note": "by hand, in the app"}
    done = await world.operator.post(f"{path}/resolve", body)
    assert (done.status, done.json["resolution"]) == (200, "book_trade")
    entry = (await world.operator.get(f"/v1/ledger/entries/{done.json['entry']}")).json
    assert entry["kind"] == "fill"
    lines = {(p["account"], p["asset"], p["amount"].rstrip("0")) for p in done.json["posted"]}
    assert lines == {
        ("trading", "ETH", "1."), ("exchange:binance", "ETH", "-1."),
        ("exchange:binance", "EUR@18", "2500."), ("trading", "EUR@18", "-2500."),
        ("expense:exchange_fees", "EUR@18", "1."), ("exchange:binance", "EUR@18", "-1."),
    }  # fmt: skip
    assert (await world.operator.post(f"{path}/resolve", body)).code == "already_resolved"
