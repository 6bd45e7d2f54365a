"""Sources of a pair: how each goes on, and which of several counts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prices.judge import Reason
from prices.settle import Agreement, apart_since, are_apart, judge_apart, settle
from prices.sources import Source, after, parse
from tests.unit.prices.feeds import ETH, NOW, ROUND, round_

AT = datetime.fromtimestamp(NOW, UTC)
BLANK = Source("eip155:1", ETH.address, 8, AT)
GOOD = after(BLANK, ETH, ROUND, AT, None)
JUMPED = after(GOOD, ETH, round_(id=1, answer=10**11), AT, None)
NEGATIVE = after(GOOD, ETH, round_(id=1, answer=-1), AT, None)


def other(price: int, *, age: int = 5, **changes: Any) -> Source:
    return replace(
        GOOD,
        network="eip155:8453",
        price=price,
        accepted=round_(updated_at=NOW - age),
        **changes,
    )


def test_a_reading_that_says_nothing_new_is_the_same_source() -> None:
    assert (
        after(GOOD, ETH, replace(ROUND, block_hash="0xother", block_number=1001), AT, None) is GOOD
    )


def test_unknown_keeps_an_accepted_price_and_a_refused_one_refused() -> None:
    unreachable = after(GOOD, ETH, None, AT, None)
    assert unreachable.refused is Reason.UNREACHABLE
    assert unreachable.usable(NOW)
    assert not unreachable.usable(GOOD.valid_until)
    assert after(unreachable, ETH, None, AT, None) is unreachable
    for broken in (JUMPED, NEGATIVE):
        assert not broken.usable(NOW)
        assert after(broken, ETH, None, AT, None) is broken
    assert after(unreachable, ETH, ROUND, AT, None).refused is None


def test_an_unknown_sequencer_is_unknown() -> None:
    assert after(GOOD, ETH, round_(id=1), AT, Reason.UNREACHABLE).usable(NOW)
    assert not after(GOOD, ETH, round_(id=1), AT, Reason.SEQUENCER_DOWN).usable(NOW)


def test_a_jump_is_remembered_through_other_refusals() -> None:
    assert JUMPED.refused is Reason.JUMP
    between = after(JUMPED, ETH, round_(id=1, answer=10**11), AT, Reason.SEQUENCER_DOWN)
    assert between.candidate == JUMPED.newest
    again = after(between, ETH, round_(id=1, answer=10**11), AT, None)
    assert again.refused is Reason.JUMP
    confirmed = after(again, ETH, round_(id=2, answer=10**11 + 1), AT, None)
    assert (confirmed.refused, confirmed.candidate) == (None, None)


def test_a_fork_takes_the_accepted_round_back() -> None:
    earlier = round_(id=-1)
    assert after(GOOD, ETH, earlier, AT, None).refused is Reason.ROUND_BACKWARDS
    assert after(GOOD, ETH, earlier, AT, None, forked=True).accepted == earlier
    far = round_(id=-1, answer=10**11)
    assert after(GOOD, ETH, far, AT, None, forked=True).refused is Reason.JUMP


@pytest.mark.parametrize("source", [BLANK, GOOD, JUMPED, NEGATIVE, other(1, candidate=ROUND)])
def test_stored_and_read_again(source: Source) -> None:
    assert parse(json.loads(json.dumps(source.json()))) == source


def test_what_no_column_holds_can_still_be_shown() -> None:
    huge = after(GOOD, ETH, round_(id=1, answer=2**255 - 1, updated_at=2**256 - 1), AT, None)
    shown = huge.json()
    assert (shown["refused"], shown["updated_at"]) == ("in_the_future", None)
    assert shown["answer"] == str(2**255 - 1)
    assert parse(json.loads(json.dumps(shown))) == huge


@pytest.mark.parametrize(
    ("base", "sources", "now", "price", "refused"),
    [
        ("ETH", [GOOD], NOW, 2500 * 10**18, None),
        ("ETH", [BLANK], NOW, None, "unreachable"),
        ("ETH", [JUMPED], NOW, 2500 * 10**18, "jump"),
        ("ETH", [NEGATIVE], NOW, 2500 * 10**18, "answer_not_positive"),
        ("ETH", [GOOD], GOOD.valid_until, 2500 * 10**18, "stale"),
        ("ETH", [GOOD, other(2525 * 10**18)], NOW, 2525 * 10**18, None),
        ("ETH", [GOOD, other(2525 * 10**18, age=11)], NOW, 2500 * 10**18, None),
        ("ETH", [GOOD, other(2525 * 10**18 + 1)], NOW, 2525 * 10**18 + 1, "disagreement"),
        ("ETH", [JUMPED, other(2600 * 10**18)], NOW, 2600 * 10**18, None),
        ("ETH", [GOOD, other(10**18, refused=Reason.STALE)], NOW, 2500 * 10**18, None),
        ("ETH", [GOOD, other(10**18, valid_until=NOW)], NOW, 2500 * 10**18, None),
        ("USDC", [GOOD, other(25125 * 10**17)], NOW, 25125 * 10**17, None),
        ("USDC", [GOOD, other(25125 * 10**17 + 1)], NOW, 25125 * 10**17 + 1, "disagreement"),
    ],
)
def test_settle(
    base: str, sources: list[Source], now: int, price: int | None, refused: str | None
) -> None:
    for order in (sources, sources[::-1]):
        settled = settle(base, order, now, Agreement())
        assert (settled.price, settled.refused) == (price, refused)
        assert settled.sources[-1]["refused"] == "not_configured"


def test_both_who_disagree_are_named_and_keep_their_own_state() -> None:
    settled = settle("ETH", [GOOD, other(10**18)], NOW, Agreement())
    assert [s["refused"] for s in settled.sources[:2]] == ["disagreement"] * 2
    assert {parse(s).refused for s in settled.sources[:2]} == {None}


def test_feeds_refuse_each_other_once_that_has_stood() -> None:
    """Two chains never carry a new round in the same instant; who agrees again does so at once."""
    sources, stored = [GOOD, other(2600 * 10**18)], [GOOD.json()]
    refused = []
    for seconds in (0, 2.9, 3, 4):
        at = AT + timedelta(seconds=seconds)
        apart = judge_apart(are_apart("ETH", sources, NOW, Agreement()), stored, at)
        assert apart.since == AT
        settled = settle("ETH", sources, NOW, Agreement(), apart=apart)
        stored = settled.sources
        refused.append(settled.refused)
    assert refused == [None, None, "disagreement", "disagreement"]
    sources = [GOOD, other(2510 * 10**18)]
    apart = judge_apart(are_apart("ETH", sources, NOW, Agreement()), stored, AT)
    settled = settle("ETH", sources, NOW, Agreement(), apart=apart)
    assert (settled.refused, apart.since) == (None, None)
    assert not any(apart_since(one) for one in settled.sources)
