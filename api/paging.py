"""Lists: newest first, a limit of 1-100, and a cursor that is the last object's id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import Query, Response
from pydantic import BeforeValidator

from core import ids
from core.errors import Invalid


def _digits(value: Any) -> Any:
    """pydantic would take `+1`, `1_0`, `1.0` and ` 1 ` for integers."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 3):
        raise ValueError("must be a whole number from 1 to 100")
    return value


Limit = Annotated[
    int, Query(ge=1, le=100, description="How many objects."), BeforeValidator(_digits)
]
Cursor = Annotated[
    str | None,
    Query(max_length=64, description="`next_cursor` of the page before: what comes after it."),
]


@dataclass(frozen=True, slots=True)
class Page:
    """The dependency `page: Annotated[Page, Depends(page)]`."""

    limit: int
    cursor: UUID | None


def page(limit: Limit = 20, cursor: Cursor = None) -> Page:
    """Query parameters of a list whose objects are ordered by their ids."""
    return Page(limit, read_cursor(cursor))


def read_cursor(cursor: str | None) -> UUID | None:
    """An object's id -> its UUID. Raises Invalid for what no list has given out."""
    if cursor is None:
        return None
    position = ids.read(cursor.rpartition("_")[0], cursor)
    if position is None:
        raise Invalid.of("cursor", "is not a cursor of this list", code="invalid_cursor")
    return position


def list_json(
    data: Sequence[dict[str, Any]], has_more: bool, cursor: str | None = None
) -> Response:
    """A page. `cursor` is the next one where it is not the last object's id."""
    next_cursor = (cursor or data[-1]["id"]) if has_more and data else None
    return json({"object": "list", "data": data, "has_more": has_more, "next_cursor": next_cursor})


def json(body: Any, status: int = 200) -> Response:
    """JSON from plain values, rendered once, not validated again."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")
