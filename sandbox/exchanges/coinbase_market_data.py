"""Products, books, accounts and what the key may do, at Coinbase Advanced Trade."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from exchanges.numbers import ONE, show
from sandbox.exchanges import coinbase_shapes as shapes
from sandbox.exchanges.coinbase_answers import error, invalid, not_found, say
from sandbox.exchanges.coinbase_gate import (
    API,
    SKEW_SECONDS,
    TRADE,
    TRANSFER,
    VIEW,
    Call,
    Endpoint,
    Gate,
)
from sandbox.exchanges.engine import Simulator, now_ms
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.types import SimBalance, SimMarket

ACCOUNTS_PER_PAGE, MOST_ACCOUNTS = 49, 250
WHOLE_BOOK = 100_000
OPENED = 1_622_455_199_000  # when each account is said to have been opened, ms


class MarketData:
    """Private endpoints, and their public twins under `/market`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._simulator = gate.simulator

    def endpoints(self) -> list[Endpoint]:
        one = Operation.ANY
        return [
            Endpoint("GET", f"{API}/time", one, None, self.time),
            Endpoint("GET", f"{API}/key_permissions", one, VIEW, self.permissions),
            Endpoint("GET", f"{API}/transaction_summary", one, VIEW, self.summary),
            Endpoint("GET", f"{API}/accounts", Operation.BALANCES, VIEW, self.accounts),
            Endpoint("GET", f"{API}/accounts/{{id}}", Operation.BALANCES, VIEW, self.account),
            Endpoint("GET", f"{API}/best_bid_ask", Operation.BOOK, VIEW, self.best),
            Endpoint("GET", f"{API}/product_book", Operation.BOOK, VIEW, self.book),
            Endpoint("GET", f"{API}/products", one, VIEW, self.products),
            Endpoint("GET", f"{API}/products/{{id}}", one, VIEW, self.product),
            Endpoint("GET", f"{API}/market/product_book", Operation.BOOK, None, self.book),
            Endpoint("GET", f"{API}/market/products", one, None, self.products),
            Endpoint("GET", f"{API}/market/products/{{id}}", one, None, self.product),
        ]

    def time(self, call: Call) -> web.Response:
        at = now_ms() + (SKEW_SECONDS * 1000 if call.fault is Fault.CLOCK_SKEW else 0)
        return say(
            {
                "iso": shapes.second(at),
                "epochSeconds": str(at // 1000),
                "epochMillis": str(at),
            }
        )

    def permissions(self, call: Call) -> web.Response:
        scopes = self._gate.scopes
        return say(
            {
                "can_view": VIEW in scopes,
                "can_trade": TRADE in scopes,
                "can_transfer": TRANSFER in scopes,
                "portfolio_uuid": shapes.PORTFOLIO,
                "portfolio_type": "DEFAULT",
            }
        )

    def summary(self, call: Call) -> web.Response:
        """The account's fees: of the dearest market, as the venue knows one tier."""
        markets = self._simulator.markets.values()
        fills = self._simulator.fills()
        volume = sum(fill.quote_quantity for fill in fills) // ONE
        fees = sum(fill.fee for fill in fills) // ONE
        return say(
            {
                "total_volume": volume,
                "total_fees": fees,
                "fee_tier": {
                    "pricing_tier": "Advanced 1",
                    "usd_from": "0",
                    "usd_to": "10000000000",
                    "taker_fee_rate": show(max(market.taker_fee for market in markets)),
                    "maker_fee_rate": show(max(market.maker_fee for market in markets)),
                    "aop_from": "",
                    "aop_to": "",
                },
                "margin_rate": None,
                "goods_and_services_tax": None,
                "advanced_trade_only_volume": volume,
                "advanced_trade_only_fees": fees,
                "coinbase_pro_volume": 0,
                "coinbase_pro_fees": 0,
                "total_balance": "",
                "has_promo_fee": False,
            }
        )

    # -- accounts

    def accounts(self, call: Call) -> web.Response:
        balances = listed_balances(self._simulator)
        currencies = sorted(balances)
        cursor = call.value("cursor")
        if cursor is not None:
            currencies = [c for c in currencies if c > cursor]
        limit = call.limit(ACCOUNTS_PER_PAGE, MOST_ACCOUNTS)
        page, more = currencies[:limit], len(currencies) > limit
        return say(
            {
                "accounts": [account_shape(c, balances[c]) for c in page],
                "has_next": more,
                "cursor": page[-1] if more else "",
                "size": len(page),
            }
        )

    def account(self, call: Call) -> web.Response:
        wanted = call.request.match_info["id"]
        for currency, balance in listed_balances(self._simulator).items():
            if shapes.account_uuid(currency) == wanted:
                return say({"account": account_shape(currency, balance)})
        raise not_found("account not found")

    # -- markets

    def products(self, call: Call) -> web.Response:
        ids = call.values("product_ids")
        markets = [m for m in self._simulator.markets.values() if not ids or m.symbol in ids]
        begin = call.value("offset") or "0"
        if not begin.isascii() or not begin.isdigit():
            raise invalid("offset is not a valid number")
        page = markets[int(begin) :][: call.limit(len(markets) or 1, 1000)]
        return say({"products": [self._product(m) for m in page], "num_products": len(markets)})

    def product(self, call: Call) -> web.Response:
        market = self._simulator.markets.get(call.request.match_info["id"])
        if market is None:
            return error(404, "NOT_FOUND", "valid product_id is required")
        return say(self._product(market))

    def _product(self, market: SimMarket) -> dict[str, Any]:
        return shapes.product_shape(market, self._simulator.book(market.symbol, 1))

    def best(self, call: Call) -> web.Response:
        symbols = call.values("product_ids") or list(self._simulator.markets)
        unknown = [symbol for symbol in symbols if symbol not in self._simulator.markets]
        if unknown:
            raise invalid(f"invalid product_id {unknown[0]}")
        at = now_ms()
        return say(
            {
                "pricebooks": [
                    shapes.book_shape(symbol, self._simulator.book(symbol, 1), at)
                    for symbol in symbols
                ]
            }
        )

    def book(self, call: Call) -> web.Response:
        symbol = call.value("product_id")
        if symbol is None or symbol not in self._simulator.markets:
            raise invalid("valid product_id is required")
        book = self._simulator.book(symbol, call.limit(WHOLE_BOOK, WHOLE_BOOK))
        said: dict[str, Any] = {"pricebook": shapes.book_shape(symbol, book, now_ms())}
        if book.bids and book.asks:
            bid, ask = book.bids[0][0], book.asks[0][0]
            said["last"] = said["mid_market"] = show((bid + ask) // 2)
            said["spread_bps"] = show((ask - bid) * 20_000 * ONE // (bid + ask) // 100 * 100)
            said["spread_absolute"] = show(ask - bid)
        return say(said)


def listed_balances(simulator: Simulator) -> dict[str, SimBalance]:
    """Of all that is listed, held or not."""
    markets = simulator.markets.values()
    listed = {asset for market in markets for asset in (market.base, market.quote)}
    return {asset: SimBalance(0, 0) for asset in listed} | simulator.balances()


def account_shape(currency: str, balance: SimBalance) -> dict[str, Any]:
    fiat = currency in shapes.FIAT
    return {
        "uuid": shapes.account_uuid(currency),
        "name": f"{currency} Wallet",
        "currency": currency,
        "available_balance": {"value": show(balance.free), "currency": currency},
        "default": True,
        "active": True,
        "created_at": shapes.second(OPENED),
        "updated_at": shapes.second(OPENED),
        "deleted_at": None,
        "type": "ACCOUNT_TYPE_FIAT" if fiat else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": {"value": show(balance.locked), "currency": currency},
        "retail_portfolio_id": shapes.PORTFOLIO,
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
    }
