from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.limits import MAX_BODY, check_body, read_body, replay
from core.errors import Invalid, Refused, TooLarge

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [*value, *(t for item in value.values() for t in texts(item))]
    return [t for item in value for t in texts(item)] if isinstance(value, list) else []


def bad(text: str) -> bool:
    return "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text)


@given(Json, st.booleans())
def test_exactly_what_text_cannot_hold_is_refused(document: Any, plain: bool) -> None:
    body = json.dumps(document, ensure_ascii=not plain).encode(errors="surrogatepass")
    wrong = any(bad(text) for text in texts(document))
    try:
        check_body(body)
    except Refused:
        assert wrong
    else:
        assert not wrong


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ('{"metadata": {"key": "a\\u0000"}}', "metadata.key"),
        ('{"metadata": {"a\\u0000": "v"}}', "metadata"),
        ('{"assets": ["ETH", "\\ud83d"]}', "assets.1"),
        ('["\\uDC00"]', "0"),
    ],
)
def test_the_place_is_named(document: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_body(document.encode())
    assert [e.field for e in refused.value.errors] == [field]


def receiving(*chunks: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    messages = [
        {"type": "http.request", "body": chunk, "more_body": n + 1 < len(chunks)}
        for n, chunk in enumerate(chunks)
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    return receive


async def test_a_body_is_read_whole_and_handed_on_once() -> None:
    receive = receiving(b"a" * 1000, b"", b"b" * (MAX_BODY - 1000))
    body = await read_body(receive)
    assert len(body) == MAX_BODY
    again = replay(body, receive)
    assert await again() == {"type": "http.request", "body": body, "more_body": False}
    assert await again() == {"type": "http.disconnect"}


async def test_one_byte_more_is_too_large() -> None:
    with pytest.raises(TooLarge) as refused:
        await read_body(receiving(b"a" * MAX_BODY, b"b"))
    assert refused.value.headers == {}


async def test_who_does_not_stop_sending_is_cut_off() -> None:
    with pytest.raises(TooLarge) as refused:
        await read_body(receiving(*([b"a" * 2**20] * 10)))
    assert refused.value.headers == {"Connection": "close"}
