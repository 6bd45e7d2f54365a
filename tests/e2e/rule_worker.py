"""The worker's loop of rules, in a process of its own: test_rule_kill.py kills it."""

from __future__ import annotations

import asyncio

from core.db import Database
from tests.contexts import context_of
from tests.integration.api.conftest import CATALOG
from tests.integration.treasury.test_rules import nobody_waits, nothing_waits
from treasury.rule_work import Claims, Rules

LEASE_SECONDS = 1


def run(url: str) -> None:
    """Until it is killed."""
    asyncio.run(_run(url))


async def _run(url: str) -> None:
    database = Database(url)
    context = context_of(database, CATALOG)
    rules = Rules(context, Claims(nothing_waits, nobody_waits), poll_seconds=0.1)
    rules.lease_seconds = LEASE_SECONDS
    await asyncio.gather(context.listener.run(("rules",)), rules.run())
