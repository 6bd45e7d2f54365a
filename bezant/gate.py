"""Started ahead of time: a process of the sandbox imports all it needs, then waits to begin.

Importing is most of a start; done while the database is being made it costs nobody a wait. Without
bytecode on disk it is three times as much, so `make setup` leaves some: `python -m bezant.gate`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module

API = (
    "bezant.services", "api.app", "web.routes", "sandbox.routes", "sandbox.exchange_routes",
    "uvicorn.protocols.http.auto",
)  # fmt: skip
WORKER = (
    "bezant.services", "bezant.worker", "bezant.venues", "exchanges.binance.adapter",
    "exchanges.coinbase.adapter",
)  # fmt: skip
SIMULATORS = ("sandbox.exchanges.main",)
SANDBOX = ("bezant.sandbox", "bezant.signer", "sandbox.demo", "sandbox.founding", "alembic.command")


def wait(fd: int | None, modules: Sequence[str]) -> None:
    """Returns when the pipe `fd` has come to its end; at once without one."""
    if fd is None:
        return
    for name in modules:
        import_module(name)
    os.read(fd, 1)


if __name__ == "__main__":
    for module in (*API, *WORKER, *SIMULATORS, *SANDBOX):
        import_module(module)
