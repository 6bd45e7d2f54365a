"""Binance's limits: what was used by its own count, and how long it wants to be left alone.

One bucket a limit, refilled when its interval begins anew at the venue; the answers' headers say
what is used. A call that does not fit is refused here with the seconds to wait: going on after 429
is what gets an address banned (rest-api.md, LIMITS). Money already at stake (orders and questions
for them) may use what prices may not.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import VenueUnavailable

Kind = tuple[str, int, str]
"""What is counted, how many of which interval: ("weight", 1, "M")."""

_SECONDS = {"S": 1, "M": 60, "H": 3600, "D": 86_400}
_HEADER = re.compile(
    r"x-(?:mbx-used-(weight)|mbx-(order)-count|sapi-used-(ip|uid)-weight)-([0-9]{1,4})([smhd])",
    re.ASCII | re.IGNORECASE,
)
_COUNT = re.compile("[0-9]{1,9}", re.ASCII)
_RULES = {"REQUEST_WEIGHT": "weight", "ORDERS": "order"}
# Until exchangeInfo is read; the wallet's (sapi) are in no answer, only in its documentation:
# by address and by account a minute, and for histories of withdrawals by account a second
_KNOWN: dict[Kind, int] = {
    ("weight", 1, "M"): 6000,
    ("order", 10, "S"): 50,
    ("order", 1, "D"): 160_000,
    ("ip", 1, "M"): 12_000,
    ("uid", 1, "M"): 180_000,
    ("history", 1, "S"): 180_000,
}
_SHARE = 0.7
"""Of each limit, for calls that are not urgent; urgent ones may use all but a little."""
_URGENT_SHARE = 0.95
_FIRST_WAIT = 1
_LONGEST_WAIT = 300


@dataclass(slots=True)
class _Bucket:
    limit: int
    seconds: int
    used: int = 0
    began: int = 0
    underway: int = 0
    """Of calls without an answer yet: no header counts them."""


class Limits:
    """Of one venue. `now`: the venue's time in seconds; `monotonic`: ours."""

    def __init__(
        self, now: Callable[[], float], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._buckets = {kind: self._bucket(kind, limit) for kind, limit in _KNOWN.items()}
        self._until = 0.0
        self._strikes = 0

    @staticmethod
    def _bucket(kind: Kind, limit: int) -> _Bucket:
        return _Bucket(limit, kind[1] * _SECONDS[kind[2]])

    def configure(self, rules: list[dict[str, Any]]) -> None:
        """`rateLimits` of exchangeInfo."""
        for rule in rules:
            name = _RULES.get(rule["rateLimitType"])
            if name is not None:
                kind = name, int(rule["intervalNum"]), str(rule["interval"])[0]
                self._buckets.setdefault(kind, self._bucket(kind, 0)).limit = int(rule["limit"])

    @property
    def waits(self) -> int:
        """Whole seconds for which the venue wants to be left alone; 0: none."""
        return max(0, math.ceil(self._until - self._monotonic()))

    def take(self, costs: Mapping[str, int], *, urgent: bool) -> None:
        """Before a call; `done` follows it, whatever becomes of it. `costs`: by what is counted.

        Raises VenueUnavailable with `retry_after` when it does not fit or the venue is left alone.
        """
        if self.waits:
            raise VenueUnavailable("binance: it asked to be left alone", retry_after=self.waits)
        share = _URGENT_SHARE if urgent else _SHARE
        touched = [(k, b, costs[k[0]]) for k, b in self._buckets.items() if k[0] in costs]
        for kind, bucket, cost in touched:
            if self._used(bucket) + bucket.underway + cost > bucket.limit * share:
                raise VenueUnavailable(
                    f"binance: its limit of {bucket.limit} {kind[0]} in {bucket.seconds} s is near",
                    retry_after=bucket.seconds - int(self._now()) % bucket.seconds,
                )
        for _, bucket, cost in touched:
            bucket.underway += cost

    def done(self, costs: Mapping[str, int]) -> None:
        for kind, bucket in self._buckets.items():
            bucket.underway -= costs.get(kind[0], 0)

    def learn(self, headers: Mapping[str, str]) -> None:
        """What an answer's headers say is used."""
        for header, value in headers.items():
            match = _HEADER.fullmatch(header)
            if match is None or _COUNT.fullmatch(value) is None:
                continue
            name = (match[1] or match[2] or match[3]).lower()
            interval = match[5].upper()
            if interval == "S" and match[3]:
                name = "history"
            bucket = self._buckets.get((name, int(match[4]), interval))
            if bucket is not None:
                self._used(bucket)
                bucket.used = int(value)

    def back_off(self, seconds: int | None) -> None:
        """After 429, 418 or 403: as long as it says, else twice as long each time."""
        self._strikes += 1
        grown = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (self._strikes - 1))
        self._until = max(self._until, self._monotonic() + (grown if seconds is None else seconds))

    def served(self) -> None:
        """It answered as usual: the next pause is a short one again."""
        self._strikes = 0

    @property
    def used_percent(self) -> int:
        """Of the tightest limit."""
        return max(100 * self._used(b) // b.limit for b in self._buckets.values() if b.limit)

    def _used(self, bucket: _Bucket) -> int:
        began = int(self._now()) // bucket.seconds
        if began != bucket.began:
            bucket.began, bucket.used = began, 0
        return bucket.used
