"""The API's page, word by word, by a program that knows nothing else of the house.

What a merchant's code relies on: names, types, statuses, headers. How things work inside is for
other tests; here only what may never change is held.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core.ids import new
from tests.e2e.town import Client, Town, listening, new_merchant

ID = re.compile(r"[a-z]{2,4}_[0-7][0-9a-hjkmnp-tv-z]{25}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
AMOUNT = re.compile(r"[0-9]{1,60}(\.[0-9]{1,30})?")
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
HASH = re.compile(r"0x[0-9a-f]{64}")
NOBODY = "inv_00000000000000000000000000"
NETWORK = "eip155:31337"

INVOICE: dict[str, Any] = {
    "id": ID, "object": "invoice", "status": "new", "exception": "none", "amount": "25.00",
    "currency": "USD", "amount_paid": "0.00", "amount_confirmed": "0.00", "amount_due": "25.00",
    "reference": "order-1001", "description": None, "metadata": {"cart": "7"}, "checkout_url": str,
    "created_at": TIME, "expires_at": TIME, "monitored_until": TIME, "settled_at": None,
    "payment_options": list, "deposits": list,
}  # fmt: skip
OPTION: dict[str, Any] = {
    "asset": str, "network": re.compile(r"eip155:3133[78]"), "address": ADDRESS, "amount": AMOUNT,
    "asset_id": re.compile(r"eip155:3133[78]/(slip44:60|erc20:0x[0-9a-fA-F]{40})"),
    "amount_due": AMOUNT, "rate": AMOUNT, "price": dict, "uri": re.compile(r"ethereum:0x.+@3133.+"),
}  # fmt: skip
EVIDENCE: dict[str, Any] = {
    "source": "chainlink", "feed": ADDRESS, "round_id": str, "updated_at": TIME, "age_seconds": int,
}  # fmt: skip
DEPOSIT: dict[str, Any] = {
    "id": ID, "object": "deposit", "status": "confirmed", "asset": "USDC", "network": NETWORK,
    "amount": "25.000000", "value": "25.00", "from": ADDRESS, "to": ADDRESS, "tx_hash": HASH,
    "position": "log:0", "invoice": ID, "waiting_for": None, "inbox": None, "value_at": TIME,
    "block_number": int, "block_hash": HASH, "confirmations": int, "confirmations_required": 3,
    "seen_at": TIME, "confirmed_at": TIME, "created_at": TIME,
}  # fmt: skip
ENTRY: dict[str, Any] = {
    "id": ID, "object": "journal_entry", "kind": str, "key": str, "reference": str,
    "posted_at": TIME, "created_at": TIME, "postings": list,
}  # fmt: skip
ENDPOINT: dict[str, Any] = {
    "id": ID, "object": "webhook_endpoint", "url": str, "events": ["*"], "created_at": TIME,
}  # fmt: skip
PROBLEM: dict[str, Any] = {
    "type": str, "title": str, "status": int, "detail": str, "code": str, "request_id": str,
}  # fmt: skip


def assert_shape(thing: dict[str, Any], shape: dict[str, Any]) -> None:
    """Every field of `shape` is there and as it says; more fields are allowed."""
    for name, wanted in shape.items():
        value = thing[name]
        if isinstance(wanted, re.Pattern):
            right = isinstance(value, str) and wanted.fullmatch(value) is not None
        elif isinstance(wanted, type):
            right = type(value) is wanted
        else:
            right = value == wanted
        assert right, (name, value)


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def refuses(self, status: int, code: str, field: str | None = None) -> None:
        """A problem document, with its fields where one can be mended."""
        assert self.status == status, self.body
        assert self.headers["Content-Type"] == "application/problem+json"
        problem = self.json
        assert_shape(problem, {**PROBLEM, "status": status, "code": code})
        assert problem["request_id"] == self.headers["X-Request-Id"]
        if status == 422:
            assert all(e.keys() == {"field", "message"} for e in problem["errors"])
            assert problem["errors"], problem
        if field is not None:
            assert [e["field"] for e in problem["errors"]] == [field]


@dataclass
class Program:
    """Raw requests: the body as it stands."""

    url: str
    session: aiohttp.ClientSession
    key: str

    async def __call__(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> Answer:
        sent = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if key != "":
            sent["Authorization"] = f"Bearer {key or self.key}"
        data = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        async with self.session.request(
            method, self.url + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


@pytest.fixture
async def operator(sandbox: Town) -> AsyncIterator[Client]:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield Client(sandbox.ready["api_url"], sandbox.ready["operator_key"], session)


@pytest.fixture
async def shop(operator: Client) -> Client:
    """A merchant of this test's own."""
    return await new_merchant(operator, "Contract")


