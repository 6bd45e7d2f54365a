"""A shop that sells requests: x402's own middleware and payer, over our API, worker and chain."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from eth_account import Account
from eth_account.messages import encode_typed_data
from fastapi import FastAPI
from x402 import x402Client, x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.clients.httpx import x402AsyncTransport
from x402.http.facilitator_client import CreateHeadersAuthProvider
from x402.http.middleware.fastapi import payment_middleware
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.exact.register import register_exact_evm_client
from x402.mechanisms.evm.exact.server import ExactEvmScheme
from x402.schemas import AssetAmount

from api.app import create_app
from bezant.bootstrap import CHANNELS
from chain.endpoints import Endpoints
from core import ids
from core.db import Database
from core.networks import Eip3009, Network, Tier
from ledger.accounts import EQUITY, Role, place
from ledger.journal import Entry, Kind, post, transfer
from merchants import keys
from payments.x402_checking import Checking
from payments.x402_settling import Settling
from tests.fakes import LocalSigner
from tests.integration.api.conftest import serve
from tests.world import Deployed, World, calldata, connect, network_of
from tests.world import world as make_world
from wallets import hot
from wallets.hot import WalletKind
from wallets.sending import Sending

RELAYER_WEI = 10**18
PRICE = "5.00"
UNITS = 5_000_000
FIELDS = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]


@dataclass
class Shop:
    """`followed` cleared: blocks are not read. `signer.away`: nothing is sent."""

    world: World
    network: Network
    token: str
    url: str
    http: httpx.AsyncClient
    key: str
    signer: LocalSigner
    accepts: dict[str, Any] = field(default_factory=dict)
    followed: asyncio.Event = field(default_factory=asyncio.Event)

    async def payer(self, units: int = 100 * UNITS) -> Any:
        """An account with USDC and no ETH."""
        account = Account.create()
        mint = calldata("mint(address,uint256)", account.address, units)
        await self.world.node.send(self.token, data=mint, gas=200_000)
        return account

    def sign(self, payer: Any, **changes: Any) -> dict[str, Any]:
        """The body of verify and settle, as a payer's wallet and a resource make it; `changes` are
        of what is signed."""
        now = int(self.world.context.clock.now().timestamp())
        signed = {
            "from": payer.address,
            "to": self.accepts["payTo"],
            "value": UNITS,
            "validAfter": 0,
            "validBefore": now + 300,
            "nonce": "0x" + secrets.token_hex(32),
            **changes,
        }
        made = Account.sign_message(
            encode_typed_data(
                domain_data={
                    **self.accepts["extra"],
                    "chainId": self.network.chain_id,
                    "verifyingContract": self.token,
                },
                message_types={"TransferWithAuthorization": FIELDS},
                message_data=signed,
            ),
            payer.key,
        )
        told = {k: v if isinstance(v, str) else str(v) for k, v in signed.items()}
        payload = {"authorization": told, "signature": "0x" + bytes(made.signature).hex()}
        return {
            "x402Version": 2,
            "paymentPayload": {"x402Version": 2, "accepted": self.accepts, "payload": payload},
            "paymentRequirements": self.accepts,
        }

    async def post(self, path: str, body: dict[str, Any], key: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        answer = await self.http.post(f"/v1/x402/{path}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = await self.http.get(f"/v1/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def cancel(self, body: dict[str, Any], payer: Any) -> None:
        """The payer takes his authorization back on chain."""
        signed = body["paymentPayload"]["payload"]["authorization"]
        domain = {
            **self.accepts["extra"],
            "chainId": self.network.chain_id,
            "verifyingContract": self.token,
        }
        fields = [{"name": "authorizer", "type": "address"}, {"name": "nonce", "type": "bytes32"}]
        data = {"authorizer": payer.address, "nonce": signed["nonce"]}
        made = Account.sign_message(
            encode_typed_data(domain, {"CancelAuthorization": fields}, data), payer.key
        )
        name = "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)"
        words = (made.r.to_bytes(32, "big"), made.s.to_bytes(32, "big"))
        nonce = bytes.fromhex(signed["nonce"][2:])
        call = calldata(name, payer.address, nonce, made.v, *words)
        await self.world.node.send(self.token, data=call, gas=200_000)

    async def send(self, body: dict[str, Any]) -> str:
        """Somebody who has seen the authorization sends it; the transaction's hash."""
        payload = body["paymentPayload"]["payload"]
        signed, proof = payload["authorization"], bytes.fromhex(payload["signature"][2:])
        call = calldata(
            "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,"
            "uint8,bytes32,bytes32)",
            *(signed["from"], signed["to"], int(signed["value"])),
            *(int(signed["validAfter"]), int(signed["validBefore"])),
            *(bytes.fromhex(signed["nonce"][2:]), proof[64], proof[:32], proof[32:64]),
        )
        return await self.world.node.send(self.token, data=call, sender=3, gas=200_000)

    async def buy(self, payer: Any, times: int = 1) -> list[httpx.Response]:
        """Through x402's middleware and payer, in a thread of their own: its start-up blocks."""
        return await asyncio.to_thread(buy, self.url, self.key, self.accepts, payer, times)


