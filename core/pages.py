"""Lists as the API pages them: newest first, the next page begins after the last id (API 1)."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.db import Base

Row = TypeVar("Row", bound=Base)
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])


def newest_first(
    query: Query, number: SQLColumnExpression[UUID], limit: int, cursor: UUID | None
) -> Query:
    """The page after `cursor` by `number`, ids that grow with time, and one row more: whether there
    are more."""
    if cursor is not None:
        query = query.where(number < cursor)
    return query.order_by(number.desc()).limit(limit + 1)


async def page_of(
    session: AsyncSession,
    table: type[Row],
    limit: int,
    cursor: UUID | None,
    *conditions: ColumnElement[bool],
    **wanted: Any,
) -> tuple[list[Row], bool]:
    """Rows of a table, newest first, and whether there are more.

    `wanted`: column=value; None asks nothing of that column.
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    query = select(table).where(*conditions).filter_by(**given)
    rows = list(await session.scalars(newest_first(query, table.__table__.c.id, limit, cursor)))
    return rows[:limit], len(rows) > limit
