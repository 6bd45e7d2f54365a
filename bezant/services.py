"""`bezant api`, `bezant worker` and `bezant migrate`: the processes of a real installation."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from bezant.bootstrap import build_api, database_url, open_context, open_signer
from bezant.settings import Settings
from core import log as logs
from core import memory
from core.errors import Misconfigured
from core.hardening import harden

log = structlog.get_logger()

# A request under way, an open stream too, has this long when the process is told to stop.
GRACE_SECONDS = 2


def run_api(settings: Settings, host: str, port: int, fd: int | None) -> None:
    """Serves until SIGTERM or SIGINT. `fd` is a listening socket handed over by a parent."""
    import uvicorn

    harden()

    class Server(uvicorn.Server):
        """Stops when asked, and leaves signals to us, so that everything is closed behind it."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop)
            yield

        def stop(self) -> None:
            self.should_exit = True

    _configure_logs()
    bound = listening(host, port, fd)

    async def serve() -> None:
        async with open_context(settings) as context:
            config = uvicorn.Config(
                build_api(settings, context),
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
            log.info("api_started", address=_address(bound))
            await Server(config).serve(sockets=[bound])
        log.info("api_stopped")

    memory.tune()
    _run(serve())


def run_worker(settings: Settings, port: int, fd: int | None) -> None:
    """Works until SIGTERM or SIGINT; its own metrics are on 127.0.0.1:`port` (0: nowhere)."""
    from bezant import worker
    from bezant.venues import open_exchanges

    harden()
    _configure_logs()
    bound: socket.socket | None = None
    if fd is not None or port:
        try:
            bound = listening("127.0.0.1", port, fd)
        except Misconfigured as error:  # a standby on the same machine works without them
            log.warning("metrics_not_served", error=str(error))

    async def work() -> None:
        async with (
            open_context(settings) as context,
            open_signer(settings) as signer,
            open_exchanges(settings) as exchanges,
        ):
            await worker.run(settings, context, signer, exchanges, bound)

    memory.tune()
    _run(work())


def migrate(settings: Settings) -> str:
    """Brings the schema to the newest revision and names it."""
    from core import schema

    schema.migrate(database_url(settings))
    return schema.newest() or ""


def listening(host: str, port: int, fd: int | None = None) -> socket.socket:
    """A bound, listening TCP socket. Raises Misconfigured when the address is taken."""
    if fd is not None:
        return socket.socket(fileno=fd)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise Misconfigured(
            f"--port is {port}, which cannot be listened on at {host} ({error.strerror}):"
            " a free port is allowed"
        ) from None
    return bound


def _run(main: Coroutine[Any, Any, None]) -> None:
    """On uvloop where there is one."""
    import uvicorn

    factory = uvicorn.Config("", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{host}:{port}"


def _configure_logs() -> None:
    """JSON for machines, colours for a person at a terminal."""
    logs.configure(json=not sys.stderr.isatty())
