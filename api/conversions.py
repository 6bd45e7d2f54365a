"""/v1/conversions: quotes carried out at the venues. Operators only."""

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
from treasury import conversions

router = APIRouter(prefix="/v1/conversions", tags=["Conversions"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]

Status = Literal["accepted", "working", "filled", "partially_filled", "failed"]
OrderStatus = Literal["prepared", "sent", "unknown", "open", "filled", "cancelled", "refused"]


class ConversionRequest(schemas.Body):
    """A quote that still stands and that nobody took."""

    quote: Annotated[str, Field(min_length=1, max_length=64, description="qte_...")]


class ConversionAmounts(schemas.Shown):
    from_amount: str
    to_amount: str


class VenueAmount(schemas.Shown):
    venue: str
    asset: str
    amount: str


class AssetAmount(schemas.Shown):
    asset: str
    amount: str


class ConversionLeg(schemas.Shown):
    """One order. `step` counts from 0; step 2 gives back what the second step could not sell."""

    id: str
    object: Literal["order"]
    path: int
    step: int
    attempt: int
    venue: str
    symbol: str
    side: Literal["buy", "sell"]
    client_order_id: str
    venue_order_id: str | None
    status: OrderStatus
    reason: str | None
    quantity: str
    limit_price: str
    filled: str
    average_price: str | None
    fees: list[AssetAmount]
    created_at: schemas.Time


class Conversion(schemas.Shown):
    """`from_amount` and `to_amount` are what was given and got so far, less fees. `left` is what
    was not given, or is kept between two steps, and where. `against_quote` is how much better than
    quoted it went (worse: negative)."""

    id: str
    object: Literal["conversion"]
    status: Status
    reason: str | None
    quote: str
    from_: Annotated[str, Field(alias="from")]
    to: str
    from_amount: str
    to_amount: str
    quoted: ConversionAmounts
    left: list[VenueAmount]
    against_quote: list[AssetAmount]
    legs: list[ConversionLeg]
    created_at: schemas.Time
    finished_at: schemas.Time | None


@router.post("", status_code=201, response_model=Conversion)
async def create(body: ConversionRequest, request: Request, caller: Writer) -> Response:
    """Blocks its funds; sent by the worker. Needs an `Idempotency-Key`. 409 `quote_expired`,
    `quote_used`, `insufficient_funds`."""
    context: Context = request.app.state.context
    required(request)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        quote = ids.read("qte", body.quote)
        initiator = ids.show("key", caller.key_id)
        return 201, await conversions.accept(session, context, quote, initiator)

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[Conversion])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    status: Status | None = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await conversions.page(
            session, status=status, limit=page.limit, cursor=page.cursor
        )
    return paging.list_json(data, more)


@router.get("/{conversion}", response_model=Conversion)
async def show(conversion: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await conversions.show(session, ids.read("cnv", conversion))
    return paging.json(found)
