"""Commands of whoever runs an installation: merchants, keys, the books, forks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bezant.bootstrap import open_context
from bezant.places import sandbox_dir
from bezant.settings import Settings, load
from core import ids
from ledger.verify import Report
from merchants import keys, merchants, scopes
from merchants.tables import ApiKey


def installation(file: Path | None, directory: Path | None = None) -> Settings:
    """As everywhere; where no bezant.toml is named or here, the running sandbox's, which lives in
    `directory` if one is given."""
    if file or (directory is None and is_configured()):
        return load(file)
    found = environment_of_sandbox(sandbox_dir(directory))
    return load(None, found) if found else load(None)


def is_configured() -> bool:
    """Whether a bezant.toml is named, or lies here."""
    return bool(os.environ.get("BEZANT_CONFIG")) or Path("bezant.toml").exists()


def create_merchant(settings: Settings, name: str) -> dict[str, Any]:
    """A merchant, its first key and its webhook secret."""

    async def do() -> dict[str, Any]:
        async with (
            open_context(settings, listen=False) as context,
            context.database.begin() as session,
        ):
            now = context.clock.now()
            merchant, secret = await merchants.create(session, context, name, now=now)
            _, plaintext = await keys.create_key(
                session, merchant.id, [scopes.EVERYTHING], "first", now
            )
            return {**merchants.show(merchant), "webhook_secret": secret, "api_key": plaintext}

    return asyncio.run(do())


def create_key(
    settings: Settings, merchant: str | None, wanted: Sequence[str], name: str | None
) -> dict[str, Any]:
    """Raises NotFound, Invalid."""

    async def do() -> dict[str, Any]:
        async with (
            open_context(settings, listen=False) as context,
            context.database.begin() as session,
        ):
            merchant_id = None
            if merchant is not None:
                merchant_id = (await merchants.find(session, ids.read("mer", merchant))).id
            now = context.clock.now()
            key, plaintext = await keys.create_key(session, merchant_id, wanted, name, now)
            return {**keys.show(key), "key": plaintext}

    return asyncio.run(do())


def list_keys(settings: Settings, merchant: str | None) -> list[dict[str, Any]]:
    """All of them, newest first."""

    async def do() -> list[dict[str, Any]]:
        async with (
            open_context(settings, listen=False) as context,
            context.database.read() as session,
        ):
            merchant_id = None
            if merchant is not None:
                merchant_id = (await merchants.find(session, ids.read("mer", merchant))).id
            found: list[ApiKey] = []
            more = True
            while more:
                cursor = found[-1].id if found else None
                page, more = await keys.page(
                    session, merchant_id=merchant_id, limit=100, cursor=cursor
                )
                found += page
            return [keys.show(key) for key in found]

    return asyncio.run(do())


def revoke_key(settings: Settings, key_id: str) -> dict[str, Any]:
    """Raises NotFound."""

    async def do() -> dict[str, Any]:
        async with (
            open_context(settings, listen=False) as context,
            context.database.begin() as session,
        ):
            key = await keys.revoke(session, ids.read("key", key_id), context.clock.now())
            return keys.show(key)

    return asyncio.run(do())


def accept_fork(settings: Settings, network: str) -> None:
    """Raises NotFound when that network is not halted by a fork."""
    from payments.network_state import accept_fork as accept

    async def do() -> None:
        async with (
            open_context(settings, listen=False) as context,
            context.database.begin() as session,
        ):
            await accept(session, context, network)

    asyncio.run(do())


def load_list(
    settings: Settings, file: Path, name: str, kind: str, allow_shrinking: bool
) -> dict[str, Any]:
    """Raises Invalid, Conflict."""
    from risk.lists import Kind
    from risk.lists import load as load_addresses

    async def do() -> dict[str, Any]:
        async with (
            open_context(settings, listen=False) as context,
            context.database.begin() as session,
        ):
            found = await load_addresses(
                session,
                file,
                name=name,
                kind=Kind(kind),
                now=context.clock.now(),
                allow_shrinking=allow_shrinking,
            )
            return {**asdict(found), "kind": found.kind.value}

    return asyncio.run(do())


def verify_ledger(url: str) -> Report:
    """Walks the whole ledger of the database at `url`."""
    from core.db import Database
    from ledger.verify import verify

    async def do() -> Report:
        database = Database(url, size=1)
        try:
            return await verify(database)
        finally:
            await database.close()

    return asyncio.run(do())


def environment_of_sandbox(directory: Path) -> dict[str, str] | None:
    """What another process of the sandbox that runs there needs, if one does."""
    from sandbox import ready
    from sandbox.keys import socket_in

    found = ready.read(directory)
    if found is None:
        return None
    return {
        "BEZANT_CONFIG": str(directory / "bezant.toml"),
        "BEZANT_DATABASE_URL": found["database_url"],
        "BEZANT_DATA_DIR": str(directory),
        "BEZANT_PUBLIC_URL": found["api_url"],
        "BEZANT_SECRET_KEY_FILE": str(directory / "keys" / "secret.key"),
        "BEZANT_SERVICE_KEY_FILE": str(directory / "keys" / "service.key"),
        "BEZANT_SIGNER_SOCKET": str(socket_in(directory / "signer")),
    }


def url_of_sandbox(directory: Path) -> str | None:
    """The database of the sandbox that runs there, if one does."""
    from sandbox import ready

    found = ready.read(directory)
    return found["database_url"] if found else None
