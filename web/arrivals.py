"""What has arrived: the deposits of an invoice, and how far their confirmation is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.networks import Catalog
from web import texts
from web.options import network_name, typed

LONG_SECONDS = 100  # from here on minutes are said


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Of the payment that is furthest behind. `required` is None where no number is awaited."""

    done: int
    required: int | None
    label: str
    estimate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One deposit, for people."""

    amount: str
    asset: str
    network: str
    tx_hash: str  # empty where no transaction stands behind it
    tx_short: str
    status: str  # pending, confirmed, orphaned
    label: str
    note: str | None


def payments_of(invoice: Mapping[str, Any], merchant: str, catalog: Catalog) -> tuple[Payment, ...]:
    return tuple(_payment(deposit, merchant, catalog) for deposit in invoice["deposits"])


def progress_of(invoice: Mapping[str, Any], catalog: Catalog) -> Progress | None:
    """How far the slowest pending deposit is; None when none is pending."""
    pending = [d for d in invoice["deposits"] if d["status"] == "pending"]
    if not pending:
        return None
    behind = max(pending, key=_remaining)
    done, required = behind["confirmations"], behind["confirmations_required"]
    if not isinstance(required, int):
        label = texts.UNTIL.get(required, str(required))
        return Progress(done=done, required=None, label=label, estimate=None)
    return Progress(
        done=min(done, required),
        required=required,
        label=_confirmations(done, required),
        estimate=_estimate(behind["network"], required - done, catalog),
    )


def _remaining(deposit: Mapping[str, Any]) -> int:
    """Blocks still to wait; what waits for finality waits longest."""
    required = deposit["confirmations_required"]
    return required - deposit["confirmations"] if isinstance(required, int) else 1_000_000


def _confirmations(done: int, required: int) -> str:
    return texts.CONFIRMATIONS.format(done=min(done, required), required=required)


def _estimate(network: str, blocks: int, catalog: Catalog) -> str | None:
    known = catalog.networks.get(network)
    seconds = known.block_seconds * blocks if known else 0
    if seconds <= 0:
        return None
    if seconds < LONG_SECONDS:
        return texts.ABOUT_SECONDS.format(n=seconds)
    return texts.ABOUT_MINUTES.format(n=-(-seconds // 60))


def _payment(deposit: Mapping[str, Any], merchant: str, catalog: Catalog) -> Payment:
    tx_hash = deposit["tx_hash"] or ""
    inbox = deposit["inbox"]
    note = texts.INBOX.get(inbox["reason"]) if inbox else None
    return Payment(
        amount=typed(deposit["amount"]),
        asset=deposit["asset"],
        network=network_name(deposit["network"], catalog),
        tx_hash=tx_hash,
        tx_short=f"{tx_hash[:10]}…{tx_hash[-8:]}" if tx_hash else "",
        status=deposit["status"],
        label=_label(deposit),
        note=note and note.format(merchant=merchant),
    )


def _label(deposit: Mapping[str, Any]) -> str:
    if deposit["status"] == "confirmed":
        return texts.CONFIRMED
    if deposit["status"] == "orphaned":
        return texts.ORPHANED
    required = deposit["confirmations_required"]
    if deposit["waiting_for"] in texts.WAITING_FOR:
        return texts.WAITING_FOR[deposit["waiting_for"]]
    return (
        _confirmations(deposit["confirmations"], required)
        if isinstance(required, int)
        else texts.SEEN
    )
