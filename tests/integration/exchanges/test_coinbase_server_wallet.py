"""The simulated Coinbase App (v2) through the SDK's signed `get` and `post`."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from exchanges.numbers import ONE, parse
from sandbox.exchanges.types import SimDeposit, TransferStatus
from tests.integration.exchanges.coinbase_venue import (
    DEPOSIT_ADDRESS,
    NETWORK,
    Served,
    ask,
    refusal,
    serve,
)

TO = "0x" + "cd" * 20
TX_HASH = "0x" + "12" * 32


@pytest.fixture
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serve(tmp_path_factory.getbasetemp() / "tls") as served:
        yield served


async def wallet(venue: Served, asset: str) -> str:
    page = await ask(venue.client().get, "/v2/accounts", params={"limit": 100})
    ids = (one["id"] for one in page["data"] if one["balance"]["currency"] == asset)
    return str(next(ids))


def send(amount: str, asset: str = "ETH", **more: Any) -> dict[str, Any]:
    return {
        "type": "send",
        "to": TO,
        "amount": amount,
        "currency": asset,
        "network": "ethereum",
        **more,
    }


async def test_wallets_are_the_accounts(venue: Served) -> None:
    client = venue.client()
    accounts = (await ask(client.get_accounts))["accounts"]
    page = await ask(client.get, "/v2/accounts", params={"limit": 2})
    assert len(page["data"]) == 2
    assert page["pagination"]["next_uri"].startswith("/v2/accounts?limit=2&starting_after=")
    after = page["pagination"]["next_starting_after"]
    rest = await ask(client.get, "/v2/accounts", params={"starting_after": after})
    assert rest["pagination"]["next_uri"] is None
    assert {w["id"] for w in page["data"] + rest["data"]} == {a["uuid"] for a in accounts}
    one = await ask(client.get, f"/v2/accounts/{await wallet(venue, 'ETH')}")
    assert one["data"]["balance"] == {"amount": "100", "currency": "ETH"}
    finest = {w["currency"]["code"]: w["currency"]["exponent"] for w in rest["data"] + page["data"]}
    assert finest == {"ETH": 8, "EUR": 2, "USD": 2, "USDC": 6, "USDT": 6}


async def test_addresses(venue: Served) -> None:
    client = venue.client()
    path = f"/v2/accounts/{await wallet(venue, 'USDC')}/addresses"
    made = (await ask(client.post, path, data={"network": "ethereum"}))["data"]
    assert made["address"].lower() == DEPOSIT_ADDRESS
    assert made["network"] == "ethereum"
    assert (await ask(client.get, path))["data"] == [made]
    response = await refusal(client.post, path, data={"network": "bitcoin"})
    assert (response.status_code, response.json()["errors"][0]["id"]) == (400, "validation_error")
    response = await refusal(client.get, f"/v2/accounts/{uuid.uuid4()}/addresses")
    assert response.json() == {"errors": [{"id": "not_found", "message": "Not found"}]}


async def test_a_send_happens_once(venue: Served) -> None:
    client, idem = venue.client(), str(uuid.uuid4())
    path = f"/v2/accounts/{await wallet(venue, 'ETH')}/transactions"
    sent = (await ask(client.post, path, data=send("2", idem=idem)))["data"]
    assert (sent["type"], sent["status"], sent["idem"]) == ("send", "pending", idem)
    fee = sent["network"]["transaction_fee"]["amount"]
    assert parse(sent["amount"]["amount"]) == -2 * ONE - parse(fee)
    assert sent["network"]["status"] == "pending"
    assert "hash" not in sent["network"]
    assert (await ask(client.post, path, data=send("2", idem=idem)))["data"] == sent
    assert len(venue.simulator.withdrawals()) == 1
    assert (await ask(client.get, f"{path}/{sent['id']}"))["data"] == sent
    listed = (await ask(client.get, path))["data"]
    assert listed == [sent]


async def test_what_came_in_and_what_trading_moved(venue: Served) -> None:
    client, here = venue.client(), venue.simulator
    path = f"/v2/accounts/{await wallet(venue, 'ETH')}/transactions"
    deposit = SimDeposit(
        id="one",
        asset="ETH",
        network=NETWORK,
        address=DEPOSIT_ADDRESS,
        amount=3 * ONE,
        tx_hash=TX_HASH,
        confirmations=1,
        status=TransferStatus.PENDING,
        at=1_700_000_000_000,
    )
    here.transfers.follow(NETWORK, "1", [], [deposit])
    waits = (await ask(client.get, path))["data"][0]
    assert (waits["type"], waits["status"], waits["network"]["status"]) == (
        "send",
        "pending",
        "unconfirmed",
    )
    here.transfers.follow(NETWORK, "2", [deposit], [])
    await ask(client.limit_order_ioc_sell, "mine", "ETH-EUR", "1", "1990")
    await ask(client.post, path, data=send("2"))
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 1}
    while True:
        page = await ask(client.get, path, params=params)
        found += page["data"]
        if page["pagination"]["next_uri"] is None:
            break
        params["starting_after"] = page["pagination"]["next_starting_after"]
    change = sum(parse(one["amount"]["amount"]) for one in found)
    assert here.balances()["ETH"].free == 100 * ONE + change
    came = next(one for one in found if one["id"] == waits["id"])
    assert (came["status"], came["network"]["hash"]) == ("completed", TX_HASH)
    assert came["amount"] == {"amount": "3", "currency": "ETH"}
    assert {one["type"] for one in found} == {"send", "advanced_trade_fill"}
    euros = await ask(client.get, f"/v2/accounts/{await wallet(venue, 'EUR')}/transactions")
    got = sum(parse(one["amount"]["amount"]) for one in euros["data"])
    assert here.balances()["EUR"].free == 500_000 * ONE + got


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (send("1000"), "You don't have that much."),
        (send("0.00001"), "Amount is below the minimum or too precise."),
        (send("much"), "Invalid amount"),
        (send("1", to="0x12"), "Please enter a valid address"),
        (send("1", network="bitcoin"), "Network is not supported for this currency"),
        (send("1", asset="EUR"), "Invalid currency"),
        (send("1", idem="NOT-A-UUID"), "idem must be a valid UUID"),
    ],
)
async def test_sends_that_are_refused(venue: Served, body: dict[str, Any], message: str) -> None:
    path = f"/v2/accounts/{await wallet(venue, 'ETH')}/transactions"
    response = await refusal(venue.client().post, path, data=body)
    assert response.status_code == 400
    assert response.json() == {"errors": [{"id": "validation_error", "message": message}]}
    assert venue.simulator.withdrawals() == []


async def test_a_key_that_may_not_move_money(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.getbasetemp() / "tls"
    async with serve(directory, scopes={"view", "trade"}) as venue:
        path = f"/v2/accounts/{await wallet(venue, 'ETH')}/transactions"
        response = await refusal(venue.client().post, path, data=send("1"))
        assert (response.status_code, response.json()["errors"][0]["id"]) == (403, "invalid_scope")
