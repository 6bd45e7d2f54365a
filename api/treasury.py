"""/v1/treasury: what is the house's own. Operators only."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api import paging, schemas
from api.auth import require_operator
from core.context import Context
from merchants.keys import Principal
from wallets import places

router = APIRouter(prefix="/v1/treasury", tags=["Treasury"])

Reader = Annotated[Principal, require_operator("treasury:read")]


class PlaceBalance(schemas.Shown):
    asset: str
    amount: str


class Place(schemas.Shown):
    """By the ledger: wallets of one role on a network are one place, `balances` are theirs
    together."""

    network: str
    place: str
    balances: list[PlaceBalance]


class Wallet(schemas.Shown):
    """A wallet of the house, or a treasury whose key is elsewhere (its `id` is its address)."""

    id: str
    object: Literal["wallet"]
    address: str
    label: str
    kind: Literal["hot", "relayer", "treasury", "watch"]
    signable: bool = Field(description="Whether our signer may hold its key.")
    places: list[Place]
    created_at: schemas.Time | None
    retired_at: schemas.Time | None


@router.get("/wallets", response_model=schemas.Page[Wallet])
async def wallets(request: Request, caller: Reader) -> Response:
    """Hot wallets, relayers and treasuries, all of them on one page."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await places.wallets(session, context)
    return paging.list_json(found, has_more=False)
