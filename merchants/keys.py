"""API keys: 256 random bits, shown once, kept as SHA-256 only.

A fast hash is enough where the secret is random: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core import clock, ids
from core.errors import NotFound
from core.listen import notify
from core.pages import page_of
from merchants import scopes as known
from merchants.tables import ApiKey

MERCHANT_PREFIX = "sk_"
OPERATOR_PREFIX = "ok_"
_SHOWN = 11  # characters kept to tell keys apart: 48 of the 256 bits


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `merchant_id` is None for an operator's key."""

    key_id: UUID
    merchant_id: UUID | None
    scopes: frozenset[str]
    is_operator: bool

    def may(self, scope: str) -> bool:
        return known.covers(self.scopes, scope)


def hash_of(plaintext: str) -> bytes:
    return hashlib.sha256(plaintext.encode()).digest()


async def create_key(
    session: AsyncSession,
    merchant_id: UUID | None,
    scopes: Sequence[str],
    name: str | None,
    now: datetime,
) -> tuple[ApiKey, str]:
    """A new key and its plaintext, which is kept nowhere. Raises Invalid for an unknown scope."""
    plaintext = (MERCHANT_PREFIX if merchant_id else OPERATOR_PREFIX) + secrets.token_urlsafe(32)
    key = ApiKey(
        id=ids.new(),
        merchant_id=merchant_id,
        hash=hash_of(plaintext),
        prefix=plaintext[:_SHOWN],
        name=name,
        scopes=known.check(scopes),
        created_at=now,
        last_used_at=None,
        revoked_at=None,
    )
    session.add(key)
    await session.flush()
    return key, plaintext


async def find(session: AsyncSession, key_id: UUID | None) -> ApiKey:
    """Raises NotFound."""
    key = await session.get(ApiKey, key_id) if key_id else None
    if key is None:
        raise NotFound("no such API key")
    return key


async def revoke(session: AsyncSession, key_id: UUID | None, now: datetime) -> ApiKey:
    """Ends a key; every process drops its cache at the commit. Raises NotFound."""
    key = await find(session, key_id)
    if key.revoked_at is None:
        key.revoked_at = now
        await session.flush()
        await notify(session, "keys")
    return key


async def page(
    session: AsyncSession, *, merchant_id: UUID | None, limit: int, cursor: UUID | None
) -> tuple[list[ApiKey], bool]:
    """Keys, newest first, of one merchant or (None) of all, and whether there are more."""
    return await page_of(session, ApiKey, limit, cursor, merchant_id=merchant_id)


def show(key: ApiKey) -> dict[str, Any]:
    """The API's JSON of a key, without its secret."""
    return {
        "id": ids.show("key", key.id),
        "object": "api_key",
        "merchant": ids.show("mer", key.merchant_id) if key.merchant_id else None,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_at": clock.show(key.created_at),
        "last_used_at": clock.show(key.last_used_at) if key.last_used_at else None,
        "revoked_at": clock.show(key.revoked_at) if key.revoked_at else None,
    }
