"""From a pair's sources to its one price (MONEY 4): pure.

The accepted source with the newest update counts. Accepted sources that differ by more than the
limit refuse each other once that has stood: which of them is wrong is not for us to guess, but two
chains never carry a new round in the same instant. So does a source that no venue's mid price
agrees with, where there are any (prices.second).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prices.judge import Reason
from prices.second import STANDS_SECONDS, Mid, disagree
from prices.sources import Source

# MONEY 4: where no venue lists the pair, the price says so.
NO_SECOND_SOURCE = {
    "source": "venues",
    "price": None,
    "observed_at": None,
    "refused": "not_configured",
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far accepted sources of a pair may differ, in basis points of the lowest."""

    usual: int = 100
    stable: int = 50
    stablecoins: frozenset[str] = frozenset({"USDC", "USDT", "DAI", "PYUSD", "EURC"})

    def limit(self, base: str) -> int:
        return self.stable if base in self.stablecoins else self.usual

    def holds(self, base: str, prices: Iterable[int]) -> bool:
        found, limit = sorted(prices), self.limit(base)
        return not found or (found[-1] - found[0]) * 10_000 <= found[0] * limit


@dataclass(frozen=True, slots=True)
class Settled:
    """A row of `prices`, without its pair. With `refused` the price is the last one known."""

    price: int | None
    updated_at: datetime | None
    valid_until: datetime | None
    refused: Reason | None
    sources: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Apart:
    """Since when the feeds of a pair contradict each other, and whether that has stood for
    STANDS_SECONDS; wall time. They agree again as soon as they do."""

    since: datetime | None = None
    stood: bool = True


def settle(
    base: str,
    sources: Sequence[Source],
    now: int,
    agreement: Agreement,
    mids: Sequence[Mid] = (),
    apart: Apart = Apart(),
) -> Settled:
    """The pair's price at `now` (unix seconds). `sources` are at least one, `mids` and `apart`
    judged.

    The source that counts stands first.
    """
    ordered = sorted(sources, key=lambda s: (not s.usable(now), -_updated(s), s.network))
    usable = [s for s in ordered if s.usable(now)]
    differ = are_apart(base, sources, now, agreement)
    agreed = not disagree(mids) and not (differ and apart.stood)
    refused = _why(ordered[0], now) if not usable else None if agreed else Reason.DISAGREEMENT
    shown = [source.json() for source in ordered]
    if not agreed:
        for one in shown[: len(usable)]:
            one["refused"] = Reason.DISAGREEMENT.value
    if differ and apart.since is not None:
        for one in shown[: len(usable)]:
            one["memory"]["apart_since"] = apart.since.isoformat()
    chosen = ordered[0]
    known = chosen.accepted is not None
    return Settled(
        price=chosen.price,
        updated_at=datetime.fromtimestamp(_updated(chosen), UTC) if known else None,
        valid_until=datetime.fromtimestamp(chosen.valid_until, UTC) if known else None,
        refused=refused,
        sources=[*shown, *([mid.json() for mid in mids] or [dict(NO_SECOND_SOURCE)])],
    )


def are_apart(base: str, sources: Sequence[Source], now: int, agreement: Agreement) -> bool:
    """Whether accepted sources differ by more than the limit at this moment."""
    prices = [s.price for s in sources if s.usable(now) and s.price is not None]
    return not agreement.holds(base, prices)


def judge_apart(differ: bool, before: Iterable[dict[str, Any]], now: datetime) -> Apart:
    """How long feeds have contradicted each other. `before`: the sources as they were stored;
    `now` is wall time."""
    if not differ:
        return Apart(None, stood=False)
    known = [found for one in before if (found := apart_since(one)) is not None]
    since = min(known, default=now)
    return Apart(since, stood=now - since >= timedelta(seconds=STANDS_SECONDS))


def apart_since(stored: dict[str, Any]) -> datetime | None:
    """Since when a stored source contradicts another one."""
    found = stored.get("memory", {}).get("apart_since")
    return datetime.fromisoformat(found) if found else None


def chosen_price(sources: Sequence[Source], now: int) -> int | None:
    """What `settle` would take, for the venues to judge; None while nothing is accepted."""
    usable = [s for s in sources if s.usable(now)]
    return min(usable, key=lambda s: (-_updated(s), s.network)).price if usable else None


def _updated(source: Source) -> int:
    return source.accepted.updated_at if source.accepted else 0


def _why(source: Source, now: int) -> Reason:
    """Why the best of the sources is of no use."""
    if source.refused in (None, Reason.UNREACHABLE) and source.price is not None:
        return Reason.STALE
    return source.refused or Reason.STALE
