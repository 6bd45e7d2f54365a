"""Binance's account endpoints: balances, fees, trades."""

from __future__ import annotations

from typing import Any

from exchanges.numbers import show
from sandbox.exchanges import binance_shapes as shapes
from sandbox.exchanges.binance_desk import Call
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.binance_parameters import Parameters
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.types import SimFill, SimMarket

_UID = 354_937_868
TRADES = frozenset({"symbol", "orderId", "startTime", "endTime", "fromId", "limit"})
_COMBINATIONS: tuple[set[str], ...] = (
    set(),
    {"orderId"},
    {"startTime"},
    {"endTime"},
    {"fromId"},
    {"startTime", "endTime"},
    {"orderId", "fromId"},
)


def account(call: Call) -> dict[str, Any]:
    omit = call.parameters.optional("omitZeroBalances") == "true"
    rules = next(iter(call.desk.markets.values()))
    return {
        "makerCommission": _permyriad(rules.maker_fee),
        "takerCommission": _permyriad(rules.taker_fee),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": _rates(rules),
        "canTrade": True,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": now_ms(),
        "accountType": "SPOT",
        "balances": [
            {
                "asset": asset,
                "free": shapes.number(balance.free),
                "locked": shapes.number(balance.locked),
            }
            for asset, balance in sorted(call.desk.simulator.balances().items())
            if not omit or balance.free or balance.locked
        ],
        "permissions": ["SPOT"],
        "uid": _UID,
    }


def _permyriad(fraction: int) -> int:
    """A fraction of 10**-18 in hundredths of a percent."""
    return fraction // 10**14


def _rates(rules: SimMarket) -> dict[str, str]:
    return {
        "maker": shapes.number(rules.maker_fee),
        "taker": shapes.number(rules.taker_fee),
        "buyer": shapes.ZERO,
        "seller": shapes.ZERO,
    }


def commission(call: Call) -> dict[str, Any]:
    rules = call.desk.market(call.parameters.symbol())
    nothing = dict.fromkeys(("maker", "taker", "buyer", "seller"), shapes.ZERO)
    return {
        "symbol": shapes.native(rules.symbol),
        "standardCommission": _rates(rules),
        "specialCommission": nothing,
        "taxCommission": nothing,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": False,
            "discountAsset": "BNB",
            "discount": "0.75000000",
        },
    }


def trade_fee(call: Call) -> list[dict[str, Any]]:
    """The wallet's list of fees."""
    chosen = call.desk.markets.values()
    if "symbol" in call.parameters:
        chosen = {"": call.desk.market(call.parameters.symbol())}.values()
    return [
        {
            "symbol": shapes.native(rules.symbol),
            "makerCommission": show(rules.maker_fee),
            "takerCommission": show(rules.taker_fee),
        }
        for rules in chosen
    ]


def my_trades(call: Call) -> list[dict[str, Any]]:
    """Oldest first: from an id or a time on, else the newest. Raises Problem -1128 for what may
    not be sent together."""
    parameters = call.parameters
    rules = call.desk.market(parameters.symbol())
    narrowing = {name for name in TRADES - {"symbol", "limit"} if name in parameters}
    if narrowing not in _COMBINATIONS:
        raise Problem(-1128, "Combination of optional parameters invalid.")
    order_id, first = parameters.whole("orderId"), parameters.whole("fromId")
    start, end = parameters.window()
    limit = parameters.limit(500, 1000)
    found = [
        fill
        for fill in call.desk.simulator.fills(
            symbol=rules.symbol, order_id=order_id, since_ms=start, from_id=first
        )
        if end is None or fill.at <= end
    ]
    onwards = first is not None or start is not None
    kept = found[:limit] if onwards else found[-limit:]
    return [shapes.trade(fill) for fill in _visible(call, kept)]


def trades_weight(parameters: Parameters) -> int:
    return 5 if "orderId" in parameters else 20


def _visible(call: Call, found: list[SimFill]) -> list[SimFill]:
    hiding = call.desk.simulator.faults.hiding
    return [fill for fill in found if fill.client_id not in hiding]
