"""The worker's loop of settlements: an authorization that holds becomes a Transaction of our
relayer, and an invoice that its transfer pays.

An invoice each, because that is what the books know how to take in: depth, screening, forks,
refunds, events and the inbox are those of every payment.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from chain.endpoints import Endpoints
from chain.fees import Urgency
from core import ids
from core.context import Context
from core.db import raw
from core.errors import ChainError, PriceUnavailable
from core.network_rows import NetworkRows
from core.networks import Network
from merchants.merchants import SettleIn
from merchants.tables import Merchant
from payments import settle_in, x402_limits
from payments.tables import Invoice
from payments.views import invoice_json
from payments.x402_carrying import NoRelayer, Ready, ready
from payments.x402_checks import CHANNEL
from payments.x402_deposits import LONGEST
from payments.x402_tables import Settlement
from payments.x402_terms import EXPIRED, NotPaid
from prices import book
from prices.book import PriceBook
from wallets import transactions
from wallets.transactions import Purpose
from webhooks.events import NewEvent, emit

log = structlog.get_logger()

LEASE_SECONDS = 30
AWAY_SECONDS = 2
MARGIN_SECONDS = 3  # what is left of an authorization must be enough for a block

_CLAIM = """
with due as (
    select id from x402_settlements
    where network = %(network)s and due_at <= %(now)s
        and (leased_until is null or leased_until <= %(wall)s)
    order by due_at, id limit %(limit)s for update skip locked
)
update x402_settlements s set leased_until = %(leased_until)s from due where s.id = due.id
returning s.id
"""
_LATER = """
update x402_settlements set due_at = %s, leased_until = null, attempts = attempts + 1
where id = %s and status = 'requested'
"""


class Settling(NetworkRows):
    """Settlements of one network."""

    name = "x402 settlements"
    channel = CHANNEL
    claiming = _CLAIM
    lease_seconds = LEASE_SECONDS

    def __init__(
        self,
        context: Context,
        network: Network,
        endpoints: Endpoints,
        *,
        parallel: int = 8,
        poll_seconds: float = 1.0,
    ) -> None:
        super().__init__(context, network, parallel=parallel, poll_seconds=poll_seconds)
        self._endpoints = endpoints

    async def step(self, settlement_id: UUID) -> None:
        """Prepared, refused, or later; happening twice does no harm."""
        async with self._context.database.read() as session:
            row = await session.get_one(Settlement, settlement_id)
        try:
            if row.valid_before <= self._context.clock.now().timestamp() + MARGIN_SECONDS:
                raise NotPaid(EXPIRED, "expired before it could be sent", row.payer)
            found = await ready(self._context, self._network, self._endpoints, row)
            await self._prepare(row, found)
        except NotPaid as refused:
            log.info("x402_refused", settlement=str(row.id), reason=refused.reason)
            await self._refuse(row, refused)
        except (ChainError, PriceUnavailable, NoRelayer) as error:
            log.warning("x402_waits", settlement=str(row.id), error=str(error))
            await self._later(row)

    async def _prepare(self, row: Settlement, found: Ready) -> None:
        """Transaction, invoice and the row's word are one database transaction. Raises NotPaid;
        PriceUnavailable where its merchant takes fiat and nothing says what it is worth in it."""
        now = self._context.clock.now()
        async with self._context.database.begin() as session:
            fresh = await _locked(session, row.id)
            if fresh is None:
                return
            network, merchant_id = self._network, row.merchant_id
            await x402_limits.check(session, network, merchant_id, now, found.fee_cap)
            invoice = invoice_of(row, network, now)
            invoice.settlement = await _settlement(session, self._context, invoice)
            session.add(invoice)
            fresh.due_at = fresh.leased_until = None
            fresh.status, fresh.fee_cap = "sending", found.fee_cap
            fresh.transaction_id = await transactions.prepare(
                session,
                self._context,
                network=network.id,
                wallet=found.wallet,
                purpose=Purpose.RELAY,
                intent=found.intent,
                reference=found.intent.id,
                urgency=Urgency.FAST,
                fee_cap=found.fee_cap,
                now=now,
            )
            await session.flush()
            told = invoice_json(invoice, [], self._context.catalog, {}, self._context.public_url)
            await emit(
                session, [NewEvent(row.merchant_id, "invoice.created", told["id"], told)], now
            )
            await _wake(session, row)

    async def _refuse(self, row: Settlement, refused: NotPaid) -> None:
        async with self._context.database.begin() as session:
            fresh = await _locked(session, row.id)
            if fresh is None:
                return
            fresh.due_at = fresh.leased_until = None
            fresh.status, fresh.reason = "refused", refused.reason
            fresh.detail = refused.message or None
            await session.flush()
            await _wake(session, row)

    async def _later(self, row: Settlement) -> None:
        due_at = self._context.clock.now() + timedelta(seconds=AWAY_SECONDS)
        async with self._context.database.statement() as connection:
            await connection.execute(_LATER, (due_at, row.id))


async def _locked(session: AsyncSession, number: UUID) -> Settlement | None:
    """None when another worker has finished it meanwhile."""
    query = select(Settlement).where(Settlement.id == number).with_for_update()
    fresh = (await session.scalars(query)).one()
    return fresh if fresh.status == "requested" else None


async def _wake(session: AsyncSession, row: Settlement) -> None:
    """Whoever waits for the settlement looks again at commit."""
    await (await raw(session)).execute("select pg_notify('invoice', %s)", (row.invoice_id.hex,))


async def _settlement(
    session: AsyncSession, context: Context, invoice: Invoice
) -> dict[str, Any] | None:
    """What becomes of it by its merchant's setting, at the rate of now."""
    shop = await session.get_one(Merchant, invoice.merchant_id)
    if shop.settle_in == SettleIn.CRYPTO:
        return None
    setting = settle_in.Setting(shop.settle_in, shop.settle_currency, shop.spread_percent)
    prices = await book.load(await raw(session))
    return settle_in.lock(setting, context.catalog, invoice.currency, prices, invoice.created_at)


def invoice_of(row: Settlement, network: Network, now: datetime) -> Invoice:
    """What the transfer pays: its amount, in the asset itself, while the authorization is good."""
    token = network.by_address()[row.token]
    itself = PriceBook([]).rate(token.asset.symbol, token.asset.symbol, now)
    end = min(row.valid_before, int((now + LONGEST).timestamp()))
    option: dict[str, Any] = {
        "network": network.id,
        "asset_id": token.asset_id,
        "token": token.address,
        "asset": token.asset.symbol,
        "decimals": token.asset.decimals,
        "quote_decimals": token.asset.decimals,
        "amount": str(row.amount),
        "rate": str(itself.price),
        "price": itself.evidence,
    }
    expires_at = datetime.fromtimestamp(end, UTC)
    return Invoice(
        id=row.invoice_id,
        merchant_id=row.merchant_id,
        status="new",
        exception="none",
        currency=token.asset.symbol,
        currency_decimals=token.asset.decimals,
        amount=row.amount,
        amount_paid=0,
        amount_confirmed=0,
        tolerance=0,
        address=row.pay_to,
        options=[option],
        reference=ids.show("xst", row.id),
        description=row.resource,
        metadata_={},
        created_at=now,
        expires_at=expires_at,
        monitored_until=expires_at,
    )
