"""A plan and what became of its orders: played against venues that do what they like."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from exchanges.numbers import ONE, times, times_up
from exchanges.types import Market, Side
from treasury.conversion_machine import OVER, ConversionStatus, Judgement, judge, reached
from treasury.conversion_orders import BACK, Limits, Made, Next, affordable, most, way_back
from treasury.order_machine import OrderStatus
from treasury.plan import Plan, PlannedLeg

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
STEP = ONE // 10_000
LIMITS = Limits()


def market(symbol: str, tick: int = ONE // 10_000) -> Market:
    base, _, quote = symbol.partition("-")
    return Market(
        symbol=symbol, native=symbol, base=base, quote=quote, tick=tick, step=STEP,
        min_quantity=STEP, max_quantity=None, min_notional=5 * ONE, max_notional=None,
        taker_fee=ONE // 1000, trading=True,
    )  # fmt: skip


MARKETS = {("v", symbol): market(symbol) for symbol in ("ETH-EUR", "ETH-USDT", "USDT-EUR")}


def leg(
    symbol: str, side: Side, quantity: int, price: int, step: int, *, on_top: bool
) -> PlannedLeg:
    """`on_top`: the fee is always in quote."""
    base, _, quote = symbol.partition("-")
    sold, bought = (quote, base) if side is Side.BUY else (base, quote)
    worth = times(quantity, price)
    given, got = (worth, quantity) if side is Side.BUY else (quantity, worth)
    fee_asset = quote if on_top else bought
    fee = (worth if on_top else got) // 1000
    given, got = (given + fee, got) if fee_asset == sold else (given, got - fee)
    return PlannedLeg(
        path=0, step=step, venue="v", symbol=symbol, side=side, quantity=quantity,
        limit_price=price, expected_price=price, expected_in=given, expected_out=got, fee=fee,
        fee_asset=fee_asset, from_asset=sold, to_asset=bought,
    )  # fmt: skip


def plan_of(*legs: PlannedLeg) -> Plan:
    return Plan(
        legs[0].from_asset, legs[-1].to_asset, legs[0].expected_in, legs[-1].expected_out, legs
    )


class Game:
    """A venue that fills what it likes, and the orders that the machine asks for."""

    def __init__(self, plan: Plan, on_top: bool, valid: timedelta) -> None:
        self.plan, self.on_top = plan, on_top
        self.valid_until = NOW + valid
        self.now = NOW
        self.made: list[Made] = []
        self.asked: list[Next] = []
        self.purse: Counter[str] = Counter()

    def judge(self, over: bool = False) -> Judgement:
        return judge(
            self.plan, self.made, MARKETS, valid_until=self.valid_until, now=self.now,
            limits=LIMITS, over=over,
        )  # fmt: skip

    def settle(self, order: Next, share: int, better: int, outcome: str) -> None:
        """`share` percent of it at a price `better` per mille better than its limit."""
        self.asked.append(order)
        sign = -1 if order.side is Side.BUY else 1
        price = order.limit_price + sign * order.limit_price * better // 1000
        filled = order.quantity * share // 100 // STEP * STEP
        if outcome != "fills":
            filled = 0
        worth = times(filled, price)
        buys = order.side is Side.BUY
        given, got = (worth, filled) if buys else (filled, worth)
        if self.on_top and buys:
            given += times_up(worth, ONE // 1000)
        else:
            got -= got // 1000
        full = filled == order.quantity
        status = OrderStatus.FILLED if full else OrderStatus.CANCELLED
        if outcome in ("refused", "lost", "dead"):
            status = OrderStatus.REFUSED
        assert given <= order.blocks, "took more than was blocked"
        self.purse[order.from_asset] -= given
        self.purse[order.to_asset] += got
        self.made.append(
            Made(
                path=order.path, step=order.step, attempt=order.attempt, status=status,
                sent=outcome != "unsent", lost=outcome == "lost", dead=outcome == "dead",
                booked=filled, given=given, got=got,
            )
        )  # fmt: skip


PLANS = {
    "sell": lambda top: plan_of(leg("ETH-EUR", Side.SELL, 3 * ONE, 2000 * ONE, 0, on_top=top)),
    "buy": lambda top: plan_of(leg("ETH-EUR", Side.BUY, 3 * ONE, 2000 * ONE, 0, on_top=top)),
    "sell, sell": lambda top: plan_of(
        leg("ETH-USDT", Side.SELL, 3 * ONE, 2200 * ONE, 0, on_top=top),
        leg("USDT-EUR", Side.SELL, 6593 * ONE, 9 * ONE // 10, 1, on_top=top),
    ),
    "buy, buy": lambda top: plan_of(
        leg("USDT-EUR", Side.BUY, 6600 * ONE, 9 * ONE // 10, 0, on_top=top),
        leg("ETH-USDT", Side.BUY, 29 * ONE // 10, 2200 * ONE, 1, on_top=top),
    ),
}
OUTCOMES = st.sampled_from(["fills"] * 6 + ["refused", "lost", "dead", "unsent"])
MOVES = st.lists(st.tuples(st.sampled_from([0, 30, 77, 100]), st.integers(0, 20), OUTCOMES))


@given(st.sampled_from(sorted(PLANS)), st.booleans(), st.integers(0, 8), MOVES)
def test_whatever_the_venue_does(
    name: str, on_top: bool, seconds: int, moves: list[tuple[int, int, str]]
) -> None:
    """It ends; nothing is spent that is not there; what it says it came to is what was moved."""
    plan = PLANS[name](on_top)
    game = Game(plan, on_top, timedelta(seconds=seconds))
    first = plan.legs[0]
    game.settle(
        Next(
            path=0, step=0, attempt=0, venue="v", symbol=first.symbol, side=first.side,
            quantity=first.quantity, limit_price=first.limit_price, from_asset=first.from_asset,
            to_asset=first.to_asset,
            blocks=most(first, MARKETS["v", first.symbol], first.quantity, first.limit_price),
            due_at=NOW, send_until=game.valid_until,
        ),
        *(moves[0] if moves else (100, 0, "fills")),
    )  # fmt: skip
    rest = iter(moves[1:])
    for _ in range(40):
        found = game.judge()
        if not found.orders:
            break
        assert found.status is ConversionStatus.WORKING
        [order] = found.orders
        game.now = max(game.now, order.due_at)
        dead = any(made.dead and made.step == order.step for made in game.made)
        assert not dead, "replaced what may still fill"
        if order.step < BACK:
            planned = plan.legs[order.step]
            buys = planned.side is Side.BUY
            worse = (
                order.limit_price > planned.limit_price
                if buys
                else (order.limit_price < planned.limit_price)
            )
            assert not worse, "beyond the quote's limit"
        if order.step > 0:
            assert order.blocks <= game.purse[order.from_asset], "more than the first step brought"
        game.settle(order, *next(rest, (100, 0, "fills")))
    assert found.status in OVER
    assert not found.orders
    between = {one.to_asset for one in plan.legs[:-1]}
    assert found.given == -game.purse[plan.from_asset]
    assert found.got == game.purse[plan.to_asset]
    assert found.kept == {a: game.purse[a] for a in between if game.purse[a]}
    whole = sum(made.booked for made in game.made if made.step == 0) == first.quantity
    if found.status is ConversionStatus.FILLED:
        assert whole
        assert found.got >= 0
        assert all(units >= -(10**6) for units in found.against_quote.values()), "filled, and worse"
    if found.status is ConversionStatus.FAILED:
        assert found.got == 0
        assert found.reason
    # what comes late is counted, and starts nothing
    assert game.judge(over=True) == found
    # a merchant parts with what was exchanged to the end
    parted = reached(plan, game.made)
    taken = sum(made.given for made in game.made if made.step == 0)
    assert 0 <= parted <= taken
    assert bool(parted) == bool(found.got)
    if len(plan.legs) == 1:
        assert parted == found.given
    else:  # no more of it than of what the first step brought, of which the house keeps the rest
        brought = sum(made.got for made in game.made if made.step == 0)
        sold = sum(made.given for made in game.made if made.step == 1)
        assert parted * brought <= taken * sold
        assert brought == 0 or (parted + 1) * brought > taken * sold


def test_what_got_stuck_between_two_steps_was_not_exchanged() -> None:
    """Half of what the first step brought was sold on: half of what was given is exchanged."""
    plan = PLANS["sell, sell"](False)
    first = Made(
        path=0, step=0, attempt=0, status=OrderStatus.FILLED, sent=True, lost=False, dead=False,
        booked=3 * ONE, given=3 * ONE, got=6600 * ONE,
    )  # fmt: skip
    assert reached(plan, [first]) == 0
    second = replace(
        first, step=1, status=OrderStatus.CANCELLED, booked=3300 * ONE, given=3300 * ONE,
        got=2970 * ONE,
    )  # fmt: skip
    assert reached(plan, [first, second]) == 3 * ONE // 2
    whole = replace(second, status=OrderStatus.FILLED, given=6600 * ONE, got=5940 * ONE)
    assert reached(plan, [first, whole]) == 3 * ONE
    # of the first step comes more, late: nobody has sold that on, and the house keeps it
    late = replace(first, booked=4 * ONE, given=4 * ONE, got=8800 * ONE)
    assert reached(plan, [late, whole]) == 3 * ONE


def test_waits_while_anything_is_under_way() -> None:
    plan = PLANS["sell, sell"](False)
    under_way = Made(path=0, step=0, attempt=0, status=OrderStatus.UNKNOWN, sent=True, booked=ONE)
    game = Game(plan, False, timedelta(seconds=9))
    game.made = [under_way]
    assert game.judge() == Judgement(
        status=ConversionStatus.WORKING, reason=None, given=0, got=0, kept={}, against_quote={},
        orders=(),
    )  # fmt: skip
    game.made = [replace(under_way, status=OrderStatus.PREPARED, sent=False, booked=0)]
    assert game.judge().status is ConversionStatus.ACCEPTED


@given(
    st.sampled_from(Side),
    st.booleans(),
    st.integers(1, 10**30),
    st.integers(1, 10**8),
    st.integers(1, 10**5),
)
def test_never_above_the_funds(side: Side, on_top: bool, have: int, ticks: int, fee: int) -> None:
    """Amounts far above 2^53: what a leg can afford never takes more than there is."""
    made = leg("ETH-EUR", side, ONE, ticks * ONE // 10_000, 0, on_top=on_top)
    rules = replace(market("ETH-EUR"), taker_fee=fee * ONE // 10**6)
    quantity = affordable(made, rules, have)
    assert most(made, rules, quantity, made.limit_price) <= have
    assert quantity >= 0


def test_the_way_back_is_limited() -> None:
    sold = leg("ETH-USDT", Side.SELL, ONE, 2000 * ONE, 0, on_top=False)
    back = way_back(sold, ONE, 2000 * ONE, LIMITS)
    assert (back.side, back.limit_price) == (Side.BUY, 2010 * ONE)
    assert (back.from_asset, back.to_asset) == ("USDT", "ETH")
    bought = leg("USDT-EUR", Side.BUY, 1000 * ONE, ONE, 0, on_top=False)
    back = way_back(bought, 1000 * ONE, 1000 * ONE, LIMITS)
    assert (back.side, back.limit_price) == (Side.SELL, 995 * ONE // 1000)
