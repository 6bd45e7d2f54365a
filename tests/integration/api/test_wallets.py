"""/v1/customers, /v1/wallets and /v1/transfers over HTTP: what is made and every refusal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api.payout_schemas import Explanation
from api.wallet_schemas import Customer, Limits, Transfer, Wallet
from core import ids
from ledger.accounts import Debt, Role, place, wallet
from ledger.journal import Entry, Kind, post, transfer
from payments import payout_fees
from tests.integration.api.conftest import NETWORK, Answer, Client, World

PAYEE = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
UNKNOWN = "wal_01h455vb4pex5vsknk084sn02q"
GWEI = 10**9


async def open_wallet(client: Client, reference: str) -> str:
    customer = await client.post("/v1/customers", {"reference": reference})
    assert customer.status == 201, customer.body
    made = await client.post("/v1/wallets", {"customer": customer.json["id"]})
    assert made.status == 201, made.body
    number: str = made.json["id"]
    return number


async def fund(world: World, wallet_id: str, units: int, asset: str = "USDC") -> None:
    """It is in the wallet, and stands in the hot wallet."""
    number, owner = ids.new(), ids.read("wal", wallet_id)
    assert owner is not None
    into = wallet(owner, Debt.AVAILABLE)
    lines = transfer(asset, units, debit=place(NETWORK, Role.HOT), credit=into)
    entry = Entry(
        id=number, key=f"opening:{number}", kind=Kind.OPENING, reference="a test's funds",
        merchant_id=world.ids["one"], evidence={}, posted_at=world.context.clock.now(),
        postings=lines,
    )  # fmt: skip
    async with world.context.database.begin() as session:
        await post(session, [entry])


class Shop:
    """Merchant one's customers anna, with 100 USDC, and bert."""

    def __init__(self, world: World, anna: str, bert: str) -> None:
        self.world, self.anna, self.bert = world, anna, bert

    async def move(self, amount: str = "10", key: str = "", **changes: Any) -> Answer:
        body = {"from_wallet": self.anna, "to_wallet": self.bert, "amount": amount, "asset": "USDC"}
        headers = {"Idempotency-Key": key or ids.new().hex}
        return await self.world.one.post("/v1/transfers", {**body, **changes}, headers=headers)

    async def pay_out(self, amount: str = "10", **changes: Any) -> Answer:
        body = {"amount": amount, "asset": "USDC", "network": NETWORK, "address": PAYEE}
        headers = {"Idempotency-Key": ids.new().hex}
        path = f"/v1/wallets/{self.anna}/payouts"
        return await self.world.one.post(path, {**body, **changes}, headers=headers)

    async def limit(self, **limits: Any) -> Answer:
        body = {"limits": [{"asset": "USDC", **limits}]}
        return await self.world.operator("PUT", f"/v1/wallets/{self.anna}/limits", json=body)

    async def available(self, number: str) -> str:
        shown = (await self.world.one.get(f"/v1/wallets/{number}")).json["balances"]
        return next((b["available"] for b in shown if b["asset"] == "USDC"), "0.000000")


