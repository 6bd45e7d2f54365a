"""`python -m sandbox.exchanges.main`: both simulated venues in one process of their own."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import ssl
import sys
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web

from core import log as logs
from core.errors import ChainError
from exchanges.types import Venue
from sandbox.exchanges import binance_server, certificates, coinbase_server, control, told
from sandbox.exchanges.addresses import deposit_address, secret_of
from sandbox.exchanges.chain import ChainWatch
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.markets import rules
from sandbox.exchanges.purse import Purse
from sandbox.exchanges.told import Told
from sandbox.node import Node

log = structlog.get_logger()

POLL_SECONDS = 0.25
CLOSE_SECONDS = 0.5  # for requests that are under way when we are to end
TLS = "tls"  # the directory, in ours


def open_simulators(directory: Path, all_: Told) -> dict[Venue, Simulator]:
    """As they were when they were last there."""
    found = {}
    for venue in Venue:
        found[venue] = Simulator(
            venue,
            seed=int(all_.seed[:8], 16),
            credentials=all_.credentials.get(venue, ()),
            rules=[rule for n in all_.networks for rule in rules(n.id, n.tokens)],
            addresses={n.id: deposit_address(all_.seed, venue) for n in all_.networks},
            file=directory / f"{venue}.db",
        )
    return found


def watches(
    all_: Told, simulators: Mapping[Venue, Simulator], session: aiohttp.ClientSession
) -> list[ChainWatch]:
    """One for each network."""
    return [
        ChainWatch(
            network.id,
            Node(network.url, session),
            list(simulators.values()),
            [Purse(s, network.id, secret_of(all_.seed, v, "purse")) for v, s in simulators.items()],
            network.feeds,
        )
        for network in all_.networks
    ]


async def follow(watch: ChainWatch) -> None:
    """For ever; what a node refuses is asked again, and told once."""
    told_already = ""
    while True:
        try:
            await watch.look()
            told_already = ""
        except ChainError as error:
            if str(error) != told_already:
                told_already = str(error)
                log.warning("chain_not_followed", detail=told_already)
        await asyncio.sleep(POLL_SECONDS)


async def clear(simulators: Collection[Simulator]) -> None:
    """For ever: credits what banks have announced."""
    while True:
        for simulator in simulators:
            simulator.clear_banks()
        await asyncio.sleep(POLL_SECONDS)


async def serve(
    application: web.Application, bound: socket.socket, tls: ssl.SSLContext | None = None
) -> web.AppRunner:
    """Serves on a socket that is bound already."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    await web.SockSite(runner, bound, ssl_context=tls).start()
    return runner


async def run(directory: Path, sockets: Mapping[str, socket.socket]) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    all_ = told.read(directory)
    tls = certificates.ensure(directory / TLS).server_context()
    simulators = open_simulators(directory, all_)
    async with AsyncExitStack() as stack:
        for simulator in simulators.values():
            stack.callback(simulator.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        following = [asyncio.create_task(follow(w)) for w in watches(all_, simulators, session)]
        following.append(asyncio.create_task(clear(simulators.values())))
        for task in following:
            stack.callback(task.cancel)
        for application, name, context in (
            (control.application(simulators, all_.secret), "control", None),
            (binance_server.application(simulators[Venue.BINANCE]), "binance", None),
            (coinbase_server.application(simulators[Venue.COINBASE]), "coinbase", tls),
        ):
            runner = await serve(application, sockets[name], context)
            stack.push_async_callback(runner.cleanup)
        log.info("simulators_started")
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait([waiting, *following], return_when=asyncio.FIRST_COMPLETED)
        for task in following:
            if task.done():
                task.result()  # it failed: that ends us, and whoever guards us starts us again
    log.info("simulators_stopped")


def main() -> None:
    """Reads its arguments: a directory, and the numbers of bound sockets."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.exchanges.main")
    parser.add_argument("directory", type=Path)
    for name in ("control", "binance", "coinbase"):
        parser.add_argument(f"--{name}-fd", type=int, required=True)
    given = vars(parser.parse_args())
    directory: Path = given.pop("directory")
    logs.configure(json=not sys.stderr.isatty())
    sockets = {name.removesuffix("_fd"): socket.socket(fileno=fd) for name, fd in given.items()}
    asyncio.run(run(directory, sockets))


if __name__ == "__main__":
    main()
