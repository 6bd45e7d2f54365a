"""/v1/bank_exports: released payouts as files for the house's banks. Operators only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api.auth import require_operator
from api.bank_statements import AccountName, AccountQuery
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from treasury import bank_exports

router = APIRouter(prefix="/v1/bank_exports", tags=["Bank exports"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]


class ExportRequest(schemas.Body):
    """`account`: the house's that pays; left out, the only one in `currency`, or the only one."""

    account: AccountName | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])] | None = None


class BankExport(schemas.Shown):
    """A file with `payouts` payments that make `total`; `made_by` a key, or the command line."""

    id: str
    object: Literal["bank_export"]
    account: str
    asset: str
    payouts: int
    total: str
    format: Literal["pain.001.001.09"]
    made_by: str
    created_at: schemas.Time


@router.post("", status_code=201, response_model=BankExport)
async def create(body: ExportRequest, request: Request, caller: Writer) -> Response:
    """A file of all that was released and is in none yet (at most 1,000): they are `sending` from
    now on, and in no other file. 409 `nothing_to_export`."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 201, await bank_exports.make(
            session,
            context,
            account=body.account,
            currency=body.currency,
            by=ids.show("key", caller.key_id),
        )

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[BankExport])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    account: AccountQuery = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await bank_exports.page(
            session, account=account, limit=page.limit, cursor=page.cursor
        )
    return paging.list_json(data, more)


@router.get("/{export}", response_model=BankExport)
async def show(export: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await bank_exports.find(session, ids.read("bex", export))
    return paging.json(bank_exports.export_json(found))


@router.get(
    "/{export}/file",
    response_class=Response,
    responses={200: {"content": {"application/xml": {"schema": {"type": "string"}}}}},
)
async def download(export: str, request: Request, caller: Writer) -> Response:
    """pain.001.001.09, the same bytes each time: a bank knows a repetition by its number."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await bank_exports.find(session, ids.read("bex", export))
    name = f"{export}.xml"
    return Response(
        found.content.encode(),
        media_type="application/xml",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
