"""Markets and books, from Binance's words to ours (rest-api.md "Exchange information", filters.md).
Pure: values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from exchanges.numbers import parse
from exchanges.types import Balance, Book, Level, Market


def native(symbol: str) -> str:
    """Our ETH-EUR is its ETHEUR."""
    return symbol.replace("-", "")


def parse_markets(info: Mapping[str, Any], fees: Sequence[Mapping[str, Any]]) -> dict[str, Market]:
    """exchangeInfo and asset/tradeFee -> markets by our symbol. One whose fee is not told is left
    out: no quote could be right about it."""
    taker = {fee["symbol"]: parse(fee["takerCommission"]) for fee in fees}
    found = (
        _market(raw, taker[raw["symbol"]]) for raw in info["symbols"] if raw["symbol"] in taker
    )
    return {market.symbol: market for market in found}


def _market(raw: Mapping[str, Any], taker_fee: int) -> Market:
    filters = {rule["filterType"]: rule for rule in raw["filters"]}
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    # NOTIONAL took MIN_NOTIONAL's place; a market has one of them
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    return Market(
        symbol=f"{raw['baseAsset']}-{raw['quoteAsset']}",
        native=raw["symbol"],
        base=raw["baseAsset"],
        quote=raw["quoteAsset"],
        # "0" switches a rule off; what is left is how finely the venue counts
        tick=parse(price.get("tickSize", 0)) or _finest(raw["quoteAssetPrecision"]),
        step=parse(lot.get("stepSize", 0)) or _finest(raw["baseAssetPrecision"]),
        min_quantity=parse(lot.get("minQty", 0)),
        max_quantity=parse(lot.get("maxQty", 0)) or None,
        min_notional=parse(notional.get("minNotional", 0)),
        max_notional=parse(notional.get("maxNotional", 0)) or None,
        taker_fee=taker_fee,
        trading=raw["status"] == "TRADING"
        and bool(raw["isSpotTradingAllowed"])
        and "LIMIT" in raw["orderTypes"],
    )


def _finest(places: int) -> int:
    return int(10 ** (18 - places))


def parse_levels(raw: Sequence[Sequence[str]]) -> tuple[Level, ...]:
    """[["4.00000000", "431.00000000"], ...]"""
    return tuple(Level(parse(level[0]), parse(level[1])) for level in raw)


def parse_book(symbol: str, raw: Mapping[str, Any], at: datetime) -> Book:
    """An answer of `depth`."""
    return Book(
        symbol=symbol,
        bids=parse_levels(raw["bids"]),
        asks=parse_levels(raw["asks"]),
        sequence=int(raw["lastUpdateId"]),
        at=at,
    )


def parse_balances(raw: Mapping[str, Any]) -> dict[str, Balance]:
    """An answer of `account`."""
    held = {b["asset"]: Balance(parse(b["free"]), parse(b["locked"])) for b in raw["balances"]}
    return {asset: balance for asset, balance in held.items() if balance.total}
