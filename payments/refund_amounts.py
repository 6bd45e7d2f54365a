"""How much of an invoice's money may still go back (API 2, refunds). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from core.errors import Conflict, Invalid
from ledger.accounts import Debt
from payments.facts import OptionFact, Pair
from payments.tables import Deposit
from payments.values import SCALE

SPENDABLE = (Debt.AVAILABLE, Debt.INBOX)


def returnable(deposits: Iterable[Deposit]) -> list[Deposit]:
    """Confirmed, not part of an invoice that is still being paid, and not held, unless it is on its
    way back already."""
    return [
        d
        for d in deposits
        if d.status == "confirmed"
        and d.account in SPENDABLE
        and (not d.held or d.resolution == "refund")
    ]


def choose(
    deposits: Sequence[Deposit], asset: str | None, network: str | None
) -> tuple[Pair, list[Deposit]]:
    """The one (network, asset) that is meant, and its deposits in the order they were seen.

    Raises Conflict `nothing_refundable`, Invalid when several fit.
    """
    fit = [
        d for d in returnable(deposits) if asset in (None, d.asset) and network in (None, d.network)
    ]
    pairs = sorted({(d.network, d.asset) for d in fit})
    if not pairs:
        waits = any(d.status == "pending" for d in deposits)
        more = ": its payment is not confirmed yet" if waits else ""
        raise Conflict(f"nothing of this invoice can be refunded{more}", code="nothing_refundable")
    if len(pairs) > 1:
        listed = ", ".join(f"{symbol} on {name}" for name, symbol in pairs)
        raise Invalid.of("asset", f"name asset and network: it was paid in {listed}")
    return pairs[0], [d for d in fit if (d.network, d.asset) == pairs[0]]


def remaining(deposits: Iterable[Deposit], given_back: int) -> int:
    """Base units that may still go back, of the deposits of one (network, asset)."""
    return max(0, sum(d.amount for d in deposits) - given_back)


def excess_units(
    excess: int,
    counted: Sequence[Deposit],
    pair: Pair,
    options: Mapping[Pair, OptionFact],
    currency_decimals: int,
    gone: Mapping[Pair, int],
) -> int:
    """What was paid too much and has not gone back, in base units of `pair`: one of those that
    counted. `gone`: what went back of each, in its own base units.

    Paid in one asset alone it is exact: what came less what was printed. Otherwise the excess in
    the currency is turned into the asset at its locked rate, rounded down; and what went back in
    another asset, at both locked rates, rounded up: it is owed once, not once in each asset.
    """
    option, came = options[pair], dict[Pair, int]()
    for deposit in counted:
        key = deposit.network, deposit.asset
        came[key] = came.get(key, 0) + deposit.amount
    if set(came) == {pair}:
        return max(0, came[pair] - option.amount - gone.get(pair, 0))
    units = Fraction(excess * SCALE * 10**option.decimals, option.rate * 10**currency_decimals)
    left = units.numerator // units.denominator
    for other, amount in came.items():
        paid = options[other]
        back = min(amount, gone.get(other, 0)) * paid.rate
        same = Fraction(back * 10**option.decimals, option.rate * 10**paid.decimals)
        left -= -(-same.numerator // same.denominator)
    return max(0, left)


def out_of_inbox(deposits: Sequence[Deposit], amount: int) -> list[Deposit]:
    """Which deposits of the inbox a refund of `amount` is about: the newest first."""
    found: list[Deposit] = []
    for deposit in reversed([d for d in deposits if d.account == Debt.INBOX]):
        if sum(d.amount for d in found) >= amount:
            break
        found.append(deposit)
    return found
