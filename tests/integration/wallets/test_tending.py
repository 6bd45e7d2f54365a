"""Whatever happens to bytes on their way, they are mined once or known never to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from eth_account import Account

from chain.endpoints import Endpoints
from tests.faultproxy import FaultProxy
from tests.integration.wallets.rig import SHOP, STUCK_SECONDS, Rig
from tests.waiting import eventually
from wallets import transactions
from wallets.transactions import Status

RAISED = 40 * 10**9  # a base fee that outbids what was offered before


@asynccontextmanager
async def through_proxy(rig: Rig) -> AsyncIterator[tuple[FaultProxy, Endpoints]]:
    async with FaultProxy(rig.node.url) as proxy:
        network = replace(rig.network, rpc_urls=(proxy.url,))
        async with Endpoints(network, timeout=0.5) as endpoints:
            yield proxy, endpoints


async def hold_blocks(rig: Rig) -> None:
    await rig.node.rpc("evm_setAutomine", False)


async def drop(rig: Rig) -> None:
    """The node forgets its pool."""
    await rig.node.rpc("anvil_dropAllTransactions")


async def cancel(rig: Rig, number: UUID) -> None:
    async with rig.database.begin() as session:
        await transactions.cancel(session, rig.context, number, rig.context.clock.now())


async def variants(rig: Rig) -> list[Any]:
    return await rig.rows("transaction_variants")


async def test_a_lost_answer_is_asked_about(rig: Rig) -> None:
    """The node took the bytes, and its answer was lost: they are found, and paid once."""
    number = await rig.prepare()
    before = await rig.node.balance(SHOP)
    async with through_proxy(rig) as (proxy, endpoints):
        proxy.refuse(-32603, "Internal error", method="eth_sendRawTransaction")
        sending = rig.sending(endpoints)
        await rig.work(sending)
        [variant] = await variants(rig)
        assert (variant.outcome, variant.handed_at is not None) == ("unknown", True)
        rig.later(6)
        await rig.work(sending)
        assert proxy.count("eth_sendRawTransaction") == 1
    assert [o.id for o in (await rig.apply()).mined] == [number]
    assert await rig.node.balance(SHOP) == before + 10**15
    assert len(await variants(rig)) == 1


async def test_bytes_that_never_arrived_are_sent_again_as_they_are(rig: Rig) -> None:
    number = await rig.prepare()
    async with through_proxy(rig) as (proxy, endpoints):
        proxy.http(502, method="eth_sendRawTransaction")
        sending = rig.sending(endpoints)
        await rig.work(sending)
        assert (await rig.row(number)).status == "sent"
        rig.later(6)
        await rig.work(sending)
        raws = [params[0] for name, params in proxy.calls if name == "eth_sendRawTransaction"]
        assert len(raws) == 2
        assert len(set(raws)) == 1
    assert [o.id for o in (await rig.apply()).mined] == [number]


async def test_a_node_that_hangs_is_unknown(rig: Rig) -> None:
    number = await rig.prepare()
    async with through_proxy(rig) as (proxy, endpoints):
        proxy.hang(method="eth_sendRawTransaction")
        await rig.work(rig.sending(endpoints))
    assert (await variants(rig))[0].outcome == "unknown"
    rig.later(6)
    await rig.work()
    assert [o.id for o in (await rig.apply()).mined] == [number]


async def test_what_the_pool_dropped_is_handed_over_again(rig: Rig) -> None:
    await hold_blocks(rig)
    await rig.prepare()
    await rig.work()
    await drop(rig)
    rig.later(6)
    await rig.work()
    await rig.node.mine()
    assert len((await rig.apply()).mined) == 1
    assert len(await variants(rig)) == 1


async def test_stuck_fees_are_raised_by_an_eighth_and_either_variant_ends_it(alone: Rig) -> None:
    rig = alone
    await hold_blocks(rig)
    number = await rig.prepare()
    await rig.work()
    [first] = await variants(rig)
    await rig.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(RAISED))
    await rig.node.mine()
    rig.later(STUCK_SECONDS - 5)
    await rig.work()
    assert len(await variants(rig)) == 1  # not stuck yet
    rig.later(STUCK_SECONDS)
    await rig.work()
    old, new = await variants(rig)
    assert old.tx_hash == first.tx_hash
    assert new.max_fee * 8 >= old.max_fee * 9
    assert new.priority_fee * 8 >= old.priority_fee * 9
    assert (new.nonce, new.kind, new.outcome) == (old.nonce, "intent", "accepted")
    await rig.node.mine()
    [mined] = (await rig.apply()).mined
    assert (mined.id, mined.tx_hash, mined.cancel) == (number, new.tx_hash, False)
    await rig.assert_books_match_the_chain()


async def test_fees_stop_at_the_cap(alone: Rig) -> None:
    rig = alone
    await hold_blocks(rig)
    number = await rig.prepare(rig.payment(fee_cap=21_000 * 3 * 10**9))
    await rig.work()
    await rig.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(RAISED))
    await rig.node.mine()
    for _ in range(5):
        rig.later(STUCK_SECONDS + 1)
        await rig.work()
    assert all(v.gas * v.max_fee <= 21_000 * 3 * 10**9 for v in await variants(rig))
    assert (await rig.row(number)).reason == "fee_cap_reached"


async def test_a_cancel_takes_the_nonce(rig: Rig) -> None:
    await hold_blocks(rig)
    number = await rig.prepare()
    before = await rig.node.balance(SHOP)
    await rig.work()
    await cancel(rig, number)
    await rig.work()
    pay, self_send = await variants(rig)
    assert (self_send.kind, self_send.nonce, self_send.gas) == ("cancel", pay.nonce, 21_000)
    assert self_send.max_fee * 8 >= pay.max_fee * 9
    await rig.node.mine(3)
    observed = await rig.apply()
    [mined] = observed.mined
    assert (mined.cancel, mined.outflows, mined.gas_paid > 0) == (True, (), True)
    [ended] = observed.confirmed
    assert (ended.id, ended.status) == (number, Status.CANCELLED)
    assert await rig.node.balance(SHOP) == before
    await rig.assert_books_match_the_chain()


async def test_a_cancel_that_comes_too_late_changes_nothing(rig: Rig) -> None:
    number = await rig.prepare()
    await rig.work()
    await cancel(rig, number)
    await rig.work()
    await rig.node.mine(3)
    [ended] = (await rig.apply()).confirmed
    assert (ended.id, ended.status, ended.cancel) == (number, Status.CONFIRMED, False)


async def test_what_a_fork_throws_out_is_sent_again_with_the_same_bytes(alone: Rig) -> None:
    rig = alone
    await rig.node.mine(3)
    await rig.apply()
    number = await rig.prepare()
    await rig.work()
    [mined] = (await rig.apply()).mined
    gas = (await rig.balances())["expense:gas", "ETH"]
    assert gas == mined.gas_paid
    await rig.node.mine()
    await rig.node.reorg(2)
    await drop(rig)
    observed = await rig.apply()
    assert [(o.id, o.status, o.tx_hash) for o in observed.orphaned] == [
        (number, Status.MINED, mined.tx_hash)
    ]
    assert (await rig.balances())["expense:gas", "ETH"] == 0
    row = await rig.row(number)
    assert (row.status, row.tx_hash, row.nonce) == ("sent", None, 0)
    await rig.work()
    [again] = (await rig.apply()).mined
    assert again.tx_hash == mined.tx_hash
    assert len(await variants(rig)) == 1
    keys = [e.key.split(":", 2)[2] for e in await rig.rows("journal_entries")]
    assert sorted(keys) == ["1:paid", "1:reversed", "2:paid"]
    await rig.assert_books_match_the_chain()


async def test_a_fork_that_only_moves_it_keeps_it(alone: Rig) -> None:
    """Confirmed already, and back in another block of the same batch."""
    rig = alone
    await rig.node.mine(2)
    await rig.apply()
    number = await rig.prepare()
    await rig.work()
    await rig.node.mine(3)
    [confirmed] = (await rig.apply()).confirmed
    raw = await rig.node.raw(str(confirmed.tx_hash))
    await rig.node.reorg(5, (raw, 1))
    observed = await rig.apply()
    assert [o.status for o in observed.orphaned] == [Status.CONFIRMED]
    assert [o.status for o in observed.mined] == [Status.MINED]
    assert [o.id for o in observed.confirmed] == [number]
    row = await rig.row(number)
    assert (row.status, row.generation) == ("confirmed", 2)
    await rig.assert_books_match_the_chain()


async def _use_elsewhere(rig: Rig) -> None:
    """The wallet's key signs a payment of its own somewhere else."""
    nonce = int(await rig.node.rpc("eth_getTransactionCount", rig.wallet, "latest"), 16)
    made = Account.sign_transaction(
        {
            "type": 2, "chainId": rig.network.chain_id, "nonce": nonce, "gas": 21_000,
            "maxFeePerGas": 10**11, "maxPriorityFeePerGas": 10**10, "to": b"\x0e" * 20, "value": 7,
        },
        rig.key,
    )  # fmt: skip
    sent = await rig.node.rpc("eth_sendRawTransaction", "0x" + made.raw_transaction.hex())
    await rig.node.receipt(sent)


