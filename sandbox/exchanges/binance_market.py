"""Binance's public endpoints: time, rules, books."""

from __future__ import annotations

import json
from typing import Any

from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges import binance_shapes as shapes
from sandbox.exchanges.binance_desk import Call, refusal
from sandbox.exchanges.binance_parameters import Parameters
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.types import Rejected, SimMarket

_MOST_LEVELS = 5000


def ping(call: Call) -> dict[str, Any]:
    return {}


def server_time(call: Call) -> dict[str, Any]:
    return {"serverTime": now_ms()}


def system_status(call: Call) -> dict[str, Any]:
    return {"status": 0, "msg": "normal"}


def exchange_info(call: Call) -> dict[str, Any]:
    return {
        "timezone": "UTC",
        "serverTime": now_ms(),
        "rateLimits": call.desk.limits.rules(),
        "exchangeFilters": [],
        "symbols": [
            shapes.market(rules, trading=call.desk.trades(rules)) for rules in _chosen(call)
        ],
    }


def _chosen(call: Call) -> list[SimMarket]:
    parameters, desk = call.parameters, call.desk
    if "symbol" in parameters:
        return [desk.market(parameters.symbol())]
    listed = parameters.optional("symbols")
    if listed is None:
        return list(desk.markets.values())
    try:
        names = json.loads(listed)
    except ValueError:
        raise errors.invalid("symbols") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise errors.invalid("symbols")
    return [desk.market(name) for name in names]


def depth(call: Call) -> dict[str, Any]:
    rules = call.desk.market(call.parameters.symbol())
    limit = call.parameters.limit(100, _MOST_LEVELS)
    try:
        return shapes.book(call.desk.simulator.book(rules.symbol, limit))
    except Rejected as rejected:
        raise refusal(rejected) from None


def depth_weight(parameters: Parameters) -> int:
    limit = parameters.limit(100, _MOST_LEVELS)
    for most, weight in ((100, 5), (500, 25), (1000, 50)):
        if limit <= most:
            return weight
    return 250
