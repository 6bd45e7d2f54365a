"""/v1/exports: the books to take away. Operators only."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api.auth import require_operator
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from treasury import exports
from treasury.export_period import Format, What
from treasury.lots import Method

router = APIRouter(prefix="/v1/exports", tags=["Exports"])

Reader = Annotated[Principal, require_operator("ledger:read")]
Moment = Annotated[datetime, BeforeValidator(queries.read_time)]
Kind = Literal["journal", "gains", "lots"]


class ExportRequest(schemas.Body):
    """since <= time < until; from the beginning and until now where left out."""

    kind: Kind
    format: Literal["csv", "beancount"] = "csv"
    method: Literal["fifo", "average"] | None = Field(
        None, description="Of gains and lots: which units leave first."
    )
    since: Moment | None = None
    until: Moment | None = None


class ExportChain(schemas.Shown):
    """The last entry that it holds, in the ledger's hash chain."""

    seq: int
    hash: str | None


class Export(schemas.Shown):
    """`pending` while something of its period may still come; then `url` gives the file, the same
    bytes each time."""

    id: str
    object: Literal["export"]
    status: Literal["pending", "ready"]
    kind: Kind
    format: Literal["csv", "beancount"]
    method: Literal["fifo", "average"] | None
    since: schemas.Time | None
    until: schemas.Time
    url: str | None
    through: ExportChain | None
    created_at: schemas.Time


@router.post("", status_code=202, response_model=Export)
async def create(body: ExportRequest, request: Request, caller: Reader) -> Response:
    """Mostly `ready` at once."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 202, await exports.create(
            session,
            context,
            what=What(body.kind),
            format=Format(body.format),
            method=Method(body.method) if body.method else None,
            since=body.since,
            until=body.until,
            created_by=ids.show("key", caller.key_id),
        )

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[Export])
async def list_all(
    request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    context: Context = request.app.state.context
    async with context.database.begin() as session:
        data, more = await exports.page(session, context, page.limit, page.cursor)
    return paging.list_json(data, more)


@router.get("/{export}", response_model=Export)
async def show(export: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.begin() as session:
        found = await exports.show(session, context, ids.read("exp", export))
    return paging.json(found)


@router.get(
    "/{export}/file",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}, "text/plain": {}}}},
)
async def file(export: str, request: Request, caller: Reader) -> Response:
    """Its bytes, as they are made. 409 `export_pending`."""
    context: Context = request.app.state.context
    async with context.database.begin() as session:
        media, name, data = await exports.file(session, context, ids.read("exp", export))
    attached = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(data, media_type=media, headers=attached)
