"""Products, the account's fee and a book by REST, as Coinbase Advanced answers them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.errors import UnreadableAnswer
from exchanges.coinbase import reading
from exchanges.coinbase.rest import Rest
from exchanges.types import Book, Level, Market

PRODUCTS = "/api/v3/brokerage/products"
SUMMARY = "/api/v3/brokerage/transaction_summary"
BOOK = "/api/v3/brokerage/product_book"

_PAGE = 1000
_SHUT = ("trading_disabled", "is_disabled", "cancel_only", "post_only", "auction_mode", "view_only")


async def fetch(rest: Rest) -> dict[str, Market]:
    """All spot markets by symbol; Coinbase's product ids are our symbols."""
    summary = await rest.get(SUMMARY, {"product_type": "SPOT"})
    fee = reading.amount(reading.inner(summary, "fee_tier"), "taker_fee_rate")
    found: dict[str, Market] = {}
    offset = 0
    seen: set[str] = set()
    while True:
        fields: Mapping[str, Any] = {"limit": _PAGE, "offset": offset, "product_type": "SPOT"}
        page = reading.listed(await rest.get(PRODUCTS, fields), "products")
        new = [entry for entry in page if reading.text(entry, "product_id") not in seen]
        for entry in new:
            seen.add(reading.text(entry, "product_id"))
            market = read(entry, fee)
            if market is not None:
                found[market.symbol] = market
        if len(page) < _PAGE or not new:
            return found
        offset += len(page)


def read(entry: Mapping[str, Any], taker_fee: int) -> Market | None:
    """One product; None for what is not spot, and for one without rules that does not trade."""
    if entry.get("product_type", "SPOT") != "SPOT":
        return None
    trading = entry.get("status") == "online" and not any(entry.get(flag) for flag in _SHUT)
    try:
        base, quote = (reading.text(entry, f"{side}_currency_id") for side in ("base", "quote"))
        native = reading.text(entry, "product_id")
        tick = "price_increment" if entry.get("price_increment") else "quote_increment"
        return Market(
            symbol=f"{base}-{quote}",
            native=native,
            base=base,
            quote=quote,
            tick=reading.positive(entry, tick),
            step=reading.positive(entry, "base_increment"),
            min_quantity=reading.amount(entry, "base_min_size"),
            max_quantity=reading.amount_or_zero(entry, "base_max_size") or None,
            min_notional=reading.amount_or_zero(entry, "quote_min_size"),
            max_notional=reading.amount_or_zero(entry, "quote_max_size") or None,
            taker_fee=taker_fee,
            trading=trading,
        )
    except UnreadableAnswer:
        if trading:
            raise
        return None


async def fetch_book(rest: Rest, symbol: str, depth: int, at: datetime) -> Book:
    answer = await rest.get(BOOK, {"product_id": symbol, "limit": depth})
    return read_book(reading.inner(answer, "pricebook"), symbol, at)


def read_book(entry: Mapping[str, Any], symbol: str, at: datetime) -> Book:
    """REST books carry no number of their own: the venue's time in microseconds is the sequence,
    as in the stream (`depth`)."""
    if reading.text(entry, "product_id") != symbol:
        raise UnreadableAnswer(f"the book of {symbol} is another's")
    bids, asks = (
        [Level(reading.amount(e, "price"), reading.amount(e, "size")) for e in entries]
        for entries in (reading.listed(entry, "bids"), reading.listed(entry, "asks"))
    )
    return Book(
        symbol=symbol,
        bids=tuple(sorted(bids, key=lambda level: -level.price)),
        asks=tuple(sorted(asks, key=lambda level: level.price)),
        sequence=microseconds(reading.moment(entry, "time")),
        at=at,
    )


def microseconds(at: datetime) -> int:
    """Since 1970, without going through a float."""
    return int(at.timestamp()) * 10**6 + at.microsecond
