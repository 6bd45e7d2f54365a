"""The books of a venue: what makers quote and what rests there of ours, and what of it changed."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.exchanges.makers import Makers
from sandbox.exchanges.matching import Ladder, Match, Orders, Resting
from sandbox.exchanges.types import SimBook, SimBookChange, SimMarket

MakerTrade = tuple[int, Match]  # an order of ours that a new quote met


class BookOf:
    """One market's. `mid` 0: nobody quotes yet."""

    def __init__(self, market: SimMarket, seed: str, sequence: int) -> None:
        self.market = market
        self.mid = 0
        self.sequence = sequence
        self.orders = Orders()
        self._makers = Makers(market, seed)
        self._shown: dict[str, dict[int, int]] = {"buy": {}, "sell": {}}  # side, price, quantity

    def requote(self, mid: int) -> list[MakerTrade]:
        """The makers move to `mid`; new quotes that cross orders of ours execute them."""
        self.mid = mid
        for ladder in self.orders.sides.values():
            ladder.keep(lambda resting: resting.order_id is not None)
        quotes = self._makers.quote(mid)
        return self._stand([(side, quote) for side in quotes for quote in quotes[side]])

    def refill(self) -> list[MakerTrade]:
        """The makers come back after a trade; as `requote`."""
        return self._stand(self._makers.refill())

    def _stand(self, quotes: Iterable[tuple[str, Resting]]) -> list[MakerTrade]:
        met: list[MakerTrade] = []
        for side, quote in quotes:
            for match in self.orders.match(side, quote.quantity, quote.price):
                quote.quantity -= match.quantity
                assert match.resting.order_id is not None  # noqa: S101  (quotes do not cross)
                met.append((match.resting.order_id, match))
            if quote.quantity:
                self.orders.sides[side].add(quote)
        return met

    def rest(self, side: str, price: int, quantity: int, order_id: int) -> None:
        self.orders.sides[side].add(Resting(price, quantity, order_id))

    def remove(self, side: str, order_id: int) -> None:
        self.orders.sides[side].keep(lambda resting: resting.order_id != order_id)

    def show(self, depth: int) -> SimBook:
        return SimBook(
            bids=tuple(self.orders.sides["buy"].levels(depth).items()),
            asks=tuple(self.orders.sides["sell"].levels(depth).items()),
            sequence=self.sequence,
        )

    def change(self) -> SimBookChange | None:
        """What is different since this was last asked; each changed level counts one."""
        bids = _difference(self._shown["buy"], self.orders.sides["buy"])
        asks = _difference(self._shown["sell"], self.orders.sides["sell"])
        if not bids and not asks:
            return None
        first = self.sequence + 1
        self.sequence += len(bids) + len(asks)
        return SimBookChange(
            symbol=self.market.symbol, first=first, last=self.sequence, bids=bids, asks=asks
        )


def _difference(shown: dict[int, int], ladder: Ladder) -> tuple[tuple[int, int], ...]:
    """What became of touched prices; `shown` follows."""
    changed = []
    for price in sorted(ladder.touched):
        quantity = ladder.at(price)
        if quantity != shown.get(price, 0):
            shown[price] = quantity
            changed.append((price, quantity))
        if not quantity:
            shown.pop(price, None)
    ladder.touched.clear()
    return tuple(changed)
