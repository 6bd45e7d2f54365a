"""Everything that sending asks of the signer, asked of the real one: its process, its policy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from core.db import Database
from core.errors import SignerAway
from tests.integration.wallets.conftest import Chain
from tests.integration.wallets.rig import STUCK_SECONDS, Rig, make_rig
from tests.integration.wallets.signer.process import SignerProcess, open_signer
from tests.integration.wallets.test_tending import _use_elsewhere, cancel, drop, hold_blocks
from tests.unit.wallets.signer import world as w
from tests.waiting import eventually
from tests.world import connect
from wallets import transactions
from wallets.intents import Order, Payout, Signed
from wallets.signer.client import SignerClient
from wallets.transactions import Status


@pytest.fixture
async def process() -> AsyncIterator[SignerProcess]:
    async with open_signer() as found:
        yield found


@pytest.fixture
async def rig(database: Database, own_chain: Chain, process: SignerProcess) -> AsyncIterator[Rig]:
    """A chain of its own: the signer's wallet is always the same, and so its nonces."""
    client = process.client()
    url, deployed = own_chain
    async with (
        connect(url) as node,
        make_rig(database, node, deployed, key=w.HOT_KEY.hex(), signer=client) as made,
    ):
        yield made
    await client.close()


FIRST = 3  # the same key owns the factory in these tests, and was used to set it up


async def test_payments_leave_and_come_back_to_the_same_bytes(rig: Rig) -> None:
    numbers = [await rig.prepare(rig.payment(10**15)) for _ in range(5)]
    await rig.work()
    observed = await rig.apply()
    assert {o.id for o in observed.mined} == set(numbers)
    await rig.assert_books_match_the_chain()


async def test_a_bump_and_a_cancel_are_signed(rig: Rig, process: SignerProcess) -> None:
    await hold_blocks(rig)
    number = await rig.prepare()
    await rig.work()
    await rig.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(40 * 10**9))
    await rig.node.mine()
    rig.later(STUCK_SECONDS + 1)
    await rig.work()
    await cancel(rig, number)
    await rig.work()
    kinds = [v.kind for v in await rig.rows("transaction_variants")]
    assert kinds == ["intent", "intent", "cancel"]
    assert "fee_above_cap" not in process.codes("sign")
    await rig.node.mine(3)
    [ended] = (await rig.apply()).confirmed
    assert ended.status is Status.CANCELLED


async def test_a_nonce_used_elsewhere_makes_another_order(rig: Rig) -> None:
    await _use_elsewhere(rig)
    async with rig.database.statement() as connection:  # it was ours, as far as we knew
        await connection.execute(
            "insert into senders (network, address, next_nonce, created_at)"
            " values (%s, %s, %s, now())",
            (rig.network.id, rig.wallet, FIRST),
        )
    number = await rig.prepare()
    await rig.work()
    assert (await rig.row(number)).nonce == FIRST
    await rig.node.mine(70)
    await rig.apply()
    rig.later(61)
    await rig.work()
    assert (await rig.row(number)).nonce == FIRST + 1
    assert [o.id for o in (await rig.apply()).mined] == [number]


async def test_approvals_are_waited_for(rig: Rig) -> None:
    asked = rig.payment(2 * w.ETHER)
    number = await rig.prepare(asked)
    await rig.work()
    row = await rig.row(number)
    assert (row.status, row.nonce, row.reason) == ("prepared", None, "approval_needed")
    async with rig.database.begin() as session:
        given = Payout(payment=w.approved(asked.payment, w.ADA_KEY, w.BOB_KEY))
        await transactions.revise(session, number, given, rig.context.clock.now())
    await rig.work()
    assert [o.id for o in (await rig.apply()).mined] == [number]
    assert [row.promised for row in await rig.rows("senders")] == [None]


class _Dying:
    """Signs, and is not there any more to tell: as when the worker dies before its commit."""

    def __init__(self, real: SignerClient) -> None:
        self.real = real

    async def sign(self, order: Order) -> Signed:
        await self.real.sign(order)
        raise SignerAway("the answer is lost")

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)


async def test_approvals_survive_a_lost_signature(rig: Rig) -> None:
    """Signed at a nonce and not stored: the others wait, so that it comes back to that nonce, the
    only one at which its approvals are good."""
    asked = rig.payment(2 * w.ETHER)
    number = await rig.prepare(Payout(payment=w.approved(asked.payment, w.ADA_KEY, w.BOB_KEY)))
    dying = replace(rig, pen=_Dying(rig.pen))  # type: ignore[arg-type]
    await rig.work(dying.sending())
    assert (await rig.row(number)).reason == "signer_away"
    other = await rig.prepare()
    await rig.work()
    assert (await rig.row(other)).status == "prepared"
    for _ in range(3):
        rig.later(2)
        await rig.work()
    assert [(await rig.row(n)).nonce for n in (number, other)] == [FIRST, FIRST + 1]
    assert {o.id for o in (await rig.apply()).mined} == {number, other}


async def test_a_signer_that_is_killed_comes_back(rig: Rig, process: SignerProcess) -> None:
    await rig.prepare()
    await rig.work()
    await process.stop(9)
    number = await rig.prepare()
    await rig.work()
    assert (await rig.row(number)).reason == "signer_away"
    await process.start()

    async def sent() -> bool:
        rig.later(5)
        await rig.work()
        return bool((await rig.row(number)).status == "sent")

    await eventually(sent, 20)
    assert (await rig.row(number)).nonce == FIRST + 1


async def test_four_senders_over_one_signer(rig: Rig) -> None:
    await hold_blocks(rig)
    for _ in range(12):
        await rig.prepare(rig.payment(10**14))
    await asyncio.gather(*(rig.work(rig.sending(in_flight=64)) for _ in range(4)))
    nonces = [row.nonce for row in await rig.rows("transactions")]
    assert nonces == list(range(FIRST, FIRST + 12))
    await drop(rig)
    rig.later(6)
    await rig.work()
    await rig.node.mine()
    assert len((await rig.apply()).mined) == 12
