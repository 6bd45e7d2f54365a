"""One merchant's things do not exist for another: every resource, every verb, the same 404."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import text

from core import ids
from tests.integration.api.conftest import NETWORK, Answer, World

Ids = dict[str, str]

# Every path with an id in it that a merchant's key may ask. {x} is filled from the owner's things.
PATHS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/v1/invoices/{invoice}", None),
    ("GET", "/v1/invoices/{invoice}/timeline", None),
    ("GET", "/v1/invoices/{invoice}/evidence", None),
    ("POST", "/v1/invoices/{invoice}/cancel", None),
    ("POST", "/v1/invoices/{invoice}/mark", {"status": "settled", "reason": "x"}),
    ("POST", "/v1/invoices/{invoice}/refunds", {"variant": "full", "address": "0x" + "1" * 40}),
    ("GET", "/v1/deposits/{deposit}", None),
    ("POST", "/v1/deposits/{deposit}/resolve", {"action": "ignore"}),
    ("POST", "/v1/deposits/{deposit}/resolve", {"action": "credit"}),
    ("POST", "/v1/deposits/{deposit}/resolve", {"action": "refund"}),
    ("GET", "/v1/webhook_endpoints/{endpoint}", None),
    ("PATCH", "/v1/webhook_endpoints/{endpoint}", {"description": "mine now"}),
    ("DELETE", "/v1/webhook_endpoints/{endpoint}", None),
    ("POST", "/v1/webhook_endpoints/{endpoint}/rotate", None),
    ("GET", "/v1/webhook_endpoints/{endpoint}/deliveries", None),
    (
        "POST",
        "/v1/webhook_endpoints/{endpoint}/replay",
        {"since": "2020-01-01T00:00:00Z", "until": "2030-01-01T00:00:00Z"},
    ),
    ("GET", "/v1/events/{event}", None),
    ("POST", "/v1/events/{event}/redeliver", None),
    ("GET", "/v1/ledger/entries/{entry}", None),
    ("GET", "/v1/payouts/{payout}", None),
    ("POST", "/v1/payouts/{payout}/approve", {"approver": "0x" + "1" * 40, "signature": "0x"}),
    ("POST", "/v1/payouts/{payout}/reject", {"reason": "x"}),
    ("GET", "/v1/payout_batches/{batch}", None),
    ("GET", "/v1/refunds/{refund}", None),
    ("POST", "/v1/refunds/{refund}/confirm", {}),
    ("POST", "/v1/refunds/{refund}/reject", {"reason": "x"}),
    ("GET", "/v1/customers/{customer}", None),
    ("GET", "/v1/wallets/{wallet}", None),
    (
        "POST",
        "/v1/wallets/{wallet}/payouts",
        {"amount": "1", "asset": "ETH", "network": NETWORK, "address": "0x" + "1" * 40},
    ),
    ("GET", "/v1/transfers/{transfer}", None),
    ("GET", "/v1/x402/settlements/{settlement}", None),
    ("GET", "/v1/approvals/{approval}", None),
    ("GET", "/v1/bank_accounts/{account}", None),
    ("DELETE", "/v1/bank_accounts/{account}", None),
]
UNKNOWN = {
    "invoice": "inv_01h455vb4pex5vsknk084sn02q",
    "deposit": "dep_01h455vb4pex5vsknk084sn02q",
    "endpoint": "whe_01h455vb4pex5vsknk084sn02q",
    "event": "evt_01h455vb4pex5vsknk084sn02q",
    "entry": "je_01h455vb4pex5vsknk084sn02q",
    "payout": "pay_01h455vb4pex5vsknk084sn02q",
    "batch": "bat_01h455vb4pex5vsknk084sn02q",
    "refund": "ref_01h455vb4pex5vsknk084sn02q",
    "customer": "cus_01h455vb4pex5vsknk084sn02q",
    "wallet": "wal_01h455vb4pex5vsknk084sn02q",
    "transfer": "trf_01h455vb4pex5vsknk084sn02q",
    "settlement": "xst_01h455vb4pex5vsknk084sn02q",
    "approval": "apr_01h455vb4pex5vsknk084sn02q",
    "account": "bnk_01h455vb4pex5vsknk084sn02q",
}


@pytest.fixture
async def things(world: World) -> Ids:
    """One of each, all of them merchant one's."""
    endpoint = await world.one.post("/v1/webhook_endpoints", {"url": "https://shop.example/h"})
    invoice = await world.one.post("/v1/invoices", {"amount": "25.00", "currency": "USD"})
    assert (endpoint.status, invoice.status) == (201, 201)
    deposit, entry = ids.new(), ids.new()
    now = world.context.clock.now()
    values: dict[str, Any] = {
        "id": deposit,
        "merchant": world.ids["one"],
        "invoice": ids.read("inv", invoice.json["id"]),
        "network": NETWORK,
        "hash": "0x" + "ab" * 32,
        "now": now,
        "entry": entry,
        "payout": ids.new(),
        "batch": ids.new(),
        "refund": ids.new(),
        "customer": ids.new(),
        "wallet": ids.new(),
        "transfer": ids.new(),
        "settlement": ids.new(),
        "approval": ids.new(),
        "account": ids.new(),
    }
    async with world.context.database.begin() as session:
        await session.execute(text(DEPOSIT), values)
        await session.execute(text(ENTRY), values)
        await session.execute(text(PAYOUT), values)
        for statement in OTHERS:
            await session.execute(text(statement), values)
        event = await session.scalar(text("select id from events limit 1"))
    return {
        "invoice": invoice.json["id"],
        "deposit": ids.show("dep", deposit),
        "endpoint": endpoint.json["id"],
        "event": ids.show("evt", event),
        "entry": ids.show("je", entry),
        "payout": ids.show("pay", values["payout"]),
        "batch": ids.show("bat", values["batch"]),
        "refund": ids.show("ref", values["refund"]),
        "customer": ids.show("cus", values["customer"]),
        "wallet": ids.show("wal", values["wallet"]),
        "transfer": ids.show("trf", values["transfer"]),
        "settlement": ids.show("xst", values["settlement"]),
        "approval": ids.show("apr", values["approval"]),
        "account": ids.show("bnk", values["account"]),
    }


