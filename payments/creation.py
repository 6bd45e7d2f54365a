"""Making an invoice: prices read, everything written by one statement (DESIGN 1, decision 14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from core import ids
from core.context import Context
from core.db import Raw
from core.errors import Conflict, Invalid, InvalidAmount, NotFound
from core.idempotency import Answer, Once
from core.money import Asset
from payments.options import Wanted, lock_rates, offered
from payments.tables import Invoice
from payments.views import invoice_json
from prices import book
from wallets.addresses import deposit_address
from webhooks.endpoints import for_url
from webhooks.events import LISTENS, NewEvent, render

_PERCENT = re.compile(r"[0-9](\.[0-9]{1,6})?", re.ASCII)
LARGEST_TOLERANCE = 5  # percent


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvoice:
    """A request as it came in: amounts are text in major units (API 2)."""

    amount: str
    currency: str
    assets: list[str] | None = None
    networks: list[str] | None = None
    expires_in: int = 900
    tolerance_percent: str = "0"
    reference: str | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    success_url: str | None = None
    webhook_url: str | None = None


# Everything or nothing, in one round trip. A key that runs elsewhere is seen by its lock, one
# that ran already by the conflict; both leave `go` empty and nothing is written.
_CREATE = f"""
with guard as (
    select %(key)s::text is null or pg_try_advisory_xact_lock(%(lock)s) as got
), first as (
    insert into idempotency_keys (scope, route, key, fingerprint, status, body, created_at)
    select %(scope)s, %(route)s, %(key)s, %(fingerprint)s, 201, %(answer)s, %(now)s
    from guard where got and %(key)s::text is not null
    on conflict do nothing returning 1
), go as (
    select from guard where got and (%(key)s::text is null or exists (select from first))
), address as (
    insert into deposit_addresses
        (address, id, merchant_id, invoice_id, watch_until, created_at)
    select %(address)s, %(address_id)s, %(merchant)s, %(id)s, %(monitored_until)s, %(now)s from go
), invoice as (
    insert into invoices (id, merchant_id, status, exception, currency, currency_decimals, amount,
        amount_paid, amount_confirmed, tolerance, address, options, reference, description,
        metadata, success_url, webhook_endpoint_id, created_at, expires_at, monitored_until)
    select %(id)s, %(merchant)s, 'new', 'none', %(currency)s, %(currency_decimals)s, %(amount)s,
        0, 0, %(tolerance)s, %(address)s, %(options)s, %(reference)s, %(description)s,
        %(metadata)s, %(success_url)s, %(endpoint)s, %(now)s, %(expires_at)s, %(monitored_until)s
    from go
), event as (
    insert into events (id, merchant_id, type, subject, body, created_at)
    select %(event)s, %(merchant)s, 'invoice.created', %(subject)s, %(body)s, %(now)s from go
), queued as (
    insert into deliveries (id, event_id, endpoint_id, status, attempts, due_at, created_at)
    select overlay(%(event)s::text placing substr(md5(%(event)s::text || e.id::text), 1, 12)
        from 25)::uuid, %(event)s, e.id, 'pending', 0, %(now)s, %(now)s
    from go, webhook_endpoints e, (select %(merchant)s::uuid as merchant_id,
        'invoice.created'::text as type, %(endpoint)s::uuid as endpoint_id) g
    where {LISTENS} returning 1
)
select (select got from guard), exists (select from go),
    (select pg_notify('deliveries', '') from queued limit 1)
