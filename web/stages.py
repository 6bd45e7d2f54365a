"""What the payer is looking at: one of a few stages, judged from the invoice and the time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Stage(StrEnum):
    """The one thing that the page says in large letters."""

    WAITING = "waiting"
    """Nothing came yet, there is time."""
    PARTIAL = "partial"
    """Something came, the rest is missing, there is time."""
    CLOSING = "closing"
    """Time is up, but the networks are not yet followed past the deadline (MONEY 3)."""
    CONFIRMING = "confirming"
    """All of it was seen and is being confirmed."""
    PAID = "paid"
    """All of it is confirmed (or the shop said that it is)."""
    EXPIRED = "expired"
    """Time is up and nothing came."""
    EXPIRED_PARTIAL = "expired_partial"
    """Time is up and only a part had come."""
    LATE = "late"
    """A payment came after the time was up."""
    REVERSED = "reversed"
    """It was paid and the chain took the payment back."""
    INVALID = "invalid"
    """No payment stands any more, or the shop said so."""
    CANCELLED = "cancelled"
    """The shop cancelled it."""

    @property
    def is_open(self) -> bool:
        """The payer has something to do or to wait for."""
        return self in (Stage.WAITING, Stage.PARTIAL, Stage.CLOSING, Stage.CONFIRMING)


def units(amount: str) -> int:
    """An amount as the API prints it, with all of its asset's decimals -> base units."""
    return int(amount.replace(".", ""))


def moment(text: str) -> datetime:
    """A time as the API prints it (RFC 3339 with `Z`)."""
    return datetime.fromisoformat(text)


def seconds_left(invoice: Mapping[str, Any], now: datetime) -> int:
    """Seconds until the invoice expires, rounded up: 0 only once it has. Domain time."""
    return max(0, -((now - moment(invoice["expires_at"])) // timedelta(seconds=1)))


def is_payable(invoice: Mapping[str, Any], now: datetime) -> bool:
    """A payment sent now would count: only then is an address shown."""
    return (
        invoice["status"] == "new"
        and now < moment(invoice["expires_at"])
        and any(units(option["amount_due"]) for option in invoice["payment_options"])
    )


def stage_of(invoice: Mapping[str, Any], now: datetime) -> Stage:
    """The stage of an invoice (the API's JSON object, API 2) at `now`, the domain's time."""
    status, exception = invoice["status"], invoice["exception"]
    if status == "settled":
        return Stage.PAID
    if status == "processing":
        return Stage.CONFIRMING
    if exception == "reversed":
        return Stage.REVERSED
    if status == "invalid":
        return Stage.INVALID
    if status == "expired":
        return _EXPIRED.get(exception, Stage.EXPIRED)
    if now >= moment(invoice["expires_at"]):
        return Stage.CLOSING
    return Stage.PARTIAL if units(invoice["amount_paid"]) else Stage.WAITING


_EXPIRED = {
    "marked": Stage.CANCELLED,
    "paid_late": Stage.LATE,
    "paid_partial": Stage.EXPIRED_PARTIAL,
}


def is_over(invoice: Mapping[str, Any], now: datetime) -> bool:
    """Nothing on this page will change any more: nobody watches the address for this invoice."""
    return (
        invoice["status"] in ("settled", "expired", "invalid")
        and now > moment(invoice["monitored_until"])
        and all(deposit["status"] != "pending" for deposit in invoice["deposits"])
    )
