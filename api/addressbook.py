"""/v1/addressbook: operators only. The destinations that a merchant knows: policies may trust them,
so whoever holds no more than a merchant's key can name none. A new one cools down first."""

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
from core.errors import Invalid, NotFound
from merchants.keys import Principal
from payments import payout_requests
from risk import addressbook

router = APIRouter(prefix="/v1/addressbook", tags=["Address book"])

Reader = Annotated[Principal, require_operator("payouts:read")]
Writer = Annotated[Principal, require_operator("payouts:write")]
Address = Annotated[
    str, Field(max_length=64, examples=["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"])
]


class NewEntry(schemas.Body):
    """`merchant`: whose address book it is. Without `network`: every network."""

    address: Address
    network: schemas.NetworkId | None = None
    label: Annotated[str, Field(min_length=1, max_length=200, examples=["Supplier"])]
    group: Annotated[str, Field(min_length=1, max_length=64, examples=["suppliers"])] | None = None
    merchant: Annotated[str, Field(max_length=64)]


class Entry(schemas.Shown):
    id: str
    object: Literal["address_book_entry"]
    merchant: str
    network: str | None
    address: str
    label: str
    group: str | None
    status: Literal["cooling", "usable", "removed"]
    author: str | None
    created_at: schemas.Time
    usable_at: schemas.Time
    removed_at: schemas.Time | None


@router.post("", status_code=201, response_model=Entry)
async def create(body: NewEntry, request: Request, caller: Writer) -> Response:
    """Refused with a code of its own where money must not go: see POST /v1/payouts."""
    context: Context = request.app.state.context
    merchant_id = queries.read_id("merchant", "mer", body.merchant)
    if merchant_id is None:
        raise Invalid.of("merchant", "no such merchant")

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        try:
            ground = await payout_requests.ground(session, context, merchant_id, [body.address])
        except NotFound:
            raise Invalid.of("merchant", "no such merchant") from None
        entry = await addressbook.add(
            session,
            context,
            merchant_id,
            address=body.address,
            network=body.network,
            label=body.label,
            group=body.group,
            own=ground.ours,
            author=caller.key_id,
            now=ground.now,
        )
        return 201, addressbook.show(entry, ground.now)

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[Entry])
async def list_all(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    address: Annotated[str | None, Query(max_length=64)] = None,
    merchant: Annotated[str | None, Query(max_length=64)] = None,
    removed: queries.Flag = None,
) -> Response:
    """`removed=true` shows the history as well."""
    context: Context = request.app.state.context
    whose = queries.read_id("merchant", "mer", merchant)
    async with context.database.read() as session:
        rows, more = await addressbook.page(
            session,
            whose,
            address=address,
            removed=bool(removed),
            limit=page.limit,
            cursor=page.cursor,
        )
    now = context.clock.now()
    return paging.list_json([addressbook.show(row, now) for row in rows], more)


@router.get("/{entry}", response_model=Entry)
async def show(entry: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await addressbook.find(session, ids.read("adb", entry))
    return paging.json(addressbook.show(found, context.clock.now()))


@router.delete("/{entry}", response_model=Entry)
async def remove(entry: str, request: Request, caller: Writer) -> Response:
    """Ends an entry at once. Added again, it cools again."""
    context: Context = request.app.state.context
    now = context.clock.now()
    async with context.database.begin() as session:
        gone = await addressbook.remove(session, ids.read("adb", entry), caller.key_id, now)
    return paging.json(addressbook.show(gone, now))
