"""Large payments wait for a second endpoint's own word, whichever way they came (MONEY 2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from core.db import Database
from core.networks import Traces
from payments.witnesses import Witnesses
from tests.faultproxy import FaultProxy
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import assert_sound, status_of
from tests.world import World, calldata, connect, network_of
from tests.world import world as make_world

ID = "eip155:31337"
DUE = 10**16  # wei: 25 USD
LIE = 100  # times what there is
NOWHERE = "0x" + "99" * 20  # no Multicall3: balances are asked for one by one

Open = Callable[..., AbstractAsyncContextManager[tuple[World, list[FaultProxy]]]]


@pytest.fixture
def behind(database: Database, one_chain: Chain) -> Open:
    """Worlds that want a second endpoint's word above 10 USD."""

    @asynccontextmanager
    async def open_(
        proxies: int = 2, **settings: Any
    ) -> AsyncIterator[tuple[World, list[FaultProxy]]]:
        url, deployed = one_chain
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(connect(url))
            made = [await stack.enter_async_context(FaultProxy(url)) for _ in range(proxies)]
            network = network_of(
                node, deployed, rpc_urls=tuple(proxy.url for proxy in made),
                second_endpoint_above=1000, **settings,
            )  # fmt: skip
            pairs = {network: (node, deployed)}
            yield await stack.enter_async_context(make_world(database, pairs)), made

    return open_


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"bezant_{name}", {"network": ID, **labels}) or 0


async def unwitnessed(world: World, invoice: dict[str, Any]) -> list[str]:
    """The amounts that wait for a second endpoint; nothing of the invoice is confirmed."""
    shown = await world.show(invoice)
    assert shown["amount_confirmed"] == "0.00"
    assert {d["waiting_for"] for d in shown["deposits"]} <= {"second_endpoint"}
    return [d["amount"] for d in shown["deposits"]]


def address_of(invoice: dict[str, Any]) -> str:
    address: str = invoice["payment_options"][0]["address"].lower()
    return address


