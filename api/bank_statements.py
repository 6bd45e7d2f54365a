"""/v1/bank_statements, /v1/bank_lines: what banks say of the house's fiat. Operators only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api.auth import require_operator
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from treasury import bank_deciding, bank_statements

router = APIRouter(prefix="/v1", tags=["Bank statements"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]

AccountName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", examples=["main"])]
AccountQuery = Annotated[str | None, Query(max_length=32, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Balance = Annotated[str, Field(pattern=r"^-?[0-9]{1,60}(\.[0-9]{1,30})?$", examples=["1200.00"])]
LineStatus = Literal["open", "matched", "resolved"]


class StatementRequest(schemas.Body):
    """`content` is the file's text: camt.053, or CSV by the mapping of its account; left out,
    `format` is seen by it. `opening` and `closing` are for a CSV without balances. What is larger
    than a request may be: `bezant statement import`."""

    account: AccountName
    content: Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
    format: Literal["camt.053", "csv"] | None = None
    opening: Balance | None = None
    closing: Balance | None = None


class MatchRequest(schemas.Body):
    """The line is these moves, or these payouts. `difference`: where what is missing (or is more)
    goes."""

    moves: Annotated[
        list[Annotated[str, Field(max_length=64, pattern=r"^(mov|pay)_[0-9a-z]{26}$")]],
        Field(min_length=1, max_length=100),
    ]
    difference: Literal["exchange_fees", "losses"] | None = None


class BankStatement(schemas.Shown):
    """One that proved itself: opening and lines make closing. Amounts are signed: out, and
    overdrawn, is negative. `matched`: how many of its lines are explained by what we did."""

    id: str
    object: Literal["bank_statement"]
    account: str
    asset: str
    number: str
    sequence: int | None
    format: Literal["camt.053", "csv"]
    opened_on: str
    closed_on: str
    opening: str
    closing: str
    lines: int
    matched: int
    created_at: schemas.Time


class BankLine(schemas.Shown):
    """One booking. `open` has a Break; `resolved`: a person closed that."""

    id: str
    object: Literal["bank_line"]
    account: str
    asset: str
    amount: str
    booked_on: str
    value_on: str | None
    reference: str | None
    text: str
    status: LineStatus
    matched_with: list[str]
    matched_at: schemas.Time | None
    created_at: schemas.Time


@router.post("/bank_statements", status_code=201, response_model=schemas.Page[BankStatement])
async def create(body: StatementRequest, request: Request, caller: Writer) -> Response:
    """Takes a file in, all of it or nothing; what was taken in before is shown again. 422
    `statement_does_not_add_up`, `unreadable_statement`, `wrong_account`; 409 `statement_differs`,
    `statement_too_old`."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        found = await bank_statements.take(
            session,
            context,
            body.account,
            body.content,
            format_=body.format,
            opening=body.opening,
            closing=body.closing,
            by=ids.show("key", caller.key_id),
        )
        return 201, {"object": "list", "data": found, "has_more": False, "next_cursor": None}

    return await once(request, caller, do)


@router.get("/bank_statements", response_model=schemas.Page[BankStatement])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    account: AccountQuery = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await bank_statements.page(
            session, account=account, limit=page.limit, cursor=page.cursor
        )
    return paging.list_json(data, more)


@router.get("/bank_statements/{statement}", response_model=BankStatement)
async def show(statement: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await bank_statements.show(session, ids.read("bst", statement))
    return paging.json(found)


@router.get("/bank_lines", response_model=schemas.Page[BankLine])
async def list_lines(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    account: AccountQuery = None,
    statement: Annotated[str | None, Query(max_length=64)] = None,
    status: LineStatus | None = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await bank_statements.lines(
            session,
            account=account,
            statement_id=queries.read_id("statement", "bst", statement),
            status=status,
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.post("/bank_lines/{line}/match", response_model=BankLine)
async def match(line: str, body: MatchRequest, request: Request, caller: Writer) -> Response:
    """A person's word of what a line is. 409 `amounts_differ` unless it says who bears the
    difference; 409 `line_not_open`."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await bank_deciding.decide(
            session,
            context,
            ids.read("bln", line),
            body.moves,
            body.difference,
            by=ids.show("key", caller.key_id),
        )

    return await once(request, caller, do)