DEPOSIT = """
insert into deposits (id, merchant_id, invoice_id, network, block_hash, block_number, block_time,
    tx_hash, position, asset, token, amount, sender, address, status, generation, account, required,
    witnessed, held, inbox_reason, seen_at, confirmed_at)
values (:id, :merchant, :invoice, :network, :hash, 7, :now, :hash, 'tx', 'ETH', 'native', 10,
    '0x1111111111111111111111111111111111111111', '0x2222222222222222222222222222222222222222',
    'confirmed', 0, 'inbox', '3', false, false, 'late', :now, :now)
"""
ENTRY = """
with entry as (
    insert into journal_entries values
        (:entry, 'opening:x', 'opening', 'x', :merchant, '{}', :now) returning id, posted_at
)
insert into postings
select entry.id, n, account, 'ETH', amount, posted_at from entry,
(values (0, 'network:x:deposits', 10), (1, 'merchant:x:pending', -10)) p(n, account, amount)
"""
PAYOUT = """
with batch as (
    insert into payout_batches values (:batch, :merchant, 'key_x', :now)
), payout as (
    insert into payouts (id, merchant_id, batch_id, status, reasons, source, network, asset, token,
        amount, fee, fee_paid_by, fee_quote, fee_cap, address, initiator, needed, given, overdrawn,
        hot_short, final, generation, created_at)
    values (:payout, :merchant, :batch, 'requested', '[]', 'merchant:x:available', :network, 'ETH',
        'native', 10, 1, 'merchant', '{}', 1, '0x1111111111111111111111111111111111111111',
        'key_x', 0, 0, false, false, false, 0, :now)
)
insert into refunds (id, merchant_id, invoice_id, variant, network, asset, amount, address,
    asked_by, created_at)
values (:refund, :merchant, :invoice, 'custom', :network, 'ETH', 10,
    '0x1111111111111111111111111111111111111111', 'customer', :now)
"""


