"""Whose request it is, and how many streams one visitor may hold."""

from __future__ import annotations

import pytest
from fastapi import Request

from web.visitors import Streams, visitor_of


@pytest.mark.parametrize(
    ("host", "visitor"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
        ("a-socket", "a-socket"),
    ],
)
def test_a_visitor_is_an_address_or_a_household(host: str, visitor: str) -> None:
    assert visitor_of(Request({"type": "http", "client": (host, 1)})) == visitor
    assert visitor_of(Request({"type": "http", "client": None})) == ""


def test_streams_are_counted_while_they_last() -> None:
    streams = Streams(limit=2)
    with streams.one("a"), streams.one("a"):
        assert not streams.has_room("a")
        assert streams.has_room("b")
    assert streams.has_room("a")
    with pytest.raises(KeyError), streams.one("a"), streams.one("a"):
        raise KeyError
    assert streams.has_room("a")
