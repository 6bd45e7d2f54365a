"""/v1/deposits and the money inbox."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api.auth import merchant_of, require
from api.idempotency import once, required
from api.paging import Page
from core import ids
from core.context import Context
from core.errors import Forbidden
from merchants.keys import Principal
from payments import decisions, deposits, refunds

router = APIRouter(prefix="/v1/deposits", tags=["Deposits"])

Reader = Annotated[Principal, require("deposits:read")]
Writer = Annotated[Principal, require("deposits:write")]


class Resolution(schemas.Body):
    """`credit` counts the money for an invoice or the balance; `refund` sends it to `address`;
    `ignore` leaves it in the inbox."""

    action: Literal["credit", "refund", "ignore"]
    invoice: Annotated[str, Field(max_length=64)] | None = None
    address: Annotated[str, Field(max_length=64)] | None = None


@router.get("", response_model=schemas.Page[schemas.Deposit])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    invoice: Annotated[str | None, Query(max_length=64)] = None,
    wallet: Annotated[str | None, Query(max_length=64)] = None,
    status: Literal["pending", "confirmed", "orphaned"] | None = None,
    matched: queries.Flag = None,
    network: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """`matched=false`: what is not simply an invoice's payment."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await deposits.page(
            session,
            context,
            caller.merchant_id,
            invoice=queries.read_id("invoice", "inv", invoice),
            wallet=queries.read_id("wallet", "wal", wallet),
            status=status,
            matched=matched,
            network=network,
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/{deposit}", response_model=schemas.Deposit)
async def show(deposit: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await deposits.show(session, context, ids.read("dep", deposit), caller.merchant_id)
    return paging.json(found)


@router.post("/{deposit}/resolve", response_model=schemas.Deposit)
async def resolve(deposit: str, body: Resolution, request: Request, caller: Writer) -> Response:
    """Decides about money in the inbox. A refund needs the scope `payouts:write` as well, and an
    `Idempotency-Key`; the answer names it in `refund`."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    invoice_id = queries.read_id("invoice", "inv", body.invoice)
    deposit_id = ids.read("dep", deposit)
    if body.action == "refund" and not caller.may("payouts:write"):
        raise Forbidden("this key lacks the scope payouts:write", code="missing_scope")

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        if body.action == "refund":
            await deposits.find(session, deposit_id, merchant_id)
            required(request)
            refund = await refunds.resolve(
                session,
                context,
                merchant_id,
                deposit_id,
                body.address,
                ids.show("key", caller.key_id),
            )
            shown = await deposits.show(session, context, deposit_id, merchant_id)
            return 200, {**shown, "refund": refund["id"]}
        return 200, await decisions.resolve(
            session, context, merchant_id, deposit_id, body.action, invoice_id
        )

    return await once(request, caller, do)