OTHERS = (
    """insert into x402_settlements (id, merchant_id, network, asset, token, payer, nonce, pay_to,
    amount, valid_after, valid_before, signature, status, invoice_id, attempts, created_at)
values (:settlement, :merchant, :network, 'ETH', 'native',
    '0x1111111111111111111111111111111111111111', '0x01',
    '0x2222222222222222222222222222222222222222', 10, 0, 1, '0x', 'requested', :invoice, 0,
    :now)""",
    """insert into payout_approvals values
    (:approval, :payout, :merchant, 'requested', '{}', '', 1, 1, '[]', :now, :now)""",
    """insert into merchant_bank_accounts values
    (:account, :merchant, 'EUR', 'x', 'GB82WEST12345698765432', null, 'key_x', :now, :now)""",
    "insert into customers values (:customer, :merchant, 'anna', '{}', :now)",
    "insert into wallets values (:wallet, :merchant, :customer, '[]', '0x22', :now)",
    """insert into transfers values
    (:transfer, :merchant, :wallet, :wallet, 'ETH', 1, null, 'key_x', :now)""",
)


def told(answer: Answer) -> dict[str, Any]:
    """A refusal without what differs from request to request."""
    return {k: v for k, v in answer.json.items() if k != "request_id"} | {"http": answer.status}


async def test_another_merchants_id_is_an_unknown_id(world: World, things: Ids) -> None:
    for method, path, body in PATHS:
        theirs = await world.two(method, path.format(**things), json=body)
        nobodys = await world.two(method, path.format(**UNKNOWN), json=body)
        assert (theirs.status, theirs.code) == (404, "not_found"), (method, path)
        assert told(theirs) == told(nobodys), (method, path)
    # and nothing has changed for the owner
    mine = await world.one.get(f"/v1/invoices/{things['invoice']}")
    assert (mine.json["status"], mine.json["exception"]) == ("new", "none")
    endpoint = await world.one.get(f"/v1/webhook_endpoints/{things['endpoint']}")
    assert endpoint.json["description"] is None


async def test_the_owner_finds_each_of_them(world: World, things: Ids) -> None:
    for method, path, _ in PATHS:
        if method == "GET" and not path.endswith("evidence"):
            answer = await world.one.get(path.format(**things))
            assert answer.status == 200, (path, answer.body)


async def test_every_path_with_an_id_is_in_this_test(world: World) -> None:
    """Or it is none of a merchant's business, or the same for everybody."""
    forgotten: list[tuple[str, str]] = []
    document = (await world.stranger.get("/openapi.json")).json
    asked = {(method.lower(), re.sub(r"{\w+}", "{}", path)) for method, path, _ in PATHS}
    for path, item in document["paths"].items():
        for method in item:
            plain = re.sub(r"{\w+}", "{}", path)
            if "{" in path and "/prices/" not in path and (method, plain) not in asked:
                answer = await world.one(method.upper(), plain.replace("{}", "x"))
                if (answer.status, answer.code) != (403, "forbidden"):
                    forgotten.append((method, path))
    assert forgotten == []


async def test_lists_hold_only_ones_own(world: World, things: Ids) -> None:
    for path in (
        "/v1/invoices",
        "/v1/deposits",
        f"/v1/deposits?invoice={things['invoice']}",
        "/v1/deposits?matched=false",
        "/v1/webhook_endpoints",
        "/v1/events",
        "/v1/ledger/entries",
        "/v1/ledger/accounts",
        "/v1/payouts",
        "/v1/payout_batches",
        "/v1/refunds",
        "/v1/customers",
        "/v1/wallets",
        "/v1/transfers",
        "/v1/x402/settlements",
        f"/v1/invoices?cursor={UNKNOWN['invoice'].replace('01h', '7zz')}",
    ):
        page = await world.two.get(path)
        assert (page.status, page.json["data"]) == (200, []), path


async def test_a_key_cannot_reach_over_with_its_body(world: World, things: Ids) -> None:
    mine = (await world.two.post("/v1/invoices", {"amount": "1.00", "currency": "USD"})).json["id"]
    answer = await world.one.post(
        f"/v1/deposits/{things['deposit']}/resolve", {"action": "credit", "invoice": mine}
    )
    assert answer.status in (404, 422)
    shown = await world.one.get(f"/v1/deposits/{things['deposit']}")
    assert shown.json["inbox"]["resolution"] is None
    answer = await world.two.post(
        f"/v1/events/{things['event']}/redeliver", {"endpoint": things["endpoint"]}
    )
    assert answer.status == 404