def more_traced(to: str) -> Callable[[Any], Any]:
    """Traces that pay a hundred times as much to this address."""

    def edit(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for action in (item["action"] for item in items):
            if action.get("to") == to:
                action["value"] = hex(LIE * int(action["value"], 16))
        return items

    return edit


def more_logged(*to: str) -> Callable[[Any], Any]:
    """Logs, or receipts, that say a hundred times as much arrived at these addresses."""

    def edit(answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for log in (log for one in answer for log in one.get("logs", [one])):
            if len(log["topics"]) == 3 and "0x" + log["topics"][2][-40:] in to:
                log["data"] = f"0x{LIE * int(log['data'], 16):064x}"
        return answer

    return edit


async def pay_inner(world: World, invoice: dict[str, Any], wei: int = DUE) -> None:
    """Through a contract."""
    data = calldata("pay(address)", invoice["payment_options"][0]["address"])
    await world.node.send(world.contracts.payer, wei, data)


async def test_an_endpoint_always_a_block_behind_agrees_all_the_same(behind: Open) -> None:
    async with behind() as (world, [_, second]):
        large = await world.invoice()
        second.freeze(await world.node.head())
        await world.pay(large)
        for _ in range(4):
            await world.follow()
            await world.node.mine()
            second.freeze(await world.node.head() - 1)
        await world.follow()
        assert await status_of(world, large) == ("settled", "none")
        await assert_sound(world)


async def test_amounts_that_are_measured_are_so_at_both(behind: Open) -> None:
    async with behind() as (world, _):
        invoice = await world.invoice()
        await world.pay(invoice, "FEE", amount=30 * 10**18)
        await world.mine(3)
        await world.follow()
        assert (await status_of(world, invoice))[0] == "settled"
        await assert_sound(world)


@pytest.mark.parametrize("way", ["trace", "log"])
async def test_one_endpoint_alone_cannot_make_up_a_large_payment(behind: Open, way: str) -> None:
    """Both endpoints hold the block; what moved in it is the word of one."""
    async with behind() as (world, [first, _]):
        invoice = await world.invoice()
        to = address_of(invoice)

        def trace(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
            action = {**items[0]["action"], "to": to, "value": hex(DUE)}
            return [items[0], {**items[0], "action": action, "traceAddress": [0]}, *items[1:]]

        def log(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            topics = [*logs[0]["topics"][:2], "0x" + to[2:].rjust(64, "0")]
            data = f"0x{25 * 10**6:064x}"
            return [*logs, {**logs[0], "topics": topics, "data": data, "logIndex": "0xff"}]

        if way == "trace":
            first.edit(lambda a: trace(a) if a else a, method="trace_block", times=None)
            await world.node.send(world.node.accounts[4], 1)
        else:
            first.edit(lambda a: log(a) if a else a, method="eth_getLogs", times=None)
            await world.transfer("USDC", world.node.accounts[4], 1)
        await world.mine(3)
        await world.follow()
        assert await unwitnessed(world, invoice)


@pytest.mark.parametrize("way", ["trace", "log"])
async def test_two_that_agree_on_less_do_not_bear_out_more(behind: Open, way: str) -> None:
    """A real movement under its own name, a hundred times as large by one of three."""
    async with behind(3) as (world, [liar, *_]):
        invoice, honest = await world.invoice(), await world.invoice()
        asset, shown = ("ETH", "1.00") if way == "trace" else ("USDC", "2500.00")
        disputed = metric("movements_disputed_total")
        blamed = metric("chain_disagreements_total", endpoint=liar.name)
        if way == "trace":
            liar.edit(more_traced(address_of(invoice)), method="trace_block", times=None)
        else:
            liar.edit(more_logged(address_of(invoice)), method="eth_getLogs", times=None)
        await world.pay(invoice, asset)
        await world.pay(honest, asset, sender=2)
        await world.mine(3)
        for _ in range(2):
            await world.follow()
        [amount] = await unwitnessed(world, invoice)
        assert float(amount) == float(shown)
        assert await status_of(world, honest) == ("settled", "none")
        assert metric("movements_disputed_total") == disputed + 1  # it rests meanwhile
        assert metric("chain_disagreements_total", endpoint=liar.name) > blamed
        assert metric("endpoint_score", endpoint=liar.name) < 100


async def test_one_wrong_answer_is_not_borne_out_by_the_right_ones(behind: Open) -> None:
    """The endpoint that was read has thought better of it by the time both are asked."""
    async with behind() as (world, [first, _]):
        invoice = await world.invoice()
        fault = first.edit(more_traced(address_of(invoice)), method="trace_block", times=1)
        await world.pay(invoice)
        await world.follow()
        assert fault.met == 1
        await world.mine(3)
        await world.restart()  # and nothing rests
        await world.follow()
        assert [float(amount) for amount in await unwitnessed(world, invoice)] == [1]


async def test_a_witness_does_not_repeat_what_another_endpoint_says(behind: Open) -> None:
    """The second one has no logs of its own to give; the first one's are no second word."""
    async with behind() as (world, [liar, second]):
        invoice = await world.invoice()
        for method in ("eth_getLogs", "eth_getBlockReceipts"):
            liar.edit(more_logged(address_of(invoice)), method=method, times=None)
        second.refuse(-32005, "limit exceeded", method="eth_getLogs", times=None)
        for method in ("eth_getBlockReceipts", "eth_getTransactionReceipt"):
            second.refuse(-32601, "method not found", method=method, times=None)
        await world.pay(invoice, "USDC")
        await world.mine(3)
        for _ in range(2):
            await world.follow()
        assert await unwitnessed(world, invoice) == ["2500.000000"]


async def test_what_is_never_witnessed_keeps_nothing_waiting(behind: Open) -> None:
    async with behind() as (world, [liar, second]):
        [network] = world.context.catalog.networks.values()
        second.freeze(await world.node.head())
        stuck = [await world.invoice() for _ in range(3)]
        liar.edit(more_logged(*map(address_of, stuck)), method="eth_getLogs", times=None)
        for invoice in stuck:
            await world.pay(invoice, "USDC")
        later = await world.invoice()
        await world.pay(later, sender=2)
        await world.mine(3)
        await world.follow()
        witnesses = Witnesses(
            world.context, network, world.endpoints[ID], at_once=2, rest_seconds=0
        )
        assert not await witnesses.find()  # the second one does not have these blocks yet
        second.thaw()
        assert await witnesses.find()  # of the second two one
        await world.mine()
        await world.follow()
        for invoice in stuck:
            assert len(await unwitnessed(world, invoice)) == 1
        assert await status_of(world, later) == ("settled", "none")


async def test_inner_eth_without_traces_is_witnessed_by_its_balance(behind: Open) -> None:
    """Also once it was swept, or when the state of its block is gone."""
    async with behind(traces=Traces.NONE, multicall=NOWHERE) as (world, [first, second]):
        plain, swept, old = [await world.invoice() for _ in range(3)]
        await world.follow()
        second.freeze(await world.node.head())
        for invoice in (plain, swept, old):
            await pay_inner(world, invoice, 2 * DUE)
        await world.follow()
        await world.pay(old, amount=DUE)
        await world.mine(3)
        await world.follow()
        for invoice in (plain, swept, old):
            assert (await unwitnessed(world, invoice))[0] == "0.020000000000000000"
        await world.sweep("ETH", swept)
        await world.mine(9)
        await world.follow()
        head = await world.node.head()
        gone = {
            (await world.node.rpc("eth_getBlockByNumber", hex(n), False))["hash"]
            for n in range(head - 11)
        }
        pruned = second.refuse(
            -32000,
            "missing trie node",
            method="eth_getBalance",
            times=None,
            when=lambda p: p[1]["blockHash"] in gone,
        )
        second.thaw()
        await world.follow()
        assert pruned.met
        for invoice in (plain, swept, old):
            assert (await status_of(world, invoice))[0] == "settled"
        await assert_sound(world)
        assert first.calls


async def test_a_balance_that_one_endpoint_makes_up_is_not_credited(behind: Open) -> None:
    async with behind(traces=Traces.NONE, multicall=NOWHERE) as (world, [liar, _]):
        invoice, honest = await world.invoice(), await world.invoice()
        await world.follow()
        disputed = metric("movements_disputed_total")
        to = address_of(invoice)
        liar.edit(
            lambda _: hex(LIE * DUE),
            method="eth_getBalance",
            times=None,
            when=lambda p: p[0] == to,
        )
        await pay_inner(world, invoice)
        await pay_inner(world, honest)
        for _ in range(2):
            await world.follow()
            await world.mine(3)
        await world.follow()
        assert await unwitnessed(world, invoice) == ["1.000000000000000000"]
        assert await status_of(world, honest) == ("settled", "none")
        assert metric("movements_disputed_total") > disputed
