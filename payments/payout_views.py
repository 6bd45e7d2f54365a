"""Payouts, batches and refunds as the outside sees them (API 2). Field names are binding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from core.addresses import checksum
from core.clock import show as show_time
from core.ids import show
from core.money import Asset
from core.networks import Catalog
from payments.payout_facts import OVER, Status
from payments.payout_tables import Payout, PayoutBatch, Refund


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands in other tables about payouts, by payout's id."""

    transactions: Mapping[UUID, Sequence[dict[str, Any]]] = field(default_factory=dict)
    approvals: Mapping[UUID, UUID] = field(default_factory=dict)  # the one that counts
    refunds: Mapping[UUID, Refund] = field(default_factory=dict)


NOTHING = Beside()


def payout_json(row: Payout, catalog: Catalog, beside: Beside = NOTHING) -> dict[str, Any]:
    """One payout. `network_fee` is in the payout's asset, as quoted."""
    asset = _asset(catalog, row.asset)
    approval, refund = beside.approvals.get(row.id), beside.refunds.get(row.id)
    at_bank = row.bank_account_id
    return {
        "id": show("pay", row.id),
        "object": "payout",
        "status": row.status,
        "reasons": list(row.reasons),
        "amount": asset.format(row.amount),
        "asset": row.asset,
        "network": row.network if at_bank is None else None,
        "network_fee": asset.format(row.fee),
        "fee_paid_by": row.fee_paid_by,
        "address": checksum(row.address) if at_bank is None else None,
        "address_kind": (row.address_kind or "unknown") if at_bank is None else None,
        "bank_account": show("bnk", at_bank) if at_bank else None,
        "reference": row.reference,
        "merchant": show("mer", row.merchant_id),
        "wallet": row.source.split(":")[1] if row.source.startswith("wallet:") else None,
        "batch": show("bat", row.batch_id) if row.batch_id else None,
        "refund": show("ref", refund.id) if refund else None,
        "rule": row.rule,
        "approvals": {"needed": row.needed, "given": row.given},
        "approval": show("apr", approval) if approval else None,
        "rejection": row.rejected,
        "failure": row.failure if row.status == Status.FAILED else None,
        "transactions": list(beside.transactions.get(row.id, ())),
        "bank_export": show("bex", row.bank_export_id) if row.bank_export_id else None,
        "created_at": show_time(row.created_at),
        "finished_at": _maybe(row.finished_at),
    }


def refund_json(
    row: Refund, payout: Payout | None, catalog: Catalog, beside: Beside = NOTHING
) -> dict[str, Any]:
    """A refund has its payout's status; before the merchant's word it is `requested`."""
    asset = _asset(catalog, row.asset)
    status, reasons = Status.REQUESTED.value, ["merchant_confirmation"]
    if payout is not None:
        status, reasons = payout.status, list(payout.reasons)
    elif row.rejected is not None:
        status, reasons = Status.REJECTED.value, ["rejected"]
    transactions = beside.transactions.get(payout.id, ()) if payout else ()
    approval = beside.approvals.get(payout.id) if payout else None
    return {
        "id": show("ref", row.id),
        "object": "refund",
        "status": status,
        "reasons": reasons,
        "invoice": show("inv", row.invoice_id) if row.invoice_id else None,
        "deposit": show("dep", row.deposit_id) if row.deposit_id else None,
        "payout": show("pay", payout.id) if payout else None,
        "variant": row.variant,
        "amount": asset.format(payout.amount if payout else row.amount),
        "asset": row.asset,
        "network": row.network,
        "network_fee": asset.format(payout.fee) if payout else None,
        "fee_paid_by": row.fee_paid_by,
        "address": checksum(row.address),
        "asked_by": row.asked_by,
        "merchant": show("mer", row.merchant_id),
        "approval": show("apr", approval) if approval else None,
        "rejection": row.rejected or (payout.rejected if payout else None),
        "failure": payout.failure if payout and status == Status.FAILED else None,
        "transactions": list(transactions),
        "created_at": show_time(row.created_at),
        "finished_at": _maybe(payout.finished_at if payout else None),
    }


def batch_json(
    batch: PayoutBatch, rows: Sequence[Payout], catalog: Catalog, beside: Beside = NOTHING
) -> dict[str, Any]:
    """A batch, its payouts in the order they were asked for, and how many stand where."""
    counts = Counter(row.status for row in rows)
    totals: Counter[str] = Counter()
    for row in rows:
        totals[row.asset] += row.amount
    return {
        "id": show("bat", batch.id),
        "object": "payout_batch",
        "status": _batch_status(counts),
        "merchant": show("mer", batch.merchant_id),
        "count": len(rows),
        "summary": {status.value: counts[status] for status in Status},
        "totals": [
            {"amount": _asset(catalog, symbol).format(units), "asset": symbol}
            for symbol, units in sorted(totals.items())
        ],
        "payouts": [payout_json(row, catalog, beside) for row in rows],
        "created_at": show_time(batch.created_at),
    }


def _batch_status(counts: Mapping[str, int]) -> str:
    """Done once every payout is over, whatever became of each."""
    if all(status in OVER for status, count in counts.items() if count):
        return "done"
    return "requested" if set(counts) <= {Status.REQUESTED} else "working"


def _asset(catalog: Catalog, symbol: str) -> Asset:
    """Assets of stored rows are configured, or were: then base units are shown as they are."""
    return catalog.asset(symbol) or Asset(symbol, 0, 0)


def _maybe(moment: datetime | None) -> str | None:
    return show_time(moment) if moment else None