@pytest.fixture
def ask(shop: Client) -> Program:
    return Program(shop.url, shop.session, shop.key)


async def test_an_invoice_from_its_making_to_its_books(
    operator: Client, shop: Client, ask: Program
) -> None:
    invoice = await _made(shop, ask)
    settled, tx_hash = await _paid_and_told(shop, invoice)
    deposit = await _shown(shop, settled, tx_hash)
    await _refused_once_settled(ask, invoice, deposit)
    await _booked(operator, shop, invoice, deposit)
    await _fed(shop)


async def _made(shop: Client, ask: Program) -> dict[str, Any]:
    """With its options and prices; a repetition is answered by the same bytes."""
    body = {"amount": "25.00", "currency": "USD", "reference": "order-1001",
            "metadata": {"cart": "7"}}  # fmt: skip
    made = await ask("POST", "/v1/invoices", body, Idempotency_Key=(key := new().hex))
    assert (made.status, made.headers["Content-Type"]) == (201, "application/json")
    invoice: dict[str, Any] = made.json
    assert_shape(invoice, INVOICE)
    assert invoice["id"].startswith("inv_")
    assert invoice["checkout_url"] == f"{shop.url}/pay/{invoice['id']}"
    options = invoice["payment_options"]
    assert {o["network"] for o in options} == {NETWORK, "eip155:31338"}
    assert len({o["address"] for o in options}) == 1, "one address for all"
    for option in options:
        assert_shape(option, OPTION)
        assert_shape(option["price"], EVIDENCE)
    eth = next(o for o in options if (o["asset"], o["network"]) == ("ETH", NETWORK))
    assert eth["amount"].endswith("0" * 12), "at most six decimals, printed in all eighteen"
    assert len(eth["amount"].partition(".")[2]) == 18

    again = await ask("POST", "/v1/invoices", dict(reversed(body.items())), Idempotency_Key=key)
    assert (again.status, again.body) == (201, made.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in made.headers
    other = await ask("POST", "/v1/invoices", {**body, "amount": "1"}, Idempotency_Key=key)
    other.refuses(422, "idempotency_mismatch")
    return invoice


async def _paid_and_told(shop: Client, invoice: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The webhook comes, and once more on request; the invoice as it is then, and the payment."""
    async with listening(shop) as receiver:
        paid = await shop.post("/v1/sandbox/pay", {"invoice": invoice["id"], "asset": "USDC"})
        assert HASH.fullmatch(paid["tx_hash"])
        await shop.post("/v1/sandbox/mine", {"blocks": 3})
        settled = await shop.becomes(invoice, "settled")
        await receiver.hears(lambda heard: any(e["type"] == "invoice.settled" for e in heard))
        told = next(e for e in receiver.received if e["type"] == "invoice.settled")
        assert_shape(told, {"id": ID, "type": str, "timestamp": TIME, "data": dict})
        assert told["data"]["object"]["id"] == invoice["id"]
        [sent] = [
            d for d in await shop.every(f"/v1/webhook_endpoints/{receiver.endpoint}/deliveries")
            if d["event"] == told["id"]
        ]  # fmt: skip
        assert_shape(sent, {"id": ID, "object": "webhook_delivery", "type": "invoice.settled"})
        again_ = await shop.post(f"/v1/events/{told['id']}/redeliver")
        assert again_["deliveries"] == 1
        await receiver.hears(lambda heard: [e["id"] for e in heard].count(told["id"]) == 2)
    return settled, paid["tx_hash"]


async def _shown(shop: Client, settled: dict[str, Any], tx_hash: str) -> dict[str, Any]:
    """What was paid, and the deposit that paid it."""
    assert TIME.fullmatch(settled["settled_at"])
    assert (settled["amount_paid"], settled["amount_confirmed"]) == ("25.00", "25.00")
    assert {o["amount_due"].strip("0") for o in settled["payment_options"]} == {"."}
    deposit: dict[str, Any]
    [deposit] = settled["deposits"]
    assert_shape(deposit, {**DEPOSIT, "tx_hash": tx_hash, "invoice": settled["id"]})
    shown = await shop.get(f"/v1/deposits/{deposit['id']}")
    assert shown["id"] == deposit["id"]
    timeline = await shop.get(f"/v1/invoices/{settled['id']}/timeline")
    assert {"event", "entry", "delivery"} == {line["kind"] for line in timeline["data"]}
    return deposit


async def _refused_once_settled(
    ask: Program, invoice: dict[str, Any], deposit: dict[str, Any]
) -> None:
    for path, code in (("evidence", "not_available"),):
        (await ask("GET", f"/v1/invoices/{invoice['id']}/{path}")).refuses(422, code)
    refund = {"variant": "full", "address": "0x" + "11" * 20}
    (await ask("POST", f"/v1/invoices/{invoice['id']}/refunds", refund)).refuses(
        422, "idempotency_key_required"
    )
    (await ask("POST", f"/v1/deposits/{deposit['id']}/resolve", {"action": "refund"})).refuses(
        422, "idempotency_key_required"
    )
    (await ask("POST", f"/v1/invoices/{invoice['id']}/cancel")).refuses(409, "invoice_not_open")


async def _booked(
    operator: Client, shop: Client, invoice: dict[str, Any], deposit: dict[str, Any]
) -> None:
    """Balances now and before, entries, accounts and the proof."""
    [balance] = (await shop.get("/v1/balances"))["data"]
    assert_shape(balance, {"asset": "USDC", "available": "25.000000", "pending": "0.000000",
                           "reserved": "0.000000"})  # fmt: skip
    before = (await shop.get(f"/v1/balances?at={invoice['created_at']}"))["data"]
    assert before == []
    entries = await shop.every("/v1/ledger/entries")
    assert [e["reference"] for e in entries] == [deposit["id"]] * 2
    for entry in entries:
        assert_shape(entry, ENTRY)
        amounts = [p["amount"] for p in entry["postings"]]
        assert sorted(amounts) == ["-25.000000", "25.000000"]
    accounts = await shop.every("/v1/ledger/accounts?prefix=merchant:")
    assert {(a["account"].rpartition(":")[2], a["balance"]) for a in accounts} == {
        ("available", "-25.000000"), ("pending", "0.000000")
    }  # fmt: skip
    proof = await operator.get("/v1/ledger/verify")
    assert (proof["ok"], proof["problems"]) == (True, [])


async def _fed(shop: Client) -> None:
    """The events in order: whole, in pages and as a stream."""
    types = [e["type"] for e in await shop.every("/v1/events")]
    wanted = ["invoice.created", "deposit.seen", "invoice.processing", "deposit.confirmed",
              "invoice.settled"]  # fmt: skip
    assert types == wanted
    first = await shop.get("/v1/events?limit=2")
    rest = await shop.get(f"/v1/events?limit=100&cursor={first['next_cursor']}")
    assert [e["type"] for e in first["data"] + rest["data"]] == wanted
    streamed = await shop.stream(int(first["next_cursor"]), int(rest["next_cursor"]))
    assert [body["id"] for _, _, body in streamed] == [e["id"] for e in rest["data"]]


def amount(text: str) -> bytes:
    return b'{"currency":"USD","amount":' + text.encode() + b"}"


BAD_AMOUNTS = [
    "NaN", "1e400", "1e5", "-1", "25.00", "true", "null", "[]", '"-1"', '"1e5"', '"NaN"', '"0"',
    '"0.00"', '"0.001"', '"1.' + "0" * 31 + '"', '"1.' + "0" * 29 + '1"', '"1' + "0" * 80 + '"',
    '"' + "9" * 60 + '"', '"\uff11\uff12"', '"1,5"', '" 1"', '"+1"', '".5"', '"5."', '""',
    '"1\\u0000"', '"1\\n"', '"0x10"',
]  # fmt: skip


async def test_amounts_that_are_none(ask: Program) -> None:
    for text in BAD_AMOUNTS:
        answer = await ask("POST", "/v1/invoices", amount(text))
        assert answer.json["code"] in ("invalid_amount", "invalid_request"), text
        answer.refuses(422, answer.json["code"], "amount")
        assert "should" not in answer.json["detail"], "a program's words, not a library's"
    assert (await ask("POST", "/v1/invoices", amount('"1.' + "0" * 30 + '"'))).status == 201


def order(**more: Any) -> bytes:
    return json.dumps({"amount": "1", "currency": "USD", **more}).encode()


BODIES: list[tuple[bytes, int, str, str | None]] = [
    (b"", 400, "invalid_json", None),
    (b"{", 400, "invalid_json", None),
    (b"\xff\xfe", 400, "invalid_json", None),
    (b"[" * 100_000, 400, "bad_request", None),
    (b"[]", 422, "invalid_request", ""),
    (order(unknown=1), 422, "invalid_request", "unknown"),
    (order(expires_in=59), 422, "invalid_request", "expires_in"),
    (order(expires_in=604_801), 422, "invalid_request", "expires_in"),
    (order(expires_in="900"), 422, "invalid_request", "expires_in"),
    (order(tolerance_percent="5.1"), 422, "invalid_request", "tolerance_percent"),
    (order(metadata={str(n): "" for n in range(51)}), 422, "invalid_request", "metadata"),
    (order(metadata={"a": 1}), 422, "invalid_request", "metadata.a"),
    (order(reference="a\0b"), 422, "invalid_request", "reference"),
    (order(assets=["DOGE"]), 422, "invalid_request", "assets.0"),
    (order(assets=["ETH"] * 20_000), 422, "invalid_request", "assets"),
    (order(networks=["eip155:1"]), 422, "invalid_request", "networks.0"),
    (order(currency="XXX"), 422, "invalid_request", "currency"),
    (order(webhook_url="https://127.0.0.1/"), 422, "invalid_request", "webhook_url"),
    (order(success_url="javascript:alert(1)"), 422, "invalid_request", "success_url"),
    (order(description="x" * 256 * 1024), 413, "too_large", None),
]


async def test_bodies_that_are_refused(shop: Client, ask: Program) -> None:
    for body, status, code, name in BODIES:
        (await ask("POST", "/v1/invoices", body)).refuses(status, code, name)
    form = await ask("POST", "/v1/invoices", b"amount=1", Content_Type="text/plain")
    form.refuses(400, "invalid_json")
    for key in ("x" * 256, ""):
        answer = await ask("POST", "/v1/invoices", order(), Idempotency_Key=key)
        answer.refuses(422, "invalid_request", "Idempotency-Key")
    assert await shop.every("/v1/invoices") == []


async def test_lists_and_their_cursors(shop: Client, ask: Program) -> None:
    made = [(await shop.invoice(assets=["USDC"], reference=f"r{n % 2}"))["id"] for n in range(5)]
    page = await shop.get("/v1/invoices?limit=2")
    assert page.keys() == {"object", "data", "has_more", "next_cursor"}
    assert (page["object"], page["has_more"]) == ("list", True)
    assert [i["id"] for i in page["data"]] == made[:-3:-1], "newest first"
    seen = page["data"]
    while page["has_more"]:
        page = await shop.get(f"/v1/invoices?limit=2&cursor={page['next_cursor']}")
        seen += page["data"]
    assert page["next_cursor"] is None
    assert [i["id"] for i in seen] == made[::-1]
    assert len(await shop.every("/v1/invoices?reference=r0&status=new")) == 3
    for path in ("/v1/invoices", "/v1/deposits", "/v1/events", "/v1/ledger/entries",
                 "/v1/ledger/accounts", "/v1/webhook_endpoints"):  # fmt: skip
        for limit in ("0", "101", "-1", "x", "1.0", "%EF%BC%91"):
            (await ask("GET", f"{path}?limit={limit}")).refuses(422, "invalid_request", "limit")
        for cursor in ("x", "", "%FF"):
            (await ask("GET", f"{path}?cursor={cursor}")).refuses(422, "invalid_cursor", "cursor")
        assert (await ask("GET", f"{path}?cursor=%00")).status == 422
    bad = await ask("GET", "/v1/invoices?created_after=2026-01-01")
    bad.refuses(422, "invalid_request", "created_after")
    (await ask("GET", "/v1/deposits?matched=1")).refuses(422, "invalid_request", "matched")


async def test_who_may_what_and_what_is_not_there(operator: Client, shop: Client) -> None:
    stranger = await new_merchant(operator, "Stranger")
    ask = Program(shop.url, shop.session, stranger.key)
    theirs = await shop.invoice(assets=["USDC"])
    for method, path, body in (
        ("GET", "/v1/invoices/{}", None),
        ("POST", "/v1/invoices/{}/cancel", None),
        ("POST", "/v1/invoices/{}/mark", {"status": "invalid", "reason": "x"}),
        ("GET", "/v1/invoices/{}/timeline", None),
        ("GET", "/v1/invoices/{}/evidence", None),
    ):
        answers = [
            await ask(method, path.format(id_), body) for id_ in (theirs["id"], NOBODY, "inv_x")
        ]
        told = []
        for answer in answers:
            answer.refuses(404, "not_found")
            told.append({k: v for k, v in answer.json.items() if k != "request_id"})
        assert told[0] == told[1] == told[2]
    for path in ("/v1/nothing", "/oauth/token", "/v1/invoices/", "/v1/payouts/", "/static/x.js",
                 f"/pay/{NOBODY}", f"/pay/{NOBODY}/events", f"/pay/{NOBODY}.json"):  # fmt: skip
        (await ask("GET", path)).refuses(404, "not_found")
    (await ask("POST", "/oauth/token", {})).refuses(404, "not_found")
    wrong = await ask("DELETE", "/v1/invoices")
    wrong.refuses(405, "method_not_allowed")
    assert wrong.headers["Allow"] == "GET, POST"
    for path in ("/v1/merchants", "/v1/api_keys", "/v1/networks", "/v1/ledger/verify"):
        (await ask("GET", path)).refuses(403, "forbidden")
    for key in ("", "sk_wrong"):
        answer = await ask("GET", "/v1/invoices", key=key)
        answer.refuses(401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    merchant = (await operator.get("/v1/merchants?limit=1"))["data"][0]
    assert merchant["name"] == "Stranger"
    narrow = await operator.post(
        "/v1/api_keys", {"merchant": merchant["id"], "scopes": ["invoices:read"]}
    )
    assert_shape(narrow, {"id": ID, "object": "api_key", "key": re.compile(r"sk_.{43}"),
                          "scopes": ["invoices:read"], "created_at": TIME})  # fmt: skip
    assert (await ask("GET", "/v1/invoices", key=narrow["key"])).status == 200
    (await ask("POST", "/v1/invoices", {}, key=narrow["key"])).refuses(403, "missing_scope")
    listed = await operator.get(f"/v1/api_keys?merchant={merchant['id']}")
    assert narrow["key"] not in json.dumps(listed)
    revoked = await operator.ask("DELETE", f"/v1/api_keys/{narrow['id']}")
    assert TIME.fullmatch(revoked["revoked_at"])
    (await ask("GET", "/v1/invoices", key=narrow["key"])).refuses(401, "unauthorized")


async def test_the_same_request_many_times_at_once(shop: Client, ask: Program) -> None:
    body, key = order(assets=["USDC"]), new().hex
    refused = await ask("POST", "/v1/invoices", order(amount="0"), Idempotency_Key=key)
    refused.refuses(422, "invalid_amount", "amount")  # and stores nothing
    answers = await asyncio.gather(
        *(ask("POST", "/v1/invoices", body, Idempotency_Key=key) for _ in range(10))
    )
    done = [a for a in answers if a.status == 201]
    for answer in answers:
        if answer.status != 201:
            answer.refuses(409, "idempotency_in_progress")
    assert len({a.body for a in done}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in done) == 1
    [invoice] = await shop.every("/v1/invoices")
    # The same key on another route, and of another merchant, is another key.
    path = f"/v1/invoices/{invoice['id']}/cancel"
    first = await ask("POST", path, Idempotency_Key=key)
    again = await ask("POST", path, Idempotency_Key=key)
    assert (first.status, first.json["status"], first.json["exception"]) == (
        200, "expired", "marked"
    )  # fmt: skip
    assert (again.body, again.headers["Idempotency-Replayed"]) == (first.body, "true")


async def test_headers_of_every_answer(ask: Program) -> None:
    named = await ask("GET", "/v1/invoices", X_Request_Id="mine-1")
    assert named.headers["X-Request-Id"] == "mine-1"
    drawn = await ask("GET", "/v1/invoices", X_Request_Id="x" * 200)
    assert re.fullmatch(r"req_[0-9a-f]{24}", drawn.headers["X-Request-Id"])
    for name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"):
        assert drawn.headers[name].isdigit()


async def test_webhook_endpoints(shop: Client, ask: Program) -> None:
    path = "/v1/webhook_endpoints"
    for url in ("https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://[::1]/",
                "https://169.254.169.254/", "http://example.com/", "http://127.0.0.2/",
                "https://2130706433/", "https://user:pw@example.com/", "ftp://example.com/",
                "http://127.0.0.1:99999/"):  # fmt: skip
        (await ask("POST", path, {"url": url})).refuses(422, "invalid_request", "url")
    for types in ([], ["invoice"], ["invoice.setled"], ["*.*"]):
        answer = await ask("POST", path, {"url": "https://shop.example/", "events": types})
        assert answer.status == 422
    for url in ("https://shop.example/hook", "http://127.0.0.1:9/", "http://localhost:65535/x"):
        made = await shop.post(path, {"url": url})
        assert_shape(made, {**ENDPOINT, "url": url, "secret": re.compile(r"whsec_.{44}")})
        rotated = await shop.post(f"{path}/{made['id']}/rotate")
        assert rotated["secret"] not in (made["secret"], None)
        assert "secret" not in await shop.get(f"{path}/{made['id']}")
        window = {"since": made["created_at"], "until": "2999-01-01T00:00:00Z"}
        assert (await shop.post(f"{path}/{made['id']}/replay", window))["events"] == 0
        await shop.ask("DELETE", f"{path}/{made['id']}")
        (await ask("GET", f"{path}/{made['id']}")).refuses(404, "not_found")


async def test_prices_and_their_refusals(shop: Client, ask: Program) -> None:
    price = await shop.get("/v1/prices/ETH-EUR")
    assert_shape(price, {"base": "ETH", "quote": "EUR", "price": AMOUNT, "sources": list,
                         "age_seconds": int})  # fmt: skip
    assert {"source", "price", "observed_at", "round_id"} <= price["sources"][0].keys()
    (await ask("GET", "/v1/prices/XXX-USD")).refuses(404, "not_found")
    pair = "/v1/sandbox/prices"
    try:
        for wrong, reason in (
            ({"price": "1", "age_seconds": 200_000}, "stale"),
            ({"price": "0"}, "answer_not_positive"),
        ):
            await shop.post(pair, {"pair": "BLK/USD", **wrong})
            for answer in (
                await ask("GET", "/v1/prices/BLK-USD"),
                await ask("POST", "/v1/invoices", order(assets=["BLK"])),
            ):
                answer.refuses(503, "price_unavailable")
                assert answer.json["sources"][0]["refused"] == reason
    finally:
        await shop.post(pair, {"pair": "BLK/USD"})
    assert (await ask("POST", "/v1/invoices", order(assets=["BLK"]))).status == 201


async def test_what_operators_see(operator: Client, sandbox: Town) -> None:
    networks = (await operator.get("/v1/networks"))["data"]
    assert [n["id"] for n in networks] == [NETWORK, "eip155:31338"]
    for network, ready in zip(networks, sandbox.ready["networks"], strict=True):
        assert_shape(network, {"height": int, "followed_until": TIME, "endpoints": list})
        assert type(network["endpoints"][0]["score"]) is int
        tokens = {a["asset"]: a["address"] for a in network["assets"] if a["address"]}
        assert tokens == ready["tokens"], "addresses as people know them"


async def test_pages_for_machines_and_people(shop: Client, ask: Program) -> None:
    assert (await ask("GET", "/healthz", key="")).json == {"status": "ok"}
    ready = (await ask("GET", "/readyz", key="")).json["checks"]
    assert {"database", "migrations", f"network {NETWORK}", "price ETH/USD"} <= ready.keys()
    metrics = (await ask("GET", "/metrics", key="")).body.decode()
    assert "# TYPE bezant_chain_lag_blocks gauge" in metrics
    document = (await ask("GET", "/openapi.json", key="")).json
    assert document["openapi"].startswith("3.1.")
    operations = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(operations) == len(set(operations))
    invoice = await shop.invoice()
    for path in ("/docs", f"/pay/{invoice['id']}"):
        page = await ask("GET", path, key="")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        # A network's public node is told to the payer's wallet; the page itself asks it nothing.
        body = re.sub(rb' data-rpc-url="[^"]*"', b"", page.body)
        assert re.findall(rb"https?://[^\"\s<]+", body) == [], "no asset of another host"
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for path in ("/healthz", "/readyz", f"/pay/{invoice['id']}"):  # as monitors and previews do
        assert (await ask("HEAD", path, key="")).status in (200, 503)
    lost = await ask("GET", "/pay/x", key="", Accept="text/html,*/*;q=0.8")
    assert (lost.status, lost.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


async def test_the_sandbox_is_strict_too(shop: Client, ask: Program) -> None:
    invoice = (await shop.invoice(assets=["USDC"]))["id"]
    for path, body, name in (
        ("pay", {"invoice": invoice, "amount": "1.0000001"}, "amount"),
        ("pay", {"invoice": invoice, "amount": 1}, "amount"),
        ("pay", {"invoice": invoice, "via": "pigeon"}, "via"),
        ("mine", {"blocks": 0}, "blocks"),
        ("reorg", {"depth": 0, "keep_transactions": True}, "depth"),
        ("reorg", {"depth": 1}, "keep_transactions"),
        ("reorg", {"depth": 1, "keep_transactions": True, "network": "eip155:1"}, "network"),
        ("clock", {"advance_seconds": -1}, "advance_seconds"),
        ("prices", {"pair": "ETH/USD", "price": 2500}, "price"),
    ):
        answer = await ask("POST", f"/v1/sandbox/{path}", body)
        answer.refuses(422, answer.json["code"], name)
    (await ask("POST", "/v1/sandbox/mine", {"blocks": 1}, key="")).refuses(401, "unauthorized")
    (await ask("POST", "/v1/sandbox/scenarios/nope")).refuses(404, "not_found")


def test_commands_find_the_sandbox_by_themselves(sandbox: Town, tmp_path: Path) -> None:
    """Without bezant.toml or an environment: the one that runs in the usual place."""
    (tmp_path / "sandbox").symlink_to(sandbox.data)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BEZANT_")}

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bezant.cli", *arguments]
        environment = kept | {"BEZANT_DATA_DIR": str(tmp_path)} | more
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    made = json.loads(run("merchant", "create", "Baker", "--json").stdout)
    assert_shape(made, {"id": ID, "api_key": re.compile(r"sk_.{43}"), "name": "Baker"})
    listed = run("key", "list", "--merchant", made["id"], "--json")
    assert [k["merchant"] for k in json.loads(listed.stdout)] == [made["id"]]
    wrong = run("invoice", "create", "12.5x", "EUR")
    assert (wrong.returncode, wrong.stderr) == (
        1, 'bezant: amount: must be a decimal string such as "25.00"\n'
    )  # fmt: skip
    away = sandbox.environment | {"BEZANT_DATABASE_URL": "postgresql://127.0.0.1:1/x"}
    lost = run("key", "list", **away)
    assert lost.returncode == 1
    assert lost.stderr.startswith("bezant: the database does not answer: connection failed")
    nowhere = run("key", "list", BEZANT_DATA_DIR=str(tmp_path / "empty"))
    assert nowhere.returncode == 2
    assert "bezant.toml" in nowhere.stderr
    assert len(nowhere.stderr.splitlines()) == 1
