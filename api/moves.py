"""/v1/treasury/moves: money between hot wallet, treasury, venues and banks. Operators only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api.auth import require_operator
from api.idempotency import once, required
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from treasury import moves
from treasury.moves import NewMove

router = APIRouter(prefix="/v1/treasury", tags=["Moves"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]

Status = Literal["requested", "approved", "sending", "in_transit", "done", "failed"]
PlaceName = Annotated[
    str, Field(pattern=r"^(treasury|hot|binance|coinbase|bank:[A-Za-z0-9_-]{1,64})$")
]


class MoveRequest(schemas.Body):
    """What leaves `from`; `network` may be left out where only one has the asset."""

    asset: schemas.Symbol
    amount: schemas.Amount
    network: schemas.NetworkId | None = None
    source: Annotated[PlaceName, Field(alias="from")]
    destination: Annotated[PlaceName, Field(alias="to")]


class SafeTransaction(schemas.Shown):
    """As the Safe's transaction builder takes it."""

    chain_id: int
    safe: str
    to: str
    value: str
    data: str
    operation: Literal[0]


class Move(schemas.Shown):
    """`reason` says why it does not go on: `order_at_venue` and `order_at_bank` wait for a person,
    `late` is a Break, `written_off` what a person has made of one.
    `fee` is the venue's, in the asset. `safe`: what the
    treasury's owner is to send, where its key is not our signer's."""

    id: str
    object: Literal["move"]
    status: Status
    reason: str | None
    asset: str
    amount: str
    network: str | None
    source: str = Field(alias="from")
    destination: str = Field(alias="to")
    trigger: Literal["command", "policy"]
    address: str | None
    fee: str | None
    tx_hash: str | None
    transaction: str | None
    venue_transfer: str | None
    venue_status: Literal["pending", "done", "failed"] | None
    safe: SafeTransaction | None
    created_at: schemas.Time
    finished_at: schemas.Time | None


class VenueAddress(schemas.Shown):
    """Where a venue takes an asset, by its own answer; `held` takes nothing until it is allowed."""

    id: str
    object: Literal["venue_address"]
    venue: str
    asset: str
    network: str
    address: str
    status: Literal["held", "allowed"]
    seen_at: schemas.Time
    decided_at: schemas.Time | None
    decided_by: str | None


@router.post("/moves", status_code=201, response_model=Move)
async def create(body: MoveRequest, request: Request, caller: Writer) -> Response:
    """Sent by the worker; fiat, between a venue and a bank of the house (`bank:<id>`, of its
    currency), by a person. Needs an `Idempotency-Key`. 409 `insufficient_funds`; 422 `no_such_way`,
    `unknown_asset`, `unknown_network`, `unknown_account`, `no_wallet`."""
    context: Context = request.app.state.context
    required(request)
    asked = NewMove(
        asset=body.asset,
        amount=body.amount,
        network=body.network,
        source=body.source,
        destination=body.destination,
        initiator=ids.show("key", caller.key_id),
    )

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 201, await moves.create(session, context, asked)

    return await once(request, caller, do)


@router.get("/moves", response_model=schemas.Page[Move])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    status: Status | None = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await moves.page(
            session, context, status=status, limit=page.limit, cursor=page.cursor
        )
    return paging.list_json(data, more)


@router.get("/moves/{move}", response_model=Move)
async def show(move: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await moves.show(session, context, ids.read("mov", move))
    return paging.json(found)


@router.post("/moves/{move}/approve", response_model=Move)
async def approve(move: str, request: Request, caller: Writer) -> Response:
    """Allows the venue's address that is held, from now on; of fiat: it was ordered at the venue,
    or at the bank. 409 `move_not_held`."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        by = ids.show("key", caller.key_id)
        return 200, await moves.approve(session, context, ids.read("mov", move), by)

    return await once(request, caller, do)


@router.post("/moves/{move}/cancel", response_model=Move)
async def cancel(move: str, request: Request, caller: Writer) -> Response:
    """While nothing has left, and nothing of it is in the books. 409 `move_not_open`."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await moves.cancel(session, context, ids.read("mov", move))

    return await once(request, caller, do)


@router.get("/venue_addresses", response_model=schemas.Page[VenueAddress])
async def list_addresses(
    request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await moves.addresses(session, limit=page.limit, cursor=page.cursor)
    return paging.list_json(data, more)
