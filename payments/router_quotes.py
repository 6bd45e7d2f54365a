"""Quotes for our router: asked for by a payer, kept as rows; `quoting` signs them (CHAIN 4).

A request reads what is stored and never asks a node or the signer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, Invalid, NotFound, TooMany
from core.listen import notify
from core.money import Asset
from core.networks import NATIVE, Network
from core.singleton import lock_number
from payments.claims import word_of
from payments.options import due_of
from payments.router_tables import Quote
from payments.tables import Invoice
from payments.views import currency_of
from wallets.addresses import checksum
from wallets.intents import RouterQuote
from wallets.signer.router import quote_digest

CHANNEL = "router"  # work for `quoting` and `relaying`
LONGEST = timedelta(minutes=10)
SHORTEST = timedelta(seconds=20)  # less is too short to sign and be mined
WORTH_GIVING = timedelta(minutes=2)  # one that is good for less is not given again
MOST = 100  # that are made for one invoice
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)

# Paid already, or bound to an authorization that the payer took back: it can never be paid again.
_SPENT = text("""
select exists (select from deposits where quote_hash = :hash and status <> 'orphaned')
    or exists (select from router_authorizations a left join transactions t
        on t.id = a.transaction_id
        where a.quote_id = :id and (a.reason = 'authorization_used'
            or t.status in ('failed', 'cancelled')))
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a payer asks for. `payer`: the address that he means to pay from, if he says so."""

    asset: str
    network: str
    payer: str | None = None


async def ask(
    session: AsyncSession, context: Context, invoice_id: UUID, wish: Wish, *, most: int = MOST
) -> Quote:
    """The quote for what is due now: one that is there and good for a while, else a new one, as
    long as there are not `most` for the invoice.

    Raises NotFound; Invalid for what is not offered, has no router (`no_router`) or keeps a part
    of each transfer (`fee_on_transfer`); Conflict `invoice_not_payable`; TooMany.
    """
    invoice = await lock(session, invoice_id)
    network, option = _offered(context, invoice, wish)
    now = context.clock.now()
    amount = payable(invoice, option, now)
    if amount == 0:
        raise Conflict("nothing is to be paid now", code="invoice_not_payable")
    for quote in await _live(session, invoice_id, wish):
        good = quote.status in ("requested", "signed") and quote.amount == amount
        lasts = quote.deadline >= min(now + WORTH_GIVING, _whole(invoice.expires_at))
        if good and lasts and quote.router == network.router and not await spent(session, quote):
            return quote
        quote.live = False
    await session.flush()
    made = select(func.count()).select_from(Quote).where(Quote.invoice_id == invoice.id)
    if (await session.scalar(made) or 0) >= most:
        raise TooMany("too many quotes were asked for this invoice", code="quote_limit")
    return await _new(session, invoice, network, option, wish, amount, now)


async def lock(session: AsyncSession, invoice_id: UUID) -> Invoice:
    """The invoice, for whoever may make only one thing of it at a time; blocks that pay it are not
    held up. Raises NotFound."""
    number = lock_number(f"router:{invoice_id}")
    await session.execute(text("select pg_advisory_xact_lock(:n)"), {"n": number})
    invoice = await session.get(Invoice, invoice_id)
    if invoice is None:
        raise NotFound("no such invoice")
    return invoice


def payable(invoice: Invoice, option: Mapping[str, Any], now: datetime) -> int:
    """Base units of the option that are still to be paid; 0 for an invoice that is closed, or so
    nearly that no payment would be in time."""
    closed = invoice.mark is not None or invoice.cancelled_at is not None
    if closed or invoice.status != "new" or invoice.expires_at - now < SHORTEST:
        return 0
    return due_of(option, invoice.amount, invoice.amount_paid, currency_of(invoice))


def option_of(invoice: Invoice, network: str, asset: str) -> Mapping[str, Any] | None:
    pairs = {(str(o["network"]), str(o["asset"])): o for o in invoice.options}
    return pairs.get((network, asset))


async def spent(session: AsyncSession, quote: Quote) -> bool:
    return bool(await session.scalar(_SPENT, {"hash": quote.quote_hash, "id": quote.id}))


async def find(session: AsyncSession, invoice_id: UUID | None, quote_id: UUID | None) -> Quote:
    """Raises NotFound, also for another invoice's."""
    row = await session.get(Quote, quote_id) if quote_id else None
    if row is None or row.invoice_id != invoice_id:
        raise NotFound("no such quote")
    return row


async def of_invoice(session: AsyncSession, invoice_id: UUID) -> list[Quote]:
    """Those that are given out, oldest first."""
    query = select(Quote).where(Quote.invoice_id == invoice_id, Quote.live).order_by(Quote.id)
    return list(await session.scalars(query))


