"""Paying through the router in a whole installation: the real signer quotes and relays."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from eth_account import Account

from core.clock import wall
from tests.e2e.town import Client, Town
from tests.integration.router.rig import RECEIVE
from tests.waiting import eventually
from tests.world import calldata, connect

NETWORK = "eip155:31337"


@pytest.fixture
async def client(sandbox: Town) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(sandbox.ready["api_url"], sandbox.ready["api_key"], session)


async def ask(client: Client, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    """As a payer's browser: no key. `body` as bytes is sent as it stands."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body else None
    method = "GET" if body is None else "POST"
    async with client.session.request(method, f"{client.url}{path}", data=data) as answer:
        return answer.status, await answer.json(content_type=None)


async def heard(client: Client, path: str, event: str, status: str) -> dict[str, Any]:
    """What the invoice's stream tells, as soon as it says so."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with client.session.get(f"{client.url}{path}/events", timeout=timeout) as stream:
        name = ""
        async for raw in stream.content:
            line = raw.decode().strip()
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:") and name == event:
                found: dict[str, Any] = json.loads(line[5:])
                if found["status"] == status:
                    return found
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("asset", ["ETH", "USDC", "T24"])
@pytest.mark.parametrize("network", [NETWORK, "eip155:31338"])
async def test_on_command(client: Client, asset: str, network: str) -> None:
    invoice = await client.invoice("12.34", assets=[asset], networks=[network])
    paid = await client.post("/v1/sandbox/pay", {"invoice": invoice["id"], "via": "router"})
    assert paid["amount"] == invoice["payment_options"][0]["amount_due"]
    await client.post("/v1/sandbox/mine", {"blocks": 3})
    settled = await client.becomes(invoice, "settled")
    [deposit] = settled["deposits"]
    assert deposit["tx_hash"] == paid["tx_hash"]
    assert deposit["to"] != invoice["payment_options"][0]["address"]
    assert settled["exception"] == "none"


async def test_signed_relayed_and_told(sandbox: Town, client: Client) -> None:
    """The payer has no ETH and only signs; the relayer's key and policy are the signer's own."""
    invoice = await client.invoice(assets=["USDC"], networks=[NETWORK])
    path = f"/pay/{invoice['id']}"
    status, asked = await ask(client, f"{path}/quote", {"asset": "USDC", "network": NETWORK})
    assert status in (200, 202)
    quote = await heard(client, path, "quote", "signed")
    assert quote["id"] == asked["id"]
    assert (await ask(client, f"{path}/quotes/{quote['id']}"))[1] == quote
    assert quote["methods"] == ["authorization", "permit", "approve"]

    payer = Account.create()
    amount = int(quote["quote"]["amount"])
    async with connect(sandbox.ready["networks"][0]["rpc_url"]) as node:
        mint = calldata("mint(address,uint256)", payer.address, amount)
        await node.send(quote["token"], data=mint, gas=200_000)
    message = {
        "from": payer.address, "to": quote["router"], "value": amount, "validAfter": 0,
        "validBefore": int(quote["quote"]["deadline"]) + 60,
        "nonce": bytes.fromhex(quote["quote_hash"][2:]),
    }  # fmt: skip
    domain = {
        **quote["domain"], "chainId": quote["chain_id"], "verifyingContract": quote["token"],
    }  # fmt: skip
    types = {"ReceiveWithAuthorization": RECEIVE}
    signed = Account.sign_typed_data(payer.key, domain, types, message)
    body = {
        "quote": quote["id"], "payer": payer.address, "valid_after": "0",
        "valid_before": str(message["validBefore"]), "signature": "0x" + signed.signature.hex(),
    }  # fmt: skip
    status, given = await ask(client, f"{path}/authorizations", body)
    assert (status, given["status"]) == (202, "requested")
    assert (await ask(client, f"{path}/authorizations", body))[1]["id"] == given["id"]

    async def done() -> bool:
        found = (await ask(client, f"{path}/authorizations/{given['id']}"))[1]
        assert found["status"] not in ("failed", "refused"), found
        return bool(found["status"] == "done")

    await eventually(done, 30)
    await client.post("/v1/sandbox/mine", {"blocks": 3})
    settled = await client.becomes(invoice, "settled")
    assert settled["deposits"][0]["from"] == payer.address


async def test_what_a_browser_may_not_say(client: Client) -> None:
    invoice = await client.invoice(assets=["ETH", "FEE"], networks=[NETWORK])
    path = f"/pay/{invoice['id']}"
    nobody = "/pay/inv_00000000000000000000000000"
    quote = {"asset": "ETH", "network": NETWORK}
    authorization = {
        "quote": "qte_00000000000000000000000000", "payer": "0x" + "11" * 20, "valid_after": "0",
        "valid_before": str(int(wall().timestamp()) + 600), "signature": "0x" + "11" * 65,
    }  # fmt: skip
    for where, body, status, code in (
        (f"{path}/quote", b"{", 400, "invalid_json"),
        (f"{path}/quote", [], 422, "invalid_request"),
        (f"{path}/quote", {**quote, "amount": "1"}, 422, "invalid_request"),
        (f"{path}/quote", {**quote, "asset": 1}, 422, "invalid_request"),
        (f"{path}/quote", {**quote, "asset": "FEE"}, 422, "fee_on_transfer"),
        (f"{path}/quote", {**quote, "asset": "DAI"}, 422, "invalid_request"),
        (f"{path}/quote", {**quote, "network": "eip155:9"}, 422, "invalid_request"),
        (f"{path}/quote", {**quote, "payer": "0x12"}, 422, "invalid_request"),
        (f"{nobody}/quote", quote, 404, "not_found"),
        ("/pay/x/quote", quote, 404, "not_found"),
        (f"{path}/authorizations", authorization, 404, "not_found"),
        (f"{path}/authorizations", {**authorization, "valid_after": 0}, 422, "invalid_request"),
        (f"{path}/authorizations", {**authorization, "signature": "0x"}, 422, "invalid_request"),
        (f"{path}/quotes/qte_00000000000000000000000000", None, 404, "not_found"),
        (f"{path}/authorizations/rel_00000000000000000000000000", None, 404, "not_found"),
    ):
        found, problem = await ask(client, where, body if body != [] else b"[]")
        assert (found, problem["code"]) == (status, code), (where, body, problem)
