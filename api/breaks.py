"""/v1/breaks: differences, and what people do about them. Operators only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api.auth import require_operator
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from reconciliation import resolving

router = APIRouter(prefix="/v1/breaks", tags=["Breaks"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]

Status = Literal["open", "acknowledged", "resolved"]
Kind = Literal[
    "missing_in_ledger",
    "missing_on_chain",
    "missing_at_venue",
    "amount",
    "duplicate",
    "timing",
    "fee",
    "orphan",
]
Note = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]


class Posted(schemas.Shown):
    """A line of an entry: debit positive, in major units; of an asset that the house does not know
    in units of 10^-18."""

    account: str
    asset: str
    amount: str


class Break(schemas.Shown):
    """A difference. `expected` is what the books say, `actual` what is there, in major units.
    `resolutions` are those that are open to it; `posted` is what the one that was chosen made of
    it in the books, as `entry`."""

    id: str
    object: Literal["break"]
    kind: Kind
    status: Status
    place: str
    asset: str | None
    expected: str | None
    actual: str | None
    difference: str | None
    facts: dict[str, Any]
    age_seconds: int
    owner: str | None
    created_at: schemas.Time
    acknowledged_at: schemas.Time | None
    resolved_at: schemas.Time | None
    resolved_by: str | None
    resolution: str | None
    note: str | None
    reconciliation: str | None
    entry: str | None
    posted: list[Posted]
    resolutions: list[str]


class AcknowledgeRequest(schemas.Body):
    """`owner`: who looks after it; the caller's key where left out."""

    owner: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00]*$")] | None = None
    note: Note | None = None


class ResolveRequest(schemas.Body):
    """`explained` posts nothing. The others make the books take what is there: an execution at a
    venue with both assets and its fee (`book_trade`), anything else against `expense:losses`
    (`write_off`; what a move cost: `expense:exchange_fees`), `suspense` (`book_to_suspense`) or
    `equity` (`owner_funds`). `write_off` of a move that is late books what is in transit at that
    moment and ends the move, also after `explained`."""

    resolution: Literal["explained", "book_trade", "write_off", "book_to_suspense", "owner_funds"]
    note: Note


@router.get("", response_model=schemas.Page[Break])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    status: Status | None = None,
    kind: Kind | None = None,
    place: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
) -> Response:
    """Newest first. `place`: it and all below it (`network:eip155:1`, `exchange:binance`)."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await resolving.page(
            session,
            context,
            status=status,
            kind=kind,
            place=place,
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/{break_id}", response_model=Break)
async def show(break_id: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await resolving.show(session, context, ids.read("brk", break_id))
    return paging.json(found)


@router.post("/{break_id}/acknowledge", response_model=Break)
async def acknowledge(
    break_id: str, request: Request, caller: Writer, body: AcknowledgeRequest | None = None
) -> Response:
    """Somebody looks after it."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        asked = body or AcknowledgeRequest()
        owner = asked.owner or ids.show("key", caller.key_id)
        number = ids.read("brk", break_id)
        return 200, await resolving.acknowledge(
            session, context, number, owner=owner, note=asked.note
        )

    return await once(request, caller, do)


@router.post("/{break_id}/resolve", response_model=Break)
async def resolve(
    break_id: str, request: Request, caller: Writer, body: ResolveRequest
) -> Response:
    """Closes it by a person's word, with an entry where money is to be booked. 409
    `already_resolved`, `not_allowed` (it names what is), `booked_already`; of a move that is late
    `not_in_transit` and, while our transaction is not confirmed, `transaction_not_final`."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        by = ids.show("key", caller.key_id)
        number = ids.read("brk", break_id)
        return 200, await resolving.resolve(
            session, context, number, body.resolution, body.note, by=by
        )

    return await once(request, caller, do)
