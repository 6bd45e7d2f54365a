"""What an invoice is, from all the facts: one pure function, recomputed each time (MONEY 3).

No state is reached by remembering: whatever the chain gives or takes, the same facts give the
same answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from ledger.accounts import Debt
from payments.facts import (
    Assessment,
    DepositFact,
    InboxReason,
    InvoiceFact,
    Irregularity,
    Pair,
    Status,
    Verdict,
)
from payments.values import floor, worth

# A block may be stamped this much before it is seen; nothing in time is missed by waiting.
GRACE = timedelta(seconds=30)


@dataclass(slots=True)
class _Sums:
    """Counted deposits, exactly, and per asset for the printed amounts."""

    total: Fraction
    by_pair: dict[Pair, int]

    def paid(self, invoice: InvoiceFact) -> int:
        """Rounded down once. Who paid the printed amount of one option has paid (MONEY 3)."""
        value = floor(self.total)
        if value < invoice.amount and any(
            units >= invoice.options[pair].amount for pair, units in self.by_pair.items()
        ):
            return invoice.amount
        return value


def in_time(invoice: InvoiceFact, deposit: DepositFact) -> bool:
    """By the block's own timestamp; a cancellation closes the invoice at once."""
    end = invoice.expires_at
    if invoice.cancelled_at is not None:
        end = min(end, invoice.cancelled_at)
    return deposit.block_time <= end


def assess(invoice: InvoiceFact, followed_until: Mapping[str, datetime]) -> Assessment:
    """The whole rule. `followed_until` tells, per network, until when its chain is known."""
    everything, confirmed = _Sums(Fraction(), defaultdict(int)), _Sums(Fraction(), defaultdict(int))
    counted: list[DepositFact] = []
    for deposit in invoice.deposits:
        rate = _counting_rate(invoice, deposit)
        if rate is None:
            continue
        counted.append(deposit)
        value = worth(deposit.amount, deposit.decimals, rate, invoice.currency_decimals)
        for sums in (everything, confirmed) if deposit.status == "confirmed" else (everything,):
            sums.total += value
            # Late money never pays by its printed amount: it is worth what it is worth.
            sums.by_pair[deposit.pair] += deposit.amount if in_time(invoice, deposit) else 0
    paid, sure = everything.paid(invoice), confirmed.paid(invoice)
    enough = invoice.amount - invoice.tolerance
    status = _status(invoice, paid >= enough, sure >= enough, followed_until)
    excess = _excess(invoice, everything, counted)
    irregularity = _irregularity(invoice, paid, enough, sure, excess)
    last = counted[-1].id if counted and excess else None
    verdicts = {
        deposit.id: _verdict(invoice, deposit, status, overpaid=deposit.id == last)
        for deposit in invoice.deposits
    }
    return Assessment(status, irregularity, paid, sure, verdicts, excess)


def _counting_rate(invoice: InvoiceFact, deposit: DepositFact) -> int | None:
    """The rate at which it counts towards the amount, None if it does not.

    Late money that the merchant credits counts at the lower of the locked rate and the price
    when it was seen: otherwise a late payment would be a free option for the payer.
    """
    option = invoice.options.get(deposit.pair)
    if option is None or deposit.status == "orphaned" or deposit.held or deposit.dust:
        return None
    if in_time(invoice, deposit):
        return option.rate
    if deposit.resolution == "credit":
        return min(option.rate, deposit.price_when_seen or option.rate)
    return None


def _status(
    invoice: InvoiceFact, paid: bool, confirmed: bool, followed_until: Mapping[str, datetime]
) -> Status:
    if invoice.mark is not None:
        return Status.SETTLED if invoice.mark == "settled" else Status.INVALID
    if invoice.cancelled_at is not None:
        return Status.EXPIRED
    if confirmed:
        return Status.SETTLED
    if paid:
        return Status.PROCESSING
    networks = {network for network, _ in invoice.options}
    if any(followed_until[network] <= invoice.expires_at + GRACE for network in networks):
        return Status.NEW
    timely = [d for d in invoice.deposits if d.pair in invoice.options and in_time(invoice, d)]
    if timely and all(d.status == "orphaned" for d in timely):
        return Status.INVALID
    return Status.EXPIRED


