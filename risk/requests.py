"""What the policy was asked, kept: the sums of rolling windows, replays, recent destinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core.money import FIAT
from risk.document import EMPTY, approvers_of
from risk.rules import AddressKind, Decision, Effect, Initiator, Per, Request, Sums, Window
from risk.tables import PolicyRequest, PolicyVersion

RECENT = timedelta(days=90)  # a history that people copy from
MOST_RECENT = 1000


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier request, and what became of it. `approvers` as in Decision, in no order.
    `released`: it did not leave."""

    request: Request
    effect: Effect
    rule: str | None
    needed: int
    approvers: frozenset[str]
    released: bool


async def record(session: AsyncSession, request: Request, decision: Decision) -> None:
    """Remembers what was said of a request; judged again, the newest answer counts."""
    await record_all(session, [(request, decision)])


async def record_all(session: AsyncSession, judged: Sequence[tuple[Request, Decision]]) -> None:
    """`record` for several, in one statement."""
    if not judged:
        return
    statement = insert(PolicyRequest).values([_values(*one) for one in judged])
    newest = {c.name: c for c in statement.excluded if c.name != "reference"}
    await session.execute(
        statement.on_conflict_do_update(index_elements=["reference"], set_=newest)
    )


def _values(request: Request, decision: Decision) -> dict[str, Any]:
    return {
        "reference": request.reference,
        "merchant_id": request.merchant_id,
        "key_id": request.key_id,
        "initiator": request.initiator.value,
        "network": request.network,
        "asset": request.asset,
        "address": request.address,
        "amount": request.amount,
        "house_value": request.house_value,
        "known": request.known,
        "group": request.group,
        "address_kind": request.address_kind,
        "at": request.at,
        "effect": decision.effect.value,
        "needed": decision.needed,
        "rule": decision.rule,
        "version": decision.version,
        "released": decision.effect == Effect.BLOCK,
    }


async def release(session: AsyncSession, reference: str, *, released: bool = True) -> None:
    """It was rejected, or failed and the money is back: no window counts it any more. Not
    `released`: the chain took that back, so it counts again."""
    await session.execute(
        update(PolicyRequest).where(PolicyRequest.reference == reference).values(released=released)
    )


async def sums(session: AsyncSession, windows: Sequence[Window], request: Request) -> Sums:
    """What left in each window up to the request, without it.

    Judged again, one that was let go counts what was asked for before it and nothing later: later
    ones were judged with it in their windows, and each would keep the other back.
    """
    if not windows:
        return {}
    columns: list[ColumnElement[Any]] = []
    for window in windows:
        counted = _counted(window, request)
        value = PolicyRequest.house_value if window.unit in FIAT else PolicyRequest.amount
        columns.append(func.coalesce(func.sum(value).filter(counted), 0))
        columns.append(func.count().filter(and_(counted, value.is_(None))))
    longest = timedelta(seconds=max(window.seconds for window in windows))
    query = select(*columns).where(
        PolicyRequest.merchant_id == request.merchant_id,
        PolicyRequest.at > request.at - longest,
        PolicyRequest.reference != request.reference,
        ~PolicyRequest.released,
        or_(~_let_go(request), _earlier(request)),
    )
    row = (await session.execute(query)).one()
    return {
        window: int(row[2 * i]) if row[2 * i + 1] == 0 else None for i, window in enumerate(windows)
    }


def _let_go(request: Request) -> ColumnElement[bool]:
    own = aliased(PolicyRequest)
    query = select(own.reference).where(
        own.reference == request.reference, own.effect == Effect.ALLOW.value, ~own.released
    )
    return query.exists()


def _earlier(request: Request) -> ColumnElement[bool]:
    """Those of one batch have the same time and are judged in any order: what was let go of them
    fitted together, and what was not is no reason to keep the others."""
    same = and_(
        PolicyRequest.at == request.at,
        PolicyRequest.reference < request.reference,
        PolicyRequest.effect == Effect.ALLOW.value,
    )
    return or_(PolicyRequest.at < request.at, same)


def _counted(window: Window, request: Request) -> ColumnElement[bool]:
    """`Request.counts_in` as SQL. A request of a moment later (another worker's) counts too."""
    conditions = [PolicyRequest.at > request.at - timedelta(seconds=window.seconds)]
    if window.assets is not None:
        conditions.append(PolicyRequest.asset.in_(window.assets))
    if window.networks is not None:
        conditions.append(PolicyRequest.network.in_(window.networks))
    if window.per == Per.DESTINATION:
        conditions.append(PolicyRequest.address == request.address)
    if window.per == Per.KEY:
        conditions.append(PolicyRequest.key_id.is_not_distinct_from(request.key_id))
    return and_(*conditions)


async def recent(session: AsyncSession, merchant_id: UUID, now: datetime) -> list[str]:
    """Addresses that the merchant paid lately, newest first: what a look-alike is held against."""
    newest = func.max(PolicyRequest.at)
    query = (
        select(PolicyRequest.address)
        .where(
            PolicyRequest.merchant_id == merchant_id,
            PolicyRequest.at > now - RECENT,
            ~PolicyRequest.released,
        )
        .group_by(PolicyRequest.address)
        .order_by(newest.desc())
        .limit(MOST_RECENT)
    )
    return list(await session.scalars(query))


async def past(
    session: AsyncSession, since: datetime, until: datetime, *, limit: int
) -> tuple[list[Past], bool]:
    """Requests in [since, until) in the order they came, and whether there are more."""
    query = (
        select(PolicyRequest)
        .where(PolicyRequest.at >= since, PolicyRequest.at < until)
        .order_by(PolicyRequest.at, PolicyRequest.reference)
        .limit(limit + 1)
    )
    rows = list(await session.scalars(query))
    versions = {row.version for row in rows}
    published = await session.scalars(
        select(PolicyVersion).where(PolicyVersion.number.in_(versions))
    )
    documents = {one.number: one.document for one in published}
    found = [_past(row, documents.get(row.version, EMPTY)) for row in rows[:limit]]
    return found, len(rows) > limit


def _past(row: PolicyRequest, document: Mapping[str, Any]) -> Past:
    request = Request(
        reference=row.reference,
        merchant_id=row.merchant_id,
        key_id=row.key_id,
        initiator=Initiator(row.initiator),
        network=row.network,
        asset=row.asset,
        address=row.address,
        amount=row.amount,
        house_value=row.house_value,
        known=row.known,
        group=row.group,
        address_kind=AddressKind(row.address_kind) if row.address_kind else None,
        at=row.at,
    )
    return Past(
        request=request,
        effect=Effect(row.effect),
        rule=row.rule,
        needed=row.needed,
        approvers=approvers_of(document, row.rule),
        released=row.released,
    )
