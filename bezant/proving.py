"""Reconciliation put together: the worker's loop, and `bezant reconcile`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from core.context import Context
from core.errors import BezantError

if TYPE_CHECKING:  # the command asks the database only
    from bezant.settings import Settings
    from exchanges.protocol import Exchange
    from exchanges.types import Venue

Loop = Callable[[], Awaitable[None]]

LOOK_SECONDS = 0.1
TAKEN_SECONDS = 30  # by then a worker has taken the run up, if there is one
KEY = "command line"


def loops(
    context: Context, exchanges: Mapping[Venue, Exchange], every_seconds: int
) -> dict[str, Loop]:
    """By name. every_seconds 0: only on command."""

    async def reconciliation() -> None:
        from chain.endpoints import Endpoints
        from reconciliation.running import Reconciling

        async with AsyncExitStack() as stack:
            endpoints = {
                network.id: await stack.enter_async_context(Endpoints(network))
                for network in context.catalog.networks.values()
            }
            every = every_seconds or None
            await Reconciling(context, endpoints, exchanges, every_seconds=every).run()

    return {"reconciliation": reconciliation}


def reconcile(settings: Settings, scope: str) -> dict[str, Any]:
    """Asks the worker for a run and waits for its end: the run, with the Breaks that stand.

    Raises BezantError when no worker takes it up.
    """
    from bezant.bootstrap import open_context

    async def do() -> dict[str, Any]:
        async with open_context(settings, listen=False) as context:
            return await _ask(context, scope)

    return asyncio.run(do())


async def _ask(context: Context, scope: str) -> dict[str, Any]:
    from reconciliation import resolving, runs
    from reconciliation.parts import Scope

    async with context.database.begin() as session:
        row = await runs.request(
            session, context, Scope(scope), trigger=runs.COMMAND, initiator=KEY
        )
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TAKEN_SECONDS
    while True:
        async with context.database.read() as session:
            found = await runs.show(session, row.id)
            if found["finished_at"] is not None:
                standing: list[dict[str, Any]] = []
                for status in ("open", "acknowledged"):
                    some, _ = await resolving.page(
                        session, context, status=status, kind=None, place=None,
                        limit=100, cursor=None,
                    )  # fmt: skip
                    standing += some
                return {**found, "breaks": standing}
        if found["started_at"] is None and loop.time() > deadline:
            raise BezantError(
                f"no worker has taken {found['id']} up: is one running (bezant worker)?"
            )
        await asyncio.sleep(LOOK_SECONDS)
