"""/v1/treasury/rules: what the treasury converts by itself. Operators only."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api.auth import require_operator
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from treasury import rules

router = APIRouter(prefix="/v1/treasury/rules", tags=["Treasury"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]

Of = Literal["settled", "fiat_at_quote", "fiat_at_fill", "held"]
Schedule = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00]*$",
        description="`on_settlement`, or a cron expression in UTC.",
        examples=["on_settlement", "0 6 * * 1-5"],
    ),
]
Percent = Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$", examples=["50"])]


class NewRule(schemas.Body):
    """`of` says what the share is taken of: what `settled` since it last looked; the part that the
    house took over (`fiat_at_quote`) or set aside (`fiat_at_fill`, always all of it) for merchants
    who settle in `to`; or what is `held` at the venues above `threshold`. Amounts are of `asset`.
    `dry_run`: quotes and counts, converts nothing."""

    asset: schemas.Symbol
    to: schemas.Symbol
    share_percent: Percent = "100"
    of: Of = "settled"
    schedule: Schedule = "on_settlement"
    minimum: schemas.Amount = "0"
    threshold: schemas.Amount | None = None
    daily_limit: schemas.Amount | None = None
    dry_run: bool = False


class RuleFiring(schemas.Shown):
    """`amount` was to be converted, `from_amount` and `to_amount` came of it."""

    id: str
    object: Literal["rule_firing"]
    rule: str
    status: Literal["working", "done", "dry_run"]
    amount: str
    from_amount: str
    to_amount: str
    quote: str | None
    conversion: str | None
    created_at: schemas.Time
    finished_at: schemas.Time | None


class Rule(schemas.Shown):
    """`reason`: why it did not fire when it looked last. `left_over` counts the next time.
    `firings`: the last ten."""

    id: str
    object: Literal["treasury_rule"]
    status: Literal["active", "ended"]
    asset: str
    to: str
    of: Of
    share_percent: str
    schedule: str
    minimum: str
    threshold: str | None
    daily_limit: str | None
    dry_run: bool
    left_over: str
    reason: str | None
    next_at: schemas.Time | None
    checked_at: schemas.Time | None
    firings: list[RuleFiring]
    created_at: schemas.Time
    ended_at: schemas.Time | None


@router.post("", status_code=201, response_model=Rule)
async def create(body: NewRule, request: Request, caller: Writer) -> Response:
    """It counts from now on."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        asked = rules.NewRule(**body.model_dump())
        by = ids.show("key", caller.key_id)
        return 201, await rules.create(session, context, asked, by)

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[Rule])
async def list_all(
    request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await rules.page(session, limit=page.limit, cursor=page.cursor)
    return paging.list_json(data, more)


@router.get("/{rule}", response_model=Rule)
async def show(rule: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await rules.show(session, ids.read("rul", rule))
    return paging.json(found)


@router.delete("/{rule}", response_model=Rule)
async def remove(rule: str, request: Request, caller: Writer) -> Response:
    """It fires no more; what it has under way is followed to its end."""
    context: Context = request.app.state.context
    async with context.database.begin() as session:
        ended = await rules.end(session, context, ids.read("rul", rule))
    return paging.json(ended)