@pytest.fixture
async def shop(world: World) -> Shop:
    anna, bert = await open_wallet(world.one, "anna"), await open_wallet(world.one, "bert")
    await fund(world, anna, 100 * 10**6)
    async with world.context.database.statement() as connection:
        await payout_fees.store(connection, NETWORK, GWEI, GWEI // 2)
    return Shop(world, anna, bert)


async def test_a_customer_and_a_wallet(world: World) -> None:
    body = {"reference": "anna", "metadata": {"tier": "gold"}}
    customer = (await world.one.post("/v1/customers", body)).json
    Customer.model_validate(customer)
    assert (await world.one.post("/v1/customers", body)).code == "reference_taken"
    assert (await world.two.post("/v1/customers", body)).status == 201, "his own anna"
    made = (await world.one.post("/v1/wallets", {"customer": customer["id"]})).json
    Wallet.model_validate(made)
    assert made["balances"] == []
    assert [a["network"] for a in made["addresses"]] == [NETWORK]
    assert (await world.one.get(f"/v1/wallets/{made['id']}")).json == made
    assert (await world.one.get(f"/v1/wallets?customer={customer['id']}")).json["data"] == [made]
    assert (await world.one.get("/v1/customers?reference=anna")).json["data"] == [customer]
    other = (await world.one.post("/v1/wallets", {"customer": customer["id"]})).json
    assert other["addresses"] != made["addresses"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"networks": ["eip155:5"]}, 422, "invalid_request"),
        ({"networks": []}, 422, "invalid_request"),
        ({"customer": "cus_01h455vb4pex5vsknk084sn02q"}, 404, "not_found"),
        ({"customer": "anna"}, 404, "not_found"),
        ({"customer": None}, 422, "invalid_request"),
        ({"surprise": 1}, 422, "invalid_request"),
    ],
)
async def test_a_wallet_is_refused(
    world: World, changes: dict[str, Any], status: int, code: str
) -> None:
    customer = (await world.one.post("/v1/customers", {"reference": "anna"})).json["id"]
    answer = await world.one.post("/v1/wallets", {"customer": customer, **changes})
    assert (answer.status, answer.code) == (status, code), answer.body


async def test_a_transfer_is_there_at_once(shop: Shop) -> None:
    answer = await shop.move("12.5", reference="lunch")
    assert answer.status == 201, answer.body
    made = answer.json
    Transfer.model_validate(made)
    assert (made["amount"], made["asset"], made["reference"]) == ("12.500000", "USDC", "lunch")
    assert await shop.available(shop.anna) == "87.500000"
    assert await shop.available(shop.bert) == "12.500000"
    one = shop.world.one
    assert (await one.get(f"/v1/transfers/{made['id']}")).json == made
    for query in ("", f"?wallet={shop.anna}", f"?wallet={shop.bert}"):
        assert (await one.get(f"/v1/transfers{query}")).json["data"] == [made]
    [entry] = (await one.get(f"/v1/ledger/entries?reference={made['id']}")).json["data"]
    assert [(p["account"], p["amount"]) for p in entry["postings"]] == [
        (f"wallet:{shop.anna}:available", "12.500000"),
        (f"wallet:{shop.bert}:available", "-12.500000"),
    ]
    assert (await one.get("/v1/balances")).json["data"] == [], "the merchant's own are his alone"
    async with shop.world.context.database.read() as session:
        events = await session.scalar(
            text("select count(*) from events where type = 'transfer.created' and subject = :s"),
            {"s": made["id"]},
        )
    assert events == 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"amount": "100.000001"}, 409, "insufficient_funds"),
        ({"asset": "ETH"}, 409, "insufficient_funds"),
        ({"amount": "0"}, 422, "invalid_amount"),
        ({"amount": "0.0000001"}, 422, "invalid_amount"),
        ({"amount": 1}, 422, "invalid_request"),
        ({"amount": "-1"}, 422, "invalid_request"),
        ({"asset": "DOGE"}, 422, "unknown_asset"),
        ({"asset": "EUR"}, 422, "unknown_asset"),
        ({"to_wallet": UNKNOWN}, 404, "not_found"),
        ({"from_wallet": UNKNOWN}, 404, "not_found"),
        ({"to_wallet": "x"}, 404, "not_found"),
        ({"surprise": 1}, 422, "invalid_request"),
    ],
)
async def test_a_transfer_is_refused(
    shop: Shop, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = await shop.move(**changes)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert await shop.available(shop.anna) == "100.000000"


async def test_not_to_itself_and_not_without_a_key(shop: Shop) -> None:
    answer = await shop.move(to_wallet=shop.anna)
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "to_wallet")
    body = {"from_wallet": shop.anna, "to_wallet": shop.bert, "amount": "1", "asset": "USDC"}
    answer = await shop.world.one.post("/v1/transfers", body)
    assert (answer.status, answer.code) == (422, "idempotency_key_required")
    assert await shop.available(shop.anna) == "100.000000"


