"""Lists of addresses from files: read when they appear and whenever they change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from core.context import Context
from core.errors import Conflict, Invalid
from risk.lists import Kind, load
from risk.tables import ScreeningList

log = structlog.get_logger()

LOOK_SECONDS = 60


async def follow_lists(
    context: Context,
    sanctions: Sequence[Path],
    mixers: Sequence[Path],
    *,
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """For ever. A file that cannot be read leaves in force what was read before."""
    files = [(path, Kind.SANCTIONS) for path in sanctions] + [(p, Kind.MIXER) for p in mixers]
    while True:
        for path, kind in files:
            try:
                await _follow(context, path, kind)
            except (OSError, Invalid, Conflict) as error:
                log.error("list_not_loaded", file=str(path), error=str(error))
        await asyncio.sleep(look_seconds)


async def _follow(context: Context, path: Path, kind: Kind) -> None:
    """A list is as old as its file: a download that stopped coming does not pass for a new one."""
    found = await asyncio.to_thread(path.stat)
    modified = datetime.fromtimestamp(int(found.st_mtime), UTC)
    async with context.database.begin() as session:
        standing = await session.get(ScreeningList, path.name)
        if standing is not None and standing.loaded_at == modified:
            return
        loaded = await load(session, path, name=path.name, kind=kind, now=modified)
    log.info("list_loaded", list=loaded.list, entries=loaded.entries, before=loaded.before)