def terms(row: Quote, network: Network) -> RouterQuote:
    """What the quote key signs."""
    return RouterQuote(
        id=ids.show("qte", row.id),
        network=row.network,
        chain_id=network.chain_id,
        router=row.router,
        invoice=word_of(row.invoice_id),
        asset=row.token,
        amount=row.amount,
        deadline=int(row.deadline.timestamp()),
        nonce=row.id.int,
    )


def quote_json(row: Quote, context: Context) -> dict[str, Any]:
    """As a payer's page reads it: `quote` are the words of the router's struct."""
    network = context.catalog.networks[row.network]
    token = network.by_address().get(row.token)
    asset = token.asset if token else Asset(row.asset, 0, 0)
    over = row.status != "refused" and row.deadline < context.clock.now()
    said = terms(row, network)
    native = row.token == NATIVE
    return {
        "id": said.id,
        "object": "router_quote",
        "status": "expired" if over else row.status,
        "reason": row.reason,
        "invoice": ids.show("inv", row.invoice_id),
        "network": row.network,
        "chain_id": network.chain_id,
        "asset": row.asset,
        "amount": asset.format(row.amount),
        "router": checksum(row.router),
        "token": None if native else checksum(row.token),
        "quote": {
            "invoice": said.invoice,
            "asset": "0x" + "00" * 20 if native else row.token,
            "amount": str(said.amount),
            "deadline": str(said.deadline),
            "nonce": str(said.nonce),
        },
        "quote_hash": row.quote_hash,
        "signature": row.signature,
        "methods": methods(row, network),
        "domain": row.domain and {name: row.domain[name] for name in ("name", "version")},
        "expires_at": show_time(row.deadline),
        "created_at": show_time(row.created_at),
    }


def methods(row: Quote, network: Network) -> list[str]:
    """The ways to pay it, the most convenient for the payer first."""
    if row.token == NATIVE:
        return ["pay"]
    can = row.domain or {}
    relayed = ["authorization"] if can.get("authorization") and network.relay else []
    return [*relayed, *(["permit"] if can.get("permit") else []), "approve"]


def address_of(field: str, given: str) -> str:
    """Lower case. Raises Invalid; a mixed-case one must have EIP-55's checksum."""
    mixed = given[2:] not in (given[2:].lower(), given[2:].upper())
    if not _ADDRESS.fullmatch(given) or (mixed and checksum(given.lower()) != given):
        raise Invalid.of(field, "is an address: 0x and 40 characters of 0-9 and a-f")
    return given.lower()


def _offered(context: Context, invoice: Invoice, wish: Wish) -> tuple[Network, Mapping[str, Any]]:
    option = option_of(invoice, wish.network, wish.asset)
    network = context.catalog.networks.get(wish.network)
    if option is None or network is None:
        raise Invalid.of("asset", f"{wish.asset} on {wish.network} is not offered")
    if network.router is None:
        raise Invalid.of("network", f"{network.id} has no router", code="no_router")
    token = network.by_address().get(option["token"])
    if token is None or token.fee_on_transfer:
        said = f"{wish.asset} keeps a part of each transfer: it is paid to the invoice's address"
        raise Invalid.of("asset", said, code="fee_on_transfer")
    if wish.payer is not None:
        address_of("payer", wish.payer)
    return network, option


async def _live(session: AsyncSession, invoice_id: UUID, wish: Wish) -> list[Quote]:
    query = select(Quote).where(
        Quote.invoice_id == invoice_id,
        Quote.network == wish.network,
        Quote.asset == wish.asset,
        Quote.live,
    )
    return list(await session.scalars(query))


async def _new(
    session: AsyncSession,
    invoice: Invoice,
    network: Network,
    option: Mapping[str, Any],
    wish: Wish,
    amount: int,
    now: datetime,
) -> Quote:
    row = Quote(
        id=ids.new(),
        invoice_id=invoice.id,
        network=network.id,
        asset=wish.asset,
        token=option["token"],
        router=network.router,
        amount=amount,
        deadline=_whole(min(invoice.expires_at, now + LONGEST)),
        payer=wish.payer and wish.payer.lower(),
        status="requested",
        live=True,
        created_at=now,
        due_at=now,
    )
    row.quote_hash = "0x" + quote_digest(terms(row, network)).hex()
    session.add(row)
    await session.flush()
    await notify(session, CHANNEL)
    return row


def _whole(moment: datetime) -> datetime:
    """The chain counts seconds: a second that has begun is over only with its end."""
    return datetime.fromtimestamp(int(moment.timestamp()), UTC)
