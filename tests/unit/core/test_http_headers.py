"""Whatever a server writes into its headers, it is a time or nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.http_headers import date, retry_after

NOW = datetime(2015, 10, 21, 7, 28, 0, 500_000, UTC)
HOSTILE = (
    f"Wed, 21 Oct 2015 07:28:00 +{'9' * 22}",
    f"Wed, 21 Oct {'9' * 22} 07:28:00 GMT",
    "Mon, 01 Jan 0100 00:00:00 +9999",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "soon",
    "",
    None,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_cannot_be_read_is_none(text: str | None) -> None:
    assert date(text) is None
    assert retry_after(text, NOW) is None


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_a_date_is_utc(zone: str) -> None:
    assert date(f"Wed, 21 Oct 2015 07:28:00 {zone}") == datetime(2015, 10, 21, 7, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("9" * 5000, 999_999_999),
        ("Wed, 21 Oct 2015 07:28:02 GMT", 2),  # a second and a half: never too early
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("-1", None),
        ("²", None),
    ],
)
def test_seconds_are_told_or_counted(text: str, seconds: int | None) -> None:
    assert retry_after(text, NOW) == seconds