def _excess(invoice: InvoiceFact, sums: _Sums, counted: Sequence[DepositFact]) -> int:
    """What was paid above the amount, if it is more than rounding and tolerance explain."""
    over = sums.total - invoice.amount
    step = Fraction(0)
    for pair in {deposit.pair for deposit in counted}:
        option = invoice.options[pair]
        smallest: int = 10 ** (option.decimals - option.quote_decimals)
        step += worth(smallest, option.decimals, option.rate, invoice.currency_decimals)
    return floor(over) if over > step and over > invoice.tolerance else 0


def _irregularity(
    invoice: InvoiceFact, paid: int, enough: int, confirmed: int, excess: int
) -> Irregularity:
    if invoice.mark is not None or invoice.cancelled_at is not None:
        return Irregularity.MARKED
    if invoice.first_settled_at is not None and confirmed < enough:
        return Irregularity.REVERSED
    if excess:
        return Irregularity.PAID_OVER
    if any(
        d.pair in invoice.options and d.status != "orphaned" and not d.dust
        and not in_time(invoice, d)
        for d in invoice.deposits
    ):  # fmt: skip
        return Irregularity.PAID_LATE
    if 0 < paid < enough:
        return Irregularity.PAID_PARTIAL
    return Irregularity.NONE


def _verdict(
    invoice: InvoiceFact, deposit: DepositFact, status: Status, *, overpaid: bool
) -> Verdict:
    value, counts = value_of(invoice, deposit), _counting_rate(invoice, deposit) is not None
    reason = _reason(invoice, deposit, status)
    if reason is None and overpaid:
        reason = InboxReason.OVERPAID
    if deposit.status == "orphaned":
        return Verdict(value, counted=False, inbox=None, account=None)
    return Verdict(value, counts, reason, _account(invoice, deposit, status, reason))


def value_of(invoice: InvoiceFact, deposit: DepositFact) -> int | None:
    """What it counts for, or would count for if it were credited; None without a price."""
    rate = _counting_rate(invoice, deposit)
    if rate is None:
        rate = _informative_rate(invoice, deposit)
    if rate is None:
        return None
    return floor(worth(deposit.amount, deposit.decimals, rate, invoice.currency_decimals))


def _informative_rate(invoice: InvoiceFact, deposit: DepositFact) -> int | None:
    """What an uncounted deposit would be worth if it were credited."""
    option = invoice.options.get(deposit.pair)
    if option is None:
        return deposit.price_when_seen
    if in_time(invoice, deposit):
        return option.rate
    return min(option.rate, deposit.price_when_seen or option.rate)


def _reason(invoice: InvoiceFact, deposit: DepositFact, status: Status) -> InboxReason | None:
    if deposit.held:
        return InboxReason.HELD
    if deposit.dust:
        return InboxReason.DUST
    if deposit.pair not in invoice.options:
        offered = {network for network, _ in invoice.options}
        known = deposit.pair[0] in offered
        return InboxReason.UNEXPECTED_ASSET if known else InboxReason.UNEXPECTED_NETWORK
    if not in_time(invoice, deposit):
        return InboxReason.LATE
    if status in (Status.EXPIRED, Status.INVALID):
        return InboxReason.PARTIAL
    return None


def _account(
    invoice: InvoiceFact, deposit: DepositFact, status: Status, reason: InboxReason | None
) -> Debt:
    """Where the debt belongs. Money of an unfinished invoice is not spendable yet."""
    if deposit.status == "pending":
        return Debt.PENDING
    if deposit.held and deposit.resolution != "refund":
        return Debt.INBOX
    if deposit.resolution in ("credit", "refund"):  # a refund is paid from there
        return Debt.AVAILABLE
    if reason is not None and reason is not InboxReason.OVERPAID:
        return Debt.INBOX
    if status is Status.SETTLED or invoice.first_settled_at is not None:
        return Debt.AVAILABLE
    return Debt.PENDING
