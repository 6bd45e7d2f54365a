"""The stored prices, and what one thing costs in another (MONEY 4). Asks nobody outside.

A pair is answered by its own row, by the inverse of the opposite row, or crossed through USD. A
row that is refused is never worked around: what its sources do not vouch for has no price.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from core.clock import show
from core.db import Database, Raw
from core.errors import PriceUnavailable
from prices.rates import SCALE, age_seconds, half_even, show_price
from prices.second import is_mid, named, parse
from prices.settle import apart_since

HUB = "USD"  # Chainlink quotes nearly everything in it
FOREVER = datetime.max.replace(tzinfo=UTC)

_LOAD = """
select base, quote, price, updated_at, valid_until, refused, sources
  from prices order by base, quote
"""
# Any change of a row gives it another xmin.
VERSION = "select coalesce(string_agg(xmin::text, ',' order by base, quote), '') from prices"
# What a source tells outside; the rest of a stored source is the oracle's own memory.
_TOLD = (
    *("source", "network", "feed", "round_id", "price", "updated_at", "observed_at"),
    "block_hash",
)


@dataclass(frozen=True, slots=True)
class Rate:
    """A price with its evidence.

    `price` is quote per base * 10**18, rounded half to even (once, also when crossed).
    `updated_at` and `evidence["age_seconds"]` are the oldest leg's, `valid_until` is the earliest
    leg's. `evidence` is an option's `price` (API 2); `via` names both legs of a crossed rate.
    """

    price: int
    updated_at: datetime
    valid_until: datetime
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredPrice:
    """A row of `prices`. With a price and not `refused` its first source is the one that counts."""

    base: str
    quote: str
    price: int | None
    updated_at: datetime | None
    valid_until: datetime | None
    refused: str | None
    sources: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pair(self) -> str:
        return f"{self.base}/{self.quote}"

    def refusal(self, now: datetime) -> str | None:
        """Why it has no price now (a word of prices.judge.Reason), or None."""
        if self.refused is not None:
            return self.refused
        if self.price is None or self.valid_until is None:
            return "unreachable"
        return "stale" if self.valid_until <= now else None

    def told(self, now: datetime) -> list[dict[str, Any]]:
        """Its sources as the API shows them, each with the reason where it is refused."""
        stale = self.refusal(now) == "stale"
        shown = []
        for source in self.sources:
            one = {"pair": self.pair} | {key: source.get(key) for key in _TOLD}
            reason = source.get("refused") or ("stale" if stale and not is_mid(source) else None)
            shown.append(one | ({"refused": reason} if reason else {}))
        return shown

    def json(self, now: datetime) -> dict[str, Any]:
        """The pair as the API shows it, also without a price."""
        price = self.price if self.refusal(now) is None else None
        shown = price_json(self.base, self.quote, price, self.updated_at, self.told(now), now)
        return shown | {"refused": self.refusal(now)}

    def evidence(self, now: datetime) -> dict[str, Any]:
        chosen = self.sources[0] if self.sources else {}
        updated_at = self.updated_at or now
        evidence = {
            "source": chosen.get("source"),
            "pair": self.pair,
            "network": chosen.get("network"),
            "feed": chosen.get("feed"),
            "round_id": chosen.get("round_id"),
            "block_hash": chosen.get("block_hash"),
            "updated_at": show(updated_at),
            "age_seconds": age_seconds(updated_at, now),
            "second_source": self._second_source(),
        }
        venues = [s for s in self.sources[1:] if is_mid(s) and s["price"] is not None]
        if venues:
            told = ("source", "price", "observed_at", "refused")
            evidence["venues"] = [{key: s[key] for key in told if key in s} for s in venues]
        return evidence

    def _second_source(self) -> str:
        """Who vouches for the price besides: another feed, venues, or nobody."""
        others = self.sources[1:]
        feeds = [s for s in others if "memory" in s and not (s.get("refused") or apart_since(s))]
        mids = [parse(s) for s in others if is_mid(s)]
        silent = all(mid.refused is not None or mid.differs for mid in mids)
        if feeds and silent:
            return f"{feeds[0]['source']} {feeds[0]['network']}"
        return named(mids)


@dataclass(frozen=True, slots=True)
class _Leg:
    """A row and the way it is read."""

    row: StoredPrice
    inverse: bool

    def ratio(self, price: int) -> tuple[int, int]:
        return (SCALE, price) if self.inverse else (price, SCALE)


class PriceBook:
    """All stored prices at one moment."""

    def __init__(self, rows: Iterable[StoredPrice]) -> None:
        self._rows = {(row.base, row.quote): row for row in rows}
        self._rates: dict[tuple[str, str], tuple[datetime, datetime, Rate]] = {}

    @property
    def rows(self) -> list[StoredPrice]:
        """By base, then quote."""
        return list(self._rows.values())

    def row(self, base: str, quote: str) -> StoredPrice | None:
        return self._rows.get((base, quote))

    def rate(self, base: str, quote: str, now: datetime) -> Rate:
        """What one `base` costs in `quote`; 1 for a thing in itself.

        Raises PriceUnavailable, whose `extra["sources"]` are all sources asked and why each was
        refused, when one leg is refused, stale or unknown. A Rate is shared by all who ask while
        nothing in it changes.
        """
        known = self._rates.get((base, quote))
        if known is None or not known[0] <= now < known[1]:
            rate = self._rate(base, quote, now)
            known = self._rates[base, quote] = (now, self._changes_at(base, quote, rate, now), rate)
        return known[2]

    def _changes_at(self, base: str, quote: str, rate: Rate, now: datetime) -> datetime:
        """When a Rate told now is another one: an age has grown by a second, or it is stale."""
        ages = [
            leg.row.updated_at + timedelta(seconds=age_seconds(leg.row.updated_at, now) + 1)
            for leg in self._legs(base, quote)
            if leg.row.updated_at is not None
        ]
        return min([rate.valid_until, *ages]) if base != quote else now

    def _rate(self, base: str, quote: str, now: datetime) -> Rate:
        if base == quote:
            evidence = {"source": "identity", "feed": None, "round_id": None}
            times = {"updated_at": show(now), "age_seconds": 0}
            return Rate(SCALE, now, FOREVER, {**evidence, **times})
        legs = self._legs(base, quote)
        if not legs:
            raise PriceUnavailable(
                f"there is no price feed from {base} to {quote}", extra={"sources": []}
            )
        refused = [(leg.row, why) for leg in legs if (why := leg.row.refusal(now)) is not None]
        if refused:
            told = ", ".join(f"{row.pair} is refused ({why})" for row, why in refused)
            raise PriceUnavailable(
                f"no price from {base} to {quote} passes its checks: {told}",
                extra={"sources": [one for leg in legs for one in leg.row.told(now)]},
            )
        price = _combine(legs)
        if not price:
            raise PriceUnavailable(
                f"one {base} is worth less than 10**-18 {quote}", extra={"sources": []}
            )
        return _rate(price, legs, now)

    def last_known(self, base: str, quote: str) -> int | None:
        """The last price that was ever accepted, however old; None when there never was one."""
        if base == quote:
            return SCALE
        return _combine(self._legs(base, quote)) or None

    def sources(self, base: str, quote: str, now: datetime) -> list[dict[str, Any]]:
        """The sources behind a pair, leg by leg, as the API shows them."""
        return [one for leg in self._legs(base, quote) for one in leg.row.told(now)]

    def _legs(self, base: str, quote: str) -> list[_Leg]:
        if leg := self._leg(base, quote):
            return [leg]
        first, second = self._leg(base, HUB), self._leg(HUB, quote)
        return [first, second] if first and second else []

    def _leg(self, base: str, quote: str) -> _Leg | None:
        if row := self._rows.get((base, quote)):
            return _Leg(row, inverse=False)
        if row := self._rows.get((quote, base)):
            return _Leg(row, inverse=True)
        return None


def _combine(legs: list[_Leg]) -> int:
    """The legs' product, rounded once, half to even; 0 when a leg has no price."""
    numerator, denominator = SCALE, 1
    for leg in legs:
        if not leg.row.price:
            return 0
        above, below = leg.ratio(leg.row.price)
        numerator, denominator = numerator * above, denominator * below
    return half_even(numerator, denominator) if legs else 0


