"""The worker's loop of relayed payments: an authorization that holds becomes a Transaction.

What must fail, is not worth its gas, or has no relayer is refused with a reason; the payer can
still send it himself. The gas of what is sent is the house's (MONEY 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from chain import broadcast
from chain.broadcast import CannotPay, Reverts
from chain.endpoints import Endpoints
from chain.fees import Urgency
from chain.router import spent
from core import ids
from core.context import Context
from core.db import raw
from core.errors import ChainError, PriceUnavailable
from core.network_rows import NetworkRows
from core.networks import NATIVE, Network, RelayPolicy
from payments import relay_fees
from payments import router_quotes as quotes
from payments.router_tables import Authorization, Quote
from payments.tables import Invoice
from wallets import hot, transactions
from wallets.hot import WalletKind
from wallets.intents import PayWithAuthorization, Relay
from wallets.transactions import Purpose

log = structlog.get_logger()

LEASE_SECONDS = 30
AWAY_SECONDS = 2
MARGIN_SECONDS = 5  # what is left of a quote must be enough for a block

_CLAIM = """
with due as (
    select id from router_authorizations
    where network = %(network)s and due_at <= %(now)s
        and (leased_until is null or leased_until <= %(wall)s)
    order by due_at, id limit %(limit)s for update skip locked
)
update router_authorizations a set leased_until = %(leased_until)s from due where a.id = due.id
returning a.id
"""
_LATER = """
update router_authorizations set due_at = %s, leased_until = null, attempts = attempts + 1
where id = %s
"""


class Declined(Exception):
    """It is not relayed. `code` is stable."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class _Ready:
    wallet: str
    intent: Relay
    fee_cap: int


class Relaying(NetworkRows):
    """Authorizations of one network."""

    name = "relays"
    channel = quotes.CHANNEL
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

    async def step(self, authorization_id: UUID) -> None:
        """Prepared, refused, or later; happening twice does no harm."""
        async with self._context.database.read() as session:
            row = await session.get_one(Authorization, authorization_id)
            quote = await session.get_one(Quote, row.quote_id)
            invoice = await session.get_one(Invoice, row.invoice_id)
            wallets = await hot.known(session)
        try:
            self._judge(row, quote, invoice)
            relayer = next((w.address for w in wallets if w.kind == WalletKind.RELAYER), None)
            if relayer is None:
                raise Declined("relayer_unavailable")
            ready = await self._ready(row, quote, relayer)
        except Declined as declined:
            log.info("relay_declined", relay=str(row.id), code=declined.code)
            await self._finish(row, declined)
        except (ChainError, PriceUnavailable) as error:
            log.warning("relay_waits", relay=str(row.id), error=str(error))
            await self._later(row)
        else:
            await self._finish(row, ready)

    def _judge(self, row: Authorization, quote: Quote, invoice: Invoice) -> None:
        """Raises Declined. Nothing here asks a node."""
        now = self._context.clock.now()
        soon = now + timedelta(seconds=MARGIN_SECONDS)
        option = quotes.option_of(invoice, quote.network, quote.asset)
        if quote.deadline < soon or row.valid_before <= soon.timestamp():
            raise Declined("expired")
        if self._network.relay is None or quote.router != self._network.router:
            raise Declined("relayer_unavailable")
        if option is None or quotes.payable(invoice, option, now) != quote.amount:
            raise Declined("amount_changed")

    async def _ready(self, row: Authorization, quote: Quote, wallet: str) -> _Ready:
        """Simulated and worth its gas. Raises Declined, ChainError, PriceUnavailable."""
        assert self._network.relay is not None  # noqa: S101  (judged)
        intent = intent_of(row, quote, self._network)
        try:
            cost = await relay_fees.cost(self._network, self._endpoints, wallet, intent)
        except CannotPay:
            raise Declined("relayer_unavailable") from None
        except Reverts as error:
            raise await self._why(row, quote, error) from None
        fee_cap = await self._fee_cap(self._network.relay, quote, cost)
        held = await broadcast.balances(self._endpoints, wallet, [NATIVE])
        if held[NATIVE] < fee_cap:  # it would wait, and the payer with it
            raise Declined("relayer_unavailable", f"{wallet} holds too little for gas")
        return _Ready(wallet, intent, fee_cap)

    async def _why(self, row: Authorization, quote: Quote, error: Reverts) -> Declined:
        """Somebody else may have sent the same authorization: then its payment is seen anyway."""
        paid, used = await spent(
            self._endpoints, quote.router, quote.token, row.payer, quote.quote_hash
        )
        if paid:
            return Declined("quote_paid")
        if used:
            return Declined("authorization_used")
        return Declined("reverts", error.reason)

    async def _fee_cap(self, policy: RelayPolicy, quote: Quote, cost: tuple[int, int]) -> int:
        """Wei that it may cost. Raises Declined when gas is too dear for what is paid."""
        asset = self._network.by_address()[quote.token].asset
        try:
            return await relay_fees.fee_cap(
                self._context.database,
                self._network,
                (quote.amount, asset),
                (policy.max_gas_percent, policy.max_fee),
                cost,
                self._context.clock.now(),
            )
        except relay_fees.TooDear as error:
            raise Declined("gas_too_expensive", str(error)) from None

    async def _finish(self, row: Authorization, outcome: _Ready | Declined) -> None:
        """The Transaction and the row's word are one database transaction."""
        now = self._context.clock.now()
        async with self._context.database.begin() as session:
            fresh = await self._locked(session, row.id)
            if fresh is None:
                return
            fresh.due_at = fresh.leased_until = None
            if isinstance(outcome, Declined):
                fresh.status, fresh.reason = "refused", outcome.code
                fresh.detail = outcome.detail or None
            else:
                fresh.status, fresh.fee_cap = "sending", outcome.fee_cap
                fresh.transaction_id = await transactions.prepare(
                    session,
                    self._context,
                    network=self._network.id,
                    wallet=outcome.wallet,
                    purpose=Purpose.RELAY,
                    intent=outcome.intent,
                    reference=ids.show("rel", row.id),
                    urgency=Urgency.FAST,
                    fee_cap=outcome.fee_cap,
                    now=now,
                )
            await session.flush()
            woken = "select pg_notify('invoice', %s)"
            await (await raw(session)).execute(woken, (row.invoice_id.hex,))

    async def _locked(self, session: AsyncSession, number: UUID) -> Authorization | None:
        """None when another worker has finished it meanwhile."""
        query = select(Authorization).where(Authorization.id == number).with_for_update()
        fresh = (await session.scalars(query)).one()
        return fresh if fresh.status == "requested" else None

    async def _later(self, row: Authorization) -> None:
        due_at = self._context.clock.now() + timedelta(seconds=AWAY_SECONDS)
        async with self._context.database.statement() as connection:
            await connection.execute(_LATER, (due_at, row.id))


def intent_of(row: Authorization, quote: Quote, network: Network) -> Relay:
    """What the signer is asked for."""
    said = quotes.terms(quote, network)
    assert quote.signature is not None  # noqa: S101  (only a signed quote is authorized)
    return Relay(
        id=ids.show("rel", row.id),
        router=quote.router,
        call=PayWithAuthorization(
            invoice=said.invoice,
            asset=quote.token,
            amount=said.amount,
            deadline=said.deadline,
            nonce=said.nonce,
            quote_signature=quote.signature,
            payer=row.payer,
            valid_after=row.valid_after,
            valid_before=row.valid_before,
            authorization=row.signature,
        ),
    )
