from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import Response

from api.idempotency import fingerprint
from api.paging import list_json, read_cursor
from api.queries import read_id, read_time
from core import ids
from core.errors import Invalid


def json_of(response: Response) -> Any:
    return json.loads(bytes(response.body))


def test_the_cursor_is_the_last_objects_id() -> None:
    last = ids.new()
    body = json_of(list_json([{"id": "x"}, {"id": ids.show("inv", last)}], True))
    assert body["next_cursor"] == ids.show("inv", last)
    assert read_cursor(body["next_cursor"]) == last
    assert json_of(list_json([{"id": "x"}], False))["next_cursor"] is None
    assert json_of(list_json([{"id": "x"}], True, "17"))["next_cursor"] == "17"


@pytest.mark.parametrize("text", ["", "_", "x", "inv_", "inv_!", "inv_" + "z" * 26, "17"])
def test_what_no_list_gave_out_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_cursor(text)
    assert refused.value.code == "invalid_cursor"


def test_a_filters_id_has_its_prefix() -> None:
    one = ids.new()
    assert read_id("invoice", "inv", None) is None
    assert read_id("invoice", "inv", ids.show("inv", one)) == one
    with pytest.raises(Invalid):
        read_id("invoice", "inv", ids.show("dep", one))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31t09:30:00z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T11:30:00+02:00", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T11:30:00 02:00", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00.25Z", datetime(2026, 1, 31, 9, 30, 0, 250_000, tzinfo=UTC)),
        ("2026-01-31T09:30:00.123456789Z", datetime(2026, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_times_are_rfc_3339(text: str, moment: datetime) -> None:
    assert read_time(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1700000000", "2026-01-31", "2026-01-31T09:30:00", "2026-01-31 09:30:00Z"),
        *("2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z", "0000-01-01T00:00:00Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "２026-01-31T09:30:00Z"),
    ],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_time(text)


def test_a_fingerprint_knows_content_not_form() -> None:
    one = fingerprint(b'{"a": 1, "b": {"c": "x", "d": null}}')
    assert one == fingerprint(b'{"b":{"d":null,"c":"\\u0078"},"a":1}')
    assert one != fingerprint(b'{"b":{"d":null,"c":"y"},"a":1}')
    assert one != fingerprint(b'{"b":{"d":null,"c":"x"},"a":"1"}')
    assert fingerprint(b"") != fingerprint(b"{}")
    assert len(one) == 32
