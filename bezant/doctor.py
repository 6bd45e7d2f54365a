"""`bezant doctor`: is everything as it must be? A plain sentence each, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import LiteralString

import psycopg
import structlog
from rich.console import Console

from bezant import nodes, outgoing, venues
from bezant.bootstrap import database_url
from bezant.settings import Settings
from core.db import SERVICE_ROLE, plain_url
from core.errors import Misconfigured
from core.schema import newest

MARKS = {"ok": "[green]ok  [/green]", "note": "[yellow]note[/yellow]", "bad": "[red]bad [/red]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`verdict`: ok, note (works, but know it) or bad."""

    about: str
    verdict: str
    sentence: str


def run(settings: Settings, as_json: bool) -> int:
    """Prints every finding; 1 when one is bad."""
    # A finding says it all: the log of the code that was asked would tell it twice.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    console = Console(highlight=False)
    findings: list[Finding] = []

    async def look() -> None:
        async for finding in examine(settings):
            findings.append(finding)
            if not as_json:
                mark = MARKS[finding.verdict]
                console.print(f"{mark} {finding.about}: {finding.sentence}", soft_wrap=True)

    asyncio.run(look())
    if as_json:
        console.print_json(json.dumps([asdict(finding) for finding in findings]))
    return 1 if any(finding.verdict == "bad" for finding in findings) else 0


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """All checks, cheapest first."""
    yield _configuration(settings)
    yield _secret(settings)
    for finding in await _database(settings):
        yield finding
    for verdict, about, sentence in await outgoing.examine(settings):
        yield Finding(about, verdict, sentence)
    for verdict, about, sentence in await venues.examine(settings):
        yield Finding(about, verdict, sentence)
    for network in settings.catalog.networks.values():
        for verdict, about, sentence in await nodes.examine(network):
            yield Finding(f"{network.id} {about}", verdict, sentence)


def _configuration(settings: Settings) -> Finding:
    networks = settings.catalog.networks
    assets = sorted(settings.catalog.assets)
    return Finding(
        "configuration",
        "ok" if networks else "bad",
        f"{settings.file} names {len(networks)} networks and the assets {', '.join(assets)}.",
    )


def _secret(settings: Settings) -> Finding:
    try:
        settings.secrets()
    except Misconfigured as error:
        return Finding("secret key", "bad", f"{error}.")
    return Finding("secret key", "ok", "BEZANT_SECRET_KEY opens and seals.")


async def _database(settings: Settings) -> list[Finding]:
    about = "database"
    url = await asyncio.to_thread(database_url, settings)
    try:
        connection = await psycopg.AsyncConnection.connect(plain_url(url), autocommit=True)
    except psycopg.OperationalError as error:
        reason = str(error).splitlines()[0]
        return [Finding(about, "bad", f"PostgreSQL does not answer: {reason}.")]
    async with connection:
        return [
            await _version(connection),
            await _session_mode(connection),
            await _role(connection, embedded=settings.database_url is None),
            await _migrations(connection),
        ]


Connection = psycopg.AsyncConnection[tuple[object, ...]]


async def _one(connection: Connection, query: LiteralString, *values: str) -> object:
    row = await (await connection.execute(query, values or None)).fetchone()
    return row[0] if row else None


async def _version(connection: Connection) -> Finding:
    number = int(str(await _one(connection, "show server_version_num"))) // 10_000
    return Finding(
        "database",
        "ok" if number >= 15 else "bad",
        f"PostgreSQL {number} answers" + ("." if number >= 15 else "; 15 or newer is needed."),
    )


async def _session_mode(connection: Connection) -> Finding:
    """A pooler in transaction mode hands each statement to another session: locks would be lost."""
    await connection.execute("set application_name = 'bezant doctor'")
    await connection.execute("select pg_advisory_lock(7238451)")
    name = await _one(connection, "show application_name")
    held = await _one(
        connection,
        "select count(*) from pg_locks where locktype = 'advisory' and objid = 7238451"
        " and pid = pg_backend_pid()",
    )
    await connection.execute("select pg_advisory_unlock_all()")
    if name == "bezant doctor" and held == 1:
        return Finding("database session", "ok", "settings and locks last over statements.")
    return Finding(
        "database session",
        "bad",
        "a lock was not kept between two statements: connect directly, or by a pooler in session"
        " mode.",
    )


async def _role(connection: Connection, *, embedded: bool) -> Finding:
    is_super = await _one(connection, "select usesuper from pg_user where usename = current_user")
    may = await _one(
        connection,
        "select coalesce((select pg_has_role(current_user, oid, 'member') from pg_roles"
        " where rolname = %s), false)",
        SERVICE_ROLE,
    )
    if embedded:
        return Finding(
            "database role",
            "note",
            "the embedded PostgreSQL's role is a superuser without password, reached by this"
            " machine's users of its socket: fit for the sandbox and small shops.",
        )
    if not may:
        return Finding(
            "database role",
            "bad",
            f"this role may not become {SERVICE_ROLE}: run bezant migrate with the owner's role.",
        )
    if is_super:
        return Finding(
            "database role", "note", "it is a superuser: a role of its own would be enough."
        )
    return Finding("database role", "ok", f"it works as {SERVICE_ROLE}, which owns no table.")


async def _migrations(connection: Connection) -> Finding:
    try:
        found = await _one(connection, "select version_num from alembic_version")
    except psycopg.errors.UndefinedTable:
        found = None
    if found == newest():
        return Finding("schema", "ok", f"it is {found}, the newest.")
    return Finding("schema", "bad", f"it is {found}, not {newest()}: run bezant migrate.")
