"""From a bearer token to who asks: one look-up in memory for a key seen in the last seconds."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.clock import Clock
from core.db import Database
from core.errors import Unauthorized
from core.listen import Listener
from merchants.keys import MERCHANT_PREFIX, OPERATOR_PREFIX, Principal, hash_of

log = structlog.get_logger()

CACHE_SECONDS = 5  # a revocation in another process is felt by then even when NOTIFY is lost
USE_SECONDS = 60  # last_used_at is written at most this often for each key

_FIND = "select id, merchant_id, scopes from api_keys where hash = %s and revoked_at is null"
_USED = """
update api_keys k set last_used_at = u.used_at
from unnest(%s::uuid[], %s::timestamptz[]) as u(id, used_at)
where k.id = u.id and (k.last_used_at is null or k.last_used_at < u.used_at)
"""


class Authenticator:
    """One for a process; `run` beside the server keeps it honest and writes down uses."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[bytes, tuple[Principal, float]] = {}
        self._generation = 0
        self._noted: dict[UUID, float] = {}
        self._uses: dict[UUID, datetime] = {}
        self._used = asyncio.Event()

    async def authenticate(self, token: str) -> Principal:
        """Raises Unauthorized for a key that is unknown or revoked.

        The token is looked up by its hash, so nothing that compares it can be timed.
        """
        digest = hash_of(token)
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and known[1] > now:
            principal = known[0]
        else:
            principal = await self._find(token, digest, now)
        if now - self._noted.get(principal.key_id, -USE_SECONDS) >= USE_SECONDS:
            self._noted[principal.key_id] = now
            self._uses[principal.key_id] = self._clock.now()
            self._used.set()
        return principal

    def forget(self) -> None:
        """Drops what is known: a key was revoked."""
        self._generation += 1
        self._known.clear()

    async def _find(self, token: str, digest: bytes, now: float) -> Principal:
        row = None
        generation = self._generation
        if token.startswith((MERCHANT_PREFIX, OPERATOR_PREFIX)):
            async with self._database.statement() as connection:
                row = await (await connection.execute(_FIND, (digest,))).fetchone()
        if row is None:
            self._known.pop(digest, None)
            raise Unauthorized("this API key is not valid")
        key_id, merchant_id, scopes = row
        principal = Principal(key_id, merchant_id, frozenset(scopes), merchant_id is None)
        if generation == self._generation:  # else: read before a revocation that came meanwhile
            self._known[digest] = (principal, now + CACHE_SECONDS)
        return principal

    async def run(self, listener: Listener) -> None:
        """For ever: listens for revocations, and writes uses down off the requests' path."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(listener))
            group.create_task(self._write_uses())

    async def _listen(self, listener: Listener) -> None:
        async with listener.subscribe("keys") as revoked:
            while True:
                if await revoked.next(timeout=None) is not None:
                    self.forget()

    async def _write_uses(self) -> None:
        while True:
            await self._used.wait()
            self._used.clear()
            uses, self._uses = self._uses, {}
            try:
                async with self._database.statement() as connection:
                    await connection.execute(_USED, (list(uses), list(uses.values())))
            except (psycopg.Error, SQLAlchemyError) as error:
                log.warning("last_used_not_written", error=type(error).__name__)
