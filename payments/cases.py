"""Invoices under lock, with all their deposits, and what a judgement does to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from core.context import Context
from core.db import Raw
from core.ids import show
from core.networks import Network
from ledger.accounts import Debt
from ledger.journal import Entry, Kind
from payments import entries, rows, settle_entries
from payments.assess import assess, value_of
from payments.depth import H, Word
from payments.facts import (
    Assessment,
    DepositFact,
    InboxReason,
    InvoiceFact,
    Irregularity,
    OptionFact,
    Status,
)
from payments.tables import Deposit, Invoice
from payments.tiers import Heights
from payments.views import currency_of, deposit_json, invoice_json
from webhooks.events import NewEvent

_SILENT = (InboxReason.DUST, InboxReason.OVERPAID)


@dataclass(slots=True)
class Case:
    """One invoice, locked, and its deposits in the order they were seen."""

    invoice: Invoice
    deposits: list[Deposit] = field(default_factory=list)
    words: dict[UUID, Word] = field(default_factory=dict)
    as_read: rows.AsRead = field(default_factory=dict)
    _options: dict[tuple[str, str], OptionFact] | None = None

    @property
    def currency(self) -> str:
        return self.invoice.currency

    @property
    def options(self) -> dict[tuple[str, str], OptionFact]:
        """What was offered, as it was locked: nobody changes it."""
        if self._options is None:
            self._options = options_of(self.invoice)
        return self._options


@dataclass(slots=True)
class Outcome:
    """What a judgement makes: entries to post, events to tell, both in order."""

    context: Context
    heights: Mapping[str, Heights]
    now: datetime
    entries: list[Entry] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)

    def tell_deposit(self, what: str, case: Case, deposit: Deposit) -> None:
        """`deposit.<what>`; dust is recorded without a word (MONEY 2)."""
        if is_dust(deposit, case.options):
            return
        data = deposit_json(deposit, currency_of(case.invoice), self.context.catalog, self.heights)
        self._tell(f"deposit.{what}", case, show("dep", deposit.id), data)

    def tell_invoice(self, what: str, case: Case) -> None:
        data = invoice_json(
            case.invoice,
            case.deposits,
            self.context.catalog,
            self.heights,
            self.context.public_url,
        )
        self._tell(f"invoice.{what}", case, show("inv", case.invoice.id), data)

    def _tell(self, type_: str, case: Case, subject: str, data: dict[str, Any]) -> None:
        invoice = case.invoice
        self.events.append(
            NewEvent(invoice.merchant_id, type_, subject, data, invoice.webhook_endpoint_id)
        )


async def lock(connection: Raw, invoice_ids: Collection[UUID]) -> dict[UUID, Case]:
    """The invoices, locked in sorted order so that two networks never wait in a circle."""
    if not invoice_ids:
        return {}
    invoices, deposits, as_read, words = await rows.lock(connection, sorted(invoice_ids))
    cases = {invoice.id: Case(invoice, as_read=as_read) for invoice in invoices}
    for deposit in deposits:
        assert deposit.invoice_id is not None  # noqa: S101  (asked for by it)
        case = cases[deposit.invoice_id]
        case.deposits.append(deposit)
        if deposit.id in words:
            case.words[deposit.id] = words[deposit.id]
    return cases


async def save(connection: Raw, cases: Collection[Case]) -> None:
    """What became of them, in two statements at most."""
    as_read = next((case.as_read for case in cases), {})
    deposits = [deposit for case in cases for deposit in case.deposits]
    await rows.save(connection, as_read, [case.invoice for case in cases], deposits)


def options_of(invoice: Invoice) -> dict[tuple[str, str], OptionFact]:
    """What was offered, as it was locked."""
    options: dict[tuple[str, str], OptionFact] = {}
    for raw in invoice.options:
        option: Mapping[str, Any] = raw
        options[option["network"], option["asset"]] = OptionFact(
            decimals=option["decimals"],
            quote_decimals=option["quote_decimals"],
            amount=int(option["amount"]),
            rate=int(option["rate"]),
        )
    return options


def is_dust(deposit: Deposit, options: Mapping[tuple[str, str], OptionFact]) -> bool:
    """Worth less than the smallest unit of the house currency, and not what was asked for."""
    option = options.get((deposit.network, deposit.asset))
    asked = option is not None and deposit.amount >= option.amount
    return deposit.house_value == 0 and not asked


def facts(case: Case, context: Context) -> InvoiceFact:
    """The rows as `assess` wants them."""
    invoice, options = case.invoice, case.options
    return InvoiceFact(
        amount=invoice.amount,
        currency_decimals=invoice.currency_decimals,
        tolerance=invoice.tolerance,
        expires_at=invoice.expires_at,
        cancelled_at=invoice.cancelled_at,
        mark=invoice.mark,
        first_settled_at=invoice.first_settled_at,
        options=options,
        deposits=[_fact(d, options, context) for d in case.deposits],
    )


def _fact(
    row: Deposit, options: Mapping[tuple[str, str], OptionFact], context: Context
) -> DepositFact:
    """An offered asset counts by the decimals that its rate was locked with, configured or not any
    more: 10^18 units of an asset without decimals would pay anything."""
    pair = row.network, row.asset
    asset = options.get(pair) or context.catalog.asset(row.asset)
    return DepositFact(
        id=row.id,
        pair=pair,
        decimals=asset.decimals if asset else 0,
        amount=row.amount,
        status=row.status,
        block_time=row.block_time,
        held=row.held,
        dust=is_dust(row, options),
        resolution=row.resolution,
        price_when_seen=row.price_when_seen,
    )


def appraise(case: Case, context: Context) -> None:
    """What each deposit is worth, so that also the first event of a payment tells it."""
    invoice = facts(case, context)
    for deposit, fact in zip(case.deposits, invoice.deposits, strict=True):
        deposit.value = value_of(invoice, fact)


def judge(case: Case, followed_until: Mapping[str, datetime], outcome: Outcome) -> Assessment:
    """Assesses a case, writes the answer into its rows, and notes what follows from it."""
    known = {
        network: followed_until.get(network, outcome.now)
        for network in {network for network, _ in case.options}
    }
    fact = facts(case, outcome.context)
    answer = assess(fact, known)
    unmatched = _judge_deposits(case, answer, outcome)
    invoice = case.invoice
    before = Status(invoice.status), Irregularity(invoice.exception)
    invoice.status, invoice.exception = answer.status.value, answer.irregularity.value
    invoice.amount_paid, invoice.amount_confirmed = answer.paid, answer.confirmed
    if answer.status is Status.SETTLED and before[0] is not Status.SETTLED:
        invoice.settled_at = outcome.now
        invoice.first_settled_at = invoice.first_settled_at or outcome.now
    elif answer.status is not Status.SETTLED:
        invoice.settled_at = None
    if invoice.settlement is not None:
        fact = replace(fact, first_settled_at=invoice.first_settled_at)
        outcome.entries += settle_entries.follow(invoice, fact, answer, outcome.now)
    for deposit in unmatched:
        outcome.tell_deposit("unmatched", case, deposit)
    for what in news(before, (answer.status, answer.irregularity)):
        outcome.tell_invoice(what, case)
    return answer


def _judge_deposits(case: Case, answer: Assessment, outcome: Outcome) -> list[Deposit]:
    """Values, inbox and accounts; returns the deposits that newly fit nothing."""
    unmatched = []
    for deposit in case.deposits:
        verdict = answer.verdicts[deposit.id]
        deposit.value = verdict.value
        reason = verdict.inbox.value if verdict.inbox else None
        if reason is not None and reason != deposit.inbox_reason and verdict.inbox not in _SILENT:
            unmatched.append(deposit)
        deposit.inbox_reason = reason
        if verdict.account is not None and verdict.account != deposit.account:
            decided = deposit.account == Debt.INBOX and deposit.resolution in ("credit", "refund")
            kind = Kind.INBOX_RESOLVED if decided else None
            outcome.entries.append(entries.moved(deposit, verdict.account, outcome.now, kind=kind))
            deposit.account = verdict.account.value
            if verdict.account is Debt.PENDING:  # out of the inbox: it will be confirmed again
                deposit.generation += 1
    return unmatched


def news(before: tuple[Status, Irregularity], after: tuple[Status, Irregularity]) -> list[str]:
    """Which `invoice.*` events a change is worth, in the order they are told."""
    told: list[str] = []
    status, irregularity = after
    reversed_now = irregularity is Irregularity.REVERSED and before[1] is not Irregularity.REVERSED
    if reversed_now:
        told.append("reversed")
    # After a settled invoice fell back to processing, `reversed` has said it already.
    said = reversed_now and status is Status.PROCESSING
    if status is not before[0] and status is not Status.NEW and not said:
        told.append(status.value)
    if irregularity is not before[1] and irregularity in (
        Irregularity.PAID_OVER,
        Irregularity.PAID_LATE,
        Irregularity.PAID_PARTIAL,
    ):
        told.append(irregularity.value)
    return told


def take_back(
    holders: Iterable[H], network: Network, fork: int | None, outcome: Outcome
) -> list[tuple[H, Deposit]]:
    """What a fork removes is undone on both sides, wherever the money stands by now."""
    gone: list[tuple[H, Deposit]] = []
    for holder in holders if fork is not None else ():
        for deposit in holder.deposits:
            above = fork is not None and deposit.block_number > fork
            if above and deposit.network == network.id and deposit.status != "orphaned":
                outcome.entries.append(entries.reversed_(deposit, outcome.now))
                deposit.status, deposit.account = "orphaned", ""
                deposit.waiting_for = deposit.confirmed_at = None
                gone.append((holder, deposit))
    return gone


def credit_pending(deposit: Deposit, outcome: Outcome) -> None:
    """A deposit entered the chain (again): its place has it, and we owe it as pending."""
    deposit.status, deposit.account = "pending", Debt.PENDING.value
    outcome.entries.append(entries.seen(deposit, outcome.now))
