"""camt.053: ISO 20022's bank to customer statement, any version (message definition report "Bank-
to-Customer Cash Management", camt.053.001.02 to .13).

Read by the standard library alone, because amounts must be exact and a statement must be proved:
pycamt (1.1) turns overdrawn balances into float, gives each detail of a batch the batch's amount,
and drops which statement an entry is of. Nothing that declares a document type is read at all, so
no entity is ever expanded and nothing is fetched.
"""

from __future__ import annotations

from datetime import date
from xml.etree import ElementTree

from core.banks import BankAccount
from core.errors import Invalid
from core.money import Asset
from treasury.bank_files import LONGEST_TEXT, Line, Statement, amount_of, unreadable

FORMAT = "camt.053"
_NAMESPACE = "{urn:iso:std:iso:20022:tech:xsd:camt.053.001."
LONGEST_NUMBER = 200  # ISO 20022 allows 35
_BOOKED = "BOOK"  # pending and informational entries move nothing
_OPENING, _CLOSING = ("OPBD", "PRCD"), ("CLBD",)  # PRCD: the closing balance of the one before
_REFERENCES = ("AcctSvcrRef", "NtryRef")
# What may carry our references, or tells a person whose money it is.
_SAID = frozenset((
    "AddtlNtryInf", "AddtlTxInf", "Ustrd", "Ref", "AddtlRmtInf", "EndToEndId", "InstrId", "TxId",
    "PmtInfId", "Nm",
))  # fmt: skip
_NOTHING = "NOTPROVIDED"


class _Builder(ElementTree.TreeBuilder):
    """Called at `<!DOCTYPE`, before anything that is declared there."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise unreadable("it declares a document type, which no statement needs")


def read(content: str | bytes, account: BankAccount) -> list[Statement]:
    """All statements of a document, in its order. Raises Invalid `unreadable_statement`, or
    `wrong_account` for another account's."""
    parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314 - see _Builder
    try:
        parser.feed(content)
        root = parser.close()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise unreadable(f"it is no XML: {error}") from None
    if not root.tag.startswith(_NAMESPACE):
        raise unreadable("it is no camt.053 document")
    found = root.findall("{*}BkToCstmrStmt/{*}Stmt")
    if not found:
        raise unreadable("it has no statement")
    return [_statement(one, account) for one in found]


def _statement(node: ElementTree.Element, account: BankAccount) -> Statement:
    number = _text(node, "Id", "a statement")
    if len(number) > LONGEST_NUMBER:
        raise unreadable(f"a statement's Id has {len(number)} characters")
    where = f"statement {number}"
    _check_account(node, account, where)
    opening, opened_on = _balance(node, account.asset, _OPENING, where)
    closing, closed_on = _balance(node, account.asset, _CLOSING, where)
    entries = node.findall("{*}Ntry")
    lines = [
        _line(entry, account.asset, closed_on, f"{where}, entry {n}")
        for n, entry in enumerate(entries, 1)
        if _status(entry) == _BOOKED
    ]
    sequence = _maybe(node, "ElctrncSeqNb") or _maybe(node, "LglSeqNb")
    is_number = sequence is not None and sequence.isascii() and sequence.isdigit()
    return Statement(
        number=number,
        sequence=int(sequence[:18]) if sequence is not None and is_number else None,
        format=FORMAT,
        opened_on=opened_on,
        closed_on=closed_on,
        opening=opening,
        closing=closing,
        lines=tuple(line for line in lines if line.amount),
    )


def _check_account(node: ElementTree.Element, account: BankAccount, where: str) -> None:
    iban = _maybe(node, "Acct/Id/IBAN") or _maybe(node, "Acct/Id/Othr/Id")
    ours = account.iban
    if ours is None:
        detail = f"banks.{account.id}.iban is not set: by it camt.053 says whose statement it is"
        raise Invalid.of("account", detail, code="wrong_account")
    if iban is None or iban.replace(" ", "").upper() != ours:
        detail = f"{where} is of {iban or 'no account'}, {account.id} is {ours}"
        raise Invalid.of("account", detail, code="wrong_account")


def _balance(
    node: ElementTree.Element, asset: Asset, kinds: tuple[str, ...], where: str
) -> tuple[int, date]:
    """Of the first kind that is there. Interim balances of pages (ITBD) are none of these."""
    for kind in kinds:
        for one in node.findall("{*}Bal"):
            if _maybe(one, "Tp/CdOrPrtry/Cd") == kind:
                what = f"{where}, balance {kind}"
                day = _maybe(one, "Dt/Dt") or _maybe(one, "Dt/DtTm")
                return _amount(one, asset, what), _date(day, what)
    raise unreadable(f"{where} has no balance {' or '.join(kinds)}")


def _line(entry: ElementTree.Element, asset: Asset, closed_on: date, where: str) -> Line:
    booked = _maybe(entry, "BookgDt/Dt") or _maybe(entry, "BookgDt/DtTm")
    value = _maybe(entry, "ValDt/Dt") or _maybe(entry, "ValDt/DtTm")
    references = [_maybe(entry, name) for name in _REFERENCES]
    return Line(
        booked_on=_date(booked, where) if booked else closed_on,
        value_on=_date(value, where) if value else None,
        amount=_amount(entry, asset, where),
        reference=next((one for one in references if one and one != _NOTHING), ""),
        text=_said(entry),
    )


def _amount(node: ElementTree.Element, asset: Asset, where: str) -> int:
    """The element's own Amt and CdtDbtInd, never those of details below it. A reversal says its
    direction there too."""
    found = node.find("{*}Amt")
    direction = _maybe(node, "CdtDbtInd")
    if found is None or found.text is None or direction not in ("CRDT", "DBIT"):
        raise unreadable(f"{where} has no amount with a direction")
    if found.get("Ccy") != asset.symbol:
        raise unreadable(f"{where} is in {found.get('Ccy')}, the account in {asset.symbol}")
    text = found.text.strip()
    if text.startswith("-"):
        raise unreadable(f"{where}: {text} has a sign, which CdtDbtInd tells")
    return amount_of(asset, text, where) * (1 if direction == "CRDT" else -1)


def _status(entry: ElementTree.Element) -> str | None:
    """A code of its own element since version 8."""
    return _maybe(entry, "Sts/Cd") or _maybe(entry, "Sts")


def _said(entry: ElementTree.Element) -> str:
    found: dict[str, None] = {}
    for node in entry.iter():
        text = (node.text or "").strip()
        if text and text != _NOTHING and node.tag.rpartition("}")[2] in _SAID:
            found[" ".join(text.split())] = None
    return " ".join(found)[:LONGEST_TEXT]


def _text(node: ElementTree.Element, path: str, where: str) -> str:
    found = _maybe(node, path)
    if found is None:
        raise unreadable(f"{where} has no {path}")
    return found


def _maybe(node: ElementTree.Element, path: str) -> str | None:
    found = node.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    text = (found.text or "").strip() if found is not None else ""
    return text or None


def _date(text: str | None, where: str) -> date:
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        raise unreadable(f"{where}: {text or 'nothing'} is no date") from None
