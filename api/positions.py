"""/v1/treasury/positions, lots, gains: what the house has, and what it cost. Operators only."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from api import paging, queries, schemas
from api.auth import require_operator
from api.paging import Page
from core.context import Context
from merchants.keys import Principal
from treasury import lot_views
from treasury.lots import Method
from treasury.positions import positions

router = APIRouter(prefix="/v1/treasury", tags=["Treasury"])

Reader = Annotated[Principal, require_operator("treasury:read")]
AssetQuery = Annotated[
    str, Query(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,19}$", description="Its symbol.")
]
MethodQuery = Annotated[Literal["fifo", "average"], Query(description="Which units leave first.")]
Signed = Annotated[str, Field(description="Major units, may be negative.", examples=["-1.50"])]


class PositionPlace(schemas.Shown):
    place: str = Field(description="Its account in the ledger.")
    kind: Literal["deposits", "hot", "treasury", "exchange", "bank", "transit"]
    network: str | None
    reference: str | None = Field(description="Which venue, bank account or move.")
    amount: Signed
    value: Signed | None


class Owed(schemas.Shown):
    merchants: Signed
    customers: Signed


class OldestLot(schemas.Shown):
    acquired_at: schemas.Time
    age_seconds: int


class PositionPrice(schemas.Shown):
    price: str
    updated_at: schemas.Time


class Position(schemas.Shown):
    """`exposure` is what is held and owed to nobody. Values are in the house currency, null
    without a price: `price_refused` says why."""

    id: str
    object: Literal["position"]
    created_at: schemas.Time
    asset: str
    amount: Signed
    value: Signed | None
    price: PositionPrice | None
    price_refused: str | None
    places: list[PositionPlace]
    owed: Owed
    owed_value: Signed | None
    exposure: Signed
    exposure_value: Signed | None
    oldest_lot: OldestLot | None


class ProfitLine(schemas.Shown):
    asset: str
    amount: Signed
    value: Signed | None


class Conversions(schemas.Shown):
    """At today's prices; a gain is positive. `value` is trading and fees together."""

    trading: list[ProfitLine]
    fees: list[ProfitLine]
    against_quotes: list[ProfitLine]
    value: Signed | None


class Positions(schemas.Page[Position]):
    """`value` and `exposure_value` are sums of what has a price; `unpriced` names the rest."""

    at: schemas.Time
    currency: str
    value: Signed
    exposure_value: Signed
    unpriced: list[str]
    conversions: Conversions
    lots_through: int | None = Field(
        description="The last entry that `oldest_lot` knows; null while a long history is read."
    )


class TreasuryLot(schemas.Shown):
    """What is left of what one entry brought; under `average` the heap of all. `cost` is of what is
    left, in the house currency; null: nobody knows what it was worth when it came."""

    id: str
    object: Literal["lot"]
    created_at: schemas.Time | None
    asset: str
    quantity: str
    left: str
    cost: str | None
    currency: str


class GainPortion(schemas.Shown):
    entry: str | None
    acquired_at: schemas.Time | None
    quantity: str
    cost: str | None


class Gain(schemas.Shown):
    """Units that left. Only a conversion (`sold`) realises a `gain`: proceeds less cost; null where
    one of them is unknown. `unvalued`: units without a known cost."""

    id: str
    object: Literal["disposal"]
    created_at: schemas.Time
    kind: str
    asset: str
    quantity: str
    sold: bool
    cost: str
    unvalued: str
    proceeds: str | None
    gain: Signed | None
    currency: str
    portions: list[GainPortion] = Field(description="At most 100; an export has them all.")
    portions_left_out: int


@router.get("/positions", response_model=Positions)
async def show_positions(request: Request, caller: Reader) -> Response:
    """Every asset by place with its fiat value, what we owe of it, and what is at our own risk.
    All of them on one page."""
    context: Context = request.app.state.context
    return paging.json(await positions(context))


@router.get("/lots", response_model=schemas.Page[TreasuryLot])
async def lots(
    request: Request,
    caller: Reader,
    asset: AssetQuery,
    page: Annotated[Page, Depends(paging.page)],
    method: MethodQuery = "fifo",
) -> Response:
    """Open lots of an asset, newest first."""
    context: Context = request.app.state.context
    found = await lot_views.open_lots(context, asset, Method(method))
    after = [lot for lot in found if _follows(lot.entry, page)]
    shown = [lot_views.lot_json(context, asset, lot) for lot in after[: page.limit]]
    return paging.list_json(shown, len(after) > page.limit)


@router.get("/gains", response_model=schemas.Page[Gain])
async def gains(
    request: Request,
    caller: Reader,
    asset: AssetQuery,
    page: Annotated[Page, Depends(paging.page)],
    method: MethodQuery = "fifo",
    since: queries.Time = None,
    until: queries.Time = None,
) -> Response:
    """What left of an asset, with its cost, newest first; since <= time < until."""
    context: Context = request.app.state.context
    found = await lot_views.disposals(context, asset, Method(method), since, until)
    after = [one for one in found if _follows(one.entry, page)]
    shown = [lot_views.disposal_json(context, one) for one in after[: page.limit]]
    return paging.list_json(shown, len(after) > page.limit)


def _follows(entry: UUID | None, page: Page) -> bool:
    """Whether it stands behind the page's cursor."""
    return page.cursor is None or (entry is not None and entry < page.cursor)
