"""The checkout's refund: a payer names an address, by a form or as JSON; the merchant decides."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter
from sqlalchemy import text

from core import ids
from core.context import Context
from payments import payout_fees
from tests.integration.api.conftest import NETWORK, World
from web.routes import router as checkout

PAYEE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
ETH = 10**16

LATE = """
with deposit as (
    insert into deposits (id, merchant_id, invoice_id, network, block_hash, block_number,
        block_time, tx_hash, position, asset, token, amount, sender, address, status, generation,
        account, required, witnessed, held, inbox_reason, seen_at, confirmed_at)
    values (:id, :merchant, :invoice, :network, :hash, 7, :now + interval '2 hours', :hash, 'tx',
        'ETH', 'native', 10000000000000000, '0x1111111111111111111111111111111111111111',
        '0x2222222222222222222222222222222222222222', 'confirmed', 0, 'inbox', '3', false, false,
        'late', :now, :now)
), entry as (
    insert into journal_entries values
        (:entry, 'test:late', 'deposit_seen', 'x', :merchant, '{}', :now) returning id, posted_at
), lines as (
    insert into postings select entry.id, n, account, 'ETH', amount, posted_at from entry,
        (values (0, 'network:x:deposits', 10000000000000000),
            (1, :inbox, -10000000000000000)) p(n, account, amount)
)
insert into account_balances values (:inbox, 'ETH', -10000000000000000)
"""


@pytest.fixture
def extra_routers(context: Context) -> list[APIRouter]:
    return [checkout(context)]


@pytest.fixture
async def invoice(world: World) -> str:
    """One of merchant one's, expired, with a payment that came late."""
    made = (await world.one.post("/v1/invoices", {"amount": "25.00", "currency": "USD"})).json
    await world.one.post(f"/v1/invoices/{made['id']}/cancel")
    values: dict[str, Any] = {
        "id": ids.new(), "merchant": world.ids["one"], "invoice": ids.read("inv", made["id"]),
        "network": NETWORK, "hash": "0x" + "ab" * 32, "now": world.context.clock.now(),
        "entry": ids.new(), "inbox": f"merchant:{ids.show('mer', world.ids['one'])}:inbox",
    }  # fmt: skip
    async with world.context.database.begin() as session:
        await session.execute(text(LATE), values)
    async with world.context.database.statement() as connection:
        await payout_fees.store(connection, NETWORK, 10**9, 10**9)
    return str(made["id"])


async def test_a_form_leads_back_to_the_page(world: World, invoice: str) -> None:
    readable = {"Accept": "text/html"}
    page = (await world.stranger.get(f"/pay/{invoice}", headers=readable)).body.decode()
    assert f'action="{invoice}/refund"' in page
    wrong = await world.stranger.post(f"/pay/{invoice}/refund", data={"address": '"><b>0x1'})
    assert wrong.status == 303
    back = wrong.headers["location"].removeprefix("..")
    page = (await world.stranger.get(f"/pay{back}", headers=readable)).body.decode()
    assert "An address is 0x and 40 characters" in page
    assert '"><b>' not in page
    done = await world.stranger.post(f"/pay/{invoice}/refund", data={"address": f" {PAYEE} "})
    assert (done.status, done.headers["location"]) == (303, f"../{invoice}")
    page = (await world.stranger.get(f"/pay/{invoice}", headers=readable)).body.decode()
    assert f"You asked for 0.01 ETH back, to {PAYEE}" in page


async def test_json_and_the_merchants_word(world: World, invoice: str) -> None:
    path = f"/pay/{invoice}/refund"
    bodies: list[Any] = [{}, {"address": 1}, [], {"address": "0x" + "0" * 40}]
    for body in bodies:
        assert (await world.stranger.post(path, body)).status == 422, body
    [asked] = (await world.stranger.post(path, {"address": PAYEE})).json["data"]
    assert (asked["status"], asked["asked_by"], asked["payout"]) == ("requested", "customer", None)
    assert (await world.one.get("/v1/refunds?status=requested")).json["data"] == [asked]
    unknown = ids.show("inv", ids.new())
    assert (await world.stranger.post(f"/pay/{unknown}/refund", {"address": PAYEE})).status == 404

    confirm = f"/v1/refunds/{asked['id']}/confirm"
    assert (await world.one.post(confirm, {})).code == "idempotency_key_required"
    key = {"Idempotency-Key": "k"}
    short = await world.one.post(confirm, {}, headers=key)
    assert (short.status, short.code) == (409, "insufficient_funds"), "the fee is on top"
    done = await world.one.post(confirm, {"fee": "customer"}, headers=key)
    assert (done.status, done.json["fee_paid_by"]) == (200, "customer")
    shown = (await world.one.get(f"/v1/payouts/{done.json['payout']}")).json
    assert (shown["refund"], shown["fee_paid_by"]) == (asked["id"], "merchant")
    assert (await world.one.get(f"/v1/refunds/{asked['id']}")).json["payout"] == shown["id"]
    [deposit] = (await world.one.get("/v1/deposits")).json["data"]
    assert deposit["inbox"]["resolution"] == "refund"
    assert (await world.stranger.post(path, {"address": PAYEE})).code == "nothing_refundable"
    rejected = await world.one.post(f"/v1/payouts/{shown['id']}/reject", {"reason": "no"})
    assert rejected.json["status"] == "rejected"


async def test_a_merchant_says_no(world: World, invoice: str) -> None:
    [asked] = (await world.stranger.post(f"/pay/{invoice}/refund", {"address": PAYEE})).json["data"]
    path = f"/v1/refunds/{asked['id']}/reject"
    answer = await world.one.post(path, {"reason": "fraud"})
    assert (answer.json["status"], answer.json["rejection"]) == ("rejected", "fraud")
    assert (await world.one.post(path, {"reason": "fraud"})).code == "refund_not_open"
    assert (await world.one.get("/v1/refunds?status=rejected")).json["data"] == [answer.json]


async def test_resolving_a_deposit_by_refund(world: World, invoice: str) -> None:
    [deposit] = (await world.one.get("/v1/deposits?matched=false")).json["data"]
    path = f"/v1/deposits/{deposit['id']}/resolve"
    body = {"action": "refund", "address": PAYEE}
    assert (await world.one.post(path, body)).code == "idempotency_key_required"
    key = {"Idempotency-Key": "k"}
    assert (await world.one.post(path, {"action": "refund"}, headers=key)).status == 422
    narrow = await world.key("one", "deposits:write")
    assert (await narrow.post(path, body, headers=key)).code == "missing_scope"
    number = ids.show("mer", world.ids["one"])
    await world.operator("PATCH", f"/v1/merchants/{number}", json={"payout_fee": "house"})
    done = await world.one.post(path, body, headers=key)
    assert done.status == 200, done.body
    refund = (await world.one.get(f"/v1/refunds/{done.json['refund']}")).json
    assert (refund["deposit"], refund["amount"]) == (deposit["id"], "0.010000000000000000")
    assert done.json["inbox"]["resolution"] == "refund"
    again = await world.one.post(path, body, headers={"Idempotency-Key": "other"})
    assert again.code == "already_resolved"
