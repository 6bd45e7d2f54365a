"""Quotes of the treasury (VENUES 1): what the house would get for a size at the venues now, all
fees in. For the house; an invoice's locked rate is another thing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import wall
from core.context import Context
from core.db import raw
from core.errors import Conflict, Invalid, NotFound, PriceUnavailable, Refused
from core.metrics import QUOTES_REFUSED
from core.money import VENUE_DECIMALS, Asset
from core.pages import page_of
from exchanges.types import Side
from ledger.units import fine
from prices import book
from prices.book import Rate
from prices.rates import show_price
from treasury import offers, plan
from treasury.offers import Offers
from treasury.paths import Path
from treasury.quote_tables import TreasuryQuote
from treasury.quote_views import deviation, percent, quote_json, rate_of
from treasury.routing import Route, Router, Why, Wish
from treasury.steps import BASIS
from treasury.units import show_amount


@dataclass(frozen=True, slots=True)
class NewQuote:
    """`amount` in major units: of `from_asset` to sell, of `to_asset` to buy. `side` is either."""

    from_asset: str
    to_asset: str
    amount: str
    side: str


async def create(session: AsyncSession, context: Context, asked: NewQuote) -> dict[str, Any]:
    """A quote from what is stored: no venue is asked.

    Raises Invalid `unknown_asset`, `invalid_amount`, `below_minimum`, `no_market`; Conflict
    `insufficient_funds`; PriceUnavailable with `refused`, where nothing that is offered may be used
    or all of it is worse than Chainlink by more than the limit.
    """
    try:
        return quote_json(await make(session, context, asked))
    except Refused as error:
        QUOTES_REFUSED.labels(error.code).inc()
        raise


async def make(session: AsyncSession, context: Context, asked: NewQuote) -> TreasuryQuote:
    """As `create`: the row, flushed."""
    wish = _wish(context, asked)
    now = context.clock.now()
    prices = await book.load(await raw(session))
    rate = prices.rate(wish.from_asset, wish.to_asset, now)
    found = await offers.load(
        session, wish.from_asset, wish.to_asset, context.quotes.tolerance, wall()
    )
    _check_offered(wish, found)
    choice = Router(wish, found.paths, found.free).choose()
    alternatives = [_alternative(path, alone) for path, alone in choice.alone]
    if isinstance(choice.route, Why):
        raise _refusal(wish, choice.route, found, alternatives)
    oracle = _against(choice.route, rate, wish, context, found)
    row = _row(wish, choice.route, found, now, context.quotes.valid_seconds)
    row.oracle, row.alternatives = oracle, alternatives
    session.add(row)
    await session.flush()
    return row


async def show(session: AsyncSession, quote_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    row = await session.get(TreasuryQuote, quote_id) if quote_id else None
    if row is None:
        raise NotFound("no such quote")
    return quote_json(row)


async def page(
    session: AsyncSession, *, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(session, TreasuryQuote, limit, cursor)
    return [quote_json(row) for row in rows], more


def _wish(context: Context, asked: NewQuote) -> Wish:
    given = _asset(context, "from", asked.from_asset)
    got = _asset(context, "to", asked.to_asset)
    if given == got:
        raise Invalid.of("to", f"is another asset than {given.symbol}")
    wanted = asked.side == Side.BUY
    counted = got if wanted else given
    units = counted.parse(asked.amount)
    if units == 0:
        raise Invalid.of("amount", "is more than zero", code="invalid_amount")
    return Wish(given.symbol, got.symbol, fine(counted, units), wanted)


def _asset(context: Context, field: str, symbol: str) -> Asset:
    asset = context.catalog.asset(symbol)
    if asset is None or symbol != asset.symbol or asset.decimals > VENUE_DECIMALS:
        raise Invalid.of(
            field, "is no currency and no asset that is configured", code="unknown_asset"
        )
    return asset


def _check_offered(wish: Wish, found: Offers) -> None:
    if found.paths:
        return
    if found.listed is None:
        raise PriceUnavailable("no venue's markets are known", extra={"refused": []})
    pair = f"from {wish.from_asset} to {wish.to_asset}"
    if not found.listed:
        raise Invalid.of("to", f"no venue has a way {pair}", code="no_market")
    told = ", ".join(f"{_named(one)} ({one['reason']})" for one in found.refused)
    raise PriceUnavailable(
        f"no way {pair} may be used now: {told}", extra={"refused": list(found.refused)}
    )


def _refusal(wish: Wish, why: Why, found: Offers, alternatives: list[dict[str, Any]]) -> Refused:
    asset = wish.to_asset if wish.wanted else wish.from_asset
    amount = f"{show_amount(asset, wish.amount)} {asset}"
    extra: dict[str, Any] = {"refused": list(found.refused), "alternatives": alternatives}
    if why is Why.BELOW_MINIMUM:
        return Invalid.of("amount", f"{amount} is less than any venue takes", code="below_minimum")
    if why is Why.INSUFFICIENT_FUNDS:
        venues = {path.venue for path in found.paths}
        extra["free"] = [
            {"venue": venue, "asset": held, "amount": show_amount(held, max(0, units))}
            for (venue, held), units in sorted(found.free.items())
            if venue in venues and held == wish.from_asset
        ]
        return Conflict(
            f"the venues do not have enough {wish.from_asset} free", code="insufficient_funds",
            extra=extra,
        )  # fmt: skip
    thin = [
        {"venue": path.venue, "symbol": symbol, "reason": "thin"}
        for path in found.paths
        for symbol in path.symbols
    ]
    return PriceUnavailable(
        f"the books are too thin for {amount}", extra={**extra, "refused": [*found.refused, *thin]}
    )


def _against(
    route: Route, rate: Rate, wish: Wish, context: Context, found: Offers
) -> dict[str, Any]:
    """What Chainlink says to it. Raises PriceUnavailable where the route is too much worse."""
    price, worst = rate_of(route.from_amount, route.to_amount), context.quotes.worst
    oracle = {
        "price": show_price(rate.price),
        "deviation_percent": deviation(price, rate.price),
        "worst_percent": percent(-worst, BASIS),
        "updated_at": rate.evidence["updated_at"],
        "age_seconds": rate.evidence["age_seconds"],
        "evidence": rate.evidence,
    }
    if price * BASIS < rate.price * (BASIS - worst):
        legs = route.plan(wish).legs
        reasons = {(leg.venue, leg.symbol): "worse_than_oracle" for leg in legs}
        worse = [{"venue": v, "symbol": s, "reason": why} for (v, s), why in reasons.items()]
        raise PriceUnavailable(
            f"the venues' best price is {oracle['deviation_percent']} % from Chainlink's,"
            f" {oracle['worst_percent']} % is allowed",
            extra={"refused": [*found.refused, *worse], "oracle": oracle},
        )
    return oracle


def _row(
    wish: Wish, route: Route, found: Offers, now: datetime, valid_seconds: int
) -> TreasuryQuote:
    return TreasuryQuote(
        id=ids.new(),
        from_asset=wish.from_asset,
        to_asset=wish.to_asset,
        side=(Side.BUY if wish.wanted else Side.SELL).value,
        asked_amount=wish.amount,
        from_amount=route.from_amount,
        to_amount=route.to_amount,
        price=rate_of(route.from_amount, route.to_amount),
        plan=plan.dump(route.plan(wish)),
        evidence=found.evidence(),
        refused=list(found.refused),
        created_at=now,
        expires_at=now + timedelta(seconds=valid_seconds),
        conversion_id=None,
    )


def _alternative(path: Path, alone: Route | Why) -> dict[str, Any]:
    """What one path alone would have brought."""
    shown: dict[str, Any] = {"venue": path.venue, "symbols": path.symbols}
    if isinstance(alone, Why):
        return shown | {"refused": alone.value}
    first, last = path.steps[0], path.steps[-1]
    return shown | {
        "from_amount": show_amount(first.from_asset, alone.from_amount),
        "to_amount": show_amount(last.to_asset, alone.to_amount),
    }


def _named(refused: dict[str, Any]) -> str:
    return " ".join(part for part in (refused["venue"], refused["symbol"]) if part)
