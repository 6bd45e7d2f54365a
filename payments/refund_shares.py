"""What a refund is about: how much of an invoice's money, in which asset, from which deposits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.db import raw
from core.errors import Conflict, Invalid, InvalidAmount
from core.networks import Network, Token
from ledger.accounts import Debt
from payments import heights as heights_of
from payments import payout_requests, refund_amounts
from payments.assess import assess
from payments.cases import Case, facts, lock
from payments.facts import Assessment, Pair
from payments.invoices import find as find_invoice
from payments.payout_requests import Ground
from payments.payout_tables import Refund
from payments.payout_wanted import Wanted
from payments.refund_inbox import given_back, gone_of_counted
from payments.tables import Deposit


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """A request as it came in. `fee`: merchant, house or customer; None: the merchant's setting.
    `asset` and `network` are needed where an invoice was paid in several."""

    variant: str
    address: str
    amount: str | None = None
    asset: str | None = None
    network: str | None = None
    fee: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """`units` are base units of the token; `deposits` are all that it may come from."""

    network: Network
    token: Token
    units: int
    deposits: Sequence[Deposit]


async def case_of(session: AsyncSession, merchant_id: UUID | None, invoice_id: UUID | None) -> Case:
    """The invoice, locked: two refunds of it wait for each other. Raises NotFound."""
    row = await find_invoice(session, invoice_id, merchant_id)
    return (await lock(await raw(session), [row.id]))[row.id]


def share_of(context: Context, pair: Pair, units: int, deposits: Sequence[Deposit]) -> Share:
    """Raises Conflict for what is no longer configured: it cannot be sent."""
    network = context.catalog.networks.get(pair[0])
    token = network.token(pair[1]) if network else None
    if network is None or token is None:
        raise Conflict(f"{pair[1]} on {pair[0]} is not configured any more", code="not_available")
    return Share(network, token, units, deposits)


async def left_of(session: AsyncSession, case: Case, pair: Pair) -> int:
    """Base units of the pair that may still go back."""
    deposits = [d for d in refund_amounts.returnable(case.deposits) if (d.network, d.asset) == pair]
    return refund_amounts.remaining(deposits, await given_back(session, case, pair))


async def excess_of(
    session: AsyncSession, context: Context, case: Case, pair: Pair
) -> tuple[int, list[Deposit]] | None:
    """What was paid too much and has not gone back, in base units of the pair, and its deposits
    that counted. None: nothing was, as far as it is confirmed, or not in this pair."""
    answer = await _assessed(session, context, case)
    there = [d for d in case.deposits if d.status != "orphaned"]
    uncounted = [d for d in there if not answer.verdicts[d.id].counted]
    counted = [d for d in there if d not in uncounted and d.status == "confirmed"]
    of_pair = [d for d in counted if (d.network, d.asset) == pair]
    excess = min(answer.excess, answer.confirmed - case.invoice.amount)
    if excess <= 0 or not of_pair:
        return None
    units = refund_amounts.excess_units(
        excess,
        counted,
        pair,
        case.options,
        case.invoice.currency_decimals,
        await gone_of_counted(session, case, uncounted),
    )
    return min(units, await left_of(session, case, pair)), of_pair


async def of_request(
    session: AsyncSession, context: Context, case: Case, request: NewRefund
) -> Share:
    """What a variant means now. Raises Invalid, Conflict `nothing_refundable`, `not_overpaid`."""
    pair, deposits = refund_amounts.choose(case.deposits, request.asset, request.network)
    left = await left_of(session, case, pair)
    if request.variant == "custom":
        token = share_of(context, pair, left, deposits).token
        return share_of(context, pair, _custom(token, request.amount, left), deposits)
    if request.amount is not None:
        raise Invalid.of("amount", "goes with the variant custom only")
    units = left
    if request.variant == "overpaid":
        excess = await excess_of(session, context, case, pair)
        if excess is None:
            raise Conflict("this invoice is not overpaid", code="not_overpaid")
        units, deposits = excess
    if units == 0:
        raise Conflict("all of it went back, or is on its way", code="nothing_refundable")
    return share_of(context, pair, units, deposits)


async def of_customer(
    session: AsyncSession, context: Context, case: Case
) -> list[tuple[str, Share]]:
    """What a customer may ask for, with its variant: what waits in the inbox, per asset, and what
    he paid too much."""
    found: list[tuple[str, Share]] = []
    lying = [d for d in refund_amounts.returnable(case.deposits) if d.account == Debt.INBOX]
    for pair in sorted({(d.network, d.asset) for d in lying}):
        deposits = [d for d in lying if (d.network, d.asset) == pair]
        left = await left_of(session, case, pair)
        units = min(left, sum(d.amount for d in deposits))
        if units:
            found.append(("custom", share_of(context, pair, units, deposits)))
    over = [d for d in refund_amounts.returnable(case.deposits) if d.inbox_reason == "overpaid"]
    for deposit in over:
        pair = deposit.network, deposit.asset
        excess = await excess_of(session, context, case, pair)
        if excess is not None and excess[0]:
            found.append(("overpaid", share_of(context, pair, excess[0], [deposit])))
    return found


async def of_asked(session: AsyncSession, context: Context, case: Case, asked: Refund) -> Share:
    """What a customer asked for, if it still waits: since then it may have gone back otherwise, or
    a fork may have taken it. Raises Conflict `nothing_refundable`."""
    for variant, share in await of_customer(session, context, case):
        same = (variant, share.network.id, share.token.asset.symbol) == (
            asked.variant, asked.network, asked.asset,
        )  # fmt: skip
        if same and asked.amount <= share.units:
            # Out of the inbox goes the newest first, and what he asked about came before the rest.
            return replace(share, units=asked.amount, deposits=share.deposits[::-1])
    raise Conflict("less than this waits to go back by now", code="nothing_refundable")


def wanted(on: Ground, share: Share, address: str, fee: str | None) -> Wanted:
    """A fee that the customer pays comes out of what goes back to him."""
    by = "merchant" if fee == "customer" else fee
    whole = payout_requests.wanted(
        on, share.network, share.token, share.units, address, fee_paid_by=by
    )
    if fee != "customer":
        return whole
    less = share.units - whole.quote.units
    if less <= 0:
        raise Invalid.of("fee", "the network fee is more than what would go back")
    return payout_requests.wanted(on, share.network, share.token, less, address, fee_paid_by=by)


def _custom(token: Token, amount: str | None, left: int) -> int:
    asset = token.asset
    if amount is None:
        raise Invalid.of("amount", "is required with the variant custom")
    try:
        units = asset.parse(amount)
    except InvalidAmount as error:
        raise Invalid.of("amount", error.detail, code="invalid_amount") from None
    if units == 0:
        raise Invalid.of("amount", "must be more than zero", code="invalid_amount")
    if units > left:
        message = f"at most {asset.format(left)} {asset.symbol} remains refundable"
        raise Invalid.of("amount", message, code="exceeds_refundable")
    return units


async def _assessed(session: AsyncSession, context: Context, case: Case) -> Assessment:
    connection, now = await raw(session), context.clock.now()
    _, followed = await heights_of.load_all(connection, context.catalog)
    offered = {str(option["network"]) for option in case.invoice.options}
    known = {network: followed.get(network, now) for network in offered}
    return assess(facts(case, context), known)
