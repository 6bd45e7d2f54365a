"""pain.001.001.09: the elements in the order of its schema, exact amounts, and what banks take."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from core import ids
from core.banks import BankAccount
from core.money import FIAT
from treasury import pain
from treasury.pain import Transfer

PAYER = BankAccount(id="main", name="Bezant GmbH", asset=FIAT["EUR"], iban="DE89370400440532013000")
NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
# What the schema (ISO 20022, pain.001.001.09) says of each element that is written: the children
# that it may have, in its order, and which of them must be there (!).
SCHEMA = {
    "Document": "CstmrCdtTrfInitn!",
    "CstmrCdtTrfInitn": "GrpHdr! PmtInf!",
    "GrpHdr": "MsgId! CreDtTm! NbOfTxs! CtrlSum InitgPty!",
    "PmtInf": "PmtInfId! PmtMtd! BtchBookg NbOfTxs CtrlSum PmtTpInf ReqdExctnDt! Dbtr! DbtrAcct!"
    " DbtrAgt! ChrgBr CdtTrfTxInf!",
    "PmtTpInf": "SvcLvl",
    "SvcLvl": "Cd!",
    "ReqdExctnDt": "Dt!",
    "InitgPty": "Nm",
    "Dbtr": "Nm",
    "Cdtr": "Nm",
    "DbtrAcct": "Id",
    "CdtrAcct": "Id",
    "DbtrAgt": "FinInstnId!",
    "CdtrAgt": "FinInstnId!",
    "FinInstnId": "BICFI Othr",
    "Othr": "Id!",
    "CdtTrfTxInf": "PmtId! Amt! CdtrAgt Cdtr CdtrAcct RmtInf",
    "PmtId": "EndToEndId!",
    "Amt": "InstdAmt!",
    "RmtInf": "Ustrd",
}


def transfer(amount: int = 1050, **more: str) -> Transfer:
    given = {"holder": "Ada Lovelace", "iban": "GB82WEST12345698765432", "bic": None} | more
    number = ids.show("pay", ids.new())
    return Transfer(id=number, amount=amount, text=number, **given)  # type: ignore[arg-type]


def shaped(node: ElementTree.Element) -> None:
    """Children are known, in their order, and none that must be there is missing."""
    name = node.tag.rpartition("}")[2]
    rule = SCHEMA.get(name, "" if name != "Id" or not len(node) else "IBAN!").split()
    order = [one.rstrip("!") for one in rule]
    found = [child.tag.rpartition("}")[2] for child in node]
    assert sorted(found, key=order.index) == found, name
    assert {one.rstrip("!") for one in rule if one.endswith("!")} <= set(found), name
    assert bool(found) != bool((node.text or "").strip()), name
    for child in node:
        shaped(child)


def read(content: str) -> ElementTree.Element:
    root = ElementTree.fromstring(content)  # noqa: S314 - our own
    assert root.tag == f"{{{pain.NAMESPACE}}}Document"
    shaped(root)
    return root


def said(root: ElementTree.Element, name: str) -> list[str]:
    return [node.text or "" for node in root.iter(f"{{{pain.NAMESPACE}}}{name}")]


def test_shape_sums_and_ids() -> None:
    many = [transfer(9_007_199_254_740_993), transfer(1, bic="COBADEFFXXX")]
    root = read(pain.write("bex_1", PAYER, many, NOW))
    assert said(root, "CtrlSum") == ["90071992547409.94"] * 2
    assert said(root, "NbOfTxs") == ["2", "2"]
    assert said(root, "InstdAmt") == ["90071992547409.93", "0.01"]
    assert said(root, "EndToEndId") == [one.id.replace("_", "-") for one in many]
    assert said(root, "BICFI") == ["COBADEFFXXX"]
    assert said(root, "BtchBookg") == ["false"]
    assert said(root, "Dt") == ["2026-11-23"]


def test_a_currency_without_minor_units_and_outside_of_sepa() -> None:
    payer = BankAccount(id="yen", name="Y", asset=FIAT["JPY"], iban=PAYER.iban)
    root = read(pain.write("bex_1", payer, [transfer(150)], NOW))
    assert said(root, "InstdAmt") == ["150"]
    assert said(root, "ChrgBr") == ["SHAR"]
    assert said(root, "SvcLvl") == []


def test_names_are_written_as_banks_take_them_and_cannot_break_out() -> None:
    names = ["Jürgen Groß & Söhne", "Łukasz </Nm><Nm>Eve", "x" * 90]
    root = read(pain.write("b", PAYER, [transfer(holder=one) for one in names], NOW))
    assert said(root, "Nm")[2:] == ["Jurgen Gross + Sohne", "Lukasz /Nm Nm Eve", "x" * 70]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="iban is not set"):
        pain.write("b", BankAccount(id="a", name="A", asset=FIAT["EUR"]), [transfer()], NOW)
    with pytest.raises(ValueError, match="longer than 35"):
        pain.write("b" * 36, PAYER, [transfer()], NOW)
    with pytest.raises(ValueError, match="letters"):
        pain.write("b", PAYER, [transfer(holder="李")], NOW)