async def test_a_key_moves_money_once(shop: Shop) -> None:
    first, again = await shop.move(key="k1"), await shop.move(key="k1")
    assert (first.body, again.headers["Idempotency-Replayed"]) == (again.body, "true")
    assert (await shop.move("11", key="k1")).code == "idempotency_mismatch"
    assert await shop.available(shop.anna) == "90.000000"


async def test_many_at_once_never_overdraw(shop: Shop) -> None:
    answers = await asyncio.gather(*(shop.move("30") for _ in range(12)))
    assert sorted(a.status for a in answers) == [201] * 3 + [409] * 9
    assert {a.code for a in answers if a.status == 409} == {"insufficient_funds"}
    assert await shop.available(shop.anna) == "10.000000"
    assert await shop.available(shop.bert) == "90.000000"


async def test_both_ways_at_once(shop: Shop) -> None:
    """Nobody waits in a circle."""
    await fund(shop.world, shop.bert, 100 * 10**6)
    back = {"from_wallet": shop.bert, "to_wallet": shop.anna}
    moves = [shop.move("1", **(back if n % 2 else {})) for n in range(20)]
    assert {a.status for a in await asyncio.gather(*moves)} == {201}
    assert await shop.available(shop.anna) == await shop.available(shop.bert) == "100.000000"


async def test_limits(shop: Shop) -> None:
    answer = await shop.limit(per_transfer="40", per_day="60")
    assert answer.status == 200, answer.body
    Limits.model_validate(answer.json)
    shown = await shop.world.operator.get(f"/v1/wallets/{shop.anna}/limits")
    assert shown.json == answer.json
    assert shown.json["limits"] == [
        {"asset": "USDC", "per_transfer": "40.000000", "per_day": "60.000000"}
    ]
    assert (await shop.move("40.000001")).code == "limit_exceeded"
    assert (await shop.pay_out("40.000001")).code == "limit_exceeded"
    assert (await shop.move("40")).status == 201
    assert (await shop.move("20.000001")).code == "limit_exceeded"
    assert (await shop.pay_out("20")).status == 201
    assert (await shop.move("0.000001")).code == "limit_exceeded"
    context = shop.world.context
    context.clock.set_offset(timedelta(hours=25))
    assert (await shop.move("1")).status == 201, "another day"
    assert (await shop.limit()).json["limits"][0]["per_day"] is None
    assert (await shop.move("20")).status == 201


async def test_a_dry_run_knows_the_wallet_and_its_limits(shop: Shop) -> None:
    world, path = shop.world, "/v1/payouts/explain"
    body = {"amount": "40", "asset": "USDC", "network": NETWORK, "address": PAYEE}

    async def told(amount: str = "40", **changes: Any) -> Any:
        asked = {**body, "wallet": shop.anna, "amount": amount, **changes}
        answer = await world.one.post(path, asked)
        assert answer.status == 200, answer.body
        Explanation.model_validate(answer.json)
        return answer.json

    free = await told("100")
    assert free["wallet"] == shop.anna
    assert free["funds"]["available"] == "100.000000"
    assert free["funds"]["enough"] is False, "the fee is the wallet's too"
    nothing = {"per_transfer": None, "left_today": None, "allowed": True, "reason": None}
    assert free["limits"] == nothing
    await shop.limit(per_transfer="40", per_day="60")
    assert (await shop.move("30")).status == 201
    within, above = await told("30"), await told("30.000001")
    assert within["funds"]["enough"] is True
    assert within["limits"] == {**nothing, "per_transfer": "40.000000", "left_today": "30.000000"}
    assert (above["limits"]["allowed"], above["status"]) == (False, "approved")
    assert "30.000000 USDC may still leave" in above["limits"]["reason"]
    assert (await told("41"))["limits"]["reason"].startswith("at most 40.000000 USDC")
    assert (await shop.pay_out("30.000001")).code == "limit_exceeded", "as it was told"

    mine = await world.one.post(path, body)
    assert (mine.json["wallet"], mine.json["limits"]) == (None, None)
    for client, number in ((world.two, shop.anna), (world.one, "wal_01h455vb4pex5vsknk084sn02q")):
        answer = await client.post(path, {**body, "wallet": number})
        assert (answer.status, answer.code) == (404, "not_found")
    assert (await world.one.post("/v1/payouts", {**body, "wallet": shop.anna})).status == 422


