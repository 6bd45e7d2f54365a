"""/v1/refunds, and refunds of an invoice."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api import payout_schemas as shapes
from api.auth import merchant_of, require
from api.idempotency import once, required
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from payments import invoices, refund_reads, refunds
from payments.refund_shares import NewRefund

router = APIRouter(prefix="/v1", tags=["Refunds"])

Reader = Annotated[Principal, require("payouts:read")]
Writer = Annotated[Principal, require("payouts:write")]


@router.post("/invoices/{invoice}/refunds", status_code=201, response_model=shapes.Refund)
async def create(
    invoice: str, body: shapes.RefundRequest, request: Request, caller: Writer
) -> Response:
    """Of confirmed deposits only, never more than remains. Needs an `Idempotency-Key`."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    number = ids.read("inv", invoice)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        await invoices.find(session, number, merchant_id)
        required(request)
        return 201, await refunds.create(
            session,
            context,
            merchant_id,
            number,
            NewRefund(**body.__dict__),
            ids.show("key", caller.key_id),
        )

    return await once(request, caller, do)


@router.get("/refunds", response_model=schemas.Page[shapes.Refund])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    status: shapes.Status | None = None,
    invoice: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await refund_reads.page(
            session,
            context,
            caller.merchant_id,
            status=status,
            invoice=queries.read_id("invoice", "inv", invoice),
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/refunds/{refund}", response_model=shapes.Refund)
async def show(refund: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await refund_reads.show(
            session, context, ids.read("ref", refund), caller.merchant_id
        )
    return paging.json(found)


@router.post("/refunds/{refund}/confirm", response_model=shapes.Refund)
async def confirm(
    refund: str, body: shapes.Confirming, request: Request, caller: Writer
) -> Response:
    """The merchant's yes to what a customer asked for at the checkout."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    number = ids.read("ref", refund)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        await refunds.find(session, number, merchant_id)
        required(request)
        return 200, await refunds.confirm(
            session,
            context,
            merchant_id,
            number,
            body.fee,
            ids.show("key", caller.key_id),
        )

    return await once(request, caller, do)


@router.post("/refunds/{refund}/reject", response_model=shapes.Refund)
async def reject(refund: str, body: shapes.Rejecting, request: Request, caller: Writer) -> Response:
    """The merchant's no. One that is on its way is rejected as a payout."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await refunds.reject(
            session, context, merchant_id, ids.read("ref", refund), body.reason
        )

    return await once(request, caller, do)
