"""A bank's CSV export, read by the mapping of its account."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import date, datetime

from core.banks import BankAccount, CsvMapping
from core.errors import Invalid
from core.money import Asset
from treasury.bank_files import LONGEST_TEXT, Line, Statement, amount_of, unreadable

FORMAT = "csv"
Row = dict[str, str]


def read(
    content: str | bytes, account: BankAccount, opening: str | None, closing: str | None
) -> Statement:
    """Balances come with the export, else as said. Raises Invalid `no_mapping`,
    `balances_required`, `unreadable_statement`."""
    mapping, asset = account.csv, account.asset
    if mapping is None:
        detail = f"banks.{account.id}.csv is not set: it names the columns"
        raise Invalid.of("account", detail, code="no_mapping")
    text = _decoded(content, mapping)
    rows = _rows(text, mapping)
    numbered = list(enumerate(rows, 1))
    if mapping.newest_first:
        numbered.reverse()
    lines = [_line(row, mapping, asset, f"row {n}") for n, row in numbered]
    if mapping.balance is not None:
        after = [
            _number(row, mapping.balance, mapping, asset, f"row {n}", needed=True)
            for n, row in numbered
        ]
        _check_balances(lines, after, asset, [n for n, _ in numbered])
        first, last = after[0] - lines[0].amount, after[-1]
    elif opening is None or closing is None:
        detail = "opening and closing are required: the export has no column with balances"
        raise Invalid(detail, code="balances_required")
    else:
        first = amount_of(asset, opening, "opening")
        last = amount_of(asset, closing, "closing")
    days = [line.booked_on for line in lines]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Statement(
        number=f"csv-{digest[:32]}",
        sequence=None,
        format=FORMAT,
        opened_on=min(days),
        closed_on=max(days),
        opening=first,
        closing=last,
        lines=tuple(line for line in lines if line.amount),
    )


def _decoded(content: str | bytes, mapping: CsvMapping) -> str:
    if isinstance(content, bytes):
        try:
            content = content.decode(mapping.encoding)
        except UnicodeDecodeError as error:
            raise unreadable(f"it is not in {mapping.encoding}: {error.reason}") from None
    if "\x00" in content:
        raise unreadable("it has a character U+0000")
    return content.removeprefix("\ufeff")


def _rows(text: str, mapping: CsvMapping) -> list[Row]:
    """Those with anything in them, by the header's names."""
    lines = io.StringIO(text, newline="")
    for _ in range(mapping.skip_lines):
        lines.readline()
    try:
        given = list(csv.reader(lines, delimiter=mapping.delimiter, strict=True))
    except csv.Error as error:
        raise unreadable(f"it is no CSV: {error}") from None
    header = [name.strip() for name in given[0]] if given else []
    for wanted in _columns(mapping):
        if wanted not in header:
            raise unreadable(
                f"its header has no column {wanted!r} (delimiter {mapping.delimiter!r})"
            )
        if header.count(wanted) > 1:
            raise unreadable(f"its header has {header.count(wanted)} columns {wanted!r}, not one")
    rows = [one for one in given[1:] if any(cell.strip() for cell in one)]
    if not rows:
        raise unreadable("it has no lines")
    for n, one in enumerate(rows, 1):
        if len(one) != len(header):
            raise unreadable(f"row {n} has {len(one)} fields, the header {len(header)}")
    return [dict(zip(header, (cell.strip() for cell in one), strict=True)) for one in rows]


def _columns(mapping: CsvMapping) -> list[str]:
    maybe = (
        mapping.date,
        mapping.amount,
        mapping.debit,
        mapping.balance,
        mapping.value_date,
        mapping.currency,
        mapping.reference,
        *mapping.text,
    )
    return [name for name in maybe if name is not None]


def _line(row: Row, mapping: CsvMapping, asset: Asset, where: str) -> Line:
    if mapping.currency is not None and row[mapping.currency] != asset.symbol:
        raise unreadable(f"{where} is in {row[mapping.currency]}, the account in {asset.symbol}")
    amount = _number(row, mapping.amount, mapping, asset, where, needed=mapping.debit is None)
    if mapping.debit is not None:
        out = _number(row, mapping.debit, mapping, asset, where)
        if amount and out:
            raise unreadable(f"{where} has money in and money out")
        amount = amount if amount else -abs(out)
    value = row[mapping.value_date] if mapping.value_date is not None else ""
    said = (row[name] for name in mapping.text)
    return Line(
        booked_on=_date(row[mapping.date], mapping, where),
        value_on=_date(value, mapping, where) if value else None,
        amount=amount,
        reference=row[mapping.reference] if mapping.reference is not None else "",
        text=" ".join(" ".join(said).split())[:LONGEST_TEXT],
    )


def _check_balances(lines: list[Line], after: list[int], asset: Asset, rows: list[int]) -> None:
    """Each row continues the one before."""
    for n in range(1, len(lines)):
        difference = after[n] - after[n - 1] - lines[n].amount
        if difference:
            detail = (
                f"row {rows[n]}: its balance differs from that of row {rows[n - 1]} and its"
                f" amount by {asset.format(difference)} {asset.symbol}"
            )
            raise Invalid(
                detail,
                code="statement_does_not_add_up",
                extra={"difference": asset.format(difference)},
            )


def _number(
    row: Row, column: str, mapping: CsvMapping, asset: Asset, where: str, *, needed: bool = False
) -> int:
    text = row[column]
    if not text and not needed:
        return 0
    if mapping.thousands:
        text = text.replace(mapping.thousands, "")
    if mapping.decimal != ".":
        if "." in text:
            raise unreadable(f"{where}, {column}: {text[:80]!r} has a point")
        text = text.replace(mapping.decimal, ".")
    return amount_of(asset, text, f"{where}, {column}")


def _date(text: str, mapping: CsvMapping, where: str) -> date:
    try:
        return datetime.strptime(text, mapping.date_format).date()  # noqa: DTZ007 - a day only
    except ValueError:
        raise unreadable(
            f"{where}: {text[:80]!r} is no date such as {mapping.date_format}"
        ) from None
