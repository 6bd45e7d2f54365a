"""The checkout page's data: the API's invoice, turned into what a payer reads.

Pure: an invoice (API 2), the merchant's name, the networks and the time in, plain values out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from core.networks import Catalog
from web import qr, texts
from web.arrivals import Payment, Progress, payments_of, progress_of
from web.options import Option, options_of
from web.refund import Return, return_of
from web.stages import (
    Stage,
    is_over,
    is_payable,
    moment,
    seconds_left,
    stage_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at an invoice. Amounts are text as a person types them, without their asset."""

    id: str
    stage: Stage
    title: str
    explanation: str
    notes: tuple[str, ...]
    merchant: str
    amount: str
    currency: str
    description: str | None
    reference: str | None
    expires_at: str  # RFC 3339
    expires_time: str  # 14:35, UTC, with the date when it is another day
    seconds_left: int
    seconds_total: int
    back_url: str | None
    address: str
    address_qr: str
    options: tuple[Option, ...]  # empty when nothing is to be paid (any more)
    is_rest: bool  # the options ask for what is left
    progress: Progress | None
    payments: tuple[Payment, ...]
    refund: Return | None
    pending_networks: frozenset[str]  # whose next block moves a confirmation
    is_over: bool


def view_of(
    invoice: Mapping[str, Any],
    merchant: str,
    catalog: Catalog,
    now: datetime,
    refund: Mapping[str, Any] | None = None,
) -> View:
    """What the page shows of `invoice` at `now`, the domain's time; `refund` is its newest one."""
    stage = stage_of(invoice, now)
    expires, created = moment(invoice["expires_at"]), moment(invoice["created_at"])
    address = str(next((o["address"] for o in invoice["payment_options"]), ""))
    words = {
        "merchant": merchant,
        "amount": f"{money(invoice['amount'])} {invoice['currency']}",
        "paid": f"{money(invoice['amount_paid'])} {invoice['currency']}",
    }
    return View(
        id=invoice["id"],
        stage=stage,
        title=texts.TITLE[stage],
        explanation=_explanation(invoice, stage, now).format(**words),
        notes=tuple(note.format(**words) for note in _notes(invoice, stage)),
        merchant=merchant,
        amount=money(invoice["amount"]),
        currency=invoice["currency"],
        description=invoice["description"],
        reference=invoice["reference"],
        expires_at=invoice["expires_at"],
        expires_time=expires.strftime("%H:%M" if expires.date() == now.date() else "%-d %B, %H:%M"),
        seconds_left=seconds_left(invoice, now),
        seconds_total=max(1, int((expires - created).total_seconds())),
        back_url=_web_url(invoice["success_url"]),
        address=address,
        address_qr=qr.svg(address, texts.PAGE["qr_address_alt"].format(address=address)),
        options=options_of(invoice, catalog) if is_payable(invoice, now) else (),
        is_rest=invoice["amount_due"] != invoice["amount"],
        progress=progress_of(invoice, catalog) if stage is Stage.CONFIRMING else None,
        payments=payments_of(invoice, merchant, catalog),
        refund=return_of(invoice, refund, merchant),
        pending_networks=frozenset(
            d["network"] for d in invoice["deposits"] if d["status"] == "pending"
        ),
        is_over=is_over(invoice, now),
    )


def money(amount: str) -> str:
    """Major units for reading: thousands grouped, at least as exact as the API's text."""
    whole, dot, fraction = amount.partition(".")
    if len(fraction) > 3:  # crypto: the zeros behind it say nothing
        fraction = fraction.rstrip("0").ljust(2, "0")
    return f"{int(whole):,}{dot}{fraction}"


def _explanation(invoice: Mapping[str, Any], stage: Stage, now: datetime) -> str:
    exception = invoice["exception"]
    if exception == "reversed":
        if stage is Stage.CONFIRMING:
            return texts.REVERSED_CONFIRMING
        if is_payable(invoice, now):
            return texts.REVERSED_PAY_AGAIN
    if exception == "marked" and stage is Stage.INVALID:
        return texts.INVALID_MARKED
    if exception == "marked" and stage is Stage.PAID:
        return texts.PAID_MARKED
    return texts.EXPLANATION[stage]


def _notes(invoice: Mapping[str, Any], stage: Stage) -> list[str]:
    notes = []
    if invoice["exception"] == "paid_over":
        notes.append(texts.NOTE_OVERPAID)
    if invoice["exception"] == "paid_late" and invoice["status"] in ("processing", "settled"):
        notes.append(texts.NOTE_LATE_EXTRA)
    if stage is Stage.CANCELLED and any(d["status"] != "orphaned" for d in invoice["deposits"]):
        notes.append(texts.NOTE_CANCELLED)
    return notes


def _web_url(url: str | None) -> str | None:
    """A link is put on the page only when it leads to a web page."""
    return url if url and urlsplit(url).scheme in ("http", "https") else None
