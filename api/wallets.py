"""/v1/wallets: customers' wallets, what leaves them by the chain, and how much may."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, payout_schemas, queries, schemas
from api import wallet_schemas as shapes
from api.auth import merchant_of, require, require_operator
from api.idempotency import once, required
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from payments import customer_wallets, payout_requests, wallet_limits, withdrawals
from payments.payout_requests import NewPayout
from payments.payout_views import payout_json
from payments.wallet_limits import NewLimit

router = APIRouter(prefix="/v1/wallets", tags=["Wallets"])

Reader = Annotated[Principal, require("wallets:read")]
Writer = Annotated[Principal, require("wallets:write")]
Payer = Annotated[Principal, require("payouts:write")]
LimitsReader = Annotated[Principal, require_operator("treasury:read")]
LimitsWriter = Annotated[Principal, require_operator("treasury:write")]


@router.post("", status_code=201, response_model=shapes.Wallet)
async def create(body: shapes.WalletRequest, request: Request, caller: Writer) -> Response:
    """With an address that stays: whatever is paid to it is the customer's."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    customer_id = ids.read("cus", body.customer)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 201, await customer_wallets.create(
            session, context, merchant_id, customer_id, body.networks
        )

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[shapes.Wallet])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    customer: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await customer_wallets.page(
            session,
            context,
            caller.merchant_id,
            customer=queries.read_id("customer", "cus", customer),
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/{wallet}", response_model=shapes.Wallet)
async def show(wallet: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await customer_wallets.show(
            session, context, ids.read("wal", wallet), caller.merchant_id
        )
    return paging.json(found)


@router.post("/{wallet}/payouts", status_code=201, response_model=payout_schemas.Payout)
async def pay_out(
    wallet: str, body: payout_schemas.PayoutRequest, request: Request, caller: Payer
) -> Response:
    """A payout whose money, fee included, is the customer's. Needs an `Idempotency-Key`. 409
    `insufficient_funds`, `limit_exceeded`."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    number = ids.read("wal", wallet)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        await customer_wallets.find(session, number, merchant_id)
        required(request)
        on = await payout_requests.ground(session, context, merchant_id, [body.address])
        wanted = payout_requests.read_on_chain(on, NewPayout(**body.__dict__))
        initiator = ids.show("key", caller.key_id)
        row = await withdrawals.create(session, context, merchant_id, number, wanted, initiator)
        return 201, payout_json(row, context.catalog)

    return await once(request, caller, do)


@router.get("/{wallet}/limits", response_model=shapes.Limits)
async def show_limits(wallet: str, request: Request, caller: LimitsReader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await wallet_limits.show(session, context, ids.read("wal", wallet))
    return paging.json(found)


@router.put("/{wallet}/limits", response_model=shapes.Limits)
async def set_limits(
    wallet: str, body: shapes.LimitsRequest, request: Request, caller: LimitsWriter
) -> Response:
    """They hold from now on; what left in the last 24 hours counts."""
    context: Context = request.app.state.context
    number = ids.read("wal", wallet)
    limits = [NewLimit(**limit.__dict__) for limit in body.limits]

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await wallet_limits.replace(session, context, number, limits)

    return await once(request, caller, do)
