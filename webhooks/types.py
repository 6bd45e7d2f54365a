"""What events there are (API 2, Webhooks)."""

from __future__ import annotations

from typing import Final

# By family. None: its types come with the part of the house that tells them.
TYPES: Final[dict[str, frozenset[str] | None]] = {
    "invoice": frozenset((
        "created", "processing", "settled", "expired", "invalid", "reversed",
        "paid_partial", "paid_over", "paid_late",
    )),
    "deposit": frozenset(("seen", "confirmed", "orphaned", "unmatched")),
    "payout": frozenset((
        "requested", "held", "approved", "sending", "paid", "failed", "rejected", "delayed",
        "reversed",
    )),
    "refund": frozenset((
        "requested", "held", "approved", "sending", "paid", "failed", "rejected", "delayed",
        "reversed",
    )),
    "conversion": frozenset((
        "accepted", "working", "filled", "partially_filled", "failed", "unknown", "updated",
    )),
    "move": frozenset((
        "requested", "held", "approved", "sending", "unknown", "in_transit", "done", "failed",
    )),
    "sweep": frozenset(("requested", "sending", "done", "failed")),
    "approval": frozenset(("requested", "given")),
    "rule": frozenset(("fired", "done", "skipped")),
    "transfer": frozenset(("created",)),
    "reconciliation": frozenset(("completed",)),
    "break": frozenset(("opened", "resolved")),
    "price": frozenset(("unavailable", "restored")),
    "network": frozenset(("stalled", "recovered")),
    "webhook_endpoint": frozenset(("disabled",)),
}  # fmt: skip


def exists(pattern: str) -> bool:
    """Whether `*`, `invoice.*` or `invoice.settled` can ever match: a typing mistake cannot."""
    if pattern == "*":
        return True
    family, _, name = pattern.partition(".")
    if family not in TYPES:
        return False
    names = TYPES[family]
    return names is None or name == "*" or name in names
