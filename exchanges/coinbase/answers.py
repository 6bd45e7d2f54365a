"""What Coinbase's answers mean: the one table from its errors to ours (VENUES 3).

| answer                                           | to a question     | to an order, a withdrawal |
|--------------------------------------------------|-------------------|---------------------------|
| no connection, a certificate we do not trust     | VenueUnavailable  | VenueUnavailable          |
| 401 (comes and goes), 418, 429, a firewall's 403 | VenueUnavailable  | VenueUnavailable          |
| 403 for what the key may not do, any other 4xx   | OrderRefused      | OrderRefused              |
| 408, 5xx, 3xx, HTML, half a JSON, timeout, reset | VenueUnavailable  | OutcomeUnknown            |
| `success: false` with a reason                   |                   | OrderRefused              |
| `success: false` without, `true` beside a reason |                   | OutcomeUnknown            |

A 4xx is final only as JSON that names an error: what a gateway makes up proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core import http_headers
from core.clock import wall
from core.errors import OrderRefused, VenueUnavailable
from exchanges.numbers import read_json

_BUSY = 429
_BANNED = 418
_LONGEST_RETRY_AFTER = 3600
_WORDS = {
    "insufficient_fund": "insufficient_funds",
    "invalid_ledger_balance": "insufficient_funds",
    "invalid_product_id": "unknown_symbol",
    "ineligible_pair": "market_closed",
    "order_entry_disabled": "market_closed",
    "untradable_product": "market_closed",
    "invalid_price_precision": "filter",
    "invalid_size_precision": "filter",
    "invalid_base_size": "filter",
    "invalid_limit_price": "filter",
    "invalid_base_size_too_small": "below_minimum",
    "invalid_quote_size_too_small": "below_minimum",
    "invalid_base_size_too_large": "above_maximum",
    "invalid_quote_size_too_large": "above_maximum",
    "invalid_argument": "bad_request",
    "invalid_request": "bad_request",
    "validation_error": "bad_request",
    "param_required": "bad_request",
    "permission_denied": "not_permitted",
    "invalid_scope": "not_permitted",
}


class Unanswered(Exception):
    """The request left, and nothing came back that can be read: it may have been done."""

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def word(reason: str) -> str:
    """Coinbase's name of a reason -> our stable word: PREVIEW_INSUFFICIENT_FUND becomes
    insufficient_funds; one that we do not know, its own name in lower case."""
    name = reason.lower().removeprefix("preview_")[:80]
    return _WORDS.get(name, name)


def read(answer: Answer) -> dict[str, Any]:
    """The answer's JSON object. Raises VenueUnavailable, OrderRefused or Unanswered."""
    status = answer.status
    document = _object(answer.body)
    if 200 <= status < 300:
        if document is None:
            raise Unanswered(f"Coinbase answers {status} with what is no JSON object")
        return document
    later = retry_after(answer.headers)
    if status in (_BUSY, _BANNED):
        raise VenueUnavailable(f"Coinbase limits us ({status})", retry_after=later or 1)
    if status == 401:
        raise VenueUnavailable("Coinbase does not accept the key, its signature or our clock (401)")
    if 400 <= status < 500 and status != 408 and document is not None:
        reason, detail = _error(document)
        if reason is not None and (status != 403 or _is_permission(reason, detail)):
            if status == 403:
                reason = "not_permitted"
            raise OrderRefused(reason, f"{detail} ({status})")
    if status == 403:
        raise VenueUnavailable("Coinbase's firewall turns us away (403)", retry_after=later)
    raise Unanswered(f"Coinbase answers {status}", retry_after=later)


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Whole seconds of Retry-After, at most an hour; None when there is none that can be read."""
    seconds = http_headers.retry_after(headers.get("retry-after"), wall())
    return None if seconds is None else min(seconds, _LONGEST_RETRY_AFTER)


def short(text: object) -> str:
    """A venue's own words, fit for a log line."""
    return re.sub(r"[^\x20-\x7e]+", " ", str(text))[:200].strip()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = read_json(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _error(document: Mapping[str, Any]) -> tuple[str | None, str]:
    """Both dialects: v3 {error, message, error_details}, v2 {errors: [{id, message}]}."""
    errors = document.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        name, detail = errors[0].get("id"), errors[0].get("message")
    else:
        name = document.get("error")
        detail = document.get("message") or document.get("error_details")
    if not isinstance(name, str) or not name:
        return None, ""
    return word(short(name)), short(detail or name)


def _is_permission(reason: str, detail: str) -> bool:
    return reason == "not_permitted" or "scope" in detail.lower()
