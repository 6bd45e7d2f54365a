"""A venue in this process that executes, loses, hides and refuses as a test tells it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction

from core.clock import wall
from core.errors import OrderRefused, OutcomeUnknown, VenueUnavailable
from exchanges.numbers import ONE, down, times
from exchanges.types import Fill, LimitOrder, Side, Venue, VenueOrder, VenueOrderStatus

STEP = ONE // 10_000


@dataclass
class Place:
    """What one call of `place` does. `part` of it is executed, at `price` or the order's own, in
    `fills` pieces; then the answer comes, or `answer` is raised. `executes` false: nothing is done.
    """

    part: Fraction = Fraction(1)
    price: int | None = None
    pieces: int = 1
    executes: bool = True
    answer: Exception | None = None
    changed: Callable[[VenueOrder], VenueOrder] = lambda order: order


@dataclass
class ScriptedExchange:
    """`script`: what the next calls of `place` do; after it all is executed. `hidden`: how many
    questions do not find an order that is there; `listed`: how many reads of fills are answered
    with none. `fee_asset` None: the fee is taken from what is received (Binance), in thousandths.
    """

    venue: Venue = Venue.BINANCE
    resend_returns_original: bool = False
    script: deque[Place] = field(default_factory=deque)
    hidden: int = 0
    unlisted: int = 0
    away: int = 0
    fee_asset: str | None = None
    fee_thousandths: int = 1
    before_place: Callable[[LimitOrder], None] = lambda order: None
    placed: list[LimitOrder] = field(default_factory=list)
    orders: dict[str, VenueOrder] = field(default_factory=dict)
    all_fills: list[Fill] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)

    async def place(self, order: LimitOrder) -> VenueOrder:
        self.before_place(order)
        self.placed.append(order)
        if self.resend_returns_original and order.client_id in self.orders:
            return self.orders[order.client_id]
        told = self.script.popleft() if self.script else Place()
        if told.executes:
            self.execute(order, told)
        if told.answer is not None:
            raise told.answer
        return self.orders[order.client_id]

    async def order(self, symbol: str, client_id: str, since: datetime) -> VenueOrder | None:
        if self.away:
            self.away -= 1
            raise VenueUnavailable("switched off")
        found = self.orders.get(client_id)
        if found is not None and self.hidden:
            self.hidden -= 1
            return None
        return found

    async def fills(self, symbol: str, venue_id: str) -> list[Fill]:
        if self.unlisted:
            self.unlisted -= 1
            return []
        return [fill for fill in self.all_fills if fill.venue_id == venue_id]

    async def fills_since(self, symbol: str, since: datetime) -> list[Fill]:
        found = [] if self.hidden else self.all_fills
        return [fill for fill in found if fill.symbol == symbol and fill.at >= since]

    def execute(self, order: LimitOrder, told: Place) -> None:
        """As a venue would: what cannot be executed at once is cancelled."""
        filled = down(order.quantity * told.part.numerator // told.part.denominator, STEP)
        price = told.price or order.price
        status = VenueOrderStatus.FILLED
        if filled < order.quantity:
            status = VenueOrderStatus.CANCELLED
        shown = VenueOrder(
            venue_id=f"v{len(self.orders)}",
            client_id=order.client_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            price=order.price,
            filled=filled,
            quote_filled=times(filled, price),
            status=status,
            reason=None,
            at=wall(),
        )
        self.orders[order.client_id] = told.changed(shown)
        piece = down(filled // told.pieces, STEP)
        for number in range(told.pieces):
            rest = filled - piece * (told.pieces - 1)
            self._fill(shown, rest if number == told.pieces - 1 else piece, price)

    def stranger(self, like: LimitOrder) -> None:
        """An execution that is no order's of ours."""
        other = replace(like, client_id="somebody")
        self.execute(other, Place())

    def _fill(self, order: VenueOrder, quantity: int, price: int) -> None:
        if not quantity:
            return
        base, _, quote = order.symbol.partition("-")
        worth = times(quantity, price)
        buys = order.side is Side.BUY
        received, got = (base, quantity) if buys else (quote, worth)
        given, gave = (quote, worth) if buys else (base, quantity)
        fee_asset = self.fee_asset or received
        fee = (worth if fee_asset == quote else got) * self.fee_thousandths // 1000
        self.changes[received] += got
        self.changes[given] -= gave
        self.changes[fee_asset] -= fee
        self.all_fills.append(
            Fill(
                id=str(len(self.all_fills)),
                venue_id=order.venue_id,
                symbol=order.symbol,
                side=order.side,
                price=price,
                quantity=quantity,
                quote_quantity=worth,
                fee=fee,
                fee_asset=fee_asset,
                at=wall(),
            )
        )


def lost(*, executed: bool, part: Fraction = Fraction(1)) -> Place:
    """The answer does not come."""
    return Place(executes=executed, part=part, answer=OutcomeUnknown("no answer"))


def refused(reason: str = "insufficient_funds") -> Place:
    return Place(executes=False, answer=OrderRefused(reason, "the test says so"))


def unavailable() -> Place:
    return Place(executes=False, answer=VenueUnavailable("switched off", retry_after=0))
