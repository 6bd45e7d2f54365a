"""/v1/payouts and /v1/payout_batches."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api import payout_schemas as shapes
from api.auth import merchant_of, require, require_operator
from api.idempotency import once, required
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from payments import bank_payouts, payout_reads, payout_requests, payouts
from payments.payout_explain import explain as explain_payout
from payments.payout_requests import NewPayout
from payments.payout_tables import PayoutBatch
from payments.payout_views import batch_json, payout_json
from treasury import bank_exports

router = APIRouter(prefix="/v1", tags=["Payouts"])

Reader = Annotated[Principal, require("payouts:read")]
Writer = Annotated[Principal, require("payouts:write")]
Banker = Annotated[Principal, require_operator("treasury:write")]


@router.post("/payouts", status_code=201, response_model=shapes.Payout)
async def create(body: shapes.PayoutRequest, request: Request, caller: Writer) -> Response:
    """Sets the money aside; judged and sent by the worker. Needs an `Idempotency-Key`."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    required(request)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        on = await payout_requests.ground(
            session, context, merchant_id, [body.address], [body.bank_account]
        )
        wanted = payout_requests.read(on, _new(body))
        [row] = await payout_requests.store(
            session, context, merchant_id, [wanted], initiator=_initiator(caller)
        )
        return 201, payout_json(row, context.catalog)

    return await once(request, caller, do)


@router.get("/payouts", response_model=schemas.Page[shapes.Payout])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    status: shapes.Status | None = None,
    asset: schemas.Symbol | None = None,
    reference: Annotated[str | None, Query(max_length=255)] = None,
    batch: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await payout_reads.page(
            session,
            context,
            caller.merchant_id,
            status=status,
            asset=asset,
            reference=reference,
            batch=queries.read_id("batch", "bat", batch),
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.post("/payouts/explain", response_model=shapes.Explanation)
async def explain(body: shapes.ExplainRequest, request: Request, caller: Reader) -> Response:
    """A dry run: nothing is set aside or remembered."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    wallet_id = queries.read_id("wallet", "wal", body.wallet)
    async with context.database.rehearse() as session:
        found = await explain_payout(
            session, context, merchant_id, caller.key_id, _new(body), wallet_id
        )
    return paging.json(found)


@router.get("/payouts/{payout}", response_model=shapes.Payout)
async def show(payout: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await payout_reads.show(
            session, context, ids.read("pay", payout), caller.merchant_id
        )
    return paging.json(found)


@router.post("/payouts/{payout}/approve", response_model=shapes.Payout)
async def approve(
    payout: str, body: shapes.Approving, request: Request, caller: Writer
) -> Response:
    """One approver's signature; with the last one it goes on. The signer checks them again. A
    payout to a bank is released by operators, each with a key of their own and an empty body."""
    context: Context = request.app.state.context
    number = ids.read("pay", payout)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        if body.approver is None or body.signature is None:
            return 200, await bank_payouts.release(
                session, context, caller.merchant_id, number, _initiator(caller)
            )
        return 200, await payouts.approve(
            session, context, caller.merchant_id, number, body.approver, body.signature
        )

    return await once(request, caller, do)


@router.post("/payouts/{payout}/fail", response_model=shapes.Payout)
async def fail(payout: str, body: shapes.Rejecting, request: Request, caller: Banker) -> Response:
    """An operator says that the bank did not carry it out: the money is back. Only for a payout to
    a bank that is `sending`: 409 `payout_not_sending`."""
    context: Context = request.app.state.context
    number = ids.read("pay", payout)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await bank_exports.declined(session, context, number, body.reason)

    return await once(request, caller, do)


@router.post("/payouts/{payout}/reject", response_model=shapes.Payout)
async def reject(payout: str, body: shapes.Rejecting, request: Request, caller: Writer) -> Response:
    """Nothing leaves, the money is back. 409 `payout_not_open` once it is being sent."""
    context: Context = request.app.state.context
    number = ids.read("pay", payout)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await payouts.reject(session, context, caller.merchant_id, number, body.reason)

    return await once(request, caller, do)


@router.post("/payout_batches", status_code=201, response_model=shapes.PayoutBatch)
async def create_batch(body: shapes.BatchRequest, request: Request, caller: Writer) -> Response:
    """Up to 500 payouts, all or none; sent together where that is cheaper."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    required(request)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        addresses = [one.address for one in body.payouts]
        accounts = [one.bank_account for one in body.payouts]
        on = await payout_requests.ground(session, context, merchant_id, addresses, accounts)
        wanted = payout_requests.read_all(on, [_new(one) for one in body.payouts])
        initiator = _initiator(caller)
        batch = PayoutBatch(
            id=ids.new(), merchant_id=merchant_id, initiator=initiator, created_at=on.now
        )
        rows = await payout_requests.store(
            session, context, merchant_id, wanted, initiator=initiator, batch=batch
        )
        return 201, batch_json(batch, rows, context.catalog)

    return await once(request, caller, do)


@router.get("/payout_batches", response_model=schemas.Page[shapes.PayoutBatch])
async def list_batches(
    request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    """Without their payouts: GET /v1/payouts?batch= lists those."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await payout_reads.batches(
            session, context, caller.merchant_id, limit=page.limit, cursor=page.cursor
        )
    return paging.list_json(data, more)


@router.get("/payout_batches/{batch}", response_model=shapes.PayoutBatch)
async def show_batch(batch: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await payout_reads.show_batch(
            session, context, ids.read("bat", batch), caller.merchant_id
        )
    return paging.json(found)


def _new(body: shapes.PayoutRequest) -> NewPayout:
    asked = set(shapes.PayoutRequest.model_fields)  # what a dry run names besides is not the payout
    return NewPayout(**body.model_dump(include=asked))


def _initiator(caller: Principal) -> str:
    return ids.show("key", caller.key_id)
