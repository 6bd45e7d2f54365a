"""A worker that is killed between every two steps of a check and of a settlement: what comes of it
is what comes of one that nobody disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
import pytest

from core.db import Database, plain_url
from payments import x402_checks, x402_terms
from payments.x402_terms import NotPaid
from tests.faultproxy import FaultProxy
from tests.integration.x402.shop import UNITS, Shop, open_shop
from tests.integration.x402.test_pending import settle
from tests.integration.x402.worker_process import worker
from tests.waiting import eventually
from tests.world import Deployed

PATIENCE = 30


@pytest.fixture
async def api(database: Database, one_chain: tuple[str, Deployed]) -> AsyncIterator[Shop]:
    """The API alone: each test has workers of its own."""
    async with open_shop(database, one_chain, works=False) as made:
        yield made


@pytest.fixture
async def proxy(api: Shop) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(api.world.node.url) as made:
        yield made


@asynccontextmanager
async def held(
    shop: Shop, statement: LiteralString
) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """What `statement` locks; the condition: somebody waits for it."""
    url = plain_url(shop.world.context.database.url)
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(statement)

        async def awaited() -> bool:
            return await _backends(shop, "wait_event_type = 'Lock'") > 0

        yield awaited
        await connection.rollback()


async def lease_ends(shop: Shop) -> None:
    """As half a minute later."""
    async with shop.world.context.database.statement() as connection:
        await connection.execute("update x402_settlements set leased_until = null")
        await connection.execute("update x402_checks set leased_until = null")
        await connection.execute(
            "update transactions set due_at = now() where status in ('prepared', 'sent')"
        )


def asked(proxy: FaultProxy, method: str) -> Callable[[], Awaitable[bool]]:
    async def so() -> bool:
        return proxy.count(method) > 0

    return so


async def killed_when(
    shop: Shop, proxy: FaultProxy, condition: Callable[[], Awaitable[bool]]
) -> None:
    async with worker(shop, proxy.url):
        await eventually(condition, PATIENCE)
    await gone(shop)
    proxy.clear()
    await lease_ends(shop)


async def gone(shop: Shop) -> None:
    """The server has noticed: what was not committed is undone."""

    async def alone() -> bool:
        return await _backends(shop, "xact_start is not null") == 0

    await eventually(alone, PATIENCE)


async def _backends(shop: Shop, condition: LiteralString) -> int:
    """As the server's owner: a service sees nothing of other sessions."""
    query = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and backend_type = 'client backend' and pid <> pg_backend_pid() and "
    )
    url = plain_url(shop.world.context.database.url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        row = await (await connection.execute(query + condition)).fetchone()
    assert row is not None
    return int(row[0])


async def story(shop: Shop, number: str) -> dict[str, Any]:
    """All that is there of a settlement, without what makes it this one."""
    shown = await shop.get(f"x402/settlements/{number}")
    invoice = await shop.get(f"invoices/{shown['invoice']}")
    [sent] = await shop.world.rows("transactions", reference=number)
    variants = await shop.world.rows("transaction_variants", transaction_id=sent.id)
    return {
        "settlement": (shown["status"], shown["reason"], shown["amount"]),
        "invoice": (invoice["status"], invoice["exception"], invoice["amount_paid"]),
        "deposits": [(d["status"], d["amount"], d["inbox"]) for d in invoice["deposits"]],
        "told": await shop.world.events(invoice["id"]),
        "transaction": (
            sent.status,
            sent.purpose,
            len(variants),
            variants[0].tx_hash == shown["tx_hash"],
        ),
    }


async def status(shop: Shop, number: str) -> str:
    return str((await shop.get(f"x402/settlements/{number}"))["status"])


async def test_a_settlement(api: Shop, proxy: FaultProxy) -> None:
    shop, world, node = api, api.world, api.world.node
    begun = await settle(shop, shop.sign(await shop.payer()), 0)
    number = begun["extra"]["settlement"]

    async def counts() -> tuple[str, int, int]:
        sent = await world.rows("transactions")
        invoices = await world.rows("invoices", reference=number)
        return await status(shop, number), len(sent), len(invoices)

    # It asks the node what it would cost: nothing is written.
    proxy.hang(method="eth_estimateGas")
    await killed_when(shop, proxy, asked(proxy, "eth_estimateGas"))
    assert await counts() == ("requested", 0, 0)

    # It is about to lease the row, and then in the middle of what belongs together.
    for locking in (
        "lock table x402_settlements in share mode",
        "lock table transactions in share mode",
        "lock table events in share mode",
    ):
        async with held(shop, locking) as awaited, worker(shop, proxy.url):
            await eventually(awaited, PATIENCE)
        await gone(shop)
        await lease_ends(shop)
        assert await counts() == ("requested", 0, 0), locking

    # Asked for, and not signed: the node is silent about the relayer's first nonce.
    proxy.hang(method="eth_getTransactionCount")
    await killed_when(shop, proxy, asked(proxy, "eth_getTransactionCount"))
    assert await counts() == ("sending", 1, 1)
    [sent] = await world.rows("transactions")
    assert (sent.status, sent.nonce) == ("prepared", None)

    # Signed and stored, and no node has it.
    proxy.hang(method="eth_sendRawTransaction")
    await killed_when(shop, proxy, asked(proxy, "eth_sendRawTransaction"))
    [sent] = await world.rows("transactions")
    assert (sent.status, sent.nonce) == ("sent", 0)
    [variant] = await world.rows("transaction_variants")
    assert await node.rpc("eth_getTransactionByHash", variant.tx_hash) is None

    # A node has it, and no block does.
    await node.rpc("evm_setAutomine", False)

    async def pooled() -> bool:
        return await node.rpc("eth_getTransactionByHash", variant.tx_hash) is not None

    await killed_when(shop, proxy, pooled)
    assert await counts() == ("sending", 1, 1)

    # A block has it, and we do not know of that block.
    await node.rpc("evm_setAutomine", True)
    await node.mine()
    proxy.hang(method="eth_getBlockByNumber")
    proxy.hang(method="eth_getBlockByHash")
    await killed_when(shop, proxy, asked(proxy, "eth_getBlockByNumber"))
    assert await counts() == ("sending", 1, 1)

    async with worker(shop, proxy.url):
        await eventually(lambda: _is(shop, number, "done"), PATIENCE)
        quiet = await settle(shop, shop.sign(await shop.payer()), PATIENCE)
        assert quiet["success"] is True
    undisturbed = quiet["extra"]["settlement"]
    assert await story(shop, number) == await story(shop, undisturbed)
    balances = await world.balances()
    assert balances["available", "USDC"] == -2 * UNITS
    assert [t.nonce for t in await world.rows("transactions")] == [0, 1]
    await world.assert_books_match_the_chain()


async def _is(shop: Shop, number: str, wanted: str) -> bool:
    return await status(shop, number) == wanted


async def test_a_check(api: Shop, proxy: FaultProxy) -> None:
    """Nobody waits for its answer any more, and nothing is left of it; asked again it is said."""
    shop = api
    body = shop.sign(await shop.payer())
    payment = x402_terms.read(
        shop.world.context.catalog, 2, body["paymentPayload"], body["paymentRequirements"]
    )

    async def verify(seconds: float) -> dict[str, Any]:
        context = shop.world.context
        return await x402_checks.verify(context, shop.world.merchant_id, payment, seconds)

    async def unheard() -> None:
        with pytest.raises(NotPaid) as caught:
            await waiting
        assert caught.value.reason == "unavailable"
        assert {c.status for c in await shop.world.rows("x402_checks")} == {"requested"}

    # It asks the node.
    proxy.hang(method="eth_estimateGas")
    waiting = asyncio.create_task(verify(2))
    await killed_when(shop, proxy, asked(proxy, "eth_estimateGas"))
    await unheard()

    # It is about to take it up.
    waiting = asyncio.create_task(verify(2))

    async def stored() -> bool:
        return len(await shop.world.rows("x402_checks")) == 2

    await eventually(stored)
    locking = "lock table x402_checks in share mode"
    async with held(shop, locking) as awaited, worker(shop, proxy.url):
        await eventually(awaited, PATIENCE)
    await unheard()

    async with worker(shop, proxy.url):
        assert (await verify(PATIENCE))["isValid"] is True
        done = await settle(shop, body, PATIENCE)
    assert done["success"] is True
    assert (await shop.world.balances())["available", "USDC"] == -UNITS
