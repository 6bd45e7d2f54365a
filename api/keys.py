"""/v1/api_keys: operators only. A key is shown once."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api.auth import Operator
from api.idempotency import once
from api.paging import Page
from api.queries import read_id
from core import ids
from core.context import Context
from core.errors import Forbidden, Invalid, NotFound
from merchants import keys, merchants

router = APIRouter(prefix="/v1/api_keys", tags=["API keys"])


class NewApiKey(schemas.Body):
    """`merchant` has no default: an operator's key is asked for by an explicit null."""

    merchant: str | None = Field(description="null: an operator's key.")
    scopes: Annotated[list[str], Field(min_length=1, max_length=50, examples=[["invoices:write"]])]
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None


@router.post("", status_code=201, response_model=schemas.NewlyMadeApiKey)
async def create(body: NewApiKey, request: Request, caller: Operator) -> Response:
    """A key can give out no scope that it does not have itself."""
    context: Context = request.app.state.context
    merchant_id = ids.read("mer", body.merchant) if body.merchant is not None else None

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        if body.merchant is not None:
            try:
                await merchants.find(session, merchant_id)
            except NotFound:
                raise Invalid.of("merchant", "no such merchant") from None
        key, plaintext = await keys.create_key(
            session, merchant_id, body.scopes, body.name, context.clock.now()
        )
        for scope in key.scopes:
            if not caller.may(scope):
                raise Forbidden(f"this key lacks the scope {scope}", code="missing_scope")
        return 201, {**keys.show(key), "key": plaintext}

    return await once(request, caller, do, secret=True)


@router.get("", response_model=schemas.Page[schemas.ApiKey])
async def list_all(
    request: Request,
    caller: Operator,
    page: Annotated[Page, Depends(paging.page)],
    merchant: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        rows, more = await keys.page(
            session,
            merchant_id=read_id("merchant", "mer", merchant),
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json([keys.show(row) for row in rows], more)


@router.get("/{key}", response_model=schemas.ApiKey)
async def show(key: str, request: Request, caller: Operator) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await keys.find(session, ids.read("key", key))
    return paging.json(keys.show(found))


@router.delete("/{key}", response_model=schemas.ApiKey)
async def revoke(key: str, request: Request, caller: Operator) -> Response:
    """Ends a key: here at once, in other processes within 5 s."""
    context: Context = request.app.state.context
    async with context.database.begin() as session:
        revoked = await keys.revoke(session, ids.read("key", key), context.clock.now())
    request.app.state.authenticator.forget()
    return paging.json(keys.show(revoked))
