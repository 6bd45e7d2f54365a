"""Banks' statements as operators see them. Amounts are exact and signed: out is negative."""

from __future__ import annotations

from typing import Any

from core.banks import BankAccount
from core.clock import show as show_time
from core.ids import show
from core.money import FIAT
from treasury.bank_tables import BankLine, BankStatement


def statement_json(row: BankStatement, lines: int, matched: int) -> dict[str, Any]:
    """`lines`: how many it shows; `matched`: of those that are explained by what we did."""
    asset = FIAT[row.asset]
    return {
        "id": show("bst", row.id),
        "object": "bank_statement",
        "account": row.account,
        "asset": row.asset,
        "number": row.number,
        "sequence": row.sequence,
        "format": row.format,
        "opened_on": row.opened_on.isoformat(),
        "closed_on": row.closed_on.isoformat(),
        "opening": asset.format(row.opening),
        "closing": asset.format(row.closing),
        "lines": lines,
        "matched": matched,
        "created_at": show_time(row.created_at),
    }


def line_json(row: BankLine) -> dict[str, Any]:
    return {
        "id": show("bln", row.id),
        "object": "bank_line",
        "account": row.account,
        "asset": row.asset,
        "amount": FIAT[row.asset].format(row.amount),
        "booked_on": row.booked_on.isoformat(),
        "value_on": row.value_on.isoformat() if row.value_on else None,
        "reference": row.reference or None,
        "text": row.text,
        "status": row.status,
        "matched_with": row.matched_with,
        "matched_at": show_time(row.matched_at) if row.matched_at else None,
        "created_at": show_time(row.created_at),
    }


def account_json(account: BankAccount, balance: int) -> dict[str, Any]:
    """`balance`: by the ledger."""
    return {
        "id": account.id,
        "object": "bank_account",
        "name": account.name,
        "asset": account.asset.symbol,
        "iban": account.iban,
        "balance": account.asset.format(balance),
    }
