"""Every refusal of MONEY 4, at its exact edge, and what no round may ever get past."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.oracle import RoundData
from prices.judge import FUTURE_SECONDS, Reason, judge, sequencer_state, valid_until
from prices.rates import scaled
from tests.unit.prices.feeds import ETH, NOW, ROUND, round_

USD = 10**8
LIMIT = ETH.heartbeat_seconds + ETH.grace_seconds
PREVIOUS = round_(id=-1, updated_at=NOW - 600)
OLD = round_(id=-1, updated_at=NOW - LIMIT)
CRASH = round_(answer=1900 * USD)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 2500 * 10**18),
        ({"answer": 0}, Reason.ANSWER_NOT_POSITIVE),
        ({"answer": -1}, Reason.ANSWER_NOT_POSITIVE),
        ({"answer": -(2**255)}, Reason.ANSWER_NOT_POSITIVE),
        ({"updated_at": 0}, Reason.UPDATED_AT_ZERO),
        ({"updated_at": NOW + FUTURE_SECONDS}, 2500 * 10**18),
        ({"updated_at": NOW + FUTURE_SECONDS + 1}, Reason.IN_THE_FUTURE),
        ({"updated_at": 2**256 - 1}, Reason.IN_THE_FUTURE),
        ({"updated_at": NOW - LIMIT + 1}, 2500 * 10**18),
        ({"updated_at": NOW - LIMIT}, Reason.STALE),
        ({"updated_at": 1}, Reason.STALE),
        ({"answer": 100 * USD}, 100 * 10**18),
        ({"answer": 100 * USD - 1}, Reason.BELOW_MINIMUM),
        ({"answer": 20_000 * USD}, 20_000 * 10**18),
        ({"answer": 20_000 * USD + 1}, Reason.ABOVE_MAXIMUM),
        ({"answer": 2**255 - 1}, Reason.ABOVE_MAXIMUM),
        ({"started_at": 0}, 2500 * 10**18),
    ],
)
def test_a_first_round(changes: dict[str, Any], expected: int | Reason) -> None:
    assert judge(ETH, round_(**changes), None, None, NOW, None) == expected


@pytest.mark.parametrize(
    ("changes", "previous", "candidate", "expected"),
    [
        ({}, PREVIOUS, None, 2500 * 10**18),
        ({}, ROUND, None, 2500 * 10**18),
        ({"id": -2}, PREVIOUS, None, Reason.ROUND_BACKWARDS),
        # a new phase counts from 1 again: its id is still greater, for the phase stands above
        ({"round_id": (2 << 64) + 1}, PREVIOUS, None, 2500 * 10**18),
        ({"round_id": 5}, PREVIOUS, None, Reason.ROUND_BACKWARDS),
        ({"answer": 3000 * USD}, PREVIOUS, None, 3000 * 10**18),
        ({"answer": 3000 * USD + 1}, PREVIOUS, None, Reason.JUMP),
        ({"answer": 2000 * USD}, PREVIOUS, None, 2000 * 10**18),
        ({"answer": 2000 * USD - 1}, PREVIOUS, None, Reason.JUMP),
        # the very round that jumped never confirms itself
        ({"answer": 1900 * USD}, PREVIOUS, CRASH, Reason.JUMP),
        # a newer one near it does
        ({"id": 1, "answer": 1800 * USD}, PREVIOUS, CRASH, 1800 * 10**18),
        # one that goes on falling does not, and is the next candidate
        ({"id": 1, "answer": 1500 * USD}, PREVIOUS, CRASH, Reason.JUMP),
        # one that comes back needs no confirmation
        ({"id": 1, "answer": 2400 * USD}, PREVIOUS, CRASH, 2400 * 10**18),
        # a stale price bounds nothing, unless the jump was seen while it was fresh
        ({"answer": 1900 * USD}, OLD, None, 1900 * 10**18),
        ({"answer": 1900 * USD}, OLD, CRASH, Reason.JUMP),
        ({"id": 1, "answer": 1900 * USD}, OLD, CRASH, 1900 * 10**18),
        # the band stands above the jump, and no candidate lifts it
        ({"id": 1, "answer": 50 * USD}, PREVIOUS, round_(answer=50 * USD), Reason.BELOW_MINIMUM),
    ],
)
def test_a_round_after_others(
    changes: dict[str, Any],
    previous: RoundData,
    candidate: RoundData | None,
    expected: int | Reason,
) -> None:
    assert judge(ETH, round_(**changes), previous, candidate, NOW, None) == expected


def test_nothing_read_is_unreachable_and_the_sequencer_stands_above_all() -> None:
    assert judge(ETH, None, PREVIOUS, None, NOW, None) is Reason.UNREACHABLE
    bad = round_(answer=0)
    assert judge(ETH, bad, None, None, NOW, Reason.SEQUENCER_DOWN) is Reason.SEQUENCER_DOWN


@pytest.mark.parametrize(
    ("answer", "started_at", "expected"),
    [
        (0, NOW - 3600, None),
        (0, NOW - 3599, Reason.SEQUENCER_GRACE),
        (0, NOW + 5, Reason.SEQUENCER_GRACE),
        (1, NOW - 9999, Reason.SEQUENCER_DOWN),
        (2, NOW - 9999, Reason.SEQUENCER_DOWN),
        (0, 0, Reason.SEQUENCER_DOWN),
    ],
)
def test_sequencer(answer: int, started_at: int, expected: Reason | None) -> None:
    uptime = round_(answer=answer, started_at=started_at)
    assert sequencer_state(uptime, NOW, 3600) is expected


def test_sequencer_that_nobody_can_read() -> None:
    assert sequencer_state(None, NOW, 3600) is Reason.UNREACHABLE


rounds = st.builds(
    RoundData,
    feed=st.just(ETH.address),
    round_id=st.integers(0, 2**80 - 1),
    answer=st.integers(-(2**255), 2**255 - 1) | st.integers(0, 30_000 * USD),
    started_at=st.integers(0, 2**256 - 1),
    updated_at=st.integers(0, 2**256 - 1) | st.integers(NOW - 2 * LIMIT, NOW + 60),
    block_hash=st.just("0x"),
    block_number=st.integers(0, 10**9),
)
near = st.builds(
    lambda r, answer, age, step: replace(
        r, answer=answer, updated_at=NOW - age, round_id=ROUND.round_id + step
    ),
    rounds,
    st.integers(50 * USD, 21_000 * USD),
    st.integers(-30, 2 * LIMIT),
    st.integers(-2, 3),
)


@given(rounds | near, st.none() | near, st.none() | near)
def test_whatever_is_accepted_passes_every_check(
    round_: RoundData, previous: RoundData | None, candidate: RoundData | None
) -> None:
    verdict = judge(ETH, round_, previous, candidate, NOW, None)
    if isinstance(verdict, Reason):
        return
    assert verdict == scaled(round_.answer, 8) > 0
    assert ETH.minimum <= round_.answer <= ETH.maximum
    assert NOW - LIMIT < round_.updated_at <= NOW + FUTURE_SECONDS
    if previous is not None:
        assert round_.round_id >= previous.round_id
        far = abs(round_.answer - previous.answer) * 5 > previous.answer
        if far and valid_until(ETH, previous) > NOW:
            assert candidate is not None
            assert candidate.round_id < round_.round_id
            assert abs(round_.answer - candidate.answer) * 5 <= candidate.answer


@given(st.lists(st.integers(100 * USD, 20_000 * USD), min_size=2, max_size=20))
def test_a_jump_never_freezes_a_feed_that_goes_on(answers: list[int]) -> None:
    """Two rounds in a row that agree are always accepted, whatever came before."""
    accepted, candidate = ROUND, None
    for step, answer in enumerate([*answers, answers[-1]], start=1):
        new = round_(id=step, answer=answer)
        verdict = judge(ETH, new, accepted, candidate, NOW, None)
        accepted, candidate = (accepted, new) if verdict is Reason.JUMP else (new, None)
    assert accepted.answer == answers[-1]
