"""/v1/prices: what the oracle stored, with the sources behind it and why one was refused."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api import paging, schemas
from api.auth import require
from core.clock import wall
from core.context import Context
from core.errors import NotFound
from core.networks import Catalog
from merchants.keys import Principal
from prices import second
from prices.book import load, price_json

router = APIRouter(prefix="/v1/prices", tags=["Prices"])

Reader = Annotated[Principal, require("quotes:read")]
Part = Annotated[str, Path(max_length=20)]


@router.get("", response_model=schemas.Page[schemas.Price])
async def list_all(request: Request, caller: Reader) -> Response:
    """Every pair that has a feed; `price` is null where none passes its checks."""
    context: Context = request.app.state.context
    async with context.database.statement() as connection:
        book = await load(connection)
    now = context.clock.now()
    return paging.list_json([row.json(now) for row in book.rows], has_more=False)


@router.get("/{base}-{quote}", response_model=schemas.Price)
async def show(request: Request, base: Part, quote: Part, caller: Reader) -> Response:
    """What one `base` costs in `quote`, crossed through USD where no feed has both; among the
    sources what lies between the best two of each venue's book now.

    503 `price_unavailable`, with the sources and why each is refused, when none passes its checks.
    """
    context: Context = request.app.state.context
    known = _symbols(context.catalog)
    for symbol in (base, quote):
        if symbol not in known and context.catalog.asset(symbol) is None:
            raise NotFound(f"{symbol!r} is no currency and no asset that is configured")
    async with context.database.statement() as connection:
        book = await load(connection)
        mids = await second.load(connection, wall())
    now = context.clock.now()
    rate = book.rate(base, quote, now)
    sources = second.told_now(book.sources(base, quote, now), mids, (base, quote))
    return paging.json(price_json(base, quote, rate.price, rate.updated_at, sources, now))


def _symbols(catalog: Catalog) -> set[str]:
    """What feeds name; a feed may price a thing that is no token of ours."""
    feeds = [feed for network in catalog.networks.values() for feed in network.feeds]
    return {symbol for feed in feeds for symbol in (feed.base, feed.quote)}
