"""/v1/sandbox/exchanges/*: faults, orders and prices of the simulated venues."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import aiohttp
from fastapi import APIRouter, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import schemas
from api.auth import Caller
from api.idempotency import once
from core.errors import Invalid, NotFound, Unavailable
from exchanges.types import Venue
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.steering import ask


class FaultWish(schemas.Body):
    """A fault for the next `times` calls of an operation."""

    operation: Annotated[Operation, Field(strict=False)]
    fault: Annotated[Fault, Field(strict=False)]
    times: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class Mid(schemas.Body):
    """The price that a market's makers quote around; without `price` they follow the sandbox's
    feeds again."""

    symbol: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}-[A-Z0-9]{2,12}$", examples=["ETH-EUR"])]
    price: schemas.Amount | None = None


class Theft(schemas.Body):
    """A withdrawal that nobody here has ordered."""

    asset: schemas.Symbol
    amount: schemas.Amount
    network: schemas.NetworkId
    address: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]


class BankTransfer(schemas.Body):
    """What a bank brings; the venue keeps `fee` of it."""

    asset: schemas.Symbol
    amount: schemas.Amount
    fee: schemas.Amount | None = None


def router(control: Path) -> APIRouter:
    """The paths; any valid key may use them. `control` is a file that says how the simulators are
    reached."""
    handlers = Handlers(control)
    routes = APIRouter(prefix="/v1/sandbox/exchanges/{venue}", tags=["Sandbox"])
    for method, path, handler in (
        ("POST", "/faults", handlers.add_fault),
        ("DELETE", "/faults", handlers.clear_faults),
        ("GET", "/orders", handlers.orders),
        ("POST", "/mid", handlers.mid),
        ("POST", "/withdrawals", handlers.withdraw),
        ("POST", "/fiat_deposits", handlers.bring_fiat),
    ):
        routes.add_api_route(path, handler, methods=[method], response_model=schemas.Shown)
    return routes


class Handlers:
    """What they share."""

    def __init__(self, control: Path) -> None:
        self._control = control

    async def add_fault(
        self, venue: str, body: FaultWish, request: Request, caller: Caller
    ) -> Response:
        """Switches a fault on; `waiting` are all that have not happened yet."""
        return await self._change(venue, "faults", body, request, caller)

    async def mid(self, venue: str, body: Mid, request: Request, caller: Caller) -> Response:
        """Moves a market."""
        return await self._change(venue, "mid", body, request, caller)

    async def withdraw(self, venue: str, body: Theft, request: Request, caller: Caller) -> Response:
        """Takes money of our account out of the venue, as a thief with its keys would."""
        return await self._change(venue, "withdrawals", body, request, caller)

    async def bring_fiat(
        self, venue: str, body: BankTransfer, request: Request, caller: Caller
    ) -> Response:
        """A bank's transfer arrives at the venue: announced at once, in the balance a second
        later. `id` is the simulator's; what the venue calls it, its history says."""
        return await self._change(venue, "fiat_deposits", body, request, caller)

    async def clear_faults(self, venue: str, caller: Caller) -> dict[str, Any]:
        """Takes back what has not happened yet."""
        return await self._ask("DELETE", venue, "faults")

    async def orders(self, venue: str, caller: Caller) -> dict[str, Any]:
        """All orders of our account, as the venue itself knows them; not in pages."""
        return await self._ask("GET", venue, "orders")

    async def _change(
        self, venue: str, path: str, body: schemas.Body, request: Request, caller: Caller
    ) -> Response:
        async def do(_session: AsyncSession) -> tuple[int, dict[str, Any]]:
            return 200, await self._ask("POST", venue, path, body.model_dump(mode="json"))

        return await once(request, caller, do)

    async def _ask(
        self, method: str, venue: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        if venue not in tuple(Venue):
            raise NotFound(f"no such exchange: there are {', '.join(Venue)}")
        try:
            status, found = await ask(self._control, method, f"{venue}/{path}", body)
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the simulators do not answer: {type(error).__name__}") from error
        if status == 422:
            raise Invalid.of(found["field"], found["problem"])
        if status != 200:
            raise Unavailable(f"the simulators answered {status}")
        answer: dict[str, Any] = found
        return answer
