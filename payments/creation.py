"""Making an invoice: prices read, everything written by one statement (DESIGN 1, decision 14)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

from core import ids
from core.context import Context
from core.db import Database
from core.errors import Conflict, Invalid, NotFound, Refused
from core.idempotency import Answer, Once
from payments import settle_in
from payments.amounts import amounts
from payments.options import Wanted, lock_rates, offered
from payments.settle_in import Setting
from payments.tables import Invoice
from payments.views import invoice_json
from prices import book
from prices.book import PriceBook
from wallets.addresses import deposit_address
from webhooks.endpoints import for_url
from webhooks.events import LISTENS, NewEvent, object_of, render

# A new invoice as views want to see it.
_NOT_YET = dict.fromkeys(("settled_at", "cancelled_at", "mark", "mark_reason"))


class NewInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came in: amounts are text in major units (API 2)."""

    amount: str
    currency: str
    assets: list[str] | None = None
    networks: list[str] | None = None
    expires_in: int = 900
    tolerance_percent: str = "0"
    reference: str | None = None
    description: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    success_url: str | None = None
    webhook_url: str | None = None


# The merchant's settings and the stored prices as they are: any change of a row has another xmin.
_VERSION = f"""
    select m.xmin::text || ' ' || ({book.VERSION}) from merchants m where m.id = %(merchant)s
"""  # noqa: S608 - no value is pasted in, only prices' own query

# Everything or nothing, in one round trip. A key that runs elsewhere is seen by its lock, one that
# ran already by the conflict, prices or settings that have changed by their version; each leaves
# `go` empty and nothing is written.
_CREATE = f"""
with guard as (
    select ({_VERSION}) is not distinct from %(version)s as current,
        %(key)s::text is null or pg_try_advisory_xact_lock(%(lock)s) as got
), first as (
    insert into idempotency_keys (scope, route, key, fingerprint, status, event_id, created_at)
    select %(scope)s, %(route)s, %(key)s, %(fingerprint)s, 201, %(event)s, %(created_at)s
    from guard where got and current and %(key)s::text is not null
    on conflict do nothing returning 1
), go as (
    select from guard
    where got and current and (%(key)s::text is null or exists (select from first))
), address as (
    insert into deposit_addresses
        (address, id, merchant_id, invoice_id, watch_until, created_at)
    select %(address)s, %(address_id)s, %(merchant)s, %(id)s, %(monitored_until)s, %(created_at)s
    from go
), invoice as (
    insert into invoices (id, merchant_id, status, exception, currency, currency_decimals, amount,
        amount_paid, amount_confirmed, tolerance, address, options, reference, description,
        metadata, success_url, webhook_endpoint_id, created_at, expires_at, monitored_until,
        settlement)
    select %(id)s, %(merchant)s, %(status)s, %(exception)s, %(currency)s, %(currency_decimals)s,
        %(amount)s, %(amount_paid)s, %(amount_confirmed)s, %(tolerance)s, %(address)s,
        %(options)s::jsonb, %(reference)s, %(description)s, %(metadata)s::jsonb, %(success_url)s,
        %(endpoint)s, %(created_at)s, %(expires_at)s, %(monitored_until)s, %(settlement)s::jsonb
    from go
), event as (
    insert into events (id, merchant_id, type, subject, body, created_at)
    select %(event)s, %(merchant)s, 'invoice.created', %(subject)s, %(body)s, %(created_at)s
    from go
), queued as (
    insert into deliveries (id, event_id, endpoint_id, status, attempts, due_at, created_at)
    select overlay(%(event)s::text placing substr(md5(%(event)s::text || e.id::text), 1, 12)
        from 25)::uuid, %(event)s, e.id, 'pending', 0, %(created_at)s, %(created_at)s
    from go, webhook_endpoints e, (select %(merchant)s::uuid as merchant_id,
        'invoice.created'::text as type, %(endpoint)s::uuid as endpoint_id) g
    where {LISTENS} returning 1
)
select exists (select from go), got,
    (select pg_notify('deliveries', '') from queued limit 1)
from guard
"""  # noqa: S608 - as above, and webhooks' own condition

# What all that rests on, and the answer that the key has already.
_READ = f"""
select ({_VERSION}), ({book.VERSION}), m.accepts, m.settle_in, m.settle_currency, m.spread_percent,
    earlier.fingerprint, earlier.status, earlier.body, e.body
from (select) as asked
left join merchants as m on m.id = %(merchant)s
left join idempotency_keys as earlier
    on earlier.scope = %(scope)s and earlier.route = %(route)s and earlier.key = %(key)s
left join events as e on e.id = earlier.event_id
"""  # noqa: S608 - as above


@dataclass(frozen=True, slots=True)
class _Basis:
    """What an invoice of this merchant rests on, and the version that the statement compares."""

    version: str
    accepts: list[list[str]] | None
    setting: Setting
    prices: PriceBook


_KEPT = 10_000  # merchants
_kept: WeakKeyDictionary[Database, dict[UUID, _Basis]] = WeakKeyDictionary()


