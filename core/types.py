"""Column types shared by all tables."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from psycopg.adapt import Loader
from sqlalchemy import NUMERIC, DateTime, Text, TypeDecorator, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import mapped_column


class BaseUnits(TypeDecorator[int]):
    """NUMERIC(78,0) <-> int: 2^256 has 78 digits."""

    impl = NUMERIC(78, 0)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> int | None:
        return value

    def process_result_value(self, value: Any, dialect: Any) -> int | None:
        return None if value is None else int(value)


class IntegerLoader(Loader):
    """psycopg: our NUMERIC columns have no decimals, so they come back as int."""

    def load(self, data: Any) -> int:
        return int(bytes(data))


Id = Annotated[UUID, mapped_column(Uuid, primary_key=True)]
Units = Annotated[int, mapped_column(BaseUnits)]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Str = Annotated[str, mapped_column(Text)]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
JsonList = Annotated[list[Any], mapped_column(JSONB)]
