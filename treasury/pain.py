"""pain.001.001.09: the file by which a bank is asked to pay (ISO 20022, as SEPA uses it).

The payout's id is the end-to-end id, which the bank's statement brings back. Banks take no `_` in
one (EPC217-08), so it is written with `-`; what reads statements looks at letters and digits alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

from core import sepa
from core.banks import BankAccount
from core.clock import show as show_time
from core.money import Asset

FORMAT = "pain.001.001.09"
NAMESPACE = f"urn:iso:std:iso:20022:tech:xsd:{FORMAT}"
LONGEST_ID = 35
LONGEST_NAME = 70
LONGEST_TEXT = 140


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One payment: `amount` in minor units, `id` of the payout."""

    id: str
    amount: int
    holder: str
    iban: str
    bic: str | None
    text: str


def write(number: str, payer: BankAccount, transfers: Sequence[Transfer], now: datetime) -> str:
    """A message whose own id is `number`: a bank refuses it the second time. All are to be paid
    today and booked one by one. Raises ValueError without an IBAN, or where an id is too long or a
    name has letters that banks do not take."""
    if payer.iban is None:
        raise ValueError(f"banks.{payer.id}.iban is not set: the bank must know which account pays")
    root = ElementTree.Element("Document", {"xmlns": NAMESPACE})
    message = ElementTree.SubElement(root, "CstmrCdtTrfInitn")
    total = payer.asset.format(sum(one.amount for one in transfers))
    header = ElementTree.SubElement(message, "GrpHdr")
    _say(header, "MsgId", _id(number))
    _say(header, "CreDtTm", show_time(now))
    _say(header, "NbOfTxs", str(len(transfers)))
    _say(header, "CtrlSum", total)
    _say(header, "InitgPty/Nm", _name(payer.name))
    order = ElementTree.SubElement(message, "PmtInf")
    _say(order, "PmtInfId", _id(number))
    _say(order, "PmtMtd", "TRF")
    _say(order, "BtchBookg", "false")
    _say(order, "NbOfTxs", str(len(transfers)))
    _say(order, "CtrlSum", total)
    in_euro = payer.asset.symbol == "EUR"
    if in_euro:
        _say(order, "PmtTpInf/SvcLvl/Cd", "SEPA")
    _say(order, "ReqdExctnDt/Dt", now.date().isoformat())
    _say(order, "Dbtr/Nm", _name(payer.name))
    _say(order, "DbtrAcct/Id/IBAN", payer.iban)
    _say(order, "DbtrAgt/FinInstnId/Othr/Id", "NOTPROVIDED")
    _say(order, "ChrgBr", "SLEV" if in_euro else "SHAR")
    for one in transfers:
        _transfer(order, one, payer.asset)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False)


def _transfer(order: ElementTree.Element, one: Transfer, asset: Asset) -> None:
    node = ElementTree.SubElement(order, "CdtTrfTxInf")
    _say(node, "PmtId/EndToEndId", _id(one.id))
    _say(node, "Amt/InstdAmt", asset.format(one.amount)).set("Ccy", asset.symbol)
    if one.bic is not None:
        _say(node, "CdtrAgt/FinInstnId/BICFI", one.bic)
    _say(node, "Cdtr/Nm", _name(one.holder))
    _say(node, "CdtrAcct/Id/IBAN", one.iban)
    _say(node, "RmtInf/Ustrd", _text(one.text))


def _say(parent: ElementTree.Element, path: str, text: str) -> ElementTree.Element:
    node = parent
    for name in path.split("/"):
        node = ElementTree.SubElement(node, name)
    node.text = text
    return node


def _id(text: str) -> str:
    if len(text) > LONGEST_ID:
        raise ValueError(f"{text!r} is longer than {LONGEST_ID} characters")
    return text.replace("_", "-")


def _text(text: str) -> str:
    return sepa.latin(text)[:LONGEST_TEXT].strip()


def _name(text: str) -> str:
    return sepa.latin(text)[:LONGEST_NAME].strip()
