"""/v1/quotes: what the venues would give for a size now. Operators only."""

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
from treasury import quotes
from treasury.quotes import NewQuote

router = APIRouter(prefix="/v1/quotes", tags=["Quotes"])

Reader = Annotated[Principal, require_operator("quotes:read")]
Writer = Annotated[Principal, require_operator("quotes:write")]


class QuoteRequest(schemas.Body):
    """`amount` is what is sold of `from`, or (`side` buy) what is to be bought of `to`."""

    given: Annotated[schemas.Symbol, Field(alias="from")]
    to: schemas.Symbol
    amount: schemas.Amount
    side: Literal["sell", "buy"] = "sell"


class QuoteFee(schemas.Shown):
    kind: Literal["exchange"]
    venue: str
    amount: str
    asset: str


class QuoteLeg(schemas.Shown):
    """One order: LIMIT, immediate or cancel, at `limit_price` at worst. `price` is what the book's
    levels come to; legs of one `path` follow each other by `step`."""

    path: int
    step: int
    venue: str
    symbol: str
    side: Literal["buy", "sell"]
    quantity: str
    price: str
    limit_price: str
    given: str = Field(alias="from")
    to: str
    from_amount: str
    to_amount: str
    fee: str
    fee_asset: str
    slippage_percent: str = Field(description="Against the book's mid; positive is what it costs.")


class QuoteOracle(schemas.Shown):
    """What Chainlink says of the pair. `deviation_percent` is the quote's, negative: worse."""

    price: str
    deviation_percent: str
    worst_percent: str
    updated_at: schemas.Time
    age_seconds: int
    evidence: dict[str, Any]


class Quote(schemas.Shown):
    """What stands until `expires_at`. `price` is what one `from` brings of `to`, all fees in."""

    id: str
    object: Literal["quote"]
    given: str = Field(alias="from")
    to: str
    side: Literal["sell", "buy"]
    amount: str
    from_amount: str
    to_amount: str
    price: str
    fees: list[QuoteFee]
    legs: list[QuoteLeg]
    oracle: QuoteOracle
    books: list[dict[str, Any]] = Field(description="The books that it rests on.")
    alternatives: list[dict[str, Any]] = Field(
        description="What each way alone would have brought, or why it was no way."
    )
    refused: list[dict[str, Any]] = Field(description="What was not used: `venue`, `symbol`, why.")
    conversion: str | None = Field(description="Which conversion took it.")
    created_at: schemas.Time
    expires_at: schemas.Time


@router.post("", status_code=201, response_model=Quote)
async def create(body: QuoteRequest, request: Request, caller: Writer) -> Response:
    """From the books that the worker stored: no venue is asked.

    503 `price_unavailable` with `refused`: no book is fresh and deep enough, or the best there is
    lies too far below Chainlink. 409 `insufficient_funds`; 422 `unknown_asset`, `no_market`,
    `below_minimum`.
    """
    context: Context = request.app.state.context
    asked = NewQuote(body.given, body.to, body.amount, body.side)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 201, await quotes.create(session, context, asked)

    return await once(request, caller, do)


@router.get("", response_model=schemas.Page[Quote])
async def list_all(
    request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await quotes.page(session, limit=page.limit, cursor=page.cursor)
    return paging.list_json(data, more)


@router.get("/{quote}", response_model=Quote)
async def show(quote: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        found = await quotes.show(session, ids.read("qte", quote))
    return paging.json(found)
