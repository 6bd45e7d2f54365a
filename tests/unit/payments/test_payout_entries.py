"""Whatever blocks and people do to a payout, its money is in exactly one place."""

from __future__ import annotations

from collections import defaultdict
from typing import cast
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import wall
from core.context import Context
from core.networks import NATIVE
from ledger.journal import check
from payments import payout_entries
from payments.payout_cases import Changes, rejudge
from payments.payout_facts import BACK, BANK, OPEN, Sent
from payments.payout_tables import Payout
from payments.payouts import mined, taken_back
from tests.settings import numbers
from wallets.transactions import Outflow, Own, Purpose, Status

SOURCE, RESERVED = "merchant:mer_x:available", "merchant:mer_x:reserved"
HOT, FEES = "network:eip155:1:hot", "income:fees"
PAYEE = "0x" + "12" * 20


def payout(fee_paid_by: str) -> Payout:
    return Payout(
        id=UUID(int=1), merchant_id=UUID(int=2), status="requested", reasons=[], source=SOURCE,
        network="eip155:1", asset="ETH", token=NATIVE, amount=1000, fee=7,
        fee_paid_by=fee_paid_by, fee_quote={}, fee_cap=1, address=PAYEE, initiator="",
        screening="accept", policy="allow", signer="allowed", needed=0, given=0, overdrawn=False,
        hot_short=False, final=False, generation=0, created_at=wall(),
    )  # fmt: skip


def own(*, succeeded: bool, cancel: bool = False) -> Own:
    sent = (Outflow(NATIVE, PAYEE, 1000, None),) if succeeded and not cancel else ()
    return Own(
        id=UUID(int=3), network="eip155:1", wallet="0x", purpose=Purpose.PAYOUT, reference="",
        status=Status.MINED, succeeded=succeeded, cancel=cancel, outflows=sent,
    )  # fmt: skip


STEPS = st.lists(
    st.sampled_from(["carry", "mined", "reverted", "cancelled", "fork", "deep", "reject",
                     "overdraw", "fill", "judge"]),
    max_size=25,
)  # fmt: skip


def step(row: Payout, what: str, changes: Changes) -> None:
    """What may happen when; anything else is no fact."""
    carried, in_block = row.transaction_id is not None, row.outcome is not None
    if what == "carry" and row.status == "approved":
        row.transaction_id = UUID(int=3)
    elif what in ("mined", "reverted", "cancelled") and carried and not in_block:
        told = own(succeeded=what != "reverted", cancel=what == "cancelled")
        mined([row], told, changes)
    elif what == "fork" and in_block:
        taken_back(row, own(succeeded=True), changes)
    elif what == "deep" and in_block:
        row.final = True
    elif what == "reject" and row.status in OPEN:
        row.rejected = "no"
    elif what in ("overdraw", "fill") and not carried:
        row.overdrawn = what == "overdraw"


@settings(max_examples=numbers(200, 5_000))
@given(STEPS, st.sampled_from(["merchant", "house"]))
def test_its_money_is_in_one_place(steps: list[str], fee_paid_by: str) -> None:
    row, now = payout(fee_paid_by), wall()
    books: dict[str, int] = defaultdict(int)
    keys: set[str] = set()
    changes = Changes(cast("Context", None), now)  # nothing is told here
    changes.entries.append(payout_entries.reserved(row, now))
    whole = payout_entries.set_aside(row)
    for what in ["judge", *steps]:
        step(row, what, changes)
        rejudge(row, changes)
        for entry in changes.entries:
            check(entry)
            assert entry.key not in keys, entry.key
            keys.add(entry.key)
            for line in entry.postings:
                books[line.account] += line.amount
        changes.entries.clear()
        sent, back = row.outcome == Sent.SENT, row.status in BACK
        expected = {
            SOURCE: 0 if back else whole,
            RESERVED: 0 if back or sent else -whole,
            HOT: -row.amount if sent else 0,
            FEES: row.amount - whole if sent else 0,
        }
        assert {account: books[account] for account in expected} == expected, (what, row.status)
        assert books.keys() == expected.keys()
        assert not (sent and back)


def test_at_a_bank_it_passes_through_an_account_of_its_own() -> None:
    row = payout("house")
    row.network, row.fee, row.asset = BANK, 0, "EUR"
    there = "transit:pay_00000000000000000000000001"
    entry = payout_entries.paid(row, {}, wall())
    assert {p.account: p.amount for p in entry.postings} == {RESERVED: 1000, there: -1000}
    back = payout_entries.paid(row, {}, wall(), reverse=True)
    assert {p.account: p.amount for p in back.postings} == {RESERVED: -1000, there: 1000}
    assert entry.key != back.key
