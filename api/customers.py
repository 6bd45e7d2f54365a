"""/v1/customers: whoever a merchant keeps wallets for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api import wallet_schemas as shapes
from api.auth import merchant_of, require
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from payments import customers

router = APIRouter(prefix="/v1/customers", tags=["Customers"])

Reader = Annotated[Principal, require("wallets:read")]
Writer = Annotated[Principal, require("wallets:write")]


@router.post("", status_code=201, response_model=shapes.Customer)
async def create(body: shapes.CustomerRequest, request: Request, caller: Writer) -> Response:
    """409 `reference_taken` where there is one under this reference."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 201, await customers.create(
            session, context, merchant_id, body.reference, body.metadata
        )

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[shapes.Customer])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    reference: Annotated[str | None, Query(max_length=255)] = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await customers.page(
            session,
            caller.merchant_id,
            reference=reference,
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/{customer}", response_model=shapes.Customer)
async def show(customer: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await customers.find(session, ids.read("cus", customer), caller.merchant_id)
    return paging.json(customers.customer_json(found))
