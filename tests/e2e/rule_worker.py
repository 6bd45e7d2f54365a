"""The worker's loop of rules, in a process of its own: test_rule_kill.py kills it."""

from __future__ import annotations

import asyncio

from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.secrets import SecretBox
from tests.integration.api.conftest import CATALOG
from tests.integration.treasury.test_rules import nobody_waits, nothing_waits
from treasury.rule_work import Claims, Rules

LEASE_SECONDS = 1


def run(url: str) -> None:
    """Until it is killed."""
    asyncio.run(_run(url))


async def _run(url: str) -> None:
    database = Database(url)
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=CATALOG,
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
    )
    rules = Rules(context, Claims(nothing_waits, nobody_waits), poll_seconds=0.1)
    rules.lease_seconds = LEASE_SECONDS
    await asyncio.gather(context.listener.run(("rules",)), rules.run())