async def test_a_nonce_that_was_used_elsewhere_is_told_and_nothing_is_lost(rig: Rig) -> None:
    first = await rig.prepare()
    await rig.work()
    await rig.apply()
    await _use_elsewhere(rig)
    number = await rig.prepare()
    await rig.work()
    assert (await rig.row(number)).nonce == 1
    assert [v.outcome for v in await variants(rig)][1] == "nonce_used"
    for _ in range(3):
        rig.later(61)
        await rig.work()
    row = await rig.row(number)
    assert (row.status, row.nonce, row.reason) == ("sent", 1, "nonce_used")  # a fork may change it
    [found] = await rig.rows("breaks")
    assert found.facts["nonce"] == 1
    assert found.facts["wallet"] == rig.wallet
    assert len(await rig.rows("events", type="break.opened")) == 1

    await rig.node.mine(70)
    await rig.apply()
    rig.later(61)
    await rig.work()
    row = await rig.row(number)
    assert (row.status, row.nonce) == ("sent", 2)
    assert [o.id for o in (await rig.apply()).mined] == [number]
    orders = {o.id for o in rig.signer.signed}
    assert len(orders) == 3  # the signer was asked for a new order, not for an old one twice
    assert first != number
    assert len(await rig.rows("breaks")) == 1


async def test_a_cancel_asked_of_one_whose_nonce_is_gone_ends_it(rig: Rig) -> None:
    await rig.prepare()
    await rig.work()
    await rig.apply()
    await _use_elsewhere(rig)
    number = await rig.prepare()
    await rig.work()
    await cancel(rig, number)
    await rig.node.mine(70)
    await rig.apply()
    rig.later(61)
    await rig.work()
    row = await rig.row(number)
    assert (row.status, row.nonce, row.reason) == ("cancelled", None, "nonce_used")
    [told] = rig.ended
    assert [o.id for o in told.confirmed] == [number]


