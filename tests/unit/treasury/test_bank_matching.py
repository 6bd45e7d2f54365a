"""Lines and what is under way: never twice, never in part, the same for the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from treasury.bank_matching import LATE, STEPS, Claim, OpenLine, _Search, match

DAY = date(2026, 11, 2)
NAMES = [f"mov_{n:026d}" for n in range(8)]


def line(n: int, amount: int, text: str = "", days: int = 1) -> OpenLine:
    return OpenLine(id=UUID(int=n), amount=amount, on=DAY + timedelta(days), text=text)


def claim(n: int, amount: int, days: int = 0, *, by_name: bool = False) -> Claim:
    return Claim(reference=NAMES[n], amount=amount, on=DAY + timedelta(days), by_name=by_name)


def pairs(lines: list[OpenLine], claims: list[Claim]) -> list[tuple[list[int], list[str]]]:
    return [
        ([one.id.int for one in found.lines], [one.reference for one in found.claims])
        for found in match(lines, claims).matches
    ]


def test_one_to_one_by_amount_oldest_first() -> None:
    lines = [line(2, 500, days=2), line(1, 500), line(3, 700)]
    assert pairs(lines, [claim(0, 500), claim(1, 500, days=1)]) == [
        ([1], [NAMES[0]]),
        ([2], [NAMES[1]]),
    ]


def test_a_name_decides_against_the_order() -> None:
    broken = f"SEPA {NAMES[1][:9].upper()} {NAMES[1][9:].upper().replace('_', '')}"
    assert pairs([line(1, 500, broken)], [claim(0, 500), claim(1, 500)]) == [([1], [NAMES[1]])]


def between(*days: int) -> list[tuple[list[int], list[str]]]:
    """Lines of these days, a move from the account and a payout, all of one amount."""
    payout = Claim(reference="pay_" + NAMES[0][4:], amount=-500, on=DAY)
    lines = [line(n, -500, days=day) for n, day in enumerate(days)]
    return pairs(lines, [replace(claim(1, -500, days=1), alone=True), payout])


def test_a_payout_is_not_a_move_of_the_same_amount() -> None:
    assert between(1) == []
    assert between(1, 2) == [([0], ["pay_" + NAMES[0][4:]]), ([1], [NAMES[1]])]
    assert between(1, 2, 3) == []
    assert between(1, 99) == []


def test_a_move_from_the_account_is_a_line_of_its_own() -> None:
    alone = [replace(claim(n, -amount), alone=True) for n, amount in ((0, 300), (1, 200))]
    assert pairs([line(1, -500)], alone) == []
    assert pairs([line(1, -100), line(2, -200)], [alone[0]]) == []
    assert pairs([line(1, -500, f"{NAMES[1]}{NAMES[0]}")], alone) == [([1], NAMES[:2])]


def test_a_name_with_another_amount_is_for_a_person_and_blocks_its_claim() -> None:
    found = match([line(1, 495, NAMES[0]), line(2, 500)], [claim(0, 500)])
    assert found.matches == ()
    assert found.differs == {UUID(int=1): (NAMES[0],)}


def test_one_to_many_by_name_and_by_sum() -> None:
    claims = [claim(0, 300), claim(1, 200), claim(2, 450)]
    assert pairs([line(1, 500, f"{NAMES[0]} {NAMES[1]}")], claims) == [([1], NAMES[:2])]
    assert pairs([line(1, 750)], claims) == [([1], [NAMES[2], NAMES[0]])]


def test_one_line_out_for_several_payouts() -> None:
    claims = [claim(0, -300), claim(1, -200), claim(2, -450)]
    assert pairs([line(1, -500, f"{NAMES[1]}{NAMES[0]}")], claims) == [([1], NAMES[:2])]
    assert pairs([line(1, -750)], claims) == [([1], [NAMES[2], NAMES[0]])]
    assert pairs([line(1, 300), line(2, 750)], claims) == []


def test_by_name_and_nothing_else() -> None:
    one, two = claim(0, 500, by_name=True), claim(1, 700, by_name=True)
    assert pairs([line(1, 500), line(2, 1200), line(3, 700, NAMES[0])], [one, two]) == []
    assert pairs([line(1, 500, NAMES[0])], [one, two]) == [([1], [NAMES[0]])]
    assert pairs([line(1, 1200, NAMES[0] + NAMES[1])], [one, two]) == [([1], NAMES[:2])]


def test_many_to_one_by_name_on_any_days_and_by_sum_on_one() -> None:
    halves = [line(1, 400, NAMES[0]), line(2, 100, NAMES[0], days=5)]
    assert pairs(halves, [claim(0, 500)]) == [([1, 2], [NAMES[0]])]
    assert pairs([line(1, 400), line(2, 100)], [claim(0, 500)]) == [([1, 2], [NAMES[0]])]
    assert pairs([line(1, 400), line(2, 100, days=5)], [claim(0, 500)]) == []


def test_what_two_groups_explain_stays_open() -> None:
    claims = [claim(0, 300), claim(1, 200), claim(2, 450), claim(3, 50)]
    assert pairs([line(1, 500)], claims) == []
    days = [line(1, 400), line(2, 100), line(3, 300, days=2), line(4, 200, days=2)]
    assert pairs(days, [claim(0, 500)]) == []


def test_only_within_the_window_and_never_with_the_other_sign() -> None:
    late = line(1, 500, days=LATE.days + 1)
    assert pairs([late], [claim(0, 500)]) == []
    assert pairs([line(1, 500, days=-2)], [claim(0, 500)]) == []
    assert pairs([line(1, -500)], [claim(0, 500)]) == []
    assert pairs([line(1, 600), line(2, -100)], [claim(0, 500)]) == []


def test_the_search_is_bounded() -> None:
    claims = [
        Claim(reference=f"mov_{n:026d}", amount=1_000_003 + 7 * n * n, on=DAY) for n in range(200)
    ]
    search = _Search([line(n, 4_500_000 + n) for n in range(400)], claims)
    search.by_groups()
    assert search._steps > -10 * STEPS // 100


AMOUNTS = st.integers(-12, 12).filter(bool)
LINES = st.lists(
    st.tuples(AMOUNTS, st.integers(0, 3), st.lists(st.sampled_from(NAMES[:4]), max_size=2)),
    max_size=8,
)
CLAIMS = st.lists(st.tuples(AMOUNTS, st.integers(0, 3)), max_size=6)


@given(LINES, CLAIMS, st.randoms(use_true_random=False))
def test_sums_are_exact_nothing_counts_twice_and_order_is_nothing(
    given_lines: list[tuple[int, int, list[str]]],
    given_claims: list[tuple[int, int]],
    random: st.randoms,  # type: ignore[valid-type]
) -> None:
    lines = [line(n, a, " ".join(text), day) for n, (a, day, text) in enumerate(given_lines)]
    claims = [claim(n, a, day) for n, (a, day) in enumerate(given_claims)]
    found = match(lines, claims)
    used_lines = [one.id for m in found.matches for one in m.lines]
    used_claims = [one.reference for m in found.matches for one in m.claims]
    assert len(set(used_lines)) == len(used_lines)
    assert len(set(used_claims)) == len(used_claims)
    assert not set(used_lines) & set(found.differs)
    for m in found.matches:
        assert sum(one.amount for one in m.lines) == sum(one.amount for one in m.claims)
        assert min(len(m.lines), len(m.claims)) == 1
    shuffled_lines, shuffled_claims = list(lines), list(claims)
    random.shuffle(shuffled_lines)  # type: ignore[attr-defined]
    random.shuffle(shuffled_claims)  # type: ignore[attr-defined]
    assert match(shuffled_lines, shuffled_claims) == found


@given(LINES, CLAIMS)
def test_nothing_that_fits_by_itself_stays_open(
    given_lines: list[tuple[int, int, list[str]]], given_claims: list[tuple[int, int]]
) -> None:
    """Against the plain definition: no unnamed line is left beside a claim of its amount, nor a
    line whose amount only one group of claims makes."""
    lines = [line(n, amount, "", day) for n, (amount, day, _) in enumerate(given_lines)]
    claims = [claim(n, amount, 0) for n, (amount, _) in enumerate(given_claims)]
    found = match(lines, claims)
    used = {one.id for m in found.matches for one in m.lines}
    taken = {one.reference for m in found.matches for one in m.claims}
    open_lines = [one for one in lines if one.id not in used]
    open_claims = [one for one in claims if one.reference not in taken]
    for left in open_lines:
        assert all(one.amount != left.amount for one in open_claims)
        same = [one for one in open_claims if one.amount * left.amount > 0]
        groups = [
            group
            for size in range(2, 6)
            for group in combinations(same, size)
            if sum(one.amount for one in group) == left.amount
        ]
        assert len(groups) != 1 or used
