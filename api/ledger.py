"""/v1/balances and /v1/ledger: what is owed, and the books behind it."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from api import paging, queries, schemas
from api.auth import require, require_operator
from api.paging import Page
from core import clock, ids
from core.context import Context
from core.errors import Invalid
from ledger import reads
from ledger.verify import verify
from merchants.keys import Principal

router = APIRouter(prefix="/v1", tags=["Ledger"])

Reader = Annotated[Principal, require("ledger:read")]
Auditor = Annotated[Principal, require_operator("ledger:read")]

Text = Annotated[str | None, Query(max_length=200)]


class Balance(schemas.Shown):
    """What we owe a merchant in one asset, in major units."""

    merchant: str
    asset: str
    available: str = Field(examples=["0.010000000000000000"])
    pending: str
    reserved: str
    inbox: str


class Balances(schemas.Shown):
    object: Literal["balances"]
    at: schemas.Time
    data: list[Balance]


class Account(schemas.Shown):
    """Debit is positive: what we owe (`merchant:...`) is negative here."""

    object: Literal["ledger_account"]
    account: str
    asset: str
    balance: str


class Posting(schemas.Shown):
    account: str
    asset: str
    amount: str = Field(description="Signed, debit positive.")


class Entry(schemas.Shown):
    """`seq` and `hash` are its place in the hash chain; null for the moment before it has one."""

    id: str
    object: Literal["journal_entry"]
    kind: str
    key: str
    reference: str
    posted_at: schemas.Time
    created_at: schemas.Time
    evidence: dict[str, Any]
    seq: int | None
    hash: str | None
    postings: list[Posting]


class Problem(schemas.Shown):
    kind: Literal["hash", "gap", "missing_entry", "unchained", "unbalanced", "balance"]
    entry: str | None
    message: str


class Verification(schemas.Shown):
    """`head` is the last hash of the chain: keep it elsewhere, and no past can be changed."""

    object: Literal["ledger_verification"]
    ok: bool
    entries: int
    pending: int
    head: str
    first_tampered: str | None
    problems: list[Problem]


@router.get("/balances", response_model=Balances)
async def balances(
    request: Request, caller: Reader, at: queries.Time = None, merchant: Text = None
) -> Response:
    """Balances now, or as they stood at `at`. An operator sees all, or one `merchant`'s."""
    context: Context = request.app.state.context
    whose = caller.merchant_id
    if caller.is_operator:
        whose = queries.read_id("merchant", "mer", merchant)
    async with context.database.read() as session:
        data = await reads.shown_balances(session, context.catalog, whose, at)
    shown = clock.show(at or context.clock.now())
    return paging.json({"object": "balances", "at": shown, "data": data})


@router.get("/ledger/accounts", response_model=schemas.Page[Account])
async def accounts(
    request: Request,
    caller: Reader,
    prefix: Annotated[str, Query(max_length=200)] = "",
    limit: paging.Limit = 20,
    cursor: Annotated[str | None, Query(max_length=600)] = None,
) -> Response:
    """Accounts with their balances, by name. A merchant sees its own."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await reads.accounts(
            session,
            context.catalog,
            caller.merchant_id,
            prefix=prefix,
            limit=limit,
            cursor=_read_cursor(cursor),
        )
    last = _cursor(data[-1]["account"], data[-1]["asset"]) if data else None
    return paging.list_json(data, more, last)


@router.get("/ledger/entries", response_model=schemas.Page[Entry])
async def entries(
    request: Request,
    caller: Reader,
    page: Annotated[Page, Depends(paging.page)],
    account: Text = None,
    reference: Text = None,
) -> Response:
    """Journal entries with all their postings, newest first. A merchant sees its own entries."""
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await reads.entries(
            session,
            context.catalog,
            caller.merchant_id,
            account=account,
            reference=reference,
            limit=page.limit,
            cursor=page.cursor,
        )
    return paging.list_json(data, more)


@router.get("/ledger/entries/{entry}", response_model=Entry)
async def show_entry(entry: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await reads.entry(
            session, context.catalog, caller.merchant_id, ids.read("je", entry)
        )
    return paging.json(found)


@router.get("/ledger/verify", response_model=Verification)
async def verify_chain(request: Request, caller: Auditor) -> Response:
    """Recomputes the hash chain and every balance: names what is not as it was written."""
    context: Context = request.app.state.context
    report = await verify(context.database)
    return paging.json(
        {
            "object": "ledger_verification",
            "ok": report.ok,
            "entries": report.entries,
            "pending": report.pending,
            "head": report.head.hex(),
            "first_tampered": report.first_tampered,
            "problems": [
                {"kind": p.kind, "entry": p.entry, "message": p.message} for p in report.problems
            ],
        }
    )


def _cursor(account: str, asset: str) -> str:
    return base64.urlsafe_b64encode(f"{account}\n{asset}".encode()).decode().rstrip("=")


def _read_cursor(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        account, asset = base64.b64decode(padded, b"-_", validate=True).decode().split("\n")
        if "\0" in account + asset:
            raise ValueError
    except (binascii.Error, ValueError):
        raise Invalid.of("cursor", "is not a cursor of this list", code="invalid_cursor") from None
    return account, asset
