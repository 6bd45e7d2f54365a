"""/v1/payouts, /v1/payout_batches and /v1/refunds over HTTP: what is made and every refusal."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api.payout_schemas import Explanation, Payout, PayoutBatch
from core import ids
from core.addresses import checksum
from ledger.accounts import Debt, Role, merchant, place
from ledger.journal import Entry, Kind, post, transfer
from payments import payout_fees
from tests.integration.api.conftest import NETWORK, USDC, Answer, Client, World

PATH = "/v1/payouts"
PAYEE = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
GOOD: dict[str, Any] = {"amount": "0.5", "asset": "ETH", "network": NETWORK, "address": PAYEE}
GWEI = 10**9

# What is wrong, the field that is named, and the code.
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"amount": "0"}, "amount", "invalid_amount"),
    ({"amount": "0.0000000000000000001"}, "amount", "invalid_amount"),
    ({"amount": 1}, "amount", "invalid_request"),
    ({"amount": None}, "amount", "invalid_request"),
    ({"asset": "DOGE"}, "asset", "unknown_asset"),
    ({"asset": None}, "asset", "invalid_request"),
    ({"network": "eip155:5"}, "network", "unknown_network"),
    ({"network": None}, "network", "invalid_request"),
    ({"address": None}, "address", "invalid_request"),
    ({"address": "0x12"}, "address", "not_an_address"),
    ({"address": checksum(PAYEE).replace("5aAe", "5AAe")}, "address", "wrong_checksum"),
    ({"address": "0x" + "0" * 40}, "address", "zero_address"),
    ({"address": "0x000000000000000000000000000000000000dEaD"}, "address", "burn_address"),
    ({"address": USDC}, "address", "token_contract"),
    ({"address": "0x" + "fa" * 20}, "address", "own_address"),
    ({"reference": ""}, "reference", "invalid_request"),
    ({"surprise": 1}, "surprise", "invalid_request"),
    ({"bank_account": "bnk_1"}, "bank_account", "invalid_request"),
    ({"asset": "EUR"}, "bank_account", "invalid_request"),
]


async def fund(world: World, who: str, asset: str, units: int) -> None:
    """The merchant has it, and it stands in the hot wallet."""
    number = ids.new()
    entry = Entry(
        id=number,
        key=f"opening:{number}",
        kind=Kind.OPENING,
        reference="a test's funds",
        merchant_id=world.ids[who],
        evidence={},
        posted_at=world.context.clock.now(),
        postings=transfer(
            asset,
            units,
            debit=place(NETWORK, Role.HOT),
            credit=merchant(world.ids[who], Debt.AVAILABLE),
        ),
    )
    async with world.context.database.begin() as session:
        await post(session, [entry])


@pytest.fixture
async def shop(world: World) -> World:
    """Merchant one has 10 ETH and 1,000 USDC, and gas costs 1 gwei."""
    await fund(world, "one", "ETH", 10 * 10**18)
    await fund(world, "one", "USDC", 1000 * 10**6)
    async with world.context.database.statement() as connection:
        await payout_fees.store(connection, NETWORK, GWEI, GWEI // 2)
    return world


async def ask(client: Client, body: dict[str, Any], path: str = PATH, key: str = "") -> Answer:
    return await client.post(path, body, headers={"Idempotency-Key": key or ids.new().hex})


async def balances(client: Client, asset: str) -> tuple[str, str]:
    listed = (await client.get("/v1/balances")).json["data"]
    [one] = [b for b in listed if b["asset"] == asset]
    return one["available"], one["reserved"]


async def test_a_payout_sets_its_money_aside(shop: World) -> None:
    answer = await ask(shop.one, {**GOOD, "reference": "salary-1"})
    assert answer.status == 201, answer.body
    made = answer.json
    Payout.model_validate(made)
    assert (made["status"], made["reasons"], made["transactions"]) == ("requested", [], [])
    assert made["address"] == checksum(PAYEE)
    # 21,000 gas at 1.5 gwei, rounded up to the asset's quote decimals
    assert made["network_fee"] == "0.000032000000000000"
    assert await balances(shop.one, "ETH") == ("9.499968000000000000", "0.500032000000000000")
    assert (await shop.one.get(f"{PATH}/{made['id']}")).json == made
    assert (await shop.operator.get(f"{PATH}/{made['id']}")).json == made
    for query in ("", "?status=requested", "?reference=salary-1"):
        assert (await shop.one.get(PATH + query)).json["data"] == [made]
    assert (await shop.one.get(f"{PATH}?status=paid")).json["data"] == []
    assert (await shop.two.get(PATH)).json["data"] == []
    events = (await shop.one.get("/v1/events?type=payout.requested")).json["data"]
    assert [e["data"]["object"] for e in events] in ([made], [])  # the sequencer may not run


async def test_a_token_pays_its_fee_in_itself_and_the_house_may_bear_it(shop: World) -> None:
    body = {**GOOD, "asset": "USDC", "amount": "10.5"}
    made = (await ask(shop.one, body)).json
    # 65,000 gas at 1.5 gwei and 2,500 USD an ETH
    assert (made["amount"], made["network_fee"]) == ("10.500000", "0.243750")
    assert await balances(shop.one, "USDC") == ("989.256250", "10.743750")
    number = ids.show("mer", shop.ids["one"])
    await shop.operator("PATCH", f"/v1/merchants/{number}", json={"payout_fee": "house"})
    made = (await ask(shop.one, body)).json
    assert (made["network_fee"], made["fee_paid_by"]) == ("0.243750", "house")
    assert await balances(shop.one, "USDC") == ("978.756250", "21.243750")


async def test_what_is_wrong_is_named_and_takes_nothing(shop: World) -> None:
    for change, field, code in BAD:
        answer = await ask(shop.one, {**GOOD, **change})
        assert (answer.status, answer.code) == (422, code), (change, answer.body)
        assert [e["field"] for e in answer.json["errors"]] == [field], (change, answer.body)
    assert await balances(shop.one, "ETH") == ("10.000000000000000000", "0.000000000000000000")


async def test_our_own_deposit_address_is_refused(shop: World) -> None:
    invoice = (await shop.two.post("/v1/invoices", {"amount": "5.00", "currency": "USD"})).json
    address = invoice["payment_options"][0]["address"]
    answer = await ask(shop.one, {**GOOD, "address": address})
    assert (answer.status, answer.code) == (422, "own_address")


async def test_not_more_than_there_is_however_many_ask_at_once(shop: World) -> None:
    answer = await ask(shop.one, {**GOOD, "amount": "10"})
    assert (answer.status, answer.code) == (409, "insufficient_funds")
    answers = await asyncio.gather(*(ask(shop.one, {**GOOD, "amount": "3"}) for _ in range(8)))
    assert sorted(a.status for a in answers) == [201] * 3 + [409] * 5
    assert await balances(shop.one, "ETH") == ("0.999904000000000000", "9.000096000000000000")


async def test_a_key_is_required_and_gives_the_same_answer_again(shop: World) -> None:
    answer = await shop.one.post(PATH, GOOD)
    assert (answer.status, answer.code) == (422, "idempotency_key_required")
    first = await ask(shop.one, GOOD, key="k")
    again = await ask(shop.one, GOOD, key="k")
    assert (again.status, again.body) == (201, first.body)
    other = await ask(shop.one, {**GOOD, "amount": "1"}, key="k")
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert len((await shop.one.get(PATH)).json["data"]) == 1


async def test_without_figures_nothing_is_guessed(shop: World) -> None:
    async with shop.context.database.begin() as session:
        await session.execute(text("update network_fees set at = at - interval '1 hour'"))
    answer = await ask(shop.one, GOOD)
    assert (answer.status, answer.code) == (503, "price_unavailable")
    async with shop.context.database.begin() as session:
        await session.execute(text("update network_fees set at = now()"))
        await session.execute(text("delete from prices where base = 'USDC'"))
    answer = await ask(shop.one, {**GOOD, "asset": "USDC"})
    assert (answer.status, answer.code) == (503, "price_unavailable")


async def test_scopes(shop: World) -> None:
    reader = await shop.key("one", "payouts:read")
    assert (await ask(reader, GOOD)).code == "missing_scope"
    assert (await reader.get(PATH)).status == 200
    stranger = await shop.key("one", "invoices:write")
    assert (await stranger.get(PATH)).code == "missing_scope"
    assert (await ask(shop.operator, GOOD)).code == "forbidden"


async def test_a_person_rejects_and_the_money_is_back(shop: World) -> None:
    made = (await ask(shop.one, GOOD)).json
    path = f"{PATH}/{made['id']}/reject"
    shown = await shop.one.post(path, {"reason": "typing mistake"})
    assert (shown.status, shown.json["status"]) == (200, "rejected")
    assert (shown.json["reasons"], shown.json["rejection"]) == (["rejected"], "typing mistake")
    again = await shop.one.post(path, {"reason": "again"})
    assert again.json == shown.json
    assert await balances(shop.one, "ETH") == ("10.000000000000000000", "0.000000000000000000")
    answer = await shop.one.post(
        f"{PATH}/{made['id']}/approve", {"approver": PAYEE, "signature": "0x"}
    )
    assert (answer.status, answer.code) == (409, "no_approval_needed")


async def test_another_merchants_payout_is_an_unknown_one(shop: World) -> None:
    made = (await ask(shop.one, GOOD)).json
    batch = (await ask(shop.one, {"payouts": [GOOD]}, "/v1/payout_batches")).json
    unknown = ids.new()
    for method, path, body in (
        ("GET", f"{PATH}/{{}}", None),
        ("POST", f"{PATH}/{{}}/reject", {"reason": "x"}),
        ("POST", f"{PATH}/{{}}/approve", {"approver": PAYEE, "signature": "0x"}),
    ):
        for number in (made["id"], ids.show("pay", unknown), "pay_x"):
            answer = await shop.two(method, path.format(number), json=body)
            assert (answer.status, answer.code) == (404, "not_found"), path
    for number in (batch["id"], ids.show("bat", unknown)):
        assert (await shop.two.get(f"/v1/payout_batches/{number}")).status == 404


async def test_a_batch_is_all_or_nothing(shop: World) -> None:
    tokens = {**GOOD, "asset": "USDC", "amount": "1"}
    answer = await ask(shop.one, {"payouts": [GOOD, tokens, GOOD]}, "/v1/payout_batches")
    assert answer.status == 201, answer.body
    made = answer.json
    PayoutBatch.model_validate(made)
    assert (made["status"], made["count"], made["summary"]["requested"]) == ("requested", 3, 3)
    assert made["totals"] == [
        {"amount": "1.000000000000000000", "asset": "ETH"},
        {"amount": "1.000000", "asset": "USDC"},
    ]
    assert [p["batch"] for p in made["payouts"]] == [made["id"]] * 3
    shown = await shop.one.get(f"/v1/payout_batches/{made['id']}")
    assert shown.json == made
    [listed] = (await shop.one.get("/v1/payout_batches")).json["data"]
    assert listed == {**made, "payouts": []}
    assert len((await shop.one.get(f"{PATH}?batch={made['id']}")).json["data"]) == 3

    bad = [GOOD, {**GOOD, "amount": "0"}, GOOD, {**GOOD, "address": "0x" + "0" * 40}]
    answer = await ask(shop.one, {"payouts": bad}, "/v1/payout_batches")
    assert answer.status == 422
    fields = [e["field"] for e in answer.json["errors"]]
    assert fields == ["payouts.1.amount", "payouts.3.address"]
    answer = await ask(shop.one, {"payouts": [GOOD] * 30}, "/v1/payout_batches")
    assert (answer.status, answer.code) == (409, "insufficient_funds")
    for wrong in ([], [GOOD] * 501):
        assert (await ask(shop.one, {"payouts": wrong}, "/v1/payout_batches")).status == 422
    assert len((await shop.one.get(PATH + "?limit=100")).json["data"]) == 3


async def test_five_hundred_in_one_call(shop: World) -> None:
    small = [{**GOOD, "amount": "0.001", "reference": f"r{n}"} for n in range(500)]
    answer = await ask(shop.one, {"payouts": small}, "/v1/payout_batches")
    assert (answer.status, answer.json["count"]) == (201, 500)
    async with shop.context.database.read() as session:
        kept = await session.scalar(text("select count(*) from payouts"))
        told = await session.scalar(text("select count(*) from events where type like 'payout.%'"))
    assert (kept, told) == (500, 500)


async def test_a_dry_run_remembers_nothing(shop: World) -> None:
    answer = await shop.one.post(f"{PATH}/explain", {**GOOD, "amount": "11"})
    assert answer.status == 200, answer.body
    told = answer.json
    assert (told["status"], told["network_fee"]) == ("approved", "0.000032000000000000")
    assert told["funds"] == {
        "needed": "11.000032000000000000",
        "available": "10.000000000000000000",
        "enough": False,
    }
    assert told["policy"]["effect"] == "allow"
    assert told["signer"] == "not_asked", "approved, as far as this process may say"
    answer = await shop.one.post(f"{PATH}/explain", {**GOOD, "address": "0x" + "0" * 40})
    assert (answer.status, answer.code) == (422, "zero_address")
    async with shop.context.database.read() as session:
        for table in ("payouts", "screenings", "policy_requests"):
            assert await session.scalar(text(f"select count(*) from {table}")) == 0  # noqa: S608


RULES: dict[str, Any] = {
    "default": {"effect": "allow"},
    "rules": [
        {"name": "large", "effect": "block", "amount": {"asset": "ETH", "above": "5"}},
        {"name": "dollars", "effect": "approve", "assets": ["USDC"], "approvals": {"needed": 2}},
        {"name": "unknown", "effect": "block", "destination": "group:nobody"},
    ],
}


async def test_a_dry_run_tells_every_rule_and_which_one_fires(shop: World) -> None:
    await shop.operator("PUT", "/v1/policies", json=RULES | {"version": 0})
    published = await shop.operator.post("/v1/policies/publish", {"version": 1, "note": "three"})
    assert published.status == 201, published.body

    async def told(**change: Any) -> Any:
        answer = await shop.one.post(f"{PATH}/explain", {**GOOD, **change})
        assert answer.status == 200, answer.body
        Explanation.model_validate(answer.json)
        assert answer.json["signer"] == "not_asked"
        return answer.json

    def steps(answer: Any) -> list[tuple[str, bool]]:
        return [(step["rule"], step["matched"]) for step in answer["policy"]["steps"]]

    large, dollars, rest = await told(amount="6"), await told(asset="USDC"), await told()
    assert steps(large) == [("large", True)]
    assert (large["status"], large["reasons"]) == ("rejected", ["policy"])
    assert steps(dollars) == [("large", False), ("dollars", True)]
    assert (dollars["status"], dollars["reasons"]) == ("held", ["approval_needed"])
    assert (dollars["policy"]["rule"], dollars["policy"]["needed"]) == ("dollars", 2)
    missed = [(name, False) for name in ("large", "dollars", "unknown")]
    assert steps(rest) == [*missed, ("default", True)]
    assert (rest["status"], rest["policy"]["rule"], rest["policy"]["version"]) == (
        "approved", None, 1,
    )  # fmt: skip
    assert [step["why"] for step in rest["policy"]["steps"]] == [
        "0.500000000000000000 ETH is not above 5.000000000000000000",
        "the asset is ETH",
        f"{checksum(PAYEE)} is not in the group nobody",
        "no rule matches: the effect is allow",
    ]


REFUND = {"variant": "full", "address": PAYEE}


async def test_a_refund_needs_something_that_was_confirmed(shop: World) -> None:
    invoice = (await shop.one.post("/v1/invoices", {"amount": "25.00", "currency": "USD"})).json
    path = f"/v1/invoices/{invoice['id']}/refunds"
    answer = await shop.one.post(path, REFUND)
    assert (answer.status, answer.code) == (422, "idempotency_key_required")
    answer = await ask(shop.one, REFUND, path)
    assert (answer.status, answer.code) == (409, "nothing_refundable")
    for number in (invoice["id"], ids.show("inv", UUID(int=1)), "inv_x"):
        answer = await ask(shop.two, REFUND, f"/v1/invoices/{number}/refunds")
        assert (answer.status, answer.code) == (404, "not_found")
    for change in ({"variant": "some"}, {"address": None}, {"fee": "nobody"}, {"more": 1}):
        assert (await ask(shop.one, {**REFUND, **change}, path)).status == 422
    assert (await shop.one.get("/v1/refunds")).json["data"] == []
    unknown = ids.show("ref", UUID(int=1))
    assert (await shop.one.get(f"/v1/refunds/{unknown}")).status == 404
