"""The worker: every loop of an installation side by side in one process.

A loop that fails is logged and begins again after a while; it never takes another one down.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

import ledger.sequence
import webhooks.sequence
from bezant import proving, trading
from bezant.house import follow_treasury, follow_wallets
from bezant.lists import follow_lists
from bezant.settings import Settings
from chain import broadcast
from chain.endpoints import Endpoints
from core.context import Context
from core.networks import Network
from exchanges.protocol import Exchange
from exchanges.types import Venue
from payments import arrivals, payout_fees, screening_work
from payments.following import follow
from payments.payout_work import Payouts
from payments.quoting import Quoting
from payments.relaying import Relaying
from payments.x402_checking import Checking
from payments.x402_settling import Settling
from payments.x402_terms import kinds
from prices.oracle import Oracle
from risk.screener import Screener
from wallets.sending import Sending
from wallets.signer.client import Signer
from wallets.sweeps import Sweeps
from webhooks.deliver import Deliverer
from webhooks.desk import Desk

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 1
LONGEST_PAUSE_SECONDS = 30
ORACLE_POLL_SECONDS = 5  # feeds are read at each block besides
STEADY_SECONDS = 60  # a loop that ran this long begins without blame

RESTARTS = Counter("bezant_loop_restarts", "Loops of the worker that failed.", ["loop"])

Loop = Callable[[], Awaitable[None]]


async def run(
    settings: Settings,
    context: Context,
    signer: Signer,
    exchanges: Mapping[Venue, Exchange],
    metrics: socket.socket | None = None,
) -> None:
    """Works until SIGTERM or SIGINT; what is under way is then stored or given back."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _metrics(metrics):
        found = loops(settings, context, signer, exchanges)
        tasks = [asyncio.create_task(keep(name, loop)) for name, loop in found.items()]
        log.info("worker_started", loops=len(tasks))
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    log.info("worker_stopped")


def loops(
    settings: Settings, context: Context, signer: Signer, exchanges: Mapping[Venue, Exchange]
) -> dict[str, Loop]:
    """All loops by name."""
    sanctions, mixers = settings.sanctions_lists, settings.mixer_lists
    desk = Desk()
    found: dict[str, Loop] = {
        "deliveries": lambda: Deliverer(context, desk=desk).run(),
        "events": lambda: webhooks.sequence.run(context),
        "entries": lambda: ledger.sequence.run(context),
        "wallets": lambda: follow_wallets(context, signer),
        "lists": lambda: follow_lists(context, sanctions, mixers),
        "screenings": lambda: Screener(context).run(),
        "screened": lambda: screening_work.run(context),
        "payouts": lambda: _payouts(context, signer),
        "arrivals": lambda: arrivals.run(context),
    }
    found |= trading.loops(context, exchanges)
    if len(exchanges) == len(settings.venues):  # else what it calls clean would not be
        every = settings.configuration.reconciliation.every_seconds
        found |= proving.loops(context, exchanges, every)
    for network in context.catalog.networks.values():
        found |= _network_loops(context, signer, network, desk)
    return found


async def _payouts(context: Context, signer: Signer) -> None:
    async with AsyncExitStack() as stack:
        endpoints = {
            network.id: await stack.enter_async_context(Endpoints(network))
            for network in context.catalog.networks.values()
        }
        await Payouts(context, signer, endpoints=endpoints).run()


def _network_loops(
    context: Context, signer: Signer, network: Network, desk: Desk
) -> dict[str, Loop]:
    async def blocks() -> None:
        async with Endpoints(network) as endpoints:
            await follow(context, network, endpoints, desk)

    async def prices() -> None:
        async with Endpoints(network) as endpoints:
            await Oracle(context, network, endpoints).run(ORACLE_POLL_SECONDS)

    async def treasury() -> None:
        async with Endpoints(network) as endpoints:
            await follow_treasury(context, network, endpoints)

    async def transactions() -> None:
        async with Endpoints(network) as endpoints:
            await Sending(context, network, endpoints, signer).run()

    async def fees() -> None:
        async with Endpoints(network) as endpoints:
            await payout_fees.follow(context, network, lambda: broadcast.market(endpoints))

    async def sweeps() -> None:
        async with Endpoints(network) as endpoints:
            await Sweeps(context, network, endpoints).run()

    async def quotes() -> None:
        async with Endpoints(network) as endpoints:
            await Quoting(context, network, endpoints, signer).run()

    async def relays() -> None:
        async with Endpoints(network) as endpoints:
            await Relaying(context, network, endpoints).run()

    found: dict[str, Loop] = {
        f"blocks {network.id}": blocks,
        f"transactions {network.id}": transactions,
        f"fees {network.id}": fees,
    }
    if network.feeds:
        found[f"prices {network.id}"] = prices
    if network.router is not None:
        found[f"quotes {network.id}"] = quotes
        found[f"relays {network.id}"] = relays
    if network.factory is not None:
        found[f"treasury {network.id}"] = treasury
        found[f"sweeps {network.id}"] = sweeps
    return found | _x402_loops(context, network)


def _x402_loops(context: Context, network: Network) -> dict[str, Loop]:
    async def checks() -> None:
        async with Endpoints(network) as endpoints:
            await Checking(context, network, endpoints).run()

    async def settlements() -> None:
        async with Endpoints(network) as endpoints:
            await Settling(context, network, endpoints).run()

    if all(here is not network for here, _ in kinds(context.catalog)):
        return {}
    return {f"x402 checks {network.id}": checks, f"x402 settlements {network.id}": settlements}


async def keep(
    name: str,
    loop: Loop,
    *,
    first_pause: float = FIRST_PAUSE_SECONDS,
    longest_pause: float = LONGEST_PAUSE_SECONDS,
) -> None:
    """Runs a loop for ever: after a failure again, later and later while it keeps failing."""
    pause = first_pause
    while True:
        started = time.monotonic()
        try:
            await loop()
            log.error("loop_ended", loop=name)
        except Exception:  # the outermost step: nothing may take the other loops down
            log.exception("loop_failed", loop=name)
        RESTARTS.labels(name).inc()
        if time.monotonic() - started > STEADY_SECONDS:
            pause = first_pause
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest_pause)


@asynccontextmanager
async def _metrics(bound: socket.socket | None) -> AsyncIterator[None]:
    """/metrics and /healthz of this process on a socket that is bound already."""
    if bound is None:
        yield
        return
    application = web.Application()
    application.router.add_get("/metrics", _show)
    application.router.add_get("/healthz", _healthz)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.SockSite(runner, bound).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _show(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
