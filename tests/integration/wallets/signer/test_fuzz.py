"""Random orders, most of them wrong in one or two ways, against an oracle that reads only bytes.

The oracle knows the policy by heart (it is written here once more, in other words), what people
really approved, and what left before. It reads each signed transaction with eth-account and cuts
the calldata up by hand; nothing of the signer's own judgement is asked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account.account import Account

from core.errors import NeedsApproval, SignerRefused
from core.networks import NATIVE
from tests.folders import folder
from tests.settings import SEED, numbers
from tests.unit.wallets.signer import world as w
from wallets.intents import Order, Payment, Payout, PayoutBatch, SweepBatch, payments_of
from wallets.keys import LocalKey
from wallets.signer import audit
from wallets.signer.audit import AuditLog
from wallets.signer.signing import Signing
from wallets.signer.store import Store

ORDERS = numbers(2_000, 50_000)  # times twenty seeds in `make soak`: a million
KEYS = {w.ADA: w.ADA_KEY, w.BOB: w.BOB_KEY, w.EVE: w.EVE_KEY, w.MALLORY: w.MALLORY_KEY}
ASKED_WITH = {w.ADA: w.ADA_API_KEY, w.BOB: w.BOB_API_KEY, w.EVE: None}
LIMITS = {  # single, hour, day, at most, moves
    NATIVE: (10**18, 3 * 10**18, 10**19, 50 * 10**18, 100 * 10**18),
    w.USDC: (10**9, 3 * 10**9, 10**10, 10**60, 0),
}


def cut(raw: str) -> list[bytes]:
    """The fields of an EIP-1559 transaction: RLP of one level, an empty list in it."""
    data = bytes.fromhex(raw[2:])
    assert data[0] == 2
    assert data[1] >= 0xF8  # all of ours are longer than 55 bytes
    fields, at = [], 2 + data[1] - 0xF7
    assert int.from_bytes(data[2:at], "big") == len(data) - at
    while at < len(data):
        first = data[at]
        at += 1
        if first < 0x80:
            fields.append(bytes([first]))
            continue
        assert first <= 0xC0
        length = first & 0x3F if first < 0xB8 or first == 0xC0 else 0
        if 0xB8 <= first < 0xC0:
            size = first - 0xB7
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        fields.append(data[at : at + length])
        at += length
    assert len(fields) == 12
    return fields


@dataclass
class Oracle:
    """`signed`: (approver, the payment without approvals) that a person really signed."""

    signed: set[tuple[str, Payment]] = field(default_factory=set)
    left: list[tuple[int, str, int]] = field(default_factory=list)  # unattended: time, token, sum
    moved: list[tuple[int, int]] = field(default_factory=list)
    fees: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    recent_fees: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    counted: set[tuple[str, str, int]] = field(default_factory=set)
    nonces: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    sent: dict[tuple[str, int], str] = field(default_factory=dict)
    bytes: dict[Any, str] = field(default_factory=dict)

    def check(self, order: Order, raw: str, now: int) -> None:
        """Every reason why these bytes may not exist, as an assertion."""
        chain, nonce_, _, most, gas, to_, value_, data_, access = cut(raw)[:9]
        to, data, value = "0x" + to_.hex(), data_.hex(), int.from_bytes(value_, "big")
        wallet = Account.recover_transaction(raw).lower()
        nonce = int.from_bytes(nonce_, "big")
        fee = int.from_bytes(gas, "big") * int.from_bytes(most, "big")
        assert int.from_bytes(chain, "big") == w.CHAIN_ID
        assert access == b""
        assert wallet in (w.HOT, w.RELAYER)
        assert fee <= 5 * 10**16
        assert wallet == order.wallet
        key = (order.id, order.gas, order.max_fee, order.priority_fee, wallet, nonce, to, data)
        if key in self.bytes:
            assert self.bytes[key] == raw
            return
        self.bytes[key] = raw
        holder = self.sent.get((wallet, nonce))
        if holder is not None and (data or to != wallet):
            assert holder == order.id
        self._count_fee(wallet, nonce, fee, now)
        pays = self._pays(wallet, to, value, data)
        here = (order.id, wallet, nonce)
        if pays and here not in self.counted:
            self.counted.add(here)
            self._count(order, pays, fee, now)

    def _pays(self, wallet: str, to: str, value: int, data: str) -> list[tuple[str, str, int]]:
        """(token, whom, amount) of what leaves the wallet."""
        words = [data[at : at + 64] for at in range(8, len(data), 64)]
        if wallet == w.RELAYER:
            assert value == 0
            if data[:8] == "e3ee160e":  # transferWithAuthorization: a payer's money, to the house
                assert (to, "0x" + words[1][24:]) == (w.USDC, w.relay_transfer().to)
                return []
            deployed = to == "0x4e59b44847b379578588920ca78fbf26c0b4956c"
            assert to in (w.FACTORY, w.ROUTER) or (to == wallet and not data) or deployed
            assert not deployed or data == "00" * 32 + w.INIT_CODE[2:]
            return []
        if to == wallet:
            assert (value, data) == (0, "")
            return []
        if not data:
            return [(NATIVE, to, value)]
        if to == w.MULTISEND:
            rows = [words[at : at + 3] for at in range(3, 3 + 3 * int(words[2], 16), 3)]
            pays = [("0x" + t[24:], "0x" + a[24:], int(n, 16)) for t, a, n in rows]
            named = [(NATIVE if int(t, 16) == 0 else t, a, n) for t, a, n in pays]
            assert value == sum(n for t, _, n in named if t == NATIVE)
            return named
        assert value == 0
        assert to == w.USDC
        whom, amount = "0x" + words[0][24:], int(words[1], 16)
        if data[:8] == "095ea7b3":
            assert whom == w.MULTISEND
            return []
        assert data[:8] == "a9059cbb"
        return [(to, whom, amount)]

    def _count_fee(self, wallet: str, nonce: int, fee: int, now: int) -> None:
        _, before = self.fees.get((wallet, nonce), (0, 0))
        if fee > before:
            self.fees[wallet, nonce] = self.recent_fees[wallet, nonce] = (now, fee)
            self.recent_fees = {k: v for k, v in self.recent_fees.items() if v[0] > now - 86_400}
            assert sum(f for _, f in self.recent_fees.values()) <= 10**18

    def _count(self, order: Order, pays: list[tuple[str, str, int]], fee: int, now: int) -> None:
        payments = payments_of(order.intent)
        if not payments:  # a move
            ((token, whom, amount),) = pays
            assert whom == w.TREASURY
            self.moved.append((now, amount))
            recent = sum(n for at, n in self.moved if at > now - 86_400)
            assert recent <= LIMITS[token][4]
            return
        assert [(p.token, p.to, p.amount) for p in payments] == pays
        assert fee <= sum(p.fee_cap for p in payments)
        for payment, (token, whom, amount) in zip(payments, pays, strict=True):
            single, hour, day, most, _ = LIMITS[token]
            assert whom not in (w.HOT, w.RELAYER, w.USDC, w.FACTORY, w.MULTISEND, w.ROUTER)
            assert int(whom, 16) != 0
            assert 0 < amount <= most
            assert payment.expires_at > now
            if payment.approvals:
                here = (order.id, order.wallet, order.nonce)
                assert self.nonces.setdefault(payment.nonce, here) == here
            if self._approvers(payment) >= 2:
                continue
            assert amount <= single
            self.left.append((now, token, amount))
            for span, limit in ((3600, hour), (86_400, day)):
                assert sum(n for at, t, n in self.left if t == token and at > now - span) <= limit
        self.left = [one for one in self.left if one[0] > now - 86_400]

    def _approvers(self, payment: Payment) -> int:
        """People of the policy who signed this very payment and did not ask for it."""
        bare = replace(payment, approvals=())
        named = {a.approver for a in payment.approvals}
        return sum(
            (one, bare) in self.signed and payment.initiator != ASKED_WITH[one]
            for one in named & ASKED_WITH.keys()
        )


class Thief:
    """Makes orders. Sees all that was signed before, and may use it again."""

    def __init__(self, draw: random.Random, oracle: Oracle, now: Callable[[], int]) -> None:
        self.draw, self.oracle, self.now = draw, oracle, now
        self.seldom = random.Random(SEED)
        self.past: list[Order] = []
        self.nonce = 0

    def order(self) -> Order:
        draw = self.draw
        if self.past and draw.random() < 0.25:
            found = draw.choice(self.past[-200:])
        else:
            self.nonce += 1
            gas = draw.choice((21_000, 21_000, 40_000, 60_000))
            found = w.order(self._intent(), nonce=self.nonce, gas=gas)
        for _ in range(draw.choices((0, 1, 2), (5, 4, 1))[0]):
            found = draw.choice(self.CHANGES)(self, found)
        return found

    def _intent(self) -> Any:
        draw = self.draw
        kind = draw.random()
        if kind < 0.6:
            return Payout(payment=self._payment())
        if kind < 0.75:
            payments = tuple(self._payment() for _ in range(draw.randint(1, 4)))
            return PayoutBatch(multisend=w.MULTISEND, payments=payments)
        makers: list[Callable[[], Any]] = [
            w.sweep,
            w.sweep_known,
            w.relay,
            w.relay_transfer,
            w.deploy,
            w.allowance,
            w.cancel,
            lambda: w.move(amount=draw.randint(1, 70) * 10**18),
        ]
        return draw.choice(makers)()

    def _payment(self) -> Payment:
        draw = self.draw
        token = draw.choice((NATIVE, w.USDC))
        single = LIMITS[token][0]
        amount = draw.choice((single // draw.randint(2, 40), single, single + 1, 5 * single))
        found = w.payment(
            token=token,
            amount=amount,
            expires_at=self.now() + draw.choice((0, 60, 3600)),
            initiator=draw.choice((w.SHOP_API_KEY, w.ADA_API_KEY, "")),
        )
        if draw.random() < (0.6 if amount > single else 0.1):
            found = self._approve(found, draw.sample(sorted(KEYS), draw.randint(1, 3)))
        return self._at_the_cap(found) if self.seldom.random() < 0.05 else found

    def _at_the_cap(self, payment: Payment) -> Payment:
        """The most that people may approve, or a wei above."""
        amount = LIMITS[NATIVE][3] + self.seldom.randint(0, 1)
        return self._approve(
            replace(payment, token=NATIVE, amount=amount, approvals=()), [w.BOB, w.EVE]
        )

    def _approve(self, payment: Payment, people: list[str]) -> Payment:
        """Only people of the policy are asked; what they sign is remembered by the oracle."""
        self.oracle.signed |= {(one, replace(payment, approvals=())) for one in people}
        return w.approved(payment, *(KEYS[one] for one in people))

    def _in_payment(self, order: Order, change: Callable[[Payment], Payment]) -> Order:
        match order.intent:
            case Payout(payment=payment):
                return replace(order, intent=Payout(payment=change(payment)))
            case PayoutBatch(payments=payments) as batch:
                changed = (change(payments[0]), *payments[1:])
                return replace(order, intent=replace(batch, payments=changed))
            case _:
                return order

    def _swap_approvals(self, payment: Payment) -> Payment:
        """Approvals of something else, in place of its own."""
        known = [p for order in self.past[-200:] for p in payments_of(order.intent) if p.approvals]
        return replace(payment, approvals=self.draw.choice(known).approvals) if known else payment

    def edited(self, order: Order) -> Order:
        draw = self.draw
        changes: list[Callable[[Payment], Payment]] = [
            lambda p: replace(p, amount=p.amount * 2),
            lambda p: replace(p, amount=draw.randint(0, 60) * 10**18),
            lambda p: replace(p, amount=-1),
            lambda p: replace(p, to=draw.choice((w.MALLORY, w.HOT, w.USDC, "0x" + "00" * 20))),
            lambda p: replace(p, token=draw.choice((NATIVE, w.USDC, w.FOREIGN))),
            lambda p: replace(p, id=f"{p.id}x"),
            lambda p: replace(p, nonce=p.nonce + 1),
            lambda p: replace(p, expires_at=draw.choice((0, self.now() + 10**6))),
            lambda p: replace(p, fee_cap=draw.choice((0, 10**30))),
            lambda p: replace(p, initiator=draw.choice(("", w.BOB_API_KEY))),
            lambda p: replace(p, approvals=p.approvals * 2),
            lambda p: replace(p, approvals=p.approvals[:1]),
            lambda p: replace(p, approvals=tuple(replace(a, approver=w.BOB) for a in p.approvals)),
            self._swap_approvals,
        ]
        return self._in_payment(order, draw.choice(changes))

    def other_terms(self, order: Order) -> Order:
        draw = self.draw
        said = draw.choice(
            (
                {"chain_id": 1},
                {"network": "eip155:1"},
                {"wallet": draw.choice((w.MALLORY, w.QUOTER))},
                {"wallet": w.RELAYER if order.wallet == w.HOT else w.HOT},
                {"gas": draw.choice((0, 400_000, 500_000, 500_001, 550_000, 2**64))},
                {"gas": 450_000, "id": f"{order.id}g", "nonce": self.nonce},
                {"max_fee": order.max_fee * draw.choice((2, 30)), "priority_fee": 2 * w.GWEI},
                {"max_fee": order.max_fee * 9 // 8, "priority_fee": order.priority_fee * 9 // 8},
                {"max_fee": order.max_fee * 9 // 8 - 1, "priority_fee": order.priority_fee * 2},
                {"priority_fee": order.max_fee + 1},
            )
        )
        return replace(order, **said)

    def other_place(self, order: Order) -> Order:
        draw = self.draw
        nonce = draw.choice((order.nonce + 1, max(0, self.nonce - draw.randint(0, 9)), 2**63, -1))
        if draw.random() < 0.5 or not self.past:
            return replace(order, nonce=nonce)
        return replace(order, id=draw.choice(self.past[-50:]).id)

    def other_intent(self, order: Order) -> Order:
        draw = self.draw
        intents: list[Any] = [
            w.cancel(),
            w.sweep(factory=w.MALLORY),
            w.sweep(batches=(SweepBatch(token=w.FOREIGN, fresh=0, salts=("0x" + "01" * 32,)),)),
            w.sweep_known(factory=w.MALLORY),
            w.move(to=w.MALLORY),
            w.move(amount=10**21),
            w.allowance(spender=w.MALLORY),
            w.allowance(token=w.FOREIGN),
            w.deploy(init_code="0x" + draw.randbytes(8).hex()),
            w.relay(asset=w.MALLORY),
            replace(w.relay(), router=w.MALLORY),
            w.relay_transfer(to=w.MALLORY),
            PayoutBatch(multisend=w.MALLORY, payments=(w.payment(),)),
        ]
        return replace(order, intent=draw.choice(intents))

    def once_more(self, order: Order) -> Order:
        """The same intent, approvals and all, as another order."""
        self.nonce += 1
        return replace(order, id=f"{order.id[:50]}r", nonce=self.nonce)

    CHANGES = (edited, edited, other_terms, other_place, other_intent, once_more)


@pytest.fixture
def desk() -> Iterator[tuple[Signing, list[int], Path]]:
    """In memory: half of an order's time is the disk's, and no crash is played here."""
    now = [w.NOW]
    with folder("bezant-fuzz-") as directory:
        store, log = Store(directory / "signer.db"), AuditLog(directory / "audit.jsonl")
        store.apply_policy(w.POLICY, w.NOW)
        keys = {w.address_of(key): LocalKey(bytearray(key)) for key in (w.HOT_KEY, w.RELAYER_KEY)}
        yield Signing(store, log, keys, None, lambda: now[0]), now, directory / "audit.jsonl"
        store.close()
        log.close()


async def test_no_signature_outside_the_policy(desk: tuple[Signing, list[int], Path]) -> None:
    signing, now, path = desk
    draw = random.Random(SEED)
    oracle = Oracle()
    thief = Thief(draw, oracle, lambda: now[0])
    outcomes: Counter[str] = Counter()
    for _ in range(ORDERS):
        now[0] += draw.choice((1, 10, 10, 60, 3600 if draw.random() < 0.1 else 0))
        order = thief.order()
        try:
            signed = await signing.sign(order)
        except (SignerRefused, NeedsApproval) as refused:
            outcomes[refused.code] += 1
            if isinstance(refused, NeedsApproval):
                thief.past.append(order)
            continue
        oracle.check(order, signed.raw, now[0])
        outcomes["signed"] += 1
        most = LIMITS[NATIVE][3]
        outcomes["signed at the cap"] += any(p.amount == most for p in payments_of(order.intent))
        thief.past.append(order)
        if draw.random() < 0.3:
            signing.broadcast(order.id, signed.tx_hash)
            oracle.sent.setdefault((order.wallet, order.nonce), order.id)
        del thief.past[:-1000]
    told = Counter(said["code"] for _, said in audit.read(path) if said["event"] == "sign")
    assert told["signed"] + told["repeated"] == outcomes["signed"]
    assert sum(told.values()) == ORDERS
    print(f"soak: {ORDERS} orders, {outcomes['signed']} signatures")
    # the thief must be good enough to be signed for often and refused for every reason
    assert outcomes["signed"] > ORDERS // 5
    reasons = {
        *("wrong_chain", "unknown_network", "unknown_wallet", "unknown_asset", "intent_refused"),
        *("malformed", "destination_refused", "contract_refused", "fee_above_cap", "expired"),
        *("approval_needed", "approval_invalid", "approval_replayed", "own_approval"),
        *("amount_above_limit", "signed at the cap"),
        *("nonce_in_use", "order_changed", "bump_too_small", "fees_exceeded"),
    }
    assert reasons <= {reason for reason, count in outcomes.items() if count}, outcomes
