"""What a process of ours is given, for tests that make one themselves."""

from __future__ import annotations

from typing import Any

from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.networks import Catalog
from core.secrets import SecretBox


def context_of(database: Database, catalog: Catalog, **more: Any) -> Context:
    """The same key for secrets in each process; nobody listens at its public URL."""
    return Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=catalog,
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
        **more,
    )
