"""A network of the bench's own and books that follow it, where the chain loop runs in-process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from core import ids, schema
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, Feed, Network, Tier, Token, Traces
from core.secrets import SecretBox
from merchants import merchants
from payments.creation import NewInvoice, create
from prices.rates import SCALE
from sandbox import contracts
from sandbox.bench.house import House
from sandbox.deploy import deploy, plan
from sandbox.node import Node
from sandbox.world import CONFIRMATIONS

CHAIN_ID = 31339
PRICES = {"ETH": 2500, "USDC": 1}


async def make_network(house: House, node: Node) -> Network:
    """Deploys all that a sandbox network has; ETH and USDC are followed."""
    chain = plan(CHAIN_ID, node.url, house.sandbox.house)
    await deploy(node, chain, house.sandbox.house)
    code_hash = await node.read(chain.factory, contracts.call("INIT_CODE_HASH()"))
    usdc = chain.tokens["USDC"]
    return Network(
        id=f"eip155:{CHAIN_ID}",
        chain_id=CHAIN_ID,
        name="Bench",
        rpc_urls=(node.url,),
        block_seconds=0,
        poll_ms=1000,
        traces=Traces.TRACE,
        tokens=(
            Token(asset=crypto("ETH", 18), address=NATIVE, asset_id="slip44:60"),
            Token(asset=crypto("USDC", 6), address=usdc, asset_id=f"erc20:{usdc}"),
        ),
        feeds=tuple(_feed(base) for base in PRICES),
        factory=chain.factory,
        deposit_init_code_hash="0x" + code_hash.hex(),
        tiers=(Tier(up_to=None, required=CONFIRMATIONS),),
    )


def _feed(base: str) -> Feed:
    """Only its pair counts here: prices are stored by `found`, not read."""
    return Feed(
        base=base, quote="USD", address="0x" + "fe" * 20, decimals=8, heartbeat_seconds=3600,
        grace_seconds=300, minimum=1, maximum=10**18, largest_jump_percent=50,
        description=f"{base} / USD",
    )  # fmt: skip


@asynccontextmanager
async def open_books(url: str, network: Network) -> AsyncIterator[Context]:
    """A context as the worker has it, without its listener: the bench calls the loop itself."""
    database = Database(url)
    try:
        yield Context(
            database=database,
            clock=Clock(),
            listener=Listener(database),
            catalog=Catalog({network.id: network}),
            secrets=SecretBox({1: bytes(32)}),
            public_url="http://127.0.0.1:1",
            sandbox=True,
        )
    finally:
        await database.close()


async def found(url: str, network: Network, invoices: int) -> Sequence[str]:
    """A schema, a merchant with a webhook endpoint, prices, and so many open invoices.

    Returns the invoices' addresses.
    """
    schema.migrate(url)
    async with open_books(url, network) as context:
        now = context.clock.now()
        async with context.database.begin() as session:
            merchant, _ = await merchants.create(session, context, "Bench", now=now)
        await _store_prices(context)
        await _add_endpoint(context, merchant.id)
        request = NewInvoice(amount="25.00", currency="USD", expires_in=604_800)
        answers = [await create(context, merchant.id, request, None) for _ in range(invoices)]
    shown = [json.loads(answer.body) for answer in answers]
    return [invoice["payment_options"][0]["address"].lower() for invoice in shown]


async def _store_prices(context: Context) -> None:
    now = context.clock.now()
    async with context.database.statement() as connection:
        for symbol, price in PRICES.items():
            source = {
                "source": "chainlink", "feed": "0x" + "fe" * 20, "round_id": "1",
                "updated_at": now.isoformat(), "price": str(price * SCALE),
                "observed_at": now.isoformat(), "network": f"eip155:{CHAIN_ID}",
            }  # fmt: skip
            await connection.execute(
                "insert into prices (base, quote, price, updated_at, valid_until, sources,"
                " observed_at) values (%s, 'USD', %s, %s, %s, %s, %s)",
                (symbol, price * SCALE, now, now + timedelta(days=30), json.dumps([source]), now),
            )


async def _add_endpoint(context: Context, merchant_id: UUID) -> None:
    """So that a batch queues deliveries as a real one does; nobody sends them here."""
    async with context.database.statement() as connection:
        await connection.execute(
            "insert into webhook_endpoints (id, merchant_id, url, events, per_invoice, status,"
            " created_at) values (%s, %s, 'http://127.0.0.1:1/', '{invoice.*}', false, 'enabled',"
            " %s)",
            (ids.new(), merchant_id, context.clock.now()),
        )
