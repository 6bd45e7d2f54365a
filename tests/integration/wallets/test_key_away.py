"""A wallet whose key does not answer, seen from the worker."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from core import ids
from core.errors import KeyUnavailable, SignerAway
from tests.integration.wallets.rig import Rig
from wallets.desk import Desk
from wallets.intents import Order

OTHER = "0x" + "0e" * 20


def order(rig: Rig) -> Order:
    return Order(
        id=ids.show("tx", uuid.uuid4()),
        network=rig.network.id,
        chain_id=rig.network.chain_id,
        wallet=rig.wallet,
        nonce=0,
        gas=21_000,
        max_fee=10**9,
        priority_fee=1,
        intent=rig.payment(),
    )


async def test_the_next_wallet_is_signed_for_at_once(rig: Rig) -> None:
    """Unlike a signer that is away, which is left alone for a second by all of them."""
    desk = Desk(rig.context, rig.network, rig.endpoints, rig.pen)
    mine = order(rig)
    rig.signer.locked = {OTHER}
    with pytest.raises(KeyUnavailable):
        await desk.sign(replace(mine, wallet=OTHER))
    assert (await desk.sign(mine)).raw.startswith("0x02")
    rig.signer.away = True
    for _ in range(2):
        with pytest.raises(SignerAway):
            await desk.sign(mine)
        rig.signer.away = False


async def test_its_transactions_wait_and_take_no_nonce(rig: Rig) -> None:
    number = await rig.prepare()
    rig.signer.locked = {rig.wallet}
    await rig.work()
    row = await rig.row(number)
    assert (row.status, row.nonce, row.reason) == ("prepared", None, "key_unavailable")
    assert (await rig.rows("senders"))[0].next_nonce == 0
    rig.signer.locked = set()
    rig.later(5)
    await rig.work()
    assert ((await rig.row(number)).nonce, len((await rig.apply()).mined)) == (0, 1)
