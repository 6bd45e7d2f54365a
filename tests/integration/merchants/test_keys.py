"""Keys below HTTP: what the rest of the house calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from core import ids
from core.clock import Clock
from core.db import Database
from core.errors import Invalid, NotFound, Unauthorized
from core.listen import Listener
from merchants import keys
from merchants.authentication import Authenticator
from merchants.tables import ApiKey
from tests.waiting import eventually


@pytest.fixture
async def authenticator(database: Database) -> AsyncIterator[Authenticator]:
    """With its background work, as the server runs it."""
    listener = Listener(database)
    authenticator = Authenticator(database, Clock())
    tasks = [
        asyncio.create_task(listener.run(("keys",))),
        asyncio.create_task(authenticator.run(listener)),
    ]
    await listener.ready.wait()
    yield authenticator
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def make(database: Database, *scopes: str) -> tuple[ApiKey, str]:
    async with database.begin() as session:
        return await keys.create_key(session, None, scopes, "test", Clock().now())


async def test_a_key_says_who_asks(database: Database, authenticator: Authenticator) -> None:
    key, plaintext = await make(database, "ledger:read", "events:*", "ledger:read")
    principal = await authenticator.authenticate(plaintext)
    assert principal == keys.Principal(
        key.id, None, frozenset({"ledger:read", "events:*"}), is_operator=True
    )
    assert principal.may("ledger:read")
    assert principal.may("events:read")
    assert not principal.may("ledger:write")
    assert not principal.may("*")
    assert await authenticator.authenticate(plaintext) is principal  # from memory


async def test_256_random_bits_each_its_own(database: Database) -> None:
    plaintexts = {(await make(database, "*"))[1] for _ in range(20)}
    assert len(plaintexts) == 20
    assert {len(p) for p in plaintexts} == {3 + 43}


@pytest.mark.parametrize("token", ["", "sk_", "ok_x", "x" * 10_000, "ok_\U0001f600"])
async def test_anything_else_is_nobody(authenticator: Authenticator, token: str) -> None:
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(token)


async def test_a_revocation_elsewhere_is_heard(
    database: Database, authenticator: Authenticator
) -> None:
    key, plaintext = await make(database, "*")
    first = await authenticator.authenticate(plaintext)
    assert first.key_id == key.id
    async with database.begin() as session:
        revoked = await keys.revoke(session, key.id, Clock().now())
    assert revoked.revoked_at is not None

    async def refused() -> bool:
        try:
            await authenticator.authenticate(plaintext)
        except Unauthorized:
            return True
        return False

    await eventually(refused, seconds=3)  # sooner than the cache alone would forget


async def test_what_is_not_there_cannot_be_revoked(database: Database) -> None:
    async with database.begin() as session:
        for unknown in (None, ids.new()):
            with pytest.raises(NotFound):
                await keys.revoke(session, unknown, Clock().now())


async def test_unknown_scopes_are_refused_by_place(database: Database) -> None:
    async with database.begin() as session:
        with pytest.raises(Invalid) as refused:
            await keys.create_key(session, None, ["*", "all"], None, Clock().now())
    assert refused.value.errors[0].field == "scopes.1"
