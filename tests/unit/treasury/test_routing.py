"""Best execution: worked examples, and never worse than a search through everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.numbers import ONE, parse
from exchanges.quantise import quantise
from exchanges.types import Level, Market, Side
from tests.listings import levels, market
from tests.settings import numbers
from treasury.paths import Path, find
from treasury.plan import dump
from treasury.plan import parse as parse_plan
from treasury.routing import Choice, Route, Router, Why, Wish
from treasury.steps import Step, step_of

TOLERANCE = 10
RICH = {
    (venue, asset): 10**9 * ONE
    for venue in ("binance", "coinbase")
    for asset in ("ETH", "EUR", "USDT")
}


def steps(venue: str, listed: Market, bids: Sequence[Level], asks: Sequence[Level]) -> list[Step]:
    sell, buy = ([(one.price, one.quantity) for one in side] for side in (bids, asks))
    return [
        step_of(venue, listed, Side.SELL, sell, TOLERANCE),
        step_of(venue, listed, Side.BUY, buy, TOLERANCE),
    ]


ETH_EUR = market("ETH-EUR")
ETH_USDT = market("ETH-USDT")
USDT_EUR = market("USDT-EUR", tick=parse("0.0001"), step=parse("0.01"))
BINANCE = steps("binance", ETH_EUR, levels(("2500", "2"), ("2490", "10")),
                levels(("2502", "2"), ("2512", "10")))  # fmt: skip
COINBASE = steps("coinbase", replace(ETH_EUR, taker_fee=parse("0.006")),
                 levels(("2520", "1"), ("2480", "10")),
                 levels(("2485", "1"), ("2530", "10")))  # fmt: skip
BY_USDT = [
    *steps("binance", ETH_USDT, levels(("2800", "5")), levels(("2801", "5"))),
    *steps("binance", USDT_EUR, levels(("0.9", "10000")), levels(("0.9001", "10000"))),
]


def choose(
    all_steps: Sequence[Step],
    amount: str,
    *,
    of: str = "ETH",
    to: str = "EUR",
    wanted: bool = False,
    free: dict[tuple[str, str], int] | None = None,
) -> Choice:
    venues = dict.fromkeys(step.venue for step in all_steps)
    paths = [
        path
        for venue in venues
        for path in find([s for s in all_steps if s.venue == venue], of, to)
    ]
    return Router(Wish(of, to, parse(amount), wanted), paths, free or RICH).choose()


def route(choice: Choice) -> Route:
    assert isinstance(choice.route, Route)
    return choice.route


def shape(found: Route) -> list[tuple[str, str, int]]:
    return [(p.venue, s.step.market.symbol, s.quantity) for p, all_ in found.parts for s in all_]


def test_one_venue_when_it_leaves_more() -> None:
    found = route(choose([*BINANCE, *COINBASE], "0.5"))
    # 2520 less 0.6 % is 2504.88, 2500 less 0.1 % is 2497.50
    assert shape(found) == [("coinbase", "ETH-EUR", ONE // 2)]
    assert found.to_amount == parse("1252.44")
    sized = found.parts[0][1][0]
    assert (sized.limit_price, sized.fee) == (parse("2517.48"), parse("7.56"))


def test_a_split_when_that_leaves_more() -> None:
    choice = choose([*BINANCE, *COINBASE], "3")
    found = route(choice)
    assert sorted(shape(found)) == [
        ("binance", "ETH-EUR", 2 * ONE),
        ("coinbase", "ETH-EUR", ONE),
    ]
    alone = [r.to_amount for _, r in choice.alone if isinstance(r, Route)]
    assert len(alone) == 2
    assert found.to_amount > max(alone)


def test_two_steps_when_they_leave_more_and_the_second_sells_what_the_first_brings() -> None:
    found = route(choose([*BINANCE, *BY_USDT], "1"))
    assert shape(found) == [
        ("binance", "ETH-USDT", ONE),
        ("binance", "USDT-EUR", parse("2797.2")),
    ]
    assert found.to_amount == parse("2797.2") * 9 * 999 // 10_000
    plan = found.plan(Wish("ETH", "EUR", ONE, False))
    assert [(leg.path, leg.step, leg.from_asset, leg.to_asset) for leg in plan.legs] == [
        (0, 0, "ETH", "USDT"),
        (0, 1, "USDT", "EUR"),
    ]
    assert parse_plan(dump(plan)) == plan


def test_what_one_path_brings_beyond_its_share_is_taken_off_once() -> None:
    """Coarse steps: the first brings another one's share too, and a third has its own to bring."""
    coarse: dict[str, Any] = {"step": ONE // 10, "min_quantity": ONE // 10, "taker_fee": 0}
    usdt: dict[str, Any] = {"step": 10 * ONE, "min_quantity": 10 * ONE, "taker_fee": 0}
    way = [
        *steps("binance", replace(ETH_EUR, **coarse), levels(("92", "0.1")), ()),
        *steps("coinbase", replace(ETH_EUR, **coarse), levels(("92", "0.05"), ("90", "0.05")), ()),
        *steps("binance", replace(ETH_USDT, **coarse), levels(("92", "0.95"), ("91", "0.15")), ()),
        *steps("binance", replace(USDT_EUR, **usdt), levels(("1.01", "100")), ()),
    ]
    found = route(choose(way, "105", wanted=True))
    assert found.to_amount >= 105 * ONE


def test_a_path_that_cannot_bring_its_share_in_whole_steps_is_left_out() -> None:
    """0.1 ETH is all that it buys, 9.2 USDT, of which the next market sells tens."""
    coarse: dict[str, Any] = {"step": ONE // 10, "min_quantity": ONE // 10, "taker_fee": 0}
    dear = coarse | {"taker_fee": parse("0.05")}
    usdt: dict[str, Any] = {"step": 10 * ONE, "min_quantity": 10 * ONE, "taker_fee": 0}
    way = [
        *steps("binance", replace(ETH_EUR, **coarse), levels(("110", "1"), ("94", "0.6")), ()),
        *steps("coinbase", replace(ETH_EUR, **dear), levels(("92", "1"), ("91", "1")), ()),
        *steps("binance", replace(ETH_USDT, **coarse), levels(("94", "0.05"), ("90", "0.05")), ()),
        *steps("binance", replace(USDT_EUR, **usdt), levels(("0.93", "10")), ()),
    ]
    found = route(choose(way, "175", wanted=True))
    assert found.from_amount == 17 * ONE // 10


def test_fees_are_taken_as_the_venues_take_them() -> None:
    bought = route(choose(BINANCE, "1", of="EUR", to="ETH", wanted=True))
    (leg,) = bought.plan(Wish("EUR", "ETH", ONE, True)).legs
    # 0.1 % of what is received: 1.0011 are bought to get 1
    assert (leg.quantity, leg.fee_asset) == (parse("1.0011"), "ETH")
    assert leg.expected_out == parse("1.0011") * 999 // 1000
    assert bought.from_amount == parse("1.0011") * 2502
    other = route(choose(COINBASE, "1", of="EUR", to="ETH", wanted=True))
    (leg,) = other.plan(Wish("EUR", "ETH", ONE, True)).legs
    assert (leg.quantity, leg.fee, leg.fee_asset) == (ONE, parse("14.91"), "EUR")
    assert other.from_amount == parse("2499.91")


@pytest.mark.parametrize(
    ("amount", "wanted", "free", "why"),
    [
        ("0.001", False, None, Why.BELOW_MINIMUM),  # 2.5 EUR, 5 are the least
        ("0.00001", False, None, Why.BELOW_MINIMUM),  # under the step
        ("4", True, None, Why.BELOW_MINIMUM),
        ("12.1", False, None, Why.THIN),
        ("30000", True, None, Why.THIN),
        ("3", False, {("binance", "ETH"): 2 * ONE}, Why.INSUFFICIENT_FUNDS),
        ("1", False, {}, Why.INSUFFICIENT_FUNDS),
        ("5100", True, {("binance", "ETH"): 2 * ONE}, Why.INSUFFICIENT_FUNDS),
    ],
)
def test_why_not(
    amount: str, wanted: bool, free: dict[tuple[str, str], int] | None, why: Why
) -> None:
    free = RICH if free is None else {("binance", "EUR"): 0} | free
    assert choose(BINANCE, amount, wanted=wanted, free=free).route is why


def test_what_is_free_at_each_venue_bounds_its_part() -> None:
    free = {("binance", "ETH"): 10 * ONE, ("coinbase", "ETH"): ONE // 4}
    found = route(choose([*BINANCE, *COINBASE], "1", free=free))
    assert {v: q for v, _, q in shape(found)} == {
        "coinbase": ONE // 4,
        "binance": 3 * ONE // 4,
    }


def test_a_buy_never_locks_more_than_is_free() -> None:
    free = {("binance", "EUR"): 10_000 * ONE, ("coinbase", "EUR"): 10_000 * ONE}
    found = route(choose([*BINANCE, *COINBASE], "19000", of="EUR", to="ETH", free=free))
    assert found.from_amount > parse("18998")
    for (venue, _), room in free.items():
        locked = [all_[0].locked for path, all_ in found.parts if path.venue == venue]
        assert 0 < sum(locked) <= room


def test_a_second_step_that_buys_locks_what_the_first_brought_and_what_is_free_besides() -> None:
    free = {("binance", "EUR"): 100_000 * ONE}
    alone = route(choose(BY_USDT, "2000", of="EUR", to="ETH", free=free))
    first, second = alone.parts[0][1]
    assert second.locked <= first.brought
    more = route(
        choose(BY_USDT, "2000", of="EUR", to="ETH", free={**free, ("binance", "USDT"): 50 * ONE})
    )
    first, second = more.parts[0][1]
    assert second.taken <= first.brought < second.locked <= first.brought + 50 * ONE
    assert second.limit_price == parse("2803.81")  # the worst level and the whole tolerance


def test_a_market_with_a_largest_order_leaves_the_rest_to_the_others() -> None:
    small = steps("binance", replace(ETH_EUR, max_quantity=ONE), levels(("2600", "9")), ())
    dear = steps("binance", replace(ETH_EUR, max_notional=2602 * ONE), levels(("2600", "9")), ())
    for limited in (small, dear):
        quantities = {v: q for v, _, q in shape(route(choose([*limited, *COINBASE], "3")))}
        assert ONE - parse("0.001") < quantities["binance"] <= ONE
        assert quantities["coinbase"] + quantities["binance"] == 3 * ONE


def test_what_no_whole_step_reaches_goes_to_the_other_venue() -> None:
    """1.35 at a step of 0.1: the 0.05 are no one's, and nothing may be shared out to them."""
    rules = replace(ETH_EUR, step=ONE // 10, taker_fee=0, min_notional=0)
    cheap = steps("binance", rules, (), levels(("90", "1.35")))
    dear = steps("coinbase", rules, (), levels(("107", "1.4")))
    found = route(choose([*cheap, *dear], "160", of="EUR", to="ETH"))
    assert {v: q for v, _, q in shape(found)} == {
        "binance": 13 * ONE // 10,
        "coinbase": 4 * ONE // 10,
    }


# Small books over coarse grids, so that everything can be tried.
STEP = ONE // 10
USDT_STEP = 10 * ONE
PRICES = st.integers(90, 110).map(lambda n: n * ONE)
QUANTITIES = st.integers(1, 20).map(lambda n: n * ONE // 20)
USDT_PRICES = st.integers(90, 110).map(lambda n: n * ONE // 100)
USDT_QUANTITIES = st.integers(1, 40).map(lambda n: n * 5 * ONE)
FEES = st.sampled_from(["0", "0.001", "0.006", "0.05"]).map(parse)


@dataclass(frozen=True)
class Outcome:
    """Of one way and one venue: what it gives, gets and must lock of what it gives. `taken`: the
    venue takes every order of it."""

    given: int
    got: int
    locked: int
    taken: bool = True


NOTHING = Outcome(0, 0, 0)


@st.composite
def step(draw: st.DrawFn, venue: str, listed: Market, side: Side, minimum: int) -> Step:
    in_usdt = listed.base == "USDT"
    rules = replace(
        listed, step=USDT_STEP if in_usdt else STEP, tick=ONE // (10_000 if in_usdt else 100),
        min_quantity=USDT_STEP if in_usdt else STEP, min_notional=minimum, taker_fee=draw(FEES),
    )  # fmt: skip
    prices = USDT_PRICES if in_usdt else PRICES
    levels_ = st.tuples(prices, USDT_QUANTITIES if in_usdt else QUANTITIES)
    book = draw(st.lists(levels_, min_size=1, max_size=4, unique_by=lambda level: level[0]))
    return step_of(venue, rules, side, sorted(book, reverse=side is Side.SELL), TOLERANCE)


@st.composite
def offers(draw: st.DrawFn, side: Side, minimum: int) -> list[Path]:
    """The same market at two venues, and at one of them a way round by USDT."""
    venues = ("binance", "coinbase")
    direct = [Path((draw(step(venue, ETH_EUR, side, minimum)),)) for venue in venues]
    venue = draw(st.sampled_from(venues))
    around = [draw(step(venue, listed, side, minimum)) for listed in (ETH_USDT, USDT_EUR)]
    return [*direct, Path(tuple(around if side is Side.SELL else around[::-1]))]


def of_step(step: Step) -> Iterator[Outcome]:
    """Of every quantity, walked level by level. A buy locks its worst price at least."""
    rate, tick = step.market.taker_fee, step.market.tick
    quantity = 0
    while (quantity := quantity + step.market.step) <= sum(q for _, q in step.levels):
        left, paid, worst = quantity, 0, 0
        for price, size in step.levels:
            part = min(left, size)
            paid, left = paid + part * price // ONE, left - part
            worst = price if part else worst
        limit = worst if step.side is Side.BUY else worst * 999 // 1000 // tick * tick
        taken = quantity * limit >= step.market.min_notional * ONE
        if step.side is Side.SELL:
            yield Outcome(quantity, paid - -(-paid * rate // ONE), quantity, taken)
        elif step.on_top:
            lock = -(-quantity * worst * (ONE + rate) // (ONE * ONE)) + 1
            yield Outcome(paid + -(-paid * rate // ONE), quantity, lock, taken)
        else:
            got = quantity - -(-quantity * rate // ONE)
            yield Outcome(paid, got, -(-quantity * worst // ONE), taken)


def outcomes(path: Path, spare: int, *, wanted: bool) -> list[Outcome]:
    """Of one step; or of two, where the second one takes and locks no more than the first one has
    brought and is free besides. What is wanted is planned with the whole tolerance locked."""
    first = list(of_step(path.steps[0]))
    if len(path.steps) == 1:
        return first
    second = list(of_step(path.steps[1]))
    whole = wanted and path.steps[1].side is Side.BUY
    locks = [with_tolerance(one.locked) if whole else one.locked for one in second]
    most = second[-1].given if second else 0
    found, at = [], 0
    for one, after in zip(first, [*first[1:], *first[-1:]], strict=True):
        while at < len(second) and max(second[at].given, locks[at] - spare) <= one.got:
            at += 1
        if at:
            last = second[at - 1]
            ends = not wanted and after.got > most  # and the rest would be left between
            taken = one.taken and last.taken and not ends
            found.append(Outcome(one.given, last.got, one.locked, taken))
    return found


def with_tolerance(locked: int) -> int:
    """A buy's lock at its limit price, which is on the tick."""
    return locked * (10_000 + TOLERANCE) // 10_000 + ONE // 10


def alone(path: Path, wish: Wish, free: int, spare: int) -> int | None:
    """What the most that may be given brings, or the least that brings enough takes."""
    every = outcomes(path, spare, wanted=wish.wanted)
    if wish.wanted:
        enough = next((o for o in every if o.got >= wish.amount), None)
        if enough is None or not enough.taken or with_tolerance(enough.locked) > free:
            return None
        return enough.given
    possible = [o for o in every if o.given <= wish.amount and o.locked <= free]
    if not possible or wish.amount - possible[-1].given >= path.steps[0].grain:
        return None
    return possible[-1].got if possible[-1].taken else None


def together(
    some: Sequence[Outcome], others: Sequence[Outcome], room: int | None = None
) -> list[Outcome]:
    """All splits over two that `room` (None: no limit) lets lock, without those that give no less
    and get no more than another one."""
    sums = sorted(
        (
            Outcome(a.given + b.given, a.got + b.got, a.locked + b.locked)
            for a in some
            for b in others
            if room is None or a.locked + b.locked <= room
        ),
        key=lambda one: (one.given, -one.got),
    )
    best: list[Outcome] = []
    for one in sums:
        if not best or one.got > best[-1].got:
            best.append(one)
    return best


def ideal(found: Sequence[Path], wish: Wish, free: Mapping[tuple[str, str], int]) -> int | None:
    """The best of all splits that can be locked; of no venue's minimum."""
    splits = [NOTHING]
    for venue in ("binance", "coinbase"):
        room = free[venue, wish.from_asset]
        here = [NOTHING]
        for path in found:
            if path.venue == venue:
                spare = free[venue, path.via] if path.via else 0
                here = together(here, [NOTHING, *outcomes(path, spare, wanted=wish.wanted)], room)
        splits = together(splits, here)
    if wish.wanted:
        return min((one.given for one in splits if one.got >= wish.amount), default=None)
    return max(one.got for one in splits if one.given <= wish.amount)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("wanted", [False, True])
@settings(max_examples=numbers(40, 2_000), deadline=None)
@given(data=st.data())
def test_never_worse_than_the_best_single_venue_nor_far_from_the_best_split(
    side: Side, wanted: bool, data: st.DataObject
) -> None:
    minimum = data.draw(st.sampled_from([0, 50 * ONE]), "minimum")
    found = data.draw(offers(side, minimum), "offers")
    in_base = (side is Side.SELL) != wanted
    amount = data.draw(st.integers(1, 60), "amount") * (ONE // 20 if in_base else 5 * ONE)
    of, to = ("ETH", "EUR") if side is Side.SELL else ("EUR", "ETH")
    free = dict(RICH)
    if data.draw(st.booleans(), "bounded"):
        for key in product(("binance", "coinbase"), (of, "USDT")):
            unit = ONE // 20 if key[1] == "ETH" else 5 * ONE
            free[key] = data.draw(st.integers(0, 80), "free") * unit
    wish = Wish(of, to, amount, wanted)
    chosen = Router(wish, found, free).choose().route
    singly = [
        value
        for path in found
        if (value := alone(path, wish, free[path.venue, of], free[path.venue, path.via or of]))
        is not None
    ]
    if not isinstance(chosen, Route):
        assert not singly
        return
    for venue in ("binance", "coinbase"):
        locked = sum(all_[0].locked for path, all_ in chosen.parts if path.venue == venue)
        assert locked <= free[venue, of]
    if wanted:
        ours = chosen.from_amount
        assert chosen.to_amount >= amount
        assert all(ours <= value for value in singly)
    else:
        ours = chosen.to_amount
        assert chosen.from_amount <= amount
        assert all(ours >= value for value in singly)
    if minimum == 0:
        perfect = ideal(found, wish, free)
        assert perfect is not None
        lost = ours - perfect if wanted else perfect - ours
        # Two steps of rounding in the asset that is counted, one in the asset between, and units
        # of it. Where money is short a venue's part is tried smaller, by two percent, six times.
        counted = of if wanted else to
        rounding = 3 * STEP * (120 if counted == "EUR" else 1)
        assert -10 <= lost <= rounding + (perfect * 12 // 100 if free != RICH else 0)


@settings(max_examples=numbers(60, 2_000), deadline=None)
@given(
    amount=st.integers(1, 10**24),
    free=st.integers(1, 10**24),
    spare=st.integers(0, 10**22),
    side=st.sampled_from(Side),
    wanted=st.booleans(),
    step=st.sampled_from([1, 10**10, 10**14, 3 * 10**13]),
    tick=st.sampled_from([1, 10**14, 10**16]),
)
def test_what_is_planned_is_accepted_and_paid_for(
    amount: int, free: int, spare: int, side: Side, wanted: bool, step: int, tick: int
) -> None:
    """Above 2**53 as well: every leg is on its market's grid, within what is free, and exact."""
    rules: dict[str, Any] = {"step": step, "tick": tick}
    book = levels(("2500.37", "1.2345"), ("2499.99", "7.77"), ("2100.5", "10000"))
    other = levels(("0.9123", "10000"), ("0.9", "10000000"))
    all_steps = [
        *steps("coinbase", replace(ETH_USDT, **rules), book, book[::-1]),
        *steps("coinbase", replace(USDT_EUR, **rules), other, other[::-1]),
        *steps("binance", replace(ETH_EUR, **rules), book, book[::-1]),
    ]
    of, to = ("ETH", "EUR") if side is Side.SELL else ("EUR", "ETH")
    funds = {("binance", of): free, ("coinbase", of): free // 2, ("coinbase", "USDT"): spare}
    paths = [p for v in ("binance", "coinbase")
             for p in find([s for s in all_steps if s.venue == v], of, to)]  # fmt: skip
    wish = Wish(of, to, amount, wanted)
    found = Router(wish, paths, funds).choose().route
    if not isinstance(found, Route):
        return
    plan = found.plan(wish)
    assert plan.to_amount >= amount if wanted else plan.from_amount <= amount
    taken: dict[tuple[str, str], int] = {}
    for (_, sized), path in zip(found.parts, range(len(found.parts)), strict=True):
        mine = [leg for leg in plan.legs if leg.path == path]
        assert [leg.step for leg in mine] == list(range(len(mine)))
        for leg, one in zip(mine, sized, strict=True):
            market_ = one.step.market
            assert quantise(market_, leg.side, leg.quantity, leg.limit_price) == (
                leg.quantity,
                leg.limit_price,
            )
            assert one.taken <= one.locked or leg.side is Side.SELL
        key = (mine[0].venue, of)
        taken[key] = taken.get(key, 0) + sized[0].locked
        if len(sized) == 2:
            assert sized[1].taken <= sized[0].brought
            assert sized[1].locked <= sized[0].brought + spare
    assert all(units <= funds[key] for key, units in taken.items())
