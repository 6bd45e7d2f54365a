"""What follows an attempt: a pure function of its answer (Standard Webhooks 1.0)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# Seconds before each attempt: 0, 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
SCHEDULE = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
SLOW_DOWN = frozenset({429, 502, 503, 504})
LONGEST_WAIT = 86_400
# Retries come up to this part of their delay early, so that a crowd does not come back at once.
JITTER_PERCENT = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """The delivery's new status; `due_at` for a pending one; why the endpoint is to be disabled."""

    status: str
    due_at: datetime | None = None
    disable: str | None = None


def judge(
    status_code: int | None, retry_after: int | None, attempt: int, now: datetime, luck: int
) -> Verdict:
    """`attempt` counts from 1; `status_code` None: no answer; `retry_after` in seconds.

    `luck` (0-100) draws the jitter. Redirects are not followed: 3xx fails like any other answer.
    """
    if status_code is not None and 200 <= status_code < 300:
        return Verdict("delivered")
    if status_code == 410:
        return Verdict("disabled", disable="the endpoint answered 410 Gone")
    if attempt >= len(SCHEDULE):
        return Verdict("failed", disable=f"{attempt} attempts failed")
    delay = timedelta(seconds=SCHEDULE[attempt])
    due_at = now + delay - delay * JITTER_PERCENT * luck / 10_000
    if status_code in SLOW_DOWN and retry_after is not None:
        due_at = max(due_at, now + timedelta(seconds=min(retry_after, LONGEST_WAIT)))
    return Verdict("pending", due_at=due_at)
