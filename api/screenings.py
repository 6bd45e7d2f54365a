"""/v1/screenings: operators only. Sources of deposits and destinations of payouts."""

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
from risk import screenings

router = APIRouter(prefix="/v1/screenings", tags=["Screenings"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]
Verdict = Literal["accept", "hold", "reject"]


class Decision(schemas.Body):
    verdict: Literal["accept", "reject"]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Screening(schemas.Shown):
    """`subject` is a deposit or a payout. While it is pending some source has not answered; a
    hold that is done waits for a person."""

    id: str
    object: Literal["screening"]
    subject: str
    merchant: str | None
    network: str
    address: str | None = Field(description="null: nobody can tell who sent it.")
    status: Literal["pending", "done"]
    verdict: Verdict
    score: int | None = Field(description="0-100, of a deposit, where the policy asks for it.")
    reasons: list[dict[str, Any]]
    evidence: dict[str, Any]
    decision: dict[str, Any] | None = Field(description="A person's: by, reason, at.")
    created_at: schemas.Time
    updated_at: schemas.Time


@router.get("", response_model=schemas.Page[Screening])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    address: Annotated[str | None, Query(max_length=64)] = None,
    status: Literal["pending", "done"] | None = None,
    verdict: Verdict | None = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        rows, more = await screenings.page(
            session,
            address=address,
            status=status,
            verdict=verdict,
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json([screenings.show(row) for row in rows], more)


@router.get("/{screening}", response_model=Screening)
async def show(screening: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await screenings.find(session, ids.read("scr", screening))
    return paging.json(screenings.show(found))


@router.post("/{screening}/decide", response_model=Screening)
async def decide(screening: str, body: Decision, request: Request, caller: Writer) -> Response:
    """A person's word, for this deposit or payout alone. What spoke against it stays beside it."""
    context: Context = request.app.state.context
    number = ids.read("scr", screening)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        now = context.clock.now()
        row = await screenings.decide(
            session, number, body.verdict, body.reason, caller.key_id, now
        )
        return 200, screenings.show(row)

    return await once(request, caller, do)
