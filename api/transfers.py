"""/v1/transfers: from one customer's wallet to another's, at once, in the ledger alone."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api import wallet_schemas as shapes
from api.auth import merchant_of, require
from api.idempotency import once, required
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from payments import transfers
from payments.transfers import NewTransfer

router = APIRouter(prefix="/v1/transfers", tags=["Transfers"])

Reader = Annotated[Principal, require("wallets:read")]
Writer = Annotated[Principal, require("transfers:write")]


@router.post("", status_code=201, response_model=shapes.Transfer)
async def create(body: shapes.TransferRequest, request: Request, caller: Writer) -> Response:
    """Needs an `Idempotency-Key`. 409 `insufficient_funds`, `limit_exceeded`."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    required(request)
    wanted = NewTransfer(
        from_wallet=ids.read("wal", body.from_wallet),
        to_wallet=ids.read("wal", body.to_wallet),
        amount=body.amount,
        asset=body.asset,
        reference=body.reference,
    )

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        initiator = ids.show("key", caller.key_id)
        return 201, await transfers.create(session, context, merchant_id, wanted, initiator)

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[shapes.Transfer])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    wallet: Annotated[
        str | None, Query(max_length=64, description="From this wallet, or to it.")
    ] = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await transfers.page(
            session,
            context,
            caller.merchant_id,
            wallet_id=queries.read_id("wallet", "wal", wallet),
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/{transfer}", response_model=shapes.Transfer)
async def show(transfer: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await transfers.show(
            session, context, ids.read("trf", transfer), caller.merchant_id
        )
    return paging.json(found)
