"""Started ahead of time: a process of the sandbox imports all it needs, then waits to begin.

Importing is most of a start; done while the database is being made it costs nobody a wait.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module

API = ("bezant.services", "api.app", "web.routes", "sandbox.routes", "uvicorn.protocols.http.auto")
WORKER = ("bezant.services", "bezant.worker")


def wait(fd: int | None, modules: Sequence[str]) -> None:
    """Returns when the pipe `fd` has come to its end; at once without one."""
    if fd is None:
        return
    for name in modules:
        import_module(name)
    os.read(fd, 1)
