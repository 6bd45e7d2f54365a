"""/v1/approvals: what people sign so that a payout may leave. The list is for operators; a merchant
reads those of its own payouts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from api import paging, schemas
from api.auth import require, require_operator
from api.paging import Page
from api.payout_schemas import AddressKind
from core import ids
from core.context import Context
from merchants.keys import Principal
from payments import payout_approvals

router = APIRouter(prefix="/v1/approvals", tags=["Approvals"])

Reader = Annotated[Principal, require("payouts:read")]
Operator = Annotated[Principal, require_operator("payouts:read")]
Status = Literal["requested", "given", "expired", "withdrawn"]


class Approval(schemas.Shown):
    """`typed_data` is what a wallet signs (eth_signTypedData_v4), `digest` what that comes to."""

    id: str
    object: Literal["approval"]
    status: Status
    payout: str
    merchant: str
    typed_data: dict[str, Any]
    address_kind: AddressKind
    digest: str
    needed: int
    given: int
    approvers: list[str] = Field(description="Who may sign: each once.")
    approvals: list[dict[str, Any]]
    created_at: schemas.Time
    expires_at: schemas.Time


@router.get("", response_model=schemas.Page[Approval])
async def list_all(
    request: Request,
    caller: Operator,
    page: Annotated[Page, Depends(paging.page)],
    status: Status | None = None,
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await payout_approvals.page(
            session, None, status=status, limit=page.limit, cursor=page.cursor
        )
    return paging.list_json(data, more)


@router.get("/{approval}", response_model=Approval)
async def show(approval: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await payout_approvals.show(session, ids.read("apr", approval), caller.merchant_id)
    return paging.json(found)
