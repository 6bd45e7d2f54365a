"""camt.053: every version and prefix, exact amounts, nothing that declares a document type."""

from __future__ import annotations

from datetime import date

import pytest

from core.banks import BankAccount
from core.errors import Invalid
from core.money import FIAT
from treasury import bank_files, camt

IBAN = "DE89370400440532013000"
ACCOUNT = BankAccount(id="main", name="Main", asset=FIAT["EUR"], iban=IBAN)


def entry(
    amount: str,
    direction: str = "CRDT",
    *,
    status: str = "<Sts>BOOK</Sts>",
    details: str = "",
    currency: str = "EUR",
    reference: str = "B1",
) -> str:
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd>{status}'
        f"<BookgDt><Dt>2026-11-20</Dt></BookgDt><ValDt><Dt>2026-11-21</Dt></ValDt>"
        f"<AcctSvcrRef>{reference}</AcctSvcrRef>{details}</Ntry>"
    )


def balance(kind: str, amount: str, day: str) -> str:
    direction = "DBIT" if amount.startswith("-") else "CRDT"
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="EUR">{amount.removeprefix("-")}</Amt><CdtDbtInd>{direction}</CdtDbtInd>'
        f"<Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def document(
    *,
    entries: str = "",
    opening: str = "0.00",
    closing: str = "0.00",
    version: str = "02",
    iban: str = IBAN,
    before: str = "",
    first: str = "OPBD",
) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        "<GrpHdr><MsgId>M</MsgId></GrpHdr><Stmt><Id>2026-11/1</Id><ElctrncSeqNb>7</ElctrncSeqNb>"
        f"<Acct><Id><IBAN>{iban}</IBAN></Id><Ccy>EUR</Ccy></Acct>"
        f"{balance(first, opening, '2026-11-20')}{balance('CLBD', closing, '2026-11-21')}"
        f"{entries}</Stmt></BkToCstmrStmt></Document>"
    )


def test_exact_amounts_also_overdrawn_and_beyond_what_a_float_holds() -> None:
    entries = entry("90071992547409.93") + entry("0.10", "DBIT", reference="B2")
    given = document(entries=entries, opening="-90071992547409.93", closing="-0.10")
    [found] = camt.read(given, ACCOUNT)
    assert (found.opening, found.closing) == (-9_007_199_254_740_993, -10)
    assert [line.amount for line in found.lines] == [9_007_199_254_740_993, -10]
    assert (found.number, found.sequence) == ("2026-11/1", 7)
    assert (found.opened_on, found.closed_on) == (date(2026, 11, 20), date(2026, 11, 21))
    bank_files.check(found, ACCOUNT.asset)


def test_a_batch_is_one_line_with_all_that_its_details_say() -> None:
    details = (
        "<NtryDtls><TxDtls><Refs><EndToEndId>mov_a</EndToEndId></Refs>"
        '<AmtDtls><InstdAmt><Amt Ccy="USD">1.00</Amt></InstdAmt></AmtDtls>'
        "<RmtInf><Ustrd>first</Ustrd></RmtInf></TxDtls>"
        "<TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>"
        "<RmtInf><Strd><CdtrRefInf><Ref>RF18</Ref></CdtrRefInf></Strd></RmtInf></TxDtls></NtryDtls>"
    )
    [found] = camt.read(document(entries=entry("5.00", details=details), closing="5.00"), ACCOUNT)
    [line] = found.lines
    assert (line.amount, line.reference, line.text) == (500, "B1", "mov_a first RF18")
    assert (line.booked_on, line.value_on) == (date(2026, 11, 20), date(2026, 11, 21))


@pytest.mark.parametrize("version", ["02", "04", "08", "13"])
def test_every_version_with_or_without_a_prefix(version: str) -> None:
    status = "<Sts><Cd>BOOK</Cd></Sts>" if version >= "08" else "<Sts>BOOK</Sts>"
    pending = entry("9.99", status=status.replace("BOOK", "PDNG"))
    entries = entry("5.00", status=status) + pending
    plain = document(entries=entries, closing="5.00", version=version, first="PRCD")
    prefixed = plain.replace("<", "<n:").replace("<n:/", "</n:").replace("<n:?", "<?")
    for given in (plain, plain.encode(), prefixed.replace("xmlns=", "xmlns:n=")):
        [found] = camt.read(given, ACCOUNT)
        assert [line.amount for line in found.lines] == [500]
        assert found.opening == 0


@pytest.mark.parametrize(
    "before",
    [
        '<!DOCTYPE Document [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE Document SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE Document [<!ENTITY x SYSTEM "http://127.0.0.1/">]>',
        "<!DOCTYPE Document>",
    ],
)
def test_a_document_type_is_refused(before: str) -> None:
    with pytest.raises(Invalid, match="document type"):
        camt.read(document(before=before), ACCOUNT)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("<a>", "no XML"),
        ("<a/>", "no camt.053"),
        (document().replace("camt.053", "camt.052"), "no camt.053"),
        (document(iban="DE02120300000000202051"), "is of DE02120300000000202051"),
        (document(first="ITBD"), "no balance OPBD or PRCD"),
        (document(entries=entry("1.00", currency="USD")), "is in USD"),
        (document(entries=entry("1.001")), "2 decimals"),
        (document(entries=entry("1e3")), "not a decimal amount"),
        (document(entries=entry("-1.00")), "has a sign"),
        (document(entries=entry("1" + "0" * 30)), "more than an account holds"),
        (document().replace("2026-11/1", "x" * 300), "300 characters"),
        (document(entries=entry("1.00", "BOTH")), "no amount with a direction"),
        (document().replace("2026-11-21", "soon"), "soon is no date"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(given: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        camt.read(given, ACCOUNT)


def test_the_same_lines_have_the_same_keys_and_equal_ones_are_told_apart() -> None:
    entries = entry("1.00") + entry("1.00") + entry("1.00", reference="B2")
    [one] = camt.read(document(entries=entries, closing="3.00"), ACCOUNT)
    [other] = camt.read(document(entries=entry("1.00"), closing="1.00"), ACCOUNT)
    assert len(set(bank_files.keys(one.lines))) == 3
    assert bank_files.keys(other.lines)[0] == bank_files.keys(one.lines)[0]
