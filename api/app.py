"""The HTTP application: routers, refusals, the outermost layer, and what runs beside requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

import psycopg
import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError

from api import (
    addressbook,
    approvals,
    bank_accounts,
    bank_exports,
    bank_statements,
    breaks,
    conversions,
    customers,
    deposits,
    docs,
    errors,
    events,
    exports,
    health,
    idempotency,
    invoices,
    keys,
    ledger,
    merchants,
    moves,
    networks,
    openapi,
    payouts,
    policies,
    positions,
    prices,
    quotes,
    reconciliations,
    refunds,
    rules,
    screenings,
    sweeps,
    transfers,
    treasury,
    wallets,
    webhook_endpoints,
    x402,
)
from api.edge import Edge
from core.context import Context
from core.limiter import Limiter
from merchants.authentication import Authenticator

log = structlog.get_logger()

PURGE_SECONDS = 3600

ROUTERS: tuple[APIRouter, ...] = (
    invoices.router,
    deposits.router,
    payouts.router,
    refunds.router,
    customers.router,
    wallets.router,
    transfers.router,
    sweeps.router,
    x402.router,
    conversions.router,
    treasury.router,
    rules.router,
    positions.router,
    exports.router,
    moves.router,
    bank_accounts.router,
    bank_exports.router,
    bank_statements.router,
    approvals.router,
    policies.router,
    addressbook.router,
    screenings.router,
    ledger.router,
    reconciliations.router,
    breaks.router,
    webhook_endpoints.router,
    events.router,
    merchants.router,
    keys.router,
    networks.router,
    prices.router,
    quotes.router,
    health.router,
    docs.router,
)


def create_app(context: Context, routers: Sequence[APIRouter] = ()) -> FastAPI:
    """The API and `routers` (the checkout's, the sandbox's) over one context.

    The context's listener must hear the channel `keys`, else a revocation elsewhere takes 5 s.
    """
    app = FastAPI(
        title="Bezant",
        version=version("bezant"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        generate_unique_id_function=_operation_id,
        lifespan=_lifespan,
    )
    app.state.context = context
    app.state.authenticator = Authenticator(context.database, context.clock)
    limits = context.limits
    app.state.limiter = Limiter(limits.key_per_second, limits.key_burst)
    app.state.stranger_limiter = Limiter(limits.key_per_second, limits.key_burst)
    errors.install(app)
    for router in (*ROUTERS, *routers):
        app.include_router(router)
    app.add_middleware(Edge)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    authenticator: Authenticator = app.state.authenticator
    beside = [
        asyncio.create_task(authenticator.run(context.listener)),
        asyncio.create_task(_purge(context)),
    ]
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _purge(context: Context) -> None:
    """Forgets old idempotency keys, once an hour."""
    while True:
        try:
            async with context.database.begin() as session:
                await idempotency.purge(session, context.clock.now())
        except (psycopg.Error, SQLAlchemyError) as error:
            log.warning("idempotency_not_purged", error=type(error).__name__)
        await asyncio.sleep(PURGE_SECONDS)


def _operation_id(route: APIRoute) -> str:
    """`invoices` and `create` -> `invoices_create`."""
    return "_".join([*(str(tag) for tag in route.tags[:1]), route.name]).lower().replace(" ", "_")
