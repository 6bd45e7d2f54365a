"""What nodes say of our transactions is held against itself; the best of several answers wins."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from chain import broadcast
from chain.broadcast import CannotPay, Presence, Reverts
from chain.endpoints import Endpoints
from chain.receipts import read_receipts
from chain.refusals import Refusal
from chain.wire import BLOCK_BY_NUMBER, Header
from core.errors import BlockUnknown, EndpointFailed, Inconsistent
from tests.faultproxy import FaultProxy
from tests.integration.wallets.rig import SHOP, Rig
from tests.world import calldata


async def _sent(rig: Rig) -> tuple[Header, str]:
    """A block with a payment of ours, and the payment's hash."""
    await rig.prepare()
    await rig.work()
    header = await rig.endpoints.all[0].rpc.call(BLOCK_BY_NUMBER, "latest", False)
    assert header is not None
    [tx_hash] = header.transactions
    return header, tx_hash


async def _edited(rig: Rig, header: Header, tx_hash: str, **changes: Any) -> Any:
    """The receipts as read from a node that answers with these fields changed."""
    async with FaultProxy(rig.node.url) as proxy:
        proxy.edit(
            lambda answer: None if changes.get("gone") else {**answer, **changes},
            method="eth_getTransactionReceipt",
        )
        async with Endpoints(replace(rig.network, rpc_urls=(proxy.url,))) as endpoints:
            return await read_receipts(endpoints.all[0].rpc, [header], {tx_hash})


async def test_what_an_l2_takes_for_its_l1_is_gas_as_well(rig: Rig) -> None:
    header, tx_hash = await _sent(rig)
    [plain] = await _edited(rig, header, tx_hash)
    [rolled_up] = await _edited(rig, header, tx_hash, l1Fee="0x64")
    assert plain.gas_paid > 0
    assert rolled_up.gas_paid == plain.gas_paid + 100
    [null] = await _edited(rig, header, tx_hash, l1Fee=None)
    assert null.gas_paid == plain.gas_paid


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"blockHash": "0x" + "ab" * 32}, Inconsistent),
        ({"transactionHash": "0x" + "ab" * 32}, Inconsistent),
        ({"effectiveGasPrice": None}, Inconsistent),
        ({"gone": True}, BlockUnknown),
    ],
)
async def test_a_receipt_that_is_not_this_blocks_is_not_taken(
    rig: Rig, changes: dict[str, Any], error: type[Exception]
) -> None:
    header, tx_hash = await _sent(rig)
    with pytest.raises(error):
        await _edited(rig, header, tx_hash, **changes)


async def test_only_our_own_receipts_are_asked_for(rig: Rig) -> None:
    header, _ = await _sent(rig)
    async with FaultProxy(rig.node.url) as proxy:
        network = replace(rig.network, rpc_urls=(proxy.url,))
        async with Endpoints(network) as endpoints:
            rpc = endpoints.all[0].rpc
            assert await read_receipts(rpc, [header], {"0x" + "cd" * 32}) == []
            assert await read_receipts(rpc, [header], set()) == []
        assert proxy.calls == []


async def test_one_node_that_takes_the_bytes_is_enough(rig: Rig) -> None:
    raw, tx_hash = await _signed(rig)
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(FaultProxy(rig.node.url))
        good = await stack.enter_async_context(FaultProxy(rig.node.url))
        network = replace(rig.network, rpc_urls=(bad.url, good.url, "http://127.0.0.1:1"))
        endpoints = await stack.enter_async_context(Endpoints(network, timeout=1))
        bad.refuse(-32000, "txpool is full", method="eth_sendRawTransaction", times=None)
        assert (await broadcast.hand(endpoints, raw, tx_hash)).refusal in (None, Refusal.KNOWN)
        good.refuse(-32603, "nonce too low", method="eth_sendRawTransaction")
        assert (await broadcast.hand(endpoints, raw, tx_hash)).refusal is Refusal.LATER
        bad.clear()
        bad.http(503, method="eth_sendRawTransaction")
        good.refuse(-32603, "nonce too low", method="eth_sendRawTransaction")
        assert (await broadcast.hand(endpoints, raw, tx_hash)).refusal is Refusal.NONCE_USED
        good.http(503, times=None)
        bad.http(503, times=None)
        assert (await broadcast.hand(endpoints, raw, tx_hash)).refusal is Refusal.UNKNOWN


