"""How Coinbase says no: its two JSON dialects and the pages of the gateway before it.

Shapes seen at docs.cdp.coinbase.com (Advanced Trade and Coinbase App), in coinbase-advanced-py's
issues #19 and #49, hummingbot #7220, ccxt's error table and advanced-trade-sdk-go #18 (429, HTML).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sandbox.exchanges.types import Reason, SimMarket

# What the order refusals are called: (error, message, preview_failure_reason).
_REFUSALS: Mapping[Reason, tuple[str, str, str]] = {
    Reason.UNKNOWN_SYMBOL: ("INVALID_PRODUCT_ID", "Invalid product_id", "INVALID_PRODUCT_ID"),
    Reason.MARKET_CLOSED: ("UNTRADABLE_PRODUCT", "Product is untradable", "UNTRADABLE_PRODUCT"),
    Reason.FILTER_TICK: (
        "INVALID_PRICE_PRECISION",
        "Too many decimals in order price",
        "INVALID_PRICE_PRECISION",
    ),
    Reason.FILTER_STEP: (
        "INVALID_SIZE_PRECISION",
        "Too many decimals in order amount",
        "INVALID_SIZE_PRECISION",
    ),
    Reason.FILTER_NOTIONAL: ("UNKNOWN_FAILURE_REASON", "", "INVALID_QUOTE_SIZE_TOO_SMALL"),
    Reason.INSUFFICIENT: (
        "INSUFFICIENT_FUND",
        "Insufficient balance in source account",
        "INSUFFICIENT_FUND",
    ),
    Reason.DUPLICATE_CLIENT_ID: (
        "DUPLICATE_CLIENT_ORDER_ID",
        "Order with this client_order_id exists already",
        "UNKNOWN",
    ),
}
POST_ONLY = (
    "INVALID_LIMIT_PRICE_POST_ONLY",
    "Invalid limit price for a post-only order",
    "INVALID_LIMIT_PRICE_POST_ONLY",
)
UNSUPPORTED = (
    "UNSUPPORTED_ORDER_CONFIGURATION",
    "Unsupported order configuration",
    "INVALID_ORDER_CONFIG",
)
_GATEWAY = """<!DOCTYPE html>
<html lang="en-US"><head><title>{title} | api.coinbase.com</title>
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8"></head>
<body><div id="cf-wrapper"><h1>{title}</h1><p>{text}</p>
<p>Cloudflare Ray ID: 8f3a1c0d9e7b6a52</p></div></body></html>
"""


class Refused(Exception):
    """Ends a call with an answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


def say(content: Any, status: int = 200) -> web.Response:
    """JSON as the venue writes it, without blanks: the SDK looks for substrings in errors."""
    text = json.dumps(content, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def error(status: int, name: str, message: str) -> web.Response:
    """Of /api/v3/brokerage."""
    return say({"error": name, "error_details": message, "message": message}, status)


def wallet_error(status: int, name: str, message: str) -> web.Response:
    """Of /v2."""
    return say({"errors": [{"id": name, "message": message}]}, status)


def invalid(message: str) -> Refused:
    return Refused(error(400, "INVALID_ARGUMENT", message))


def not_found(message: str) -> Refused:
    return Refused(error(404, "NOT_FOUND", message))


def unauthorized() -> web.Response:
    """The venue never says why."""
    return web.Response(text="Unauthorized\n", status=401, content_type="text/plain")


def missing_scopes(path: str) -> web.Response:
    if path.startswith("/v2/"):
        return wallet_error(403, "invalid_scope", "Missing required scopes")
    return error(403, "PERMISSION_DENIED", "Missing required scopes")


def page(status: int, title: str, text: str) -> web.Response:
    """The gateway's."""
    return web.Response(
        text=_GATEWAY.format(title=title, text=text), status=status, content_type="text/html"
    )


def too_many(path: str, *, html: bool) -> web.Response:
    """429: the API's JSON, or the gateway's page, which also says how long to wait."""
    if html:
        response = page(429, "Error 1015", "You are being rate limited")
        response.headers["Retry-After"] = "1"
        return response
    if path.startswith("/v2/"):
        return wallet_error(429, "rate_limit_exceeded", "Too many requests")
    return error(429, "RATE_LIMIT_EXCEEDED", "Too many requests")


def forbidden() -> web.Response:
    return page(403, "Access denied", "You do not have access to api.coinbase.com.")


def banned() -> web.Response:
    """A firewall's page for an address that asked too much: it says for how long."""
    response = page(403, "Error 1006", "The owner of this website has banned your IP address")
    response.headers["Retry-After"] = "2"
    return response


def gateway_timeout() -> web.Response:
    return page(504, "504 Gateway Time-out", "The web server reported a gateway time-out error.")


def server_error(path: str) -> web.Response:
    if path.startswith("/v2/"):
        return wallet_error(500, "internal_server_error", "An error has occurred.")
    return error(500, "INTERNAL", "Something went wrong")


def order_refused(
    words: tuple[str, str, str], configuration: Mapping[str, Any] | None
) -> web.Response:
    """200, `success: false`."""
    name, message, preview = words
    return say(
        {
            "success": False,
            "error_response": {
                "error": name,
                "message": message,
                "error_details": "",
                "preview_failure_reason": preview_name(preview),
                "new_order_failure_reason": "UNKNOWN_FAILURE_REASON",
            },
            "order_configuration": configuration,
        }
    )


def words(reason: Reason, market: SimMarket | None, quantity: int) -> tuple[str, str, str]:
    """The venue's name, message and preview reason for the engine's refusal."""
    if reason is Reason.FILTER_QUANTITY:
        small = market is not None and quantity < market.min_quantity
        return (
            "UNKNOWN_FAILURE_REASON",
            "",
            f"INVALID_BASE_SIZE_TOO_{'SMALL' if small else 'LARGE'}",
        )
    return _REFUSALS.get(reason, ("UNKNOWN_FAILURE_REASON", "", "UNKNOWN"))


def preview_name(word: str) -> str:
    return "UNKNOWN_PREVIEW_FAILURE_REASON" if word == "UNKNOWN" else f"PREVIEW_{word}"
