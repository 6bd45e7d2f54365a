"""/v1/bank_accounts: for merchants those that they are paid at, for operators the house's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, queries, schemas
from api.auth import Caller, merchant_of, require
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from core.errors import Forbidden
from merchants.keys import Principal
from payments import bank_accounts, bank_payouts
from payments.bank_accounts import bank_account_json
from treasury import bank_statements

router = APIRouter(prefix="/v1/bank_accounts", tags=["Bank accounts"])

Reader = Annotated[Principal, require("payouts:read")]
Writer = Annotated[Principal, require("payouts:write")]


class BankAccountRequest(schemas.Body):
    """Who is paid. `currency`: one of the house's banks, ISO 4217."""

    holder: Annotated[str, Field(min_length=1, max_length=70, pattern=r"^[^\x00]*$")]
    iban: Annotated[str, Field(max_length=50, examples=["DE89 3704 0044 0532 0130 00"])]
    bic: Annotated[str, Field(max_length=20, examples=["COBADEFFXXX"])] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])]


class MerchantBankAccount(schemas.Shown):
    """`cooling` until `usable_at`: payouts to it are held so long. Never changed: another one is
    made, and cools."""

    id: str
    object: Literal["bank_account"]
    merchant: str
    holder: str
    iban: str
    bic: str | None
    currency: str
    status: Literal["cooling", "usable", "removed"]
    author: str
    created_at: schemas.Time
    usable_at: schemas.Time
    removed_at: schemas.Time | None


class BankAccount(schemas.Shown):
    """The house's: `[banks.<id>]` of bezant.toml; `balance` by the ledger."""

    id: str
    object: Literal["bank_account"]
    name: str
    asset: str
    iban: str | None
    balance: str


@router.post("", status_code=201, response_model=MerchantBankAccount)
async def create(body: BankAccountRequest, request: Request, caller: Writer) -> Response:
    """A new account of the merchant's. 422 `invalid_iban`, `unknown_currency`, `own_account`; 409
    `already_known`."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        made = await bank_accounts.add(
            session,
            context,
            merchant_id,
            **body.model_dump(),
            author=ids.show("key", caller.key_id),
        )
        return 201, bank_account_json(made, context.clock.now())

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[MerchantBankAccount | BankAccount])
async def list_all(
    request: Request,
    caller: Caller,
    page: Annotated[Page, Depends(paging.page)],
    merchant: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """A merchant's own (`payouts:read`). For operators all that are configured, on one page
    (`treasury:read`), or those of a merchant."""
    context: Context = request.app.state.context
    whose = queries.read_id("merchant", "mer", merchant)
    if caller.merchant_id is not None and whose not in (None, caller.merchant_id):
        raise Forbidden("these are another merchant's bank accounts")
    whose = caller.merchant_id or whose
    scope = "treasury:read" if whose is None else "payouts:read"
    if not caller.may(scope):
        raise Forbidden(f"this key lacks the scope {scope}", code="missing_scope")
    async with context.database.read() as session:
        if whose is None:
            return paging.list_json(await bank_statements.accounts(session, context), False)
        rows, more = await bank_accounts.page(session, whose, limit=page.limit, cursor=page.cursor)
    now = context.clock.now()
    return paging.list_json([bank_account_json(row, now) for row in rows], more)


@router.get("/{account}", response_model=MerchantBankAccount)
async def show(account: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await bank_accounts.find(session, caller.merchant_id, ids.read("bnk", account))
    return paging.json(bank_account_json(found, context.clock.now()))


@router.delete("/{account}", response_model=MerchantBankAccount)
async def remove(account: str, request: Request, caller: Writer) -> Response:
    """Nobody is paid there any more: payouts that wait are rejected. Added again it cools again."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    async with context.database.begin() as session:
        gone = await bank_payouts.remove_account(
            session, context, merchant_id, ids.read("bnk", account)
        )
    return paging.json(bank_account_json(gone, context.clock.now()))