async def create(
    context: Context, merchant_id: UUID, request: NewInvoice, once: Once | None
) -> Answer:
    """Creates an invoice, or gives the first answer again.

    Raises Invalid (naming the field), PriceUnavailable, Conflict `idempotency_in_progress`.
    A refusal before the write stores nothing, so the same key may be tried again.

    The basis is the one of this merchant's last invoice as long as it stands, which the statement
    itself sees to. Whatever is not simply done is looked at again with a basis read for it.
    """
    kept = _kept.setdefault(context.database, {})
    basis = kept.get(merchant_id)
    if basis is not None and request.webhook_url is None:
        with suppress(Refused):
            draft = _draft(context, merchant_id, request, basis)
            if (answer := await _store(context, draft, basis, once)) is not None:
                return answer
    while True:
        answer, basis = await _read(context, merchant_id, once)
        if answer is not None:
            return answer
        if len(kept) >= _KEPT:
            kept.clear()
        kept[merchant_id] = basis
        draft = _draft(context, merchant_id, request, basis)
        if request.webhook_url is not None:
            async with context.database.begin() as session:
                draft["endpoint"] = await for_url(
                    session, context, merchant_id, request.webhook_url, draft["created_at"]
                )
        if (answer := await _store(context, draft, basis, once)) is not None:
            return answer


async def _read(
    context: Context, merchant_id: UUID, once: Once | None
) -> tuple[Answer | None, _Basis]:
    """The answer that the key has, else the basis as it is now. Raises NotFound, Invalid."""
    async with context.database.statement() as connection:
        cursor = await connection.execute(_READ, {"merchant": merchant_id, **_once_values(once)})
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101  (`asked` has a row)
        version, prices, accepts, *setting = row[:6]
        if version is None:
            raise NotFound("no such merchant")
        known = await book.current(context.database, connection, prices)
    answer = None if once is None else _again(once, row[6:])
    return answer, _Basis(version, accepts, Setting(*setting), known)


def _draft(
    context: Context, merchant_id: UUID, request: NewInvoice, basis: _Basis
) -> dict[str, Any]:
    """The row under its columns' names. Raises Invalid, PriceUnavailable."""
    now = context.clock.now()
    currency, amount, tolerance = amounts(
        context.catalog, request.amount, request.currency, request.tolerance_percent
    )
    wanted = Wanted(request.assets, request.networks, basis.accepts)
    pairs = offered(context.catalog, wanted)
    network, address_id = pairs[0][0], ids.new()
    assert network.factory is not None  # noqa: S101  (offered() saw to it)
    assert network.deposit_init_code_hash is not None  # noqa: S101  (the settings did)
    return {
        "id": ids.new(),
        "merchant": merchant_id,
        "status": "new",
        "exception": "none",
        "currency": currency.symbol,
        "currency_decimals": currency.decimals,
        "amount": amount,
        "amount_paid": 0,
        "amount_confirmed": 0,
        "tolerance": tolerance,
        "address": deposit_address(network.factory, network.deposit_init_code_hash, address_id),
        "address_id": address_id,
        "options": lock_rates(pairs, amount, currency, basis.prices, now),
        "reference": request.reference,
        "description": request.description,
        "metadata": request.metadata,
        "success_url": request.success_url,
        "endpoint": None,
        "settlement": settle_in.lock(
            basis.setting, context.catalog, currency.symbol, basis.prices, now
        ),
        "created_at": now,
        "expires_at": now + timedelta(seconds=request.expires_in),
        "monitored_until": now + timedelta(seconds=request.expires_in + context.monitoring_seconds),
    }


async def _store(
    context: Context, draft: dict[str, Any], basis: _Basis, once: Once | None
) -> Answer | None:
    """The answer; None when the basis does not stand any more and nothing was written.

    Raises Conflict while the key runs elsewhere, Invalid when it ran with another body.
    """
    row = cast("Invoice", SimpleNamespace(**draft, **_NOT_YET, metadata_=draft["metadata"]))
    shown = invoice_json(row, [], context.catalog, {}, context.public_url)
    answer = msgspec.json.encode(shown)
    event = ids.new()
    told = NewEvent(draft["merchant"], "invoice.created", shown["id"], msgspec.Raw(answer))
    values = (
        draft
        | _once_values(once)
        | {
            "options": msgspec.json.encode(row.options).decode(),
            "metadata": msgspec.json.encode(row.metadata_).decode(),
            "settlement": row.settlement and msgspec.json.encode(row.settlement).decode(),
            "version": basis.version,
            "event": event,
            "subject": shown["id"],
            "body": render(told, event, row.created_at),
        }
    )
    async with context.database.statement() as connection:
        cursor = await connection.execute(_CREATE, values)
        found = await cursor.fetchone()
        assert found is not None  # noqa: S101  (`guard` has a row)
        done, got, _ = found
    if done:
        context.database.notify_soon("event_pending")
        return Answer(201, answer)
    if not got:
        raise Conflict(
            "a request with this Idempotency-Key is still running", code="idempotency_in_progress"
        )
    return None


def _once_values(once: Once | None) -> dict[str, Any]:
    if once is None:
        return dict.fromkeys(("scope", "route", "key", "fingerprint", "lock"))
    values = {name: getattr(once, name) for name in ("scope", "route", "key", "fingerprint")}
    return values | {"lock": once.lock}


def _again(once: Once, row: Sequence[Any]) -> Answer | None:
    """The answer that was stored; Invalid `idempotency_mismatch` for another body."""
    fingerprint, status, body, told = row
    if fingerprint is None:
        return None
    if fingerprint != once.fingerprint:
        raise Invalid.of(
            "Idempotency-Key",
            "was used with another body; take a new key",
            code="idempotency_mismatch",
        )
    # A body of its own: written while the database was newer than who wrote it.
    return Answer(status, object_of(told) if body is None else bytes(body), replayed=True)
