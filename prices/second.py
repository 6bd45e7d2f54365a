"""The second source of a price (MONEY 4): what the venues' books say between their best two.

A feed and a book never move in the same instant, so a venue counts as differing once it has
differed for STANDS_SECONDS of wall time, and as agreeing again once it has agreed for as long. A
price is refused when every venue whose book is fresh differs: one of several that stands alone is
not believed against Chainlink and another venue, and is shown as refused itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from core.clock import show
from core.db import Raw
from prices.books import refusal
from prices.judge import Reason
from prices.rates import SCALE, half_even, show_price

STANDS_SECONDS = 3
# A venue that fell silent while it differed is no reason to trust the feed at once.
FORGOTTEN_SECONDS = 60
# How old a mid that is stored with a price may get before it is stored anew.
RENEWED_SECONDS = 60

Pair = tuple[str, str]  # base and quote

_LOAD = """
select m.venue, m.base, m.quote, b.best_bid, b.best_ask, b.at, s.alive_at,
       coalesce(b.trusted and s.trusted, false)
  from venue_markets m
  left join venue_books b using (venue, symbol)
  left join venue_streams s using (venue)
 where m.trading
 order by m.venue, m.symbol
"""


@dataclass(frozen=True, slots=True)
class Mid:
    """A venue's mid price of a pair (quote per base, 10**-18), None with a `refused` book.

    `differs` is the verdict in force, `since` when what is seen began to contradict it.
    """

    venue: str
    price: int | None
    observed_at: datetime | None
    refused: str | None = None
    differs: bool = False
    since: datetime | None = None

    def json(self) -> dict[str, Any]:
        """As it is stored and shown; `verdict` is for `parse`."""
        shown: dict[str, Any] = {
            "source": self.venue,
            "price": None if self.price is None else show_price(self.price),
            "observed_at": self.observed_at and show(self.observed_at),
        }
        why = self.refused or (Reason.DISAGREEMENT.value if self.differs else None)
        since, at = self.since and self.since.isoformat(), self.observed_at
        verdict = {
            "differs": self.differs,
            "since": since,
            "refused": self.refused,
            "at": at and at.isoformat(),  # to the microsecond, unlike what is shown
        }
        return shown | ({"refused": why} if why else {}) | {"verdict": verdict}


def parse(stored: Mapping[str, Any]) -> Mid:
    """What `Mid.json` gave, without the price."""
    verdict = stored["verdict"]
    at = verdict["at"]
    return Mid(
        venue=stored["source"],
        price=None,
        observed_at=datetime.fromisoformat(at) if at else None,
        refused=verdict["refused"],
        differs=verdict["differs"],
        since=datetime.fromisoformat(verdict["since"]) if verdict["since"] else None,
    )


def is_mid(stored: Mapping[str, Any]) -> bool:
    """Whether a stored source is a venue's."""
    return "verdict" in stored


async def load(connection: Raw, now: datetime) -> dict[Pair, list[Mid]]:
    """The venues' mids of all pairs that they list, either way round; `now` is wall time."""
    cursor = await connection.execute(_LOAD)
    found: dict[Pair, list[Mid]] = {}
    for venue, base, quote, bid, ask, at, alive_at, trusted in await cursor.fetchall():
        why = refusal(alive_at, trusted, bid, ask, now)
        price = (bid + ask) // 2 if why is None else None
        found.setdefault((base, quote), []).append(Mid(venue, price, at, why))
        inverse = half_even(SCALE * SCALE, price) if price else None
        found.setdefault((quote, base), []).append(Mid(venue, inverse, at, why))
    return found


def told_now(
    sources: Iterable[dict[str, Any]], mids: Mapping[Pair, Sequence[Mid]], pair: Pair
) -> list[dict[str, Any]]:
    """Sources as they are shown, with the venues' mids of this moment in place of those that were
    stored with a price, and those of `pair` itself where it is crossed."""
    shown, pairs = [], set()
    for source in sources:
        base, _, quote = source["pair"].partition("/")
        pairs.add((base, quote))
        live = next((m for m in mids.get((base, quote), []) if m.venue == source["source"]), None)
        shown.append(source | _shown(live) if live is not None else source)
    if pair not in pairs and (pair[1], pair[0]) not in pairs:
        name = {"pair": "/".join(pair)}
        shown += [name | {"source": m.venue} | _shown(m) for m in mids.get(pair, [])]
    return shown


def _shown(mid: Mid) -> dict[str, Any]:
    return {key: value for key, value in mid.json().items() if key != "verdict"}


def judge(
    price: int | None, mids: Sequence[Mid], before: Iterable[Mid], limit: int, now: datetime
) -> list[Mid]:
    """The mids with their verdicts on `price`. `before`: as they were stored; `limit` in basis
    points of the lower of the two; `now` is wall time."""
    known = {mid.venue: mid for mid in before}
    return [_judged(price, mid, known.get(mid.venue), limit, now) for mid in mids]


def disagree(mids: Iterable[Mid]) -> bool:
    """Whether no venue vouches for the price and some speak against it."""
    heard = [mid for mid in mids if mid.refused is None or mid.differs]
    return bool(heard) and all(mid.differs for mid in heard)


def is_news(mids: Sequence[Mid], before: Sequence[Mid], now: datetime) -> bool:
    """Whether it is worth storing: a verdict, or what it waits for, or a price that got old."""

    def said(found: Sequence[Mid]) -> list[tuple[object, ...]]:
        return [(mid.venue, mid.refused, mid.differs, mid.since) for mid in found]

    if said(mids) != said(before):
        return True
    old = timedelta(seconds=RENEWED_SECONDS)
    ages = {mid.venue: mid.observed_at for mid in before}
    return any(
        mid.observed_at is not None
        and mid.observed_at != (at := ages[mid.venue])
        and (at is None or now - at > old)
        for mid in mids
    )


def named(mids: Sequence[Mid]) -> str:
    """An option's `second_source`: who vouches for its price, or that nobody does."""
    vouching = [mid.venue for mid in mids if mid.refused is None and not mid.differs]
    if vouching:
        return ", ".join(vouching)
    return "none fresh" if mids else "none configured"


def _judged(price: int | None, mid: Mid, before: Mid | None, limit: int, now: datetime) -> Mid:
    differs = before.differs if before else False
    since = before.since if before else None
    if price is None or mid.price is None:
        seen, patience = False, FORGOTTEN_SECONDS
    else:
        low, high = sorted((price, mid.price))
        seen, patience = (high - low) * 10_000 > low * limit, STANDS_SECONDS
    if seen == differs:
        return replace(mid, differs=differs, since=None)
    since = since or now
    if now - since >= timedelta(seconds=patience):
        return replace(mid, differs=seen, since=None)
    return replace(mid, differs=differs, since=since)
