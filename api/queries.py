"""Types of query parameters that pydantic alone would read too kindly."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from pydantic import BeforeValidator

from core import ids
from core.errors import Invalid

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+ -][0-9]{2}:[0-9]{2})"
)


def read_time(value: Any) -> Any:
    """RFC 3339 with an offset -> UTC; a number or a bare date is refused.

    A `+` that was not percent-encoded has become a space on its way.
    """
    if isinstance(value, str):
        if not _RFC3339.fullmatch(value):
            raise ValueError("must be a time as in RFC 3339, such as 2026-01-31T09:30:00Z")
        try:
            return datetime.fromisoformat(value.upper().replace(" ", "+")).astimezone(UTC)
        except OverflowError:
            raise ValueError("is outside of all time") from None
    return value


def _read_flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


Time = Annotated[datetime | None, Query(), BeforeValidator(read_time)]
Flag = Annotated[bool | None, Query(), BeforeValidator(_read_flag)]


def read_id(field: str, prefix: str, text: str | None) -> UUID | None:
    """A filter's id. Raises Invalid for what is no id of this kind."""
    if text is None:
        return None
    value = ids.read(prefix, text)
    if value is None:
        raise Invalid.of(field, f"is not an id such as {prefix}_01h455vb4pex5vsknk084sn02q")
    return value
