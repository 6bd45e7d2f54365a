"""/v1/sweeps: deposit addresses emptied into the treasury. Operators only."""

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
from wallets import sweep_requests

router = APIRouter(prefix="/v1/sweeps", tags=["Sweeps"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]

Status = Literal["requested", "approved", "sending", "in_transit", "done", "failed"]
Text = Annotated[str, Field(min_length=1, max_length=64)]


class SweepRequest(schemas.Body):
    """What to empty on a network; what is left out means all that the books know.

    `addresses` are deposit addresses: named ones are asked on chain for what they hold, and are
    swept whatever screening or an earlier failure says. `assets` are symbols; beside `addresses`
    also contracts of tokens that are not configured, which no book will hold.
    """

    network: schemas.NetworkId
    addresses: Annotated[list[Text], Field(min_length=1, max_length=500)] | None = None
    assets: Annotated[list[Text], Field(min_length=1, max_length=50)] | None = None


class SweptDeposit(schemas.Shown):
    id: str
    gas: str | None = Field(description="Its share of the transaction's gas, in the coin.")


class SweepItem(schemas.Shown):
    """One asset at one address. Amounts of a token without a symbol are base units."""

    address: str
    asset: str | None
    token: str | None = Field(description="The contract; null for the network's own coin.")
    status: Literal["pending", "swept", "empty", "failed", "unsent"]
    amount: str
    swept: str = Field(description="What left, by the factory's events, whoever sent them.")
    arrived: str
    tx_hashes: list[str]
    gas: str | None
    deposits: list[SweptDeposit]


class SkippedItem(schemas.Shown):
    address: str
    asset: str | None
    token: str | None
    reason: str
    retry_at: schemas.Time | None


class SweepTransaction(schemas.Shown):
    id: str
    nonce: int | None
    tx_hash: str | None
    status: str
    reason: str | None
    gas: str | None
    variants: list[dict[str, Any]]


class Sweep(schemas.Shown):
    """In a list `items` and `skipped` are left out: GET /v1/sweeps/{id} has them."""

    id: str
    object: Literal["sweep"]
    status: Status
    reasons: list[str]
    network: str
    trigger: Literal["command", "policy"]
    addresses: list[str] | None
    assets: list[str] | None
    network_fee: str | None
    totals: list[dict[str, Any]]
    items: list[SweepItem]
    skipped: list[SkippedItem]
    transactions: list[SweepTransaction]
    created_at: schemas.Time
    finished_at: schemas.Time | None


@router.post("", status_code=201, response_model=Sweep)
async def create(body: SweepRequest, request: Request, caller: Writer) -> Response:
    """Planned and sent by the worker. Needs an `Idempotency-Key`."""
    context: Context = request.app.state.context
    required(request)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 201, await sweep_requests.create(
            session,
            context,
            network=body.network,
            addresses=body.addresses,
            assets=body.assets,
            initiator=ids.show("key", caller.key_id),
        )

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[Sweep])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    network: schemas.NetworkId | None = None,
    status: Status | None = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await sweep_requests.page(
            session,
            context,
            network=network,
            status=status,
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/{sweep}", response_model=Sweep)
async def show(sweep: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await sweep_requests.show(session, context, ids.read("swp", sweep))
    return paging.json(found)
