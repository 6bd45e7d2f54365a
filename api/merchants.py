"""/v1/merchants: operators only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api.auth import Operator
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants import merchants

router = APIRouter(prefix="/v1/merchants", tags=["Merchants"])

Name = Annotated[str, Field(min_length=1, max_length=200, examples=["Lamp shop"])]
SettleIn = Literal["crypto", "fiat_at_quote", "fiat_at_fill"]
Percent = Annotated[str, Field(pattern=r"^[0-9]{1,2}(\.[0-9]{1,4})?$", examples=["0.5"])]
FiatCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])]


class AcceptedPair(schemas.Body):
    """An asset on a network."""

    network: schemas.NetworkId
    asset: schemas.Symbol


Accepts = Annotated[
    list[AcceptedPair],
    Field(min_length=1, max_length=200, description="null: all that is configured."),
]


class NewMerchant(schemas.Body):
    name: Name
    settle_in: SettleIn = "crypto"
    settle_currency: FiatCode | None = None
    spread_percent: Percent = "0"
    payout_fee: Literal["merchant", "house"] = "merchant"
    accepts: Accepts | None = None


class MerchantChanges(schemas.Body):
    """What is left out stays as it is; the defaults here are never used."""

    name: Name = ""
    settle_in: SettleIn = "crypto"
    settle_currency: FiatCode | None = None
    spread_percent: Percent = ""
    payout_fee: Literal["merchant", "house"] = "merchant"
    accepts: Accepts | None = None


@router.post("", status_code=201, response_model=schemas.NewlyMadeMerchant)
async def create(body: NewMerchant, request: Request, caller: Operator) -> Response:
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        fields = _fields(body.model_dump())
        merchant, secret = await merchants.create(
            session, context, fields.pop("name"), **fields, now=context.clock.now()
        )
        return 201, {**merchants.show(merchant), "webhook_secret": secret}

    return await once(request, caller, do, secret=True)


@router.get("", response_model=schemas.Page[schemas.Merchant])
async def list_all(
    request: Request, caller: Operator, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        rows, more = await merchants.page(session, limit=page.limit, cursor=page.cursor)
    return paging.list_json([merchants.show(row) for row in rows], more)


@router.get("/{merchant}", response_model=schemas.Merchant)
async def show(merchant: str, request: Request, caller: Operator) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await merchants.find(session, ids.read("mer", merchant))
    return paging.json(merchants.show(found))


@router.patch("/{merchant}", response_model=schemas.Merchant)
async def update(
    merchant: str, body: MerchantChanges, request: Request, caller: Operator
) -> Response:
    context: Context = request.app.state.context
    changes = _fields(body.model_dump(exclude_unset=True))
    async with context.database.begin() as session:
        changed = await merchants.update(session, context, ids.read("mer", merchant), changes)
    return paging.json(merchants.show(changed))


def _fields(body: dict[str, Any]) -> dict[str, Any]:
    """The body's fields as the domain takes them: pairs for what is accepted."""
    if body.get("accepts") is not None:
        body["accepts"] = [(pair["network"], pair["asset"]) for pair in body["accepts"]]
    return body
