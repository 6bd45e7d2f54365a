"""/v1/invoices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api.auth import merchant_of, require
from api.direct import Direct
from api.idempotency import once, once_of, respond
from api.paging import Page
from core import ids, metrics
from core.context import Context
from core.errors import Invalid
from merchants.keys import Principal
from payments import creation, decisions, invoices
from payments.creation import NewInvoice
from payments.timeline import timeline as timeline_of

router = APIRouter(prefix="/v1/invoices", tags=["Invoices"], route_class=Direct)

Reader = Annotated[Principal, require("invoices:read")]
Writer = Annotated[Principal, require("invoices:write")]
Status = Literal["new", "processing", "settled", "expired", "invalid"]


class InvoiceRequest(schemas.Body):
    """`assets` and `networks` left out mean all that the merchant accepts."""

    amount: schemas.Amount
    currency: schemas.Currency
    assets: Annotated[list[schemas.Symbol], Field(min_length=1, max_length=50)] | None = None
    networks: Annotated[list[schemas.NetworkId], Field(min_length=1, max_length=50)] | None = None
    expires_in: Annotated[int, Field(ge=60, le=604_800, description="Seconds.")] = 900
    tolerance_percent: Annotated[
        str,
        Field(
            pattern=r"^([0-4](\.[0-9]{1,4})?|5(\.0{1,4})?)$",
            description="How much less still counts as paid: 0 to 5 percent.",
        ),
    ] = "0"
    reference: schemas.Reference | None = None
    description: schemas.Description | None = None
    metadata: schemas.Metadata = Field(default_factory=dict)
    success_url: schemas.WebUrl | None = None
    webhook_url: schemas.WebUrl | None = None


class Mark(schemas.Body):
    """A person's judgement; it comes before what the chain says."""

    status: Literal["settled", "invalid"]
    reason: Annotated[str, Field(min_length=1, max_length=500)]


@router.post("", status_code=201, response_model=schemas.Invoice)
async def create(body: InvoiceRequest, request: Request, caller: Writer) -> Response:
    """Locks the rates and opens a deposit address."""
    answer = await creation.create(
        request.app.state.context,
        merchant_of(caller),
        NewInvoice(**body.__dict__),
        once_of(request, caller),
    )
    if not answer.replayed:
        metrics.INVOICES_CREATED.labels(body.currency).inc()
    return respond(answer)


@router.get("", response_model=schemas.Page[schemas.Invoice])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    status: Status | None = None,
    reference: Annotated[str | None, Query(max_length=255)] = None,
    created_after: queries.Time = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await invoices.page(
            session,
            context,
            caller.merchant_id,
            status=status,
            reference=reference,
            created_after=created_after,
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/{invoice}", response_model=schemas.Invoice)
async def show(invoice: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.statement() as connection:
        number = ids.read("inv", invoice)
        found = await invoices.show_on(connection, context, number, caller.merchant_id)
    return paging.json(found)


@router.post("/{invoice}/cancel", response_model=schemas.Invoice)
async def cancel(invoice: str, request: Request, caller: Writer) -> Response:
    """Expires it now. What was paid, or still comes, goes to the money inbox."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await decisions.cancel(session, context, merchant_id, ids.read("inv", invoice))

    return await once(request, caller, do)


@router.post("/{invoice}/mark", response_model=schemas.Invoice)
async def mark(invoice: str, body: Mark, request: Request, caller: Writer) -> Response:
    """Settles or voids it by a person's word."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await decisions.mark(
            session, context, merchant_id, ids.read("inv", invoice), body.status, body.reason
        )

    return await once(request, caller, do)


@router.get("/{invoice}/timeline", response_model=schemas.Page[schemas.TimelineEntry])
async def timeline(invoice: str, request: Request, caller: Reader) -> Response:
    """All that happened to it, in order."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data = await timeline_of(session, context, caller.merchant_id, ids.read("inv", invoice))
    return paging.list_json(data, has_more=False)


@router.get("/{invoice}/evidence", response_model=schemas.Shown)
async def evidence(invoice: str, request: Request, caller: Reader) -> Response:
    """Not available yet: 422 `not_available`."""
    return await _not_available(request, caller, invoice, "evidence bundles")


async def _not_available(request: Request, caller: Principal, invoice: str, what: str) -> Response:
    """Raises NotFound before Invalid, as the finished operation will."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        await invoices.show(session, context, ids.read("inv", invoice), caller.merchant_id)
    raise Invalid(f"{what} are not available yet", code="not_available")
