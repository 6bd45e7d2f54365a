"""Deposits from banks and moves that wait for them: never two for one, nothing guessed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.types import TransferStatus, VenueDeposit
from treasury.funding import Funding, match

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def move(n: int, amount: int = 1000, hours: int = 0, **more: bool) -> Funding:
    return Funding(id=UUID(int=n), asset="EUR", amount=amount, asked_at=NOW + hours * HOUR, **more)


def came(name: str, amount: int = 1000, hours: int = 2, fee: int = 0) -> VenueDeposit:
    return VenueDeposit(
        id=name, asset="EUR", network=None, address=None, amount=amount, tx_hash=None,
        status=TransferStatus.DONE, at=NOW + hours * HOUR, fee=fee,
    )  # fmt: skip


PENDING = replace(came("a"), status=TransferStatus.PENDING)
ABROAD = replace(came("a"), asset="USD")
TABLE: list[tuple[str, list[Funding], list[VenueDeposit], dict[int, str]]] = [
    ("one of its amount", [move(1)], [came("a")], {1: "a"}),
    ("less the fee that the venue tells", [move(1)], [came("a", 990, fee=10)], {1: "a"}),
    ("another amount", [move(1)], [came("a", 999)], {}),
    ("not for good yet", [move(1)], [PENDING], {}),
    ("another asset", [move(1)], [ABROAD], {}),
    ("a day before it was asked for", [move(1)], [came("a", hours=-24)], {1: "a"}),
    ("longer before", [move(1)], [came("a", hours=-25)], {}),
    ("two that are equal", [move(2, hours=1), move(1)], [came("b", hours=3), came("a")],
     {1: "a", 2: "b"}),
    ("the first of two", [move(1), move(2, hours=1)], [came("a")], {1: "a"}),
    ("one too many", [move(1)], [came("a"), came("b")], {}),
    ("one too many of many", [move(1), move(2)], [came("a"), came("b"), came("c")], {}),
    ("one too many, but too old", [move(1)], [came("a"), came("b", hours=-25)], {1: "a"}),
    ("an old one is the older move's", [move(1, hours=-48), move(2)],
     [came("a", hours=-40), came("b")], {1: "a", 2: "b"}),
    ("one too many elsewhere", [move(1), move(2, 500)],
     [came("a"), came("b"), came("c", 500)], {2: "c"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("moves", "deposits", "same"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_table(moves: list[Funding], deposits: list[VenueDeposit], same: dict[int, str]) -> None:
    found = match(moves, deposits)
    assert {id_.int: one.id for id_, one in found.same.items()} == same


GONE = move(1, has_left=True)
LESS: list[tuple[str, list[Funding], list[VenueDeposit], dict[int, str]]] = [
    ("a fee", [GONE], [came("a", 985)], {1: "a"}),
    ("before the bank shows it", [move(1)], [came("a", 985)], {}),
    ("more than left", [GONE], [came("a", 1001)], {}),
    ("half is no fee", [GONE], [came("a", 500)], {}),
    ("two that may be it", [GONE], [came("a", 985), came("b", 990)], {}),
    ("two moves that it may be", [GONE, move(2, 2000, has_left=True)], [came("a", 985)], {}),
    ("the right one is there", [GONE], [came("a"), came("b", 985)], {}),
    ("it is another move's", [GONE, move(2, 985)], [came("a", 985)], {}),
    ("it may be another move's", [GONE, move(2, 985)], [came("a", 985), came("b", 985)], {}),
    ("a person has said no", [replace(GONE, declined=True)], [came("a", 985)], {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("moves", "deposits", "less"), [row[1:] for row in LESS], ids=[row[0] for row in LESS]
)
def test_what_is_shown_to_a_person(
    moves: list[Funding], deposits: list[VenueDeposit], less: dict[int, str]
) -> None:
    found = match(moves, deposits)
    assert {id_.int: one.id for id_, one in found.less.items()} == less


AMOUNTS, HOURS = st.sampled_from([500, 985, 1000]), st.integers(-60, 60)
MOVES = st.lists(st.tuples(AMOUNTS, HOURS, st.booleans()), max_size=5)
DEPOSITS = st.lists(st.tuples(AMOUNTS, HOURS), max_size=5)


@given(MOVES, DEPOSITS, st.randoms())
def test_nothing_counts_twice_and_order_is_nothing(
    asked: list[tuple[int, int, bool]], credited: list[tuple[int, int]], random: object
) -> None:
    moves = [move(n, a, h, has_left=left) for n, (a, h, left) in enumerate(asked)]
    deposits = [came(str(n), a, h) for n, (a, h) in enumerate(credited)]
    found = match(moves, deposits)
    random.shuffle(moves)  # type: ignore[attr-defined]
    random.shuffle(deposits)  # type: ignore[attr-defined]
    assert match(moves, deposits) == found
    by_id = {one.id: one for one in moves}
    used = [one.id for one in (*found.same.values(), *found.less.values())]
    assert len(set(used)) == len(used)
    assert not found.same.keys() & found.less.keys()
    for id_, one in found.same.items():
        assert one.amount == by_id[id_].amount
        assert one.at >= by_id[id_].asked_at - DAY
    # Of an amount that is matched, no deposit is left over that might as well have been it.
    for amount in {by_id[id_].amount for id_ in found.same}:
        equal = [one for one in moves if one.amount == amount]
        for one in deposits:
            may_be = one.amount == amount and any(e.may_be(one) for e in equal)
            assert not may_be or one.id in {d.id for d in found.same.values()}
