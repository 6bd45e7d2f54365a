"""/v1/policies: operators only. They make things stricter than the signer's own policy, never
looser (CHAIN 4)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api import policy_schemas as shapes
from api.auth import require_operator
from api.idempotency import once
from api.paging import Page
from core import clock
from core.context import Context
from core.errors import Invalid
from merchants.keys import Principal
from risk import drafts, policies, requests
from risk.replay import replay as replay_past
from risk.tables import PolicyDraft

router = APIRouter(prefix="/v1/policies", tags=["Policies"])

Reader = Annotated[Principal, require_operator("treasury:read")]
Writer = Annotated[Principal, require_operator("treasury:write")]

MONTH = timedelta(days=30)
MOST_COMPARED = 10_000


@router.get("", response_model=shapes.Policies)
async def show(request: Request, caller: Reader) -> Response:
    """What is in force, and the draft with what is wrong or odd about it."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        published = await policies.newest(session)
        draft = await drafts.find_draft(session)
        return paging.json(
            {
                "object": "policies",
                "published": drafts.show(published) if published else None,
                "draft": await _draft(session, context, draft) if draft else None,
            }
        )


@router.put("", response_model=shapes.PolicyDraft)
async def write(body: shapes.Draft, request: Request, caller: Writer) -> Response:
    """Replaces the draft. 409 `draft_changed` when it is no longer the version that was read."""
    context: Context = request.app.state.context
    async with context.database.begin() as session:
        draft = await drafts.write(
            session, body.document(), body.version, caller.key_id, context.clock.now()
        )
        return paging.json(await _draft(session, context, draft))


@router.post("/validate", response_model=shapes.Review)
async def validate(body: shapes.Document, request: Request, caller: Reader) -> Response:
    """Tries a policy without keeping it."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        review = await drafts.review(session, context.catalog, body.document())
        return 200, {"object": "policy_review", **review}

    return await once(request, caller, do)


@router.post("/publish", status_code=201, response_model=shapes.Policy)
async def publish(body: shapes.Publishing, request: Request, caller: Writer) -> Response:
    """Puts the draft in force. 422 `invalid_policy` names every field that forbids it."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        now = context.clock.now()
        row = await drafts.publish(session, context, body.version, caller.key_id, body.note, now)
        return 201, drafts.show(row)

    return await once(request, caller, do)


@router.post("/rollback", status_code=201, response_model=shapes.Policy)
async def roll_back(body: shapes.RollingBack, request: Request, caller: Writer) -> Response:
    """An earlier policy in force again, as a new version."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        now = context.clock.now()
        row = await drafts.roll_back(session, context, body.version, caller.key_id, body.note, now)
        return 201, drafts.show(row)

    return await once(request, caller, do)


@router.get("/history", response_model=schemas.Page[shapes.Policy])
async def list_history(
    request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    """Everything that was ever published."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        rows, more = await drafts.history(session, limit=page.limit, cursor=page.cursor)
    return paging.list_json([drafts.show(row) for row in rows], more)


@router.post("/replay", response_model=shapes.Replay)
async def replay(body: shapes.Replaying, request: Request, caller: Reader) -> Response:
    """The draft against the past: what would have been decided otherwise."""
    context: Context = request.app.state.context

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        until = body.until or context.clock.now()
        since = body.since or until - MONTH
        if since >= until:
            raise Invalid.of("since", "must be before until")
        rules = await drafts.rules_of_draft(session, context.catalog)
        past, more = await requests.past(session, since, until, limit=MOST_COMPARED)
        found = await asyncio.to_thread(replay_past, rules, past)
        return 200, {
            "object": "policy_replay",
            "since": clock.show(since),
            "until": clock.show(until),
            "compared": len(past),
            "has_more": more,
            "differences": [difference.json() for difference in found],
        }

    return await once(request, caller, do)


async def _draft(session: AsyncSession, context: Context, draft: PolicyDraft) -> dict[str, Any]:
    review = await drafts.review(session, context.catalog, draft.document)
    return {**drafts.show_draft(draft), **review}
