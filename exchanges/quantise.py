"""An order on a venue's grid: integers only, always on the side that cannot cost more.

The one rule for both venues and for quotes: what is sent is what was planned, cut to the market's
step and tick, or refused. Below the minimum is a refusal, never a rounding up (VENUES 2).
"""

from __future__ import annotations

from core.errors import OrderRefused
from exchanges.numbers import ONE, down, show, up
from exchanges.types import Market, Side


def quantise(market: Market, side: Side, quantity: int, price: int) -> tuple[int, int]:
    """The (quantity, price) to send, both units of 10**-18, for at most `quantity` at `price`.

    The quantity goes down to the step. The price is the worst that was agreed, so a buyer's goes
    down to the tick and a seller's up: a buy never needs more than quantity * price, a sell never
    gives more than quantity nor takes less than price. Products are compared exactly.

    Raises OrderRefused: `below_minimum` under the least quantity or notional, `above_maximum` over
    the most of either (the caller splits).
    """
    quantity = down(quantity, market.step)
    price = down(price, market.tick) if side is Side.BUY else up(price, market.tick)
    if quantity <= 0 or quantity < market.min_quantity:
        raise OrderRefused(
            "below_minimum",
            f"{show(quantity)} {market.base} on {market.symbol}, "
            f"at least {show(max(market.min_quantity, market.step))}",
        )
    if price <= 0 or quantity * price < market.min_notional * ONE:
        raise OrderRefused(
            "below_minimum",
            f"{show(quantity)} {market.base} at {show(price)} on {market.symbol}, "
            f"at least {show(market.min_notional)} {market.quote}",
        )
    if market.max_quantity is not None and quantity > market.max_quantity:
        raise OrderRefused(
            "above_maximum",
            f"{show(quantity)} {market.base} on {market.symbol}, "
            f"at most {show(market.max_quantity)}",
        )
    if market.max_notional is not None and quantity * price > market.max_notional * ONE:
        raise OrderRefused(
            "above_maximum",
            f"{show(quantity)} {market.base} at {show(price)} on {market.symbol}, "
            f"at most {show(market.max_notional)} {market.quote}",
        )
    return quantity, price
