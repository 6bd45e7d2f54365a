"""One source of a pair: a feed on a network, what it said last and what was last accepted.

A refusal takes effect at once: a feed that answers nonsense, goes backwards or jumps is broken,
and a broken feed must not keep selling at its old price. Only what is unknown (`unreachable`)
changes nothing: the accepted price holds until it is stale, a refused one stays refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from chain.oracle import RoundData
from core.clock import show
from core.networks import Feed, Network
from prices.judge import Reason, judge, valid_until
from prices.rates import scaled, show_price, unix

CHAINLINK = "chainlink"
_LATEST_SECOND = 253_402_300_799  # 9999-12-31, the last that datetime can say


@dataclass(frozen=True, slots=True)
class Source:
    """`price` is the accepted round's, fresh until `valid_until` (unix seconds).

    `newest` is the last reading, `candidate` a jump that waits for confirmation (prices.judge).
    """

    network: str
    feed: str
    decimals: int
    observed_at: datetime
    refused: Reason | None = Reason.UNREACHABLE
    newest: RoundData | None = None
    accepted: RoundData | None = None
    candidate: RoundData | None = None
    price: int | None = None
    valid_until: int = 0

    def usable(self, now: int) -> bool:
        """Whether its accepted price may be sold at now."""
        return (
            self.price is not None
            and self.refused in (None, Reason.UNREACHABLE)
            and self.valid_until > now
        )

    @property
    def said(self) -> tuple[object, ...]:
        """What makes a reading another one: worth storing."""
        newest = self.newest
        return (
            self.refused,
            newest and (newest.round_id, newest.answer, newest.updated_at),
        )

    def json(self) -> dict[str, Any]:
        """As it is stored: what the API shows, and `memory`, which `parse` reads."""
        newest = self.newest
        shown: dict[str, Any] = {
            "source": CHAINLINK,
            "network": self.network,
            "feed": self.feed,
            "decimals": self.decimals,
            "round_id": newest and str(newest.round_id),
            "answer": newest and str(newest.answer),
            "price": newest and _price_text(newest.answer, self.decimals),
            "updated_at": newest and time_text(newest.updated_at),
            "observed_at": show(self.observed_at),
            "block_hash": newest and newest.block_hash,
            "block_number": newest and newest.block_number,
        }
        if self.refused is not None:
            shown["refused"] = self.refused.value
        rounds = {"newest": newest, "accepted": self.accepted, "candidate": self.candidate}
        shown["memory"] = {
            "observed_at": self.observed_at.isoformat(),
            "refused": self.refused,
            "price": None if self.price is None else str(self.price),
            "valid_until": str(self.valid_until),
            **{name: _pack(round_) for name, round_ in rounds.items()},
        }
        return shown


def first(network: Network, feed: Feed, now: datetime) -> Source:
    """A source that has never been read."""
    return Source(network.id, feed.address, feed.decimals, now)


def after(
    source: Source,
    feed: Feed,
    round_: RoundData | None,
    now: datetime,
    sequencer: Reason | None,
    *,
    forked: bool = False,
) -> Source:
    """The source after a reading; `source` itself when that says nothing new.

    `forked`: the block that brought the accepted round is no longer on the chain, so that an
    earlier round is no step backwards. The accepted price still bounds a jump.
    """
    previous = source.accepted
    if previous is not None and forked:
        previous = replace(previous, round_id=0)
    verdict = judge(feed, round_, previous, source.candidate, unix(now), sequencer)
    if round_ is None or verdict is Reason.UNREACHABLE:
        if source.refused is not None:
            return source
        return replace(source, refused=Reason.UNREACHABLE, observed_at=now)
    if isinstance(verdict, Reason):
        candidate = round_ if verdict is Reason.JUMP else source.candidate
        new = replace(source, refused=verdict, newest=round_, candidate=candidate, observed_at=now)
    else:
        new = replace(
            source,
            refused=None,
            newest=round_,
            accepted=round_,
            candidate=None,
            price=verdict,
            valid_until=valid_until(feed, round_),
            observed_at=now,
        )
    return source if new.said == source.said else new


def parse(stored: dict[str, Any]) -> Source:
    """A stored source."""
    memory = stored["memory"]
    refused = memory["refused"]
    price = memory["price"]
    return Source(
        network=stored["network"],
        feed=stored["feed"],
        decimals=stored["decimals"],
        observed_at=datetime.fromisoformat(memory["observed_at"]),
        refused=None if refused is None else Reason(refused),
        newest=_unpack(memory["newest"]),
        accepted=_unpack(memory["accepted"]),
        candidate=_unpack(memory["candidate"]),
        price=None if price is None else int(price),
        valid_until=int(memory["valid_until"]),
    )


def time_text(seconds: int) -> str | None:
    """Unix seconds as a time; None for what no calendar holds (a contract may say 2^256)."""
    return show(datetime.fromtimestamp(seconds, UTC)) if 0 < seconds <= _LATEST_SECOND else None


def _price_text(answer: int, decimals: int) -> str | None:
    return show_price(scaled(answer, decimals)) if answer > 0 else None


def _pack(round_: RoundData | None) -> dict[str, str] | None:
    return None if round_ is None else {key: str(value) for key, value in asdict(round_).items()}


def _unpack(packed: dict[str, str] | None) -> RoundData | None:
    if packed is None:
        return None
    numbers = {k: int(v) for k, v in packed.items() if k not in ("feed", "block_hash")}
    return RoundData(feed=packed["feed"], block_hash=packed["block_hash"], **numbers)