async def test_bytes_that_no_node_will_take_give_their_nonce_to_a_cancel(rig: Rig) -> None:
    number = await rig.prepare()
    async with through_proxy(rig) as (proxy, endpoints):
        proxy.refuse(-32000, "exceeds block gas limit", method="eth_sendRawTransaction")
        proxy.edit(lambda _: None, method="eth_getTransactionByHash", times=1)
        await rig.node.rpc("evm_setAutomine", False)
        sending = rig.sending(endpoints)
        # the proxy asks the node all the same: it must forget what it was told
        await rig.work(sending)
        await drop(rig)
        rig.later(6)
        await rig.work(sending)
    kinds = [v.kind for v in await variants(rig)]
    assert kinds == ["intent", "cancel"]
    await rig.node.mine(3)
    [ended] = (await rig.apply()).confirmed
    assert (ended.id, ended.status) == (number, Status.CANCELLED)


async def test_a_process_that_dies_between_commit_and_nodes_loses_nothing(rig: Rig) -> None:
    """Signed, stored, and never handed over: whoever looks next does it, with those bytes."""
    number = await rig.prepare()
    sending = rig.sending()
    [due] = await sending.claim(1)
    step = asyncio.create_task(sending.step(due))

    async def stored() -> bool:
        return bool(await variants(rig))

    await eventually(stored)
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    rig.later(31)
    await rig.work()
    [variant] = await variants(rig)
    mined = (await rig.apply()).mined
    assert [(o.id, o.tx_hash) for o in mined] == [(number, variant.tx_hash)]


async def test_only_told_bytes_are_ever_on_the_chain(rig: Rig) -> None:
    for _ in range(5):
        await rig.prepare()
    await rig.work()
    mined = (await rig.apply()).mined
    assert {o.tx_hash for o in mined} == set(rig.signer.told)
