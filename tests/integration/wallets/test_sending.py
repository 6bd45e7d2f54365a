"""Transactions leave once, with nonces without holes, and every block tells what became of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from chain.endpoints import Endpoints
from core.errors import Conflict
from core.ids import show
from core.networks import NATIVE
from tests.integration.wallets.rig import SHOP, Rig
from wallets import transactions
from wallets.intents import Move
from wallets.transactions import Status


async def test_a_payment_goes_from_prepared_to_confirmed(rig: Rig) -> None:
    number = await rig.prepare(rig.payment(10**16))
    prepared = await rig.row(number)
    assert (prepared.status, prepared.nonce) == ("prepared", None)
    before = await rig.node.balance(SHOP)
    await rig.work()
    sent = await rig.row(number)
    assert (sent.status, sent.nonce, sent.open) == ("sent", 0, True)
    assert await rig.node.balance(SHOP) == before + 10**16

    [mined] = (await rig.apply()).mined
    assert (mined.status, mined.succeeded, mined.cancel) == (Status.MINED, True, False)
    [flow] = mined.outflows
    assert (flow.token, flow.recipient, flow.amount, flow.log_index) == (NATIVE, SHOP, 10**16, None)
    await rig.assert_books_match_the_chain()
    await rig.node.mine(2)
    [confirmed] = (await rig.apply()).confirmed
    assert confirmed.status is Status.CONFIRMED
    assert confirmed.outflows == mined.outflows
    await rig.node.mine(70)
    await rig.apply()
    done = await rig.row(number)
    assert (done.status, done.open, done.generation) == ("confirmed", False, 1)


async def test_tokens_flow_by_their_logs(rig: Rig) -> None:
    usdc = rig.deployed.tokens["USDC"].address
    number = await rig.prepare(rig.payment(2_500_000, usdc))
    await rig.work()
    [mined] = (await rig.apply()).mined
    assert mined.id == number
    [flow] = mined.outflows
    assert (flow.token, flow.recipient, flow.amount) == (usdc, SHOP, 2_500_000)
    assert flow.log_index is not None
    gas = await rig.rows("journal_entries", kind="gas")
    assert [entry.key for entry in gas] == [f"gas:{show('tx', number)}:1:paid"]
    assert (await rig.balances())[f"network:{rig.network.id}:hot", "ETH"] == -mined.gas_paid


async def test_a_wallet_that_was_used_before_goes_on_from_its_count(rig: Rig) -> None:
    await rig.node.rpc("anvil_setNonce", rig.wallet, hex(41))
    number = await rig.prepare()
    await rig.work()
    assert (await rig.row(number)).nonce == 41
    await rig.node.mine()  # Anvil answers a moment before it mines
    assert len((await rig.apply()).mined) == 1


async def test_four_senders_over_one_wallet_leave_no_hole(rig: Rig) -> None:
    await rig.node.rpc("evm_setAutomine", False)
    numbers = [await rig.prepare() for _ in range(24)]
    senders = [rig.sending(in_flight=64) for _ in range(4)]
    await asyncio.gather(*(rig.work(sender) for sender in senders))
    rows = await rig.rows("transactions")
    assert [row.nonce for row in rows] == list(range(24))
    assert {row.id for row in rows} == set(numbers)
    await rig.node.mine()
    assert len((await rig.apply()).mined) == 24
    assert len(await rig.rows("transaction_variants")) == 24
    await rig.assert_books_match_the_chain()


async def test_the_next_do_not_wait_for_a_block_but_only_so_many_are_in_flight(rig: Rig) -> None:
    await rig.node.rpc("evm_setAutomine", False)
    for _ in range(7):
        await rig.prepare()
    sending = rig.sending(in_flight=5)
    await rig.work(sending)
    assert (
        sorted(r.status for r in await rig.rows("transactions")) == ["prepared"] * 2 + ["sent"] * 5
    )
    await rig.node.mine()
    await rig.apply()
    await rig.work(sending)
    assert [r.nonce for r in await rig.rows("transactions", status="sent")] == [5, 6]


async def test_what_must_revert_is_not_sent(rig: Rig) -> None:
    usdc = rig.deployed.tokens["USDC"].address
    number = await rig.prepare(rig.payment(1, usdc, to="0x" + "00" * 20))
    await rig.work()
    row = await rig.row(number)
    assert row.status == "failed"
    assert row.reason.startswith("reverts: ")
    assert (row.nonce, row.open) == (None, False)
    [told] = rig.ended
    assert [(o.id, o.status) for o in told.confirmed] == [(number, Status.FAILED)]
    assert rig.signer.signed == []
    await rig.prepare()
    await rig.work()
    assert [r.nonce for r in await rig.rows("transactions", status="sent")] == [0]


async def test_a_reverting_one_costs_its_gas(rig: Rig) -> None:
    """What was fine when it was asked about may not be any more when it is mined."""
    await rig.node.rpc("evm_setAutomine", False)
    usdc = rig.deployed.tokens["USDC"].address
    number = await rig.prepare(rig.payment(5, usdc))
    await rig.work()
    code = await rig.node.rpc("eth_getCode", usdc, "latest")
    await rig.node.rpc("anvil_setCode", usdc, "0x60006000fd")
    try:
        await rig.node.mine(3)
    finally:
        await rig.node.rpc("anvil_setCode", usdc, code)
    observed = await rig.apply()
    [mined] = observed.mined
    assert (mined.status, mined.succeeded, mined.outflows) == (Status.MINED, False, ())
    assert mined.gas_paid > 0
    [failed] = observed.confirmed
    assert (failed.id, failed.status, failed.reason) == (number, Status.FAILED, "reverted")
    await rig.assert_books_match_the_chain()


async def test_nothing_is_sent_beyond_what_the_wallet_holds(rig: Rig) -> None:
    await rig.node.rpc("evm_setAutomine", False)
    first = await rig.prepare(rig.payment(60 * 10**18))
    await rig.work()
    second = await rig.prepare(rig.payment(60 * 10**18))
    await rig.work()
    assert (await rig.row(first)).status == "sent"
    waiting = await rig.row(second)
    assert (waiting.status, waiting.nonce, waiting.reason) == ("prepared", None, "hot_wallet_short")


async def test_an_expired_payment_is_not_sent(rig: Rig) -> None:
    number = await rig.prepare()
    rig.later(86_401)
    await rig.work()
    row = await rig.row(number)
    assert (row.status, row.reason, row.nonce) == ("failed", "expired", None)


async def test_a_signer_that_is_away_takes_no_nonce(rig: Rig) -> None:
    number = await rig.prepare()
    rig.signer.away = True
    await rig.work()
    row = await rig.row(number)
    assert (row.status, row.nonce, row.reason) == ("prepared", None, "signer_away")
    assert (await rig.rows("senders"))[0].next_nonce == 0
    assert await rig.rows("transaction_variants") == []
    rig.signer.away = False
    await asyncio.sleep(1.01)  # a signer that did not answer is left alone for a second
    rig.later(5)
    await rig.work()
    assert ((await rig.row(number)).nonce, len((await rig.apply()).mined)) == (0, 1)


async def test_a_signer_that_never_answers_blocks_for_two_seconds_only(rig: Rig) -> None:
    number = await rig.prepare()
    rig.signer.silent = True
    async with asyncio.timeout(5):
        await rig.work()
    row = await rig.row(number)
    assert (row.status, row.nonce, row.reason) == ("prepared", None, "signer_away")


@pytest.mark.parametrize(
    ("code", "status"), [("velocity_exceeded", "prepared"), ("destination_refused", "failed")]
)
async def test_a_refusal_takes_no_nonce(rig: Rig, code: str, status: str) -> None:
    rig.signer.refuse = code
    number = await rig.prepare()
    await rig.work()
    row = await rig.row(number)
    assert (row.status, row.reason, row.nonce) == (status, code, None)
    rig.signer.refuse = None
    await rig.prepare()
    await rig.work()
    assert [r.nonce for r in await rig.rows("transactions", status="sent")] == [0]


async def test_a_signer_that_leaves_after_signing_hears_of_it_before_it_is_sent(rig: Rig) -> None:
    """Signed and stored, but the signer cannot be told: the bytes stay until it can."""
    number = await rig.prepare()
    telling = rig.signer._answer
    calls = 0

    async def once() -> None:
        nonlocal calls
        calls += 1
        rig.signer.away = calls > 1
        await telling()

    rig.signer._answer = once  # type: ignore[method-assign]
    await rig.work()
    row = await rig.row(number)
    assert (row.status, row.nonce, row.reason) == ("sent", 0, "signer_away")
    assert await rig.node.rpc("eth_getTransactionCount", rig.wallet, "pending") == "0x0"
    rig.signer._answer = telling  # type: ignore[method-assign]
    rig.signer.away = False
    await asyncio.sleep(1.01)
    rig.later(5)
    await rig.work()
    assert [o.id for o in (await rig.apply()).mined] == [number]


async def test_a_prepared_one_can_be_dropped(rig: Rig) -> None:
    number = await rig.prepare()
    async with rig.database.begin() as session:
        dropped = await transactions.cancel(session, rig.context, number, rig.context.clock.now())
    assert dropped.status is Status.CANCELLED
    assert await rig.work() == 0
    async with rig.database.begin() as session:
        with pytest.raises(Conflict):
            await transactions.cancel(session, rig.context, number, rig.context.clock.now())


async def test_a_move_flows_too(rig: Rig) -> None:
    to = "0x" + "7e" * 20
    await rig.prepare(Move(id="mov_1", token=NATIVE, to=to, amount=10**17))
    await rig.work()
    [mined] = (await rig.apply()).mined
    assert [(f.recipient, f.amount) for f in mined.outflows] == [(to, 10**17)]


async def test_a_dead_node_is_waited_for(rig: Rig) -> None:
    number = await rig.prepare()
    async with Endpoints(
        replace(rig.network, rpc_urls=("http://127.0.0.1:1",)), timeout=0.5
    ) as dead:
        await rig.work(rig.sending(dead))
    row = await rig.row(number)
    assert (row.status, row.nonce, row.reason) == ("prepared", None, "chain_unreadable")
    rig.later(5)
    await rig.work()
    assert (await rig.row(number)).status == "sent"
