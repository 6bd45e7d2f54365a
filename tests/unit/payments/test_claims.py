"""Which transfer is a router payment's evidence: one each, and nothing that only looks like it."""

from __future__ import annotations

from itertools import permutations
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from chain.types import Movement, Paid
from core.networks import NATIVE
from payments.claims import evidence, invoice_of, known, word_of

ROUTER, TREASURY, PAYER = ("0x" + c * 40 for c in "abc")
TOKEN, OTHER = "0x" + "1" * 40, "0x" + "2" * 40


def paid(index: int, token: str = TOKEN, amount: int = 5, tx: str = "0xt") -> Paid:
    return Paid(
        block_number=1, block_hash="0xb", tx_hash=tx, log_index=index, invoice="0x" + "0" * 64,
        payer=PAYER, treasury=TREASURY, token=token, amount=amount, quote_hash="0xq",
    )  # fmt: skip


def moved(
    position: str,
    sender: str = PAYER,
    *,
    token: str = TOKEN,
    amount: int = 5,
    to: str = TREASURY,
    tx: str = "0xt",
) -> Movement:
    return Movement(1, "0xb", tx, position, token, sender, to, amount)


def claimed(payments: list[Paid], movements: list[Movement]) -> set[str]:
    return {position for _, position in evidence(payments, movements, ROUTER)}


def test_the_transfer_right_before_the_event() -> None:
    gifts = [moved("log:1"), moved("log:4"), moved("log:9")]
    for order in permutations(gifts):
        assert claimed([paid(5)], list(order)) == {"log:4"}


def test_by_authorization_the_router_sends_it() -> None:
    there = [moved("log:2", to=ROUTER), moved("log:3", sender=ROUTER)]
    assert claimed([paid(4)], there) == {"log:3"}


def test_ether_leaves_the_router() -> None:
    there = [
        moved("tx", to=ROUTER, token=NATIVE),
        moved("trace:0", token=NATIVE),  # the payer's own gift
        moved("trace:1.0", sender=ROUTER, token=NATIVE),
    ]
    assert claimed([paid(0, NATIVE)], there) == {"trace:1.0"}


def test_each_its_own() -> None:
    payments = [paid(2), paid(5), paid(8, amount=7)]
    there = [moved("log:1"), moved("log:4"), moved("log:7", amount=7), moved("log:10")]
    assert claimed(payments, there) == {"log:1", "log:4", "log:7"}


def test_nothing_else() -> None:
    wrong = [
        moved("log:3", token=OTHER), moved("log:3", amount=6), moved("log:3", to=PAYER),
        moved("log:3", tx="0xother"), moved("log:3", sender=OTHER), moved("log:6"),
    ]  # fmt: skip
    assert claimed([paid(5)], wrong) == set()
    assert claimed([], [moved("log:1")]) == set()


@given(st.lists(st.integers(0, 40), unique=True), st.lists(st.integers(0, 40), unique=True))
def test_never_more_than_there_are_payments(events: list[int], logs: list[int]) -> None:
    payments = [paid(index) for index in sorted(events)]
    there = [moved(f"log:{index}") for index in logs if index not in events]
    assert len(evidence(payments, there, ROUTER)) <= len(payments)


@given(st.uuids())
def test_an_invoice_in_a_word(number: UUID) -> None:
    assert invoice_of(word_of(number)) == number
    assert invoice_of("0x" + "01" + word_of(number)[4:]) is None


def test_only_invoices_of_ours() -> None:
    ours, merchant = UUID(int=5), UUID(int=9)
    named = paid(1)
    assert known([named], {ours: merchant}) == {}
    word = word_of(ours)
    mine = Paid(**{**{f: getattr(named, f) for f in Paid.__dataclass_fields__}, "invoice": word})
    assert known([mine], {ours: merchant}) == {word: (merchant, ours)}
