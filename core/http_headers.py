"""Headers of an HTTP answer that say a time, from a server that may write anything there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_DIGITS = 9  # more seconds than anybody means


def date(text: str | None) -> datetime | None:
    """An HTTP date, UTC; None for what cannot be read."""
    try:
        moment = parsedate_to_datetime(text or "")
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):  # a zone or a year may be any number
        return None


def retry_after(text: str | None, now: datetime) -> int | None:
    """Retry-After, seconds or a date (RFC 9110, 10.2.3), in whole seconds, rounded up; None for
    what cannot be read. How long is too long is for the caller to say."""
    written = (text or "").strip()
    if written.isascii() and written.isdigit():
        return int(written[:_DIGITS])
    moment = date(written)
    return None if moment is None else max(0, -((now - moment) // timedelta(seconds=1)))