async def test_a_dry_run_of_a_withdrawal_is_a_customers(shop: Shop) -> None:
    operator = shop.world.operator
    rule = {"name": "theirs", "effect": "block", "who": {"initiators": ["customer"]}}
    document = {"default": {"effect": "allow"}, "rules": [rule], "version": 0}
    assert (await operator("PUT", "/v1/policies", json=document)).status == 200
    assert (await operator.post("/v1/policies/publish", {"version": 1})).status == 201
    body = {"amount": "1", "asset": "USDC", "network": NETWORK, "address": PAYEE}

    async def told(**more: Any) -> tuple[str, str | None]:
        answer = await shop.world.one.post("/v1/payouts/explain", {**body, **more})
        return answer.json["status"], answer.json["policy"]["rule"]

    assert await told(wallet=shop.anna) == ("rejected", "theirs")
    assert await told() == ("approved", None)


async def test_limits_hold_under_haste(shop: Shop) -> None:
    await shop.limit(per_day="50")
    answers = await asyncio.gather(*(shop.move("20") for _ in range(8)))
    assert sorted(a.status for a in answers) == [201] * 2 + [409] * 6
    assert await shop.available(shop.anna) == "60.000000"


@pytest.mark.parametrize(
    "wanted",
    [
        [{"asset": "DOGE"}],
        [{"asset": "USDC", "per_day": "0.0000001"}],
        [{"asset": "USDC"}, {"asset": "USDC", "per_day": "1"}],
        [{"asset": "USDC", "per_day": 1}],
        [{"per_day": "1"}],
    ],
)
async def test_limits_are_refused(shop: Shop, wanted: list[dict[str, Any]]) -> None:
    path = f"/v1/wallets/{shop.anna}/limits"
    answer = await shop.world.operator("PUT", path, json={"limits": wanted})
    assert answer.status == 422, answer.body


async def test_who_may_do_what(shop: Shop) -> None:
    world, path = shop.world, f"/v1/wallets/{shop.anna}"
    for method in ("GET", "PUT"):
        answer = await world.one(method, f"{path}/limits", json={"limits": []})
        assert answer.status == 403
    assert (await world.operator.get(f"/v1/wallets/{UNKNOWN}/limits")).status == 404
    reader = await world.key("one", "wallets:read")
    assert (await reader.get(path)).status == 200
    assert (await reader.post("/v1/customers", {"reference": "x"})).code == "missing_scope"
    body = {"from_wallet": shop.anna, "to_wallet": shop.bert, "amount": "1", "asset": "USDC"}
    headers = {"Idempotency-Key": "k"}
    for scope in ("wallets:*", "payouts:write"):
        key = await world.key("one", scope)
        assert (await key.post("/v1/transfers", body, headers=headers)).code == "missing_scope"
    key = await world.key("one", "transfers:write")
    assert (await key.post("/v1/transfers", body, headers=headers)).status == 201
    operator = await world.operator.post("/v1/transfers", body, headers=headers)
    assert (operator.status, operator.code) == (403, "forbidden")


