"""/v1/reconciliations: balances proved against chains, venues and invoices. Operators only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api.auth import require_operator
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from reconciliation import runs
from reconciliation.parts import Scope

router = APIRouter(prefix="/v1/reconciliations", tags=["Reconciliations"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]

Status = Literal["running", "clean", "breaks", "failed"]
Scopes = Literal["chain", "exchanges", "invoices", "all"]


class ReconciliationRequest(schemas.Body):
    scope: Scopes = "all"


class ProvedBlock(schemas.Shown):
    """Balances on this network are proved at this block."""

    network: str
    number: int
    hash: str


class ProvedVenue(schemas.Shown):
    """A venue was compared as it stood then (its own wall time)."""

    venue: str
    as_of: schemas.Time


class Unread(schemas.Shown):
    """A comparison that could not be made."""

    part: str
    reason: str


class Reconciliation(schemas.Shown):
    """`clean`: all of it was compared, nothing differs. `breaks`: something differs, whether it
    was known before or not. `failed`: `unread` could not be compared; what was, stands."""

    id: str
    object: Literal["reconciliation"]
    status: Status
    scope: Scopes
    trigger: Literal["command", "schedule"]
    blocks: list[ProvedBlock]
    venues: list[ProvedVenue]
    compared: int
    breaks_opened: int
    breaks_resolved: int
    differences: int
    parts: dict[str, dict[str, Any]]
    unread: list[Unread]
    behind: dict[str, int]
    created_at: schemas.Time
    started_at: schemas.Time | None
    finished_at: schemas.Time | None


@router.post("", status_code=202, response_model=Reconciliation)
async def create(
    request: Request, caller: Writer, body: ReconciliationRequest | None = None
) -> Response:
    """Asks for a run; the worker first follows each chain to its head of this moment."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        row = await runs.request(
            session,
            context,
            Scope(body.scope if body else "all"),
            trigger=runs.COMMAND,
            initiator=ids.show("key", caller.key_id),
        )
        return 202, (await runs.shown(session, [row]))[0]

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[Reconciliation])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    status: Status | None = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await runs.page(session, status=status, limit=page.limit, cursor=page.cursor)
    return paging.list_json(data, more)


@router.get("/{reconciliation}", response_model=Reconciliation)
async def show(reconciliation: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await runs.show(session, ids.read("rec", reconciliation))
    return paging.json(found)
