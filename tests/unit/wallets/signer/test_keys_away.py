"""A key that lies elsewhere and does not answer: its own wallet waits, nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import KeyUnavailable
from tests.unit.wallets.signer import world as w
from wallets.intents import Payout
from wallets.keys import Key, LocalKey
from wallets.signer.audit import AuditLog, read
from wallets.signer.signing import Signing
from wallets.signer.store import Store


class Gate:
    """A key behind a door; `asked` is set when somebody stands before it."""

    def __init__(self, secret: bytes) -> None:
        self._key = LocalKey(bytearray(secret))
        self.address = self._key.address
        self.asked, self.open = asyncio.Event(), asyncio.Event()
        self.broken = False

    async def sign(self, digest: bytes) -> tuple[int, int, int]:
        self.asked.set()
        if self.broken:
            raise KeyUnavailable("its door is locked")
        await self.open.wait()
        return self._key.sign_now(digest)

    def close(self) -> None:
        self._key.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    with closing(Store(place / "signer.db")) as found:
        found.apply_policy(w.POLICY, 1)
        yield found


@pytest.fixture
def log(place: Path) -> Iterator[AuditLog]:
    with closing(AuditLog(place / "audit.jsonl")) as found:
        yield found


def signing(store: Store, log: AuditLog, hot: Gate, *, seconds: float = 30) -> Signing:
    relayer = LocalKey(bytearray(w.RELAYER_KEY))
    keys: dict[str, Key] = {w.HOT: hot, w.RELAYER: relayer}
    return Signing(store, log, keys, None, now=lambda: w.NOW, key_seconds=seconds)


def counted(store: Store) -> list[tuple[int]]:
    return store.rows("select count(*) from signatures") + store.rows("select count(*) from spends")


async def test_others_do_not_wait_for_it(store: Store, log: AuditLog) -> None:
    hot = Gate(w.HOT_KEY)
    signer = signing(store, log, hot)
    slow = asyncio.create_task(signer.sign(w.pay()))
    await hot.asked.wait()
    await signer.sign(w.order(w.sweep()))
    assert signer.check(w.pay()).allowed
    assert not slow.done()
    hot.open.set()
    assert (await slow).raw.startswith("0x02")


async def test_what_was_not_signed_does_not_count(store: Store, log: AuditLog, place: Path) -> None:
    """Neither its amount nor its approvals, and it may come back at another nonce."""
    hot = Gate(w.HOT_KEY)
    hot.broken = True
    signer = signing(store, log, hot)
    large = w.payment(amount=20 * w.ETHER)
    orders = [
        w.pay(amount=w.ETHER),
        w.order(Payout(payment=w.approved(large, w.ADA_KEY, w.BOB_KEY))),
        w.order(w.cancel()),
    ]
    for order in orders:
        with pytest.raises(KeyUnavailable, match="its door is locked"):
            await signer.sign(order)
    assert counted(store) == [(0,), (0,)]
    assert store.rows("select * from approvals") == []
    hot.broken = False
    hot.open.set()
    for order in orders:
        await signer.sign(replace(order, nonce=order.nonce + 100))
    assert counted(store) == [(3,), (2,)]
    codes = [said["code"] for _, said in read(place / "audit.jsonl") if said["event"] == "sign"]
    assert codes == ["key_unavailable"] * 3 + ["signed"] * 3


async def test_a_cancel_or_a_bump_that_fails_forgets_nothing(store: Store, log: AuditLog) -> None:
    """What was signed at that nonce before stays counted."""
    hot = Gate(w.HOT_KEY)
    hot.open.set()
    signer = signing(store, log, hot)
    order = w.pay(amount=w.ETHER)
    signed = await signer.sign(order)
    hot.broken = True
    bump = replace(order, max_fee=2 * order.max_fee, priority_fee=2 * order.priority_fee)
    for late in (bump, replace(bump, intent=w.cancel())):
        with pytest.raises(KeyUnavailable):
            await signer.sign(late)
    assert store.rows("select order_id, amount from spends") == [(order.id, str(w.ETHER))]
    assert await signer.sign(order) == signed


async def test_time_is_limited_for_who_waits_behind_it_too(store: Store, log: AuditLog) -> None:
    hot = Gate(w.HOT_KEY)
    signer = signing(store, log, hot, seconds=0.05)
    asked = await asyncio.gather(*[signer.sign(w.pay()) for _ in range(3)], return_exceptions=True)
    assert [type(one) for one in asked] == [KeyUnavailable] * 3
    assert counted(store) == [(0,), (0,)]