def buy(
    url: str, key: str, accepts: dict[str, Any], payer: Any, times: int
) -> list[httpx.Response]:
    """GET /report of a resource server that sells it."""
    return asyncio.run(_buy(resource(url, key, accepts), payer, times))


def resource(url: str, key: str, accepts: dict[str, Any]) -> FastAPI:
    """As a merchant writes it."""
    bearer = {"Authorization": f"Bearer {key}"}
    headers = {"verify": bearer, "settle": bearer, "supported": bearer}
    facilitator = HTTPFacilitatorClient(
        FacilitatorConfig(
            url=f"{url}/v1/x402", auth_provider=CreateHeadersAuthProvider(lambda: headers)
        )
    )
    server = x402ResourceServer(facilitator)
    scheme: Any = ExactEvmScheme  # its own types disagree
    server.register(accepts["network"], scheme())
    option = PaymentOption(
        scheme="exact",
        pay_to=accepts["payTo"],
        price=AssetAmount(**{k: accepts[k] for k in ("amount", "asset", "extra")}),
        network=accepts["network"],
        max_timeout_seconds=accepts["maxTimeoutSeconds"],
    )
    app = FastAPI()
    app.middleware("http")(payment_middleware({"GET /report": RouteConfig(accepts=option)}, server))

    @app.get("/report")
    async def report() -> dict[str, str]:
        return {"report": "rain"}

    return app


async def _buy(app: FastAPI, payer: Any, times: int) -> list[httpx.Response]:
    client = x402Client().set_spend_controls(False)  # it does not know a sandbox's USDC
    register_exact_evm_client(client, payer)
    transport = x402AsyncTransport(client, httpx.ASGITransport(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as http:
        return [await http.get("/report", timeout=60) for _ in range(times)]


@asynccontextmanager
async def open_shop(
    database: Database,
    chain: tuple[str, Deployed],
    *,
    worker_url: str | None = None,
    works: bool = True,
    **changes: Any,
) -> AsyncIterator[Shop]:
    """Everything runs; `changes` are of the network's settings. `worker_url`: a node of its own for
    checks and settlements. `works` false: the API alone, its worker is the test's."""
    url, deployed = chain
    signs = Eip3009(name="USDC", version="2")
    tokens = tuple(
        replace(t, eip3009=signs) if t.asset.symbol == "USDC" else t
        for t in deployed.tokens.values()
    )
    settings = {"tokens": tokens, "tiers": (Tier(up_to=None, required=1),), **changes}
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(connect(url))
        network = network_of(node, deployed, 31337, **settings)
        relayer = Account.create()
        await node.rpc("anvil_setBalance", relayer.address, hex(RELAYER_WEI))
        world = await stack.enter_async_context(make_world(database, {network: (node, deployed)}))
        await _found(world, relayer.address.lower())
        listening = asyncio.create_task(world.context.listener.run(CHANNELS))
        await world.context.listener.ready.wait()
        api = await stack.enter_async_context(serve(create_app(world.context)))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=api, timeout=60))
        async with database.begin() as session:
            made = await keys.create_key(
                session,
                world.merchant_id,
                ["invoices:*", "deposits:*"],
                None,
                world.context.clock.now(),
            )
        signer = LocalSigner(keys={relayer.address.lower(): relayer.key})
        token = deployed.tokens["USDC"].address
        shop = Shop(world, network, token, api, http, made[1], signer)
        shop.followed.set()
        context, endpoints = world.context, world.endpoints[network.id]
        asked = endpoints
        if worker_url is not None:
            elsewhere = Endpoints(replace(network, rpc_urls=(worker_url,)), timeout=0.2)
            asked = await stack.enter_async_context(elsewhere)
        loops: tuple[Checking | Settling | Sending, ...] = (
            Checking(context, network, asked),
            Settling(context, network, asked),
            Sending(context, network, endpoints, signer),
        )
        running = [listening]
        if works:
            running += [asyncio.create_task(loop.run()) for loop in loops]
            running.append(asyncio.create_task(_follow(shop)))
        wanted = {"amount": PRICE, "asset": "USDC", "resource": "http://shop.example/report"}
        [shop.accepts] = (await shop.post("requirements", wanted))["accepts"]
        try:
            yield shop
        finally:
            for task in running:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*running, return_exceptions=True)


async def _follow(shop: Shop) -> None:
    """Reads what is mined, as the worker does; no event tells a test of a block."""
    while True:
        await shop.followed.wait()
        await shop.world.follow()
        await asyncio.sleep(0.05)


async def _found(world: World, relayer: str) -> None:
    """Whose the addresses are, and what the relayer begins with."""
    now = world.context.clock.now()
    async with world.context.database.begin() as session:
        for address, kind in (
            (relayer, WalletKind.RELAYER),
            (world.contracts.treasury, WalletKind.TREASURY),
        ):
            await hot.add(
                session, address=address, label=kind.value, kind=kind,
                networks=list(world.nodes), now=now,
            )  # fmt: skip
        posted = transfer(
            "ETH", RELAYER_WEI, debit=place(next(iter(world.nodes)), Role.HOT), credit=EQUITY
        )
        opening = Entry(
            id=ids.new(), key="opening", kind=Kind.OPENING, reference="relayer",
            merchant_id=None, evidence={}, posted_at=now, postings=posted,
        )  # fmt: skip
        await post(session, [opening])
