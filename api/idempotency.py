"""`Idempotency-Key`: the first answer again, byte for byte (API 1, DESIGN 5).

A lock for the length of the transaction keeps a second request with the same key out; the answer
is stored by the transaction that did the work. A refusal rolls it back and so stores nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from fastapi import Request, Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api import limits
from core.context import Context
from core.db import Raw, raw
from core.errors import Conflict, Invalid
from core.idempotency import Answer, Once
from core.secrets import SecretBox
from merchants.keys import Principal

HOUSE = UUID(int=0)  # the scope of operators
KEPT = timedelta(hours=24)
_HEADER = "idempotency-key"

# Where money moves the answer is kept for ever.
MONEY_ROUTES = (
    "POST /v1/conversions%",
    "POST /v1/payout%",
    "POST /v1/bank_exports%",
    "POST /v1/transfers%",
    "POST /v1/treasury/moves%",
    "POST /v1/sweeps%",
    "POST /v1/wallets/%/payouts",
    "POST /v1/invoices/%/refunds",
    "POST /v1/refunds/%/confirm",
    "POST /v1/deposits/%/resolve",
)

Do = Callable[[AsyncSession], Awaitable[tuple[int, Mapping[str, Any]]]]


def once_of(request: Request, principal: Principal) -> Once | None:
    """The request's Once, or None without the header. Raises Invalid for a key out of bounds."""
    key = request.headers.get(_HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= 255 or not (key.isascii() and key.isprintable()):
        raise Invalid.of("Idempotency-Key", "must be 1-255 printable ASCII characters")
    return Once(
        scope=principal.merchant_id or HOUSE,
        route=f"{request.method} {request.scope['path']}",
        key=key,
        fingerprint=fingerprint(limits.body_of(request.scope)),
    )


def required(request: Request) -> None:
    """Where money moves nobody may be left guessing whether it did. Raises Invalid."""
    if request.headers.get(_HEADER) is None:
        raise Invalid.of(
            "Idempotency-Key", "is required where money moves", code="idempotency_key_required"
        )


def fingerprint(body: bytes) -> bytes:
    """SHA-256 of the body's canonical form: the order of fields and white space do not count."""
    with suppress(msgspec.DecodeError):  # no JSON: it counts as it came
        body = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    return hashlib.sha256(body).digest()


async def once(request: Request, principal: Principal, do: Do, *, secret: bool = False) -> Response:
    """Runs `do` in one transaction and answers with its (status, JSON).

    `secret`: the answer shows something once; it is then stored sealed. Raises Conflict while the
    same key runs, Invalid when it came with another body, and whatever `do` raises.
    """
    context: Context = request.app.state.context
    key = once_of(request, principal)
    async with context.database.begin() as session:
        if key is None:
            status, body = await do(session)
            return respond(Answer(status, msgspec.json.encode(body)))
        connection = await raw(session)
        box = context.secrets if secret else None
        answer = await earlier(connection, key, box)
        if answer is None:
            status, body = await do(session)
            await session.flush()
            answer = Answer(status, msgspec.json.encode(body))
            await store(connection, key, answer, context.clock.now(), box)
    return respond(answer)


async def earlier(connection: Raw, once: Once, box: SecretBox | None = None) -> Answer | None:
    """Takes the key's lock until the transaction ends and returns the answer it has, if any.

    The look-up is a statement of its own: it must see what the lock's last holder committed.
    """
    cursor = await connection.execute("select pg_try_advisory_xact_lock(%s)", (once.lock,))
    row = await cursor.fetchone()
    if row is None or not row[0]:
        raise Conflict(
            "a request with this Idempotency-Key is running", code="idempotency_in_progress"
        )
    cursor = await connection.execute(
        "select fingerprint, status, body from idempotency_keys"
        " where scope = %s and route = %s and key = %s",
        (once.scope, once.route, once.key),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    if row[0] != once.fingerprint:
        raise Invalid.of(
            "Idempotency-Key", "was used with another body", code="idempotency_mismatch"
        )
    body = box.open(row[2], _place(once)) if box else row[2]
    return Answer(row[1], body, replayed=True)


async def store(
    connection: Raw, once: Once, answer: Answer, now: datetime, box: SecretBox | None = None
) -> None:
    body = box.seal(answer.body, _place(once)) if box else answer.body
    await connection.execute(
        "insert into idempotency_keys (scope, route, key, fingerprint, status, body, created_at)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (once.scope, once.route, once.key, once.fingerprint, answer.status, body, now),
    )


def respond(answer: Answer) -> Response:
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else None
    return Response(answer.body, answer.status, headers, "application/json")


async def purge(session: AsyncSession, now: datetime) -> int:
    """Forgets answers older than 24 h, except where money moved. Returns how many."""
    result = await session.execute(
        text(
            "delete from idempotency_keys where created_at < :before and not route like any(:kept)"
        ),
        {"before": now - KEPT, "kept": list(MONEY_ROUTES)},
    )
    return int(getattr(result, "rowcount", 0))


def _place(once: Once) -> str:
    return f"idempotency_keys.body:{once.scope.hex}:{once.route}:{once.key}"