async def test_another_merchants_wallets_are_unknown(shop: Shop) -> None:
    world = shop.world
    theirs = await open_wallet(world.two, "carl")
    assert (await shop.move(to_wallet=theirs)).code == "not_found"
    assert (await shop.move(from_wallet=theirs)).code == "not_found"
    for path in ("/v1/wallets", "/v1/customers", "/v1/transfers"):
        mine = (await world.two.get(path)).json["data"]
        assert all(one["merchant"] == ids.show("mer", world.ids["two"]) for one in mine)
    customer = (await world.one.get("/v1/customers")).json["data"][0]["id"]
    assert (await world.two.post("/v1/wallets", {"customer": customer})).code == "not_found"


async def test_a_withdrawal(shop: Shop) -> None:
    answer = await shop.pay_out("10", reference="cash")
    assert answer.status == 201, answer.body
    made = answer.json
    assert (made["status"], made["amount"], made["network_fee"]) == (
        "requested",
        "10.000000",
        "0.243750",
    )
    assert made["wallet"] == shop.anna
    shown = (await shop.world.one.get(f"/v1/wallets/{shop.anna}")).json["balances"]
    assert shown == [
        {"asset": "USDC", "available": "89.756250", "pending": "0.000000", "reserved": "10.243750"}
    ]
    assert (await shop.pay_out("89.7")).code == "insufficient_funds"
    assert (await shop.pay_out(address="0x12")).code == "not_an_address"
    path = f"/v1/wallets/{shop.anna}/payouts"
    body = {"amount": "1", "asset": "USDC", "network": NETWORK, "address": PAYEE}
    assert (await shop.world.one.post(path, body)).code == "idempotency_key_required"
    rejected = await shop.world.one.post(f"/v1/payouts/{made['id']}/reject", {"reason": "no"})
    assert rejected.status == 200, rejected.body
    assert await shop.available(shop.anna) == "100.000000"
    assert (await shop.world.one.get("/v1/balances")).json["data"] == []


async def test_a_wallets_deposits_are_listed(shop: Shop) -> None:
    owner: UUID | None = ids.read("wal", shop.anna)
    values: dict[str, Any] = {
        "id": ids.new(), "merchant": shop.world.ids["one"], "wallet": owner, "network": NETWORK,
        "hash": "0x" + "ab" * 32, "now": shop.world.context.clock.now(),
    }  # fmt: skip
    async with shop.world.context.database.begin() as session:
        await session.execute(text(DEPOSIT), values)
    for query in (f"?wallet={shop.anna}", "?matched=false"):
        [shown] = (await shop.world.one.get(f"/v1/deposits{query}")).json["data"]
        assert (shown["wallet"], shown["invoice"]) == (shop.anna, None)
        assert shown["inbox"]["reason"] == "held"
    assert (await shop.world.one.get(f"/v1/deposits?wallet={shop.bert}")).json["data"] == []
    path = f"/v1/deposits/{ids.show('dep', values['id'])}/resolve"
    for action in ("credit", "ignore", "refund"):
        headers = {"Idempotency-Key": ids.new().hex}
        body = {"action": action, "address": PAYEE}
        answer = await shop.world.one.post(path, body, headers=headers)
        # Back to its payer it may go once a person has rejected it.
        code = "held" if action == "refund" else "not_in_inbox"
        assert (answer.status, answer.code) == (409, code), answer.body


DEPOSIT = """
insert into deposits (id, merchant_id, wallet_id, network, block_hash, block_number, block_time,
    tx_hash, position, asset, token, amount, sender, address, status, generation, account, required,
    witnessed, held, inbox_reason, seen_at, confirmed_at)
values (:id, :merchant, :wallet, :network, :hash, 7, :now, :hash, 'tx', 'ETH', 'native', 10,
    '0x1111111111111111111111111111111111111111', '0x2222222222222222222222222222222222222222',
    'confirmed', 0, 'pending', '3', false, true, 'held', :now, :now)
"""
