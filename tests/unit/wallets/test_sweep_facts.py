"""Every status by its facts; and gas that is shared to the wei."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wallets.sweep_facts import (
    ItemFact,
    ItemOutcome,
    Judgement,
    Status,
    TransactionFact,
    judge,
    judge_item,
)
from wallets.sweep_gas import by_deposit, shares

PREPARED, SENT = TransactionFact(status="prepared"), TransactionFact(status="sent")
MINED, DEEP = (TransactionFact(status=s, worked=True) for s in ("mined", "confirmed"))
BURNT = TransactionFact(status="mined")
REVERTED = TransactionFact(status="failed", reason="reverted")
REFUSED = TransactionFact(status="failed", reason="unknown_asset")
DROPPED = TransactionFact(status="cancelled", reason="cancelled")
SWEPT, EMPTY, FAILED, UNSENT = ItemOutcome

ITEMS: list[tuple[int, bool, TransactionFact | None, ItemOutcome | None]] = [
    (0, False, None, None),
    (0, False, PREPARED, None),
    (0, False, SENT, None),
    (0, True, SENT, None),
    (0, False, MINED, FAILED),
    (0, True, MINED, EMPTY),
    (0, False, BURNT, None),
    (0, False, DEEP, FAILED),
    (0, False, REVERTED, UNSENT),
    (0, True, DROPPED, UNSENT),
    *((5, gone, sent, SWEPT) for gone in (False, True) for sent in (None, SENT, DEEP, REVERTED)),
]


@pytest.mark.parametrize(("moved", "gone", "sent", "wanted"), ITEMS)
def test_items(
    moved: int, gone: bool, sent: TransactionFact | None, wanted: ItemOutcome | None
) -> None:
    assert judge_item(ItemFact(moved=moved, gone=gone, transaction=sent)) == wanted


TABLE: list[tuple[list[ItemOutcome | None], list[TransactionFact], Judgement]] = [
    ([], [], Judgement(Status.DONE, ("nothing_to_sweep",))),
    ([None], [], Judgement(Status.APPROVED)),
    ([SWEPT], [], Judgement(Status.APPROVED)),
    ([None], [PREPARED], Judgement(Status.SENDING)),
    ([None, SWEPT], [SENT, DEEP], Judgement(Status.SENDING)),
    ([SWEPT], [MINED], Judgement(Status.IN_TRANSIT)),
    ([SWEPT, SWEPT], [MINED, DEEP], Judgement(Status.IN_TRANSIT)),
    ([SWEPT], [DEEP], Judgement(Status.DONE)),
    ([EMPTY], [DEEP], Judgement(Status.DONE)),
    ([SWEPT, FAILED], [DEEP], Judgement(Status.DONE, ("token_refused",))),
    ([FAILED], [DEEP], Judgement(Status.FAILED, ("token_refused",))),
    ([EMPTY, FAILED], [DEEP], Judgement(Status.FAILED, ("token_refused",))),
    ([UNSENT], [REVERTED], Judgement(Status.FAILED, ("reverted",))),
    ([SWEPT, UNSENT], [DEEP, REFUSED], Judgement(Status.DONE, ("unknown_asset",))),
    ([UNSENT, UNSENT], [DROPPED, REFUSED],
     Judgement(Status.FAILED, ("cancelled", "unknown_asset"))),
]  # fmt: skip


@pytest.mark.parametrize(("outcomes", "sent", "wanted"), TABLE)
def test_sweeps(
    outcomes: list[ItemOutcome | None], sent: list[TransactionFact], wanted: Judgement
) -> None:
    assert judge(planned=True, waits=None, outcomes=outcomes, transactions=sent) == wanted


def test_what_it_waits_for_is_said() -> None:
    asked = judge(planned=False, waits="chain_unreadable", outcomes=[], transactions=[])
    assert asked == Judgement(Status.REQUESTED, ("chain_unreadable",))
    ready = judge(planned=True, waits="no_wallet", outcomes=[None], transactions=[])
    assert ready == Judgement(Status.APPROVED, ("no_wallet",))


@given(st.integers(0, 10**24), st.lists(st.integers(0, 10**9), min_size=1, max_size=50))
def test_gas_is_shared_to_the_wei(total: int, weights: list[int]) -> None:
    parts = shares(total, weights)
    assert sum(parts) == total
    whole = sum(weights) or len(weights)
    for part, weight in zip(parts, weights, strict=True):
        fair = total * (weight if any(weights) else 1)
        assert fair // whole <= part <= fair // whole + 1


def test_largest_remainders() -> None:
    assert shares(10, [1, 1, 1]) == [4, 3, 3]
    assert shares(7, [2, 3, 5]) == [1, 2, 4]  # 1.4, 2.1, 3.5
    assert shares(100, [0, 3, 0]) == [0, 100, 0]
    with pytest.raises(ValueError, match="nobody"):
        shares(1, [])
    assert by_deposit(7, ["a", "b"]) == {"a": 4, "b": 3}
    assert by_deposit(7, []) == {}
