"""What goes back to a payer: whether he may say where to, and what became of it.

Pure: the invoice as the API shows it, and its newest refund, if there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from web import texts

# Money of these reasons is not the payer's to ask back here.
_NOT = ("held", "dust")


@dataclass(frozen=True, slots=True)
class Return:
    """`told`: what became of what was asked; `may_ask`: the form is shown. `error` is about the
    address `typed`, when it was refused a moment ago."""

    told: str | None
    may_ask: bool
    typed: str = ""
    error: str | None = None


def return_of(
    invoice: Mapping[str, Any], newest: Mapping[str, Any] | None, merchant: str
) -> Return | None:
    """None while there is nothing to say."""
    waiting = any(_waits(deposit) for deposit in invoice["deposits"])
    told = None
    if newest is not None and newest["status"] not in ("rejected", "failed"):
        confirmed = newest["payout"] is not None
        state = newest["status"] if confirmed else "asked"
        told = texts.REFUND[state].format(
            amount=_short(newest["amount"]),
            asset=newest["asset"],
            address=newest["address"],
            merchant=merchant,
        )
    return Return(told, waiting) if waiting or told else None


def _waits(deposit: Mapping[str, Any]) -> bool:
    inbox = deposit["inbox"]
    return (
        inbox is not None
        and deposit["status"] == "confirmed"
        and inbox["resolution"] is None
        and inbox["reason"] not in _NOT
    )


def _short(amount: str) -> str:
    """Without the zeros behind it."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount
