"""/v1/sandbox/*: money, blocks, prices and time on command. Mounted in the sandbox only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import schemas
from api.auth import Caller
from api.idempotency import once
from core import ids
from core.clock import show
from core.context import Context
from core.errors import EndpointFailed, Invalid, NotFound, Unavailable
from core.networks import Network
from payments import invoices
from sandbox import paying, reorgs, scenarios, time_and_prices
from sandbox.node import Node

LONGEST_ADVANCE_SECONDS = 10 * 366 * 86_400


class Payment(schemas.Body):
    """A customer's payment; what is left out is taken from the invoice's first option."""

    invoice: str
    asset: schemas.Symbol | None = None
    network: schemas.NetworkId | None = None
    amount: schemas.Amount | None = None
    via: Literal["transfer", "contract", "router"] = "transfer"


class Blocks(schemas.Body):
    """Without `network` on every chain."""

    blocks: Annotated[int, Field(ge=1, le=100_000)]
    network: schemas.NetworkId | None = None


class Reorg(schemas.Body):
    """Without `network` on the first chain."""

    depth: Annotated[int, Field(ge=1, le=10_000)]
    keep_transactions: bool
    network: schemas.NetworkId | None = None


class Price(schemas.Body):
    """A round set by hand; without `price` the feed goes back to its start and is kept fresh."""

    pair: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}[/-][A-Z0-9]{2,12}$", examples=["ETH/USD"])]
    price: Annotated[str, Field(pattern=r"^-?[0-9]{1,30}(\.[0-9]{1,8})?$")] | None = None
    age_seconds: Annotated[int, Field(ge=-86_400, le=LONGEST_ADVANCE_SECONDS)] = 0


class Advance(schemas.Body):
    """Ours and every chain's."""

    advance_seconds: Annotated[int, Field(ge=0, le=LONGEST_ADVANCE_SECONDS)]


def router(context: Context, approver_key: Path) -> APIRouter:
    """The paths; any valid key may use them. `approver_key` is a file for `bezant approve`."""
    handlers = Handlers(context, approver_key)
    routes = APIRouter(prefix="/v1/sandbox", tags=["Sandbox"])
    for path, handler in (
        ("/pay", handlers.pay),
        ("/mine", handlers.mine),
        ("/reorg", handlers.reorg),
        ("/prices", handlers.prices),
        ("/clock", handlers.clock),
        ("/scenarios/{name}", handlers.scenario),
    ):
        routes.add_api_route(path, handler, methods=["POST"], response_model=schemas.Shown)
    return routes


class Handlers:
    """What they share."""

    def __init__(self, context: Context, approver_key: Path) -> None:
        self._context = context
        self._approver_key = approver_key

    async def pay(self, body: Payment, request: Request, caller: Caller) -> Response:
        """Pays an invoice from an unlocked account: to its address, from a contract, or through
        the router by a signed quote."""

        async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
            invoice = await invoices.show(
                session, self._context, ids.read("inv", body.invoice), caller.merchant_id
            )
            async with answering():
                return 200, await paying.pay(
                    self._context,
                    invoice,
                    asset=body.asset,
                    network=body.network,
                    amount=body.amount,
                    via=body.via,
                )

        return await once(request, caller, do)

    async def mine(self, body: Blocks, request: Request, caller: Caller) -> Response:
        """Mines empty blocks."""
        chosen = [self._network(body.network)] if body.network else self._networks()

        async def do(_session: AsyncSession) -> tuple[int, dict[str, Any]]:
            async with answering():
                for network in chosen:
                    await Node(network.rpc_urls[0]).mine(body.blocks)
                heights = {n.id: await Node(n.rpc_urls[0]).height() for n in chosen}
            return 200, {"heights": heights}

        return await once(request, caller, do)

    async def reorg(self, body: Reorg, request: Request, caller: Caller) -> Response:
        """Replaces the last blocks by as many others."""
        network = self._network(body.network)

        async def do(_session: AsyncSession) -> tuple[int, dict[str, Any]]:
            async with answering():
                found = await reorgs.reorg(
                    Node(network.rpc_urls[0]),
                    body.depth,
                    keep_transactions=body.keep_transactions,
                    now=int(self._context.clock.now().timestamp()),
                )
            return 200, {"network": network.id, **found}

        return await once(request, caller, do)

    async def prices(self, body: Price, request: Request, caller: Caller) -> Response:
        """Sets a feed, and returns when the worker has stored what it says."""
        pair = body.pair.replace("-", "/")

        async def do(_session: AsyncSession) -> tuple[int, dict[str, Any]]:
            async with answering():
                found = await time_and_prices.set_price(
                    self._context, pair, body.price, body.age_seconds
                )
            return 200, {"pair": pair, **found}

        return await once(request, caller, do)

    async def clock(self, body: Advance, request: Request, caller: Caller) -> Response:
        """Moves the domain's time and every chain's, each with one block."""

        async def do(_session: AsyncSession) -> tuple[int, dict[str, Any]]:
            async with answering():
                offset = await time_and_prices.advance(self._context, body.advance_seconds)
            return 200, {"now": show(self._context.clock.now()), "offset_seconds": offset}

        return await once(request, caller, do)

    async def scenario(self, name: str, request: Request, caller: Caller) -> Response:
        """Plays a story with an invoice of its own, and tells what happened."""
        if name not in scenarios.SCENARIOS:
            raise NotFound(f"no such scenario: there are {', '.join(scenarios.SCENARIOS)}")
        key = request.headers["authorization"].partition(" ")[2].strip()

        async def do(_session: AsyncSession) -> tuple[int, dict[str, Any]]:
            url = self._context.public_url
            return 200, await scenarios.play(name, url, key, self._approver_key)

        return await once(request, caller, do)

    def _networks(self) -> list[Network]:
        return list(self._context.catalog.networks.values())

    def _network(self, id_: str | None) -> Network:
        if id_ is None:
            return self._networks()[0]
        network = self._context.catalog.networks.get(id_)
        if network is None:
            raise Invalid.of("network", f"is one of {', '.join(self._context.catalog.networks)}")
        return network


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """What the node refuses is told as 503."""
    try:
        yield
    except EndpointFailed as error:
        raise Unavailable(f"the sandbox's chain refused: {error}") from error
