"""Bank accounts of the house as configured: plain values, handed down from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from core.money import Asset


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvMapping:
    """Which column of a bank's CSV export says what, by the names in its header.

    `amount` is signed, or, where `debit` names a column of its own, what came in. `balance` is the
    account's after each line. `text` and `reference`: what is searched for our references.
    `date_format` as strptime takes it.
    """

    date: str
    amount: str
    debit: str | None = None
    balance: str | None = None
    value_date: str | None = None
    currency: str | None = None
    reference: str | None = None
    text: tuple[str, ...] = ()
    date_format: str = "%Y-%m-%d"
    delimiter: str = ","
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    skip_lines: int = 0  # before the header
    newest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """`id` is its name in the ledger (`bank:<id>`). `iban`: no blanks, upper case."""

    id: str
    name: str
    asset: Asset
    iban: str | None = None
    csv: CsvMapping | None = None