"""  # noqa: S608 - no value is pasted in, only webhooks' own condition

_REPLAY = """
select fingerprint, status, body from idempotency_keys
where scope = %(scope)s and route = %(route)s and key = %(key)s
"""

# All that must be known before, in one more round trip.
_PREPARE = f"""
select m.id is not null, m.accepts, ({book.VERSION}), earlier.*
from (values (%(merchant)s::uuid)) as asked(id)
left join merchants m using (id)
left join ({_REPLAY}) as earlier on true
"""  # noqa: S608 - as above


async def create(
    context: Context, merchant_id: UUID, request: NewInvoice, once: Once | None
) -> Answer:
    """Creates an invoice, or gives the first answer again.

    Raises Invalid (naming the field), PriceUnavailable, Conflict `idempotency_in_progress`.
    A refusal before the write stores nothing, so the same key may be tried again.
    """
    endpoint: UUID | None = None
    now = context.clock.now()
    async with context.database.statement() as connection:
        values = {**_once_values(once), "merchant": merchant_id}
        cursor = await connection.execute(_PREPARE, values)
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101  (`asked` has a row)
        known, accepts, version, *earlier = row
        if once is not None and (answer := _again(once, earlier)) is not None:
            return answer
        if not known:
            raise NotFound("no such merchant")
        prices = await book.current(context.database, connection, version)
    currency, amount, tolerance = _amounts(context, request)
    wanted = Wanted(request.assets, request.networks, accepts)
    pairs = offered(context.catalog, wanted)
    options = lock_rates(pairs, amount, currency, prices, now)
    if request.webhook_url is not None:
        async with context.database.begin() as session:
            endpoint = await for_url(session, context, merchant_id, request.webhook_url, now)
    network, address_id = pairs[0][0], ids.new()
    assert network.factory is not None  # noqa: S101  (offered() saw to it)
    assert network.deposit_init_code_hash is not None  # noqa: S101  (the settings did)
    row = Invoice(
        id=ids.new(),
        merchant_id=merchant_id,
        status="new",
        exception="none",
        currency=currency.symbol,
        currency_decimals=currency.decimals,
        amount=amount,
        amount_paid=0,
        amount_confirmed=0,
        tolerance=tolerance,
        address=deposit_address(network.factory, network.deposit_init_code_hash, address_id),
        options=options,
        reference=request.reference,
        description=request.description,
        metadata_=request.metadata,
        success_url=request.success_url,
        webhook_endpoint_id=endpoint,
        created_at=now,
        expires_at=now + timedelta(seconds=request.expires_in),
        monitored_until=now + timedelta(seconds=request.expires_in + context.monitoring_seconds),
    )
    return await _store(context, row, address_id, once, now)


async def _store(
    context: Context, row: Invoice, address_id: UUID, once: Once | None, now: datetime
) -> Answer:
    shown = invoice_json(row, [], context.catalog, {}, context.public_url)
    answer = msgspec.json.encode(shown)
    event_id = ids.new()
    event = NewEvent(row.merchant_id, "invoice.created", shown["id"], shown)
    values: dict[str, Any] = {
        "id": row.id,
        "merchant": row.merchant_id,
        "currency": row.currency,
        "currency_decimals": row.currency_decimals,
        "amount": row.amount,
        "tolerance": row.tolerance,
        "address": row.address,
        "address_id": address_id,
        "options": Jsonb(row.options),
        "reference": row.reference,
        "description": row.description,
        "metadata": Jsonb(row.metadata_),
        "success_url": row.success_url,
        "endpoint": row.webhook_endpoint_id,
        "now": now,
        "expires_at": row.expires_at,
        "monitored_until": row.monitored_until,
        "event": event_id,
        "subject": shown["id"],
        "body": render(event, event_id, now),
        "answer": answer,
        **_once_values(once),
    }
    async with context.database.statement() as connection:
        cursor = await connection.execute(_CREATE, values)
        found = await cursor.fetchone()
        assert found is not None  # noqa: S101  (a select without from always has a row)
        got, done, _ = found
        if done:
            return Answer(201, answer)
        if got and once is not None:
            winner = await replay(connection, once)
            if winner is not None:
                return winner
    raise Conflict(
        "a request with this Idempotency-Key is still running", code="idempotency_in_progress"
    )


def _once_values(once: Once | None) -> dict[str, Any]:
    return {
        "scope": once.scope if once else None,
        "route": once.route if once else None,
        "key": once.key if once else None,
        "fingerprint": once.fingerprint if once else None,
        "lock": once.lock if once else 0,
    }


async def replay(connection: Raw, once: Once) -> Answer | None:
    """The stored answer to this key; Invalid `idempotency_mismatch` for another body."""
    cursor = await connection.execute(_REPLAY, _once_values(once))
    row = await cursor.fetchone()
    return _again(once, row) if row else None


def _again(once: Once, row: Sequence[Any]) -> Answer | None:
    fingerprint, status, body = row
    if fingerprint is None:
        return None
    if fingerprint != once.fingerprint:
        raise Invalid.of(
            "Idempotency-Key",
            "was used with another body; take a new key",
            code="idempotency_mismatch",
        )
    return Answer(status, bytes(body), replayed=True)


def _amounts(context: Context, request: NewInvoice) -> tuple[Asset, int, int]:
    """Currency, amount and tolerance (rounded down) in the currency's base units."""
    currency = context.catalog.asset(request.currency)
    known = context.catalog.currencies
    if currency is None or currency.symbol not in known:
        listed = ", ".join(sorted(known))
        raise Invalid.of("currency", f"{request.currency!r} has no price here; known: {listed}")
    try:
        amount = currency.parse(request.amount)
    except InvalidAmount as error:
        raise Invalid.of("amount", error.detail, code="invalid_amount") from None
    if amount == 0:
        raise Invalid.of("amount", "must be more than zero", code="invalid_amount")
    text = request.tolerance_percent
    if not _PERCENT.fullmatch(text) or Fraction(text) > LARGEST_TOLERANCE:
        raise Invalid.of("tolerance_percent", 'is a decimal from "0" to "5"')
    return currency, amount, int(amount * Fraction(text) / 100)
