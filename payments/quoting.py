"""The worker's loop of quotes: what a payer asked for is checked, signed and told (CHAIN 4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from psycopg.types.json import Jsonb

from chain.endpoints import Endpoints
from chain.router import QuoteKeys, quote_keys
from chain.tokens import Abilities, abilities
from core.clock import wall
from core.context import Context
from core.errors import ChainError, SignerAway, SignerRefused
from core.network_rows import NetworkRows
from core.networks import NATIVE, Network
from payments import router_quotes as quotes
from payments.router_tables import Quote
from payments.tables import Invoice
from wallets.signer.approvals import recover
from wallets.signer.client import Signer

log = structlog.get_logger()

LEASE_SECONDS = 15
AWAY_SECONDS = 2
ABILITIES_SECONDS = 3600  # contracts behind proxies change, rarely

_CLAIM = """
with due as (
    select id from router_quotes
    where network = %(network)s and due_at <= %(now)s
        and (leased_until is null or leased_until <= %(wall)s)
    order by due_at, id limit %(limit)s for update skip locked
)
update router_quotes q set leased_until = %(leased_until)s from due where q.id = due.id
returning q.id
"""
# Whoever shows the invoice looks again at commit.
_ANSWER = """
with answered as (
    update router_quotes set status = %(status)s, reason = %(reason)s, domain = %(domain)s::jsonb,
        signature = %(signature)s, live = live and %(status)s = 'signed', due_at = null,
        leased_until = null
    where id = %(id)s and status = 'requested'
    returning invoice_id
)
select pg_notify('invoice', replace(invoice_id::text, '-', '')) from answered
"""
_LATER = "update router_quotes set due_at = %s, leased_until = null where id = %s"


class Quoting(NetworkRows):
    """Quotes of one network."""

    name = "quotes"
    channel = quotes.CHANNEL
    claiming = _CLAIM
    lease_seconds = LEASE_SECONDS

    def __init__(
        self,
        context: Context,
        network: Network,
        endpoints: Endpoints,
        signer: Signer,
        *,
        parallel: int = 8,
        poll_seconds: float = 1.0,
    ) -> None:
        super().__init__(context, network, parallel=parallel, poll_seconds=poll_seconds)
        self._endpoints = endpoints
        self._signer = signer
        self._abilities: dict[str, tuple[float, Abilities | None]] = {}

    async def step(self, quote_id: UUID) -> None:
        """Signed, refused, or later; happening twice does no harm."""
        async with self._context.database.read() as session:
            row = await session.get_one(Quote, quote_id)
            invoice = await session.get_one(Invoice, row.invoice_id)
        if refusal := self._judge(row, invoice):
            await self._answer(row, "refused", reason=refusal)
            return
        try:
            keys = await quote_keys(self._endpoints, row.router)
            can = await self._can(row.token)
            signature = await self._signer.quote(quotes.terms(row, self._network))
        except SignerRefused as error:
            log.error("quote_refused", quote=str(row.id), code=error.code, detail=str(error))
            await self._answer(row, "refused", reason=error.code)
        except (SignerAway, ChainError) as error:
            log.warning("quote_waits", quote=str(row.id), error=str(error))
            await self._later(row)
        else:
            if self._taken(row, keys, signature):
                await self._answer(row, "signed", signature=signature, can=can)
            else:
                log.error("quote_key_unknown", network=self._network.id, router=row.router)
                await self._answer(row, "refused", reason="quote_key_unknown")

    def _judge(self, row: Quote, invoice: Invoice) -> str | None:
        """Why it must not be signed: what was due when it was asked for must be due still."""
        now = self._context.clock.now()
        option = quotes.option_of(invoice, row.network, row.asset)
        if row.deadline <= now or row.deadline > invoice.expires_at:
            return "expired"
        if row.router != self._network.router:
            return "router_changed"
        if option is None or quotes.payable(invoice, option, now) != row.amount:
            return "amount_changed"
        return None

    def _taken(self, row: Quote, keys: QuoteKeys, signature: str) -> bool:
        """A signature that the router would not take costs its payer gas for nothing."""
        signer = recover(bytes.fromhex(row.quote_hash[2:]), signature)
        return keys.accept(signer, int(row.deadline.timestamp()))

    async def _can(self, token: str) -> Abilities | None:
        if token == NATIVE:
            return None
        at = wall().timestamp()
        known = self._abilities.get(token)
        if known is None or known[0] < at - ABILITIES_SECONDS:
            found = await abilities(self._endpoints, self._network.chain_id, token)
            known = self._abilities[token] = (at, found)
        return known[1]

    async def _answer(
        self,
        row: Quote,
        status: str,
        *,
        reason: str | None = None,
        signature: str | None = None,
        can: Abilities | None = None,
    ) -> None:
        values: dict[str, Any] = {
            "id": row.id,
            "status": status,
            "reason": reason,
            "signature": signature,
            "domain": None if can is None else Jsonb(can.json()),
        }
        async with self._context.database.statement() as connection:
            await connection.execute(_ANSWER, values)

    async def _later(self, row: Quote) -> None:
        due_at = self._context.clock.now() + timedelta(seconds=AWAY_SECONDS)
        async with self._context.database.statement() as connection:
            await connection.execute(_LATER, (due_at, row.id))