def _rate(price: int, legs: list[_Leg], now: datetime) -> Rate:
    oldest = min(legs, key=lambda leg: leg.row.updated_at or now)
    evidence = oldest.row.evidence(now)
    if len(legs) > 1:
        evidence["via"] = [leg.row.evidence(now) for leg in legs]
    return Rate(
        price,
        oldest.row.updated_at or now,
        min(leg.row.valid_until or now for leg in legs),
        evidence,
    )


def price_json(
    base: str,
    quote: str,
    price: int | None,
    updated_at: datetime | None,
    sources: list[dict[str, Any]],
    now: datetime,
) -> dict[str, Any]:
    """A price as the API shows it (API 2)."""
    return {
        "id": f"{base}-{quote}",
        "object": "price",
        "created_at": updated_at and show(updated_at),
        "base": base,
        "quote": quote,
        "price": None if price is None else show_price(price),
        "sources": sources,
        "age_seconds": None if updated_at is None else age_seconds(updated_at, now),
    }


async def load(connection: Raw) -> PriceBook:
    """The book as it is stored now: one SELECT."""
    cursor = await connection.execute(_LOAD)
    return PriceBook([StoredPrice(*row) for row in await cursor.fetchall()])


_known: WeakKeyDictionary[Database, tuple[str, PriceBook]] = WeakKeyDictionary()


async def current(database: Database, connection: Raw, version: str) -> PriceBook:
    """`load`, unless the book read last has this VERSION still: prices change every few minutes,
    and decoding their sources costs more than the rest of an invoice."""
    known = _known.get(database)
    if known is not None and known[0] == version:
        return known[1]
    book = await load(connection)
    _known[database] = version, book
    return book