async def test_a_node_that_answers_with_another_hash_is_not_believed(rig: Rig) -> None:
    raw, tx_hash = await _signed(rig)
    await rig.node.rpc("anvil_dropAllTransactions")
    async with FaultProxy(rig.node.url) as proxy:
        proxy.edit(lambda _: "0x" + "ef" * 32, method="eth_sendRawTransaction")
        async with Endpoints(replace(rig.network, rpc_urls=(proxy.url,))) as endpoints:
            assert (await broadcast.hand(endpoints, raw, tx_hash)).refusal is Refusal.UNKNOWN


async def test_what_any_node_shows_in_a_block_is_mined(rig: Rig) -> None:
    """One node lags and one is dead: the third one's word counts, and the least of the counts."""
    _, tx_hash = await _sent(rig)
    head = await rig.node.head()
    async with AsyncExitStack() as stack:
        late = await stack.enter_async_context(FaultProxy(rig.node.url))
        late.null(method="eth_getTransactionByHash", times=None)
        late.edit(lambda _: "0x0", method="eth_getTransactionCount", times=None)
        network = replace(rig.network, rpc_urls=(late.url, rig.node.url, "http://127.0.0.1:1"))
        endpoints = await stack.enter_async_context(Endpoints(network, timeout=1))
        seen = await broadcast.look(endpoints, rig.wallet, [tx_hash], head - 1)
    assert seen.presence == {tx_hash: Presence.MINED}
    assert (seen.count, seen.final_count) == (0, 0)


async def test_a_call_that_would_fail_is_told_from_a_node_that_does(rig: Rig) -> None:
    usdc = rig.deployed.tokens["USDC"].address
    data = bytes.fromhex(calldata("transfer(address,uint256)", SHOP, 10**30)[2:])
    with pytest.raises(Reverts):
        await broadcast.simulate(rig.endpoints, sender=rig.wallet, to=usdc, value=0, data=data)
    async with FaultProxy(rig.node.url) as proxy:
        network = replace(rig.network, rpc_urls=(proxy.url,))
        async with Endpoints(network, timeout=1) as endpoints:
            proxy.http(503, method="eth_call")
            with pytest.raises(EndpointFailed):
                await broadcast.simulate(endpoints, sender=rig.wallet, to=SHOP, value=1, data=b"")
            proxy.refuse(-32000, "insufficient funds for gas * price + value", method="eth_call")
            with pytest.raises(CannotPay):
                await broadcast.simulate(endpoints, sender=rig.wallet, to=SHOP, value=1, data=b"")


async def test_plain_coin_needs_exactly_its_gas(rig: Rig) -> None:
    gas = await broadcast.simulate(
        rig.endpoints, sender=rig.wallet, to="0x" + "9a" * 20, value=1, data=b""
    )
    assert gas == broadcast.PLAIN_TRANSFER_GAS


async def test_a_chain_without_base_fees_is_refused(rig: Rig) -> None:
    async with FaultProxy(rig.node.url) as proxy:
        proxy.edit(
            lambda h: {**h, "baseFeePerGas": [None for _ in h["baseFeePerGas"]]},
            method="eth_feeHistory",
        )
        async with Endpoints(replace(rig.network, rpc_urls=(proxy.url,))) as endpoints:
            with pytest.raises(EndpointFailed):
                await broadcast.market(endpoints)


async def _signed(rig: Rig) -> tuple[str, str]:
    """Bytes of ours that wait in the pool."""
    await rig.node.rpc("evm_setAutomine", False)
    await rig.prepare()
    await rig.work()
    [variant] = await rig.rows("transaction_variants")
    return variant.raw, variant.tx_hash
