"""Rules as people make, read and end them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, Invalid, InvalidAmount, NotFound
from core.listen import notify
from core.money import VENUE_DECIMALS, Asset
from core.pages import page_of
from ledger.units import fine
from treasury.rule_counting import head
from treasury.rule_machine import ON_SETTLEMENT, Basis, next_due
from treasury.rule_tables import Firing, Rule
from treasury.units import show_amount

CHANNEL = "rules"
NO_RULE = "no such rule"
SHOWN = 10  # firings beside a rule
_PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRule:
    """A request as it came in: amounts are text in major units of `asset`."""

    asset: str
    to: str
    share_percent: str = "100"
    of: str = Basis.SETTLED
    schedule: str = ON_SETTLEMENT
    minimum: str = "0"
    threshold: str | None = None
    daily_limit: str | None = None
    dry_run: bool = False


async def create(
    session: AsyncSession, context: Context, asked: NewRule, created_by: str
) -> dict[str, Any]:
    """Counts from now on. Raises Invalid naming the field; Conflict `rule_exists` for a second rule
    over what is set aside for merchants."""
    now = context.clock.now()
    asset, to = _asset(context, "asset", asked.asset), _asset(context, "to", asked.to)
    if asset == to:
        raise Invalid.of("to", f"is another asset than {asset.symbol}")
    basis = Basis(asked.of)
    _check(asked, basis)
    try:
        due_at = next_due(asked.schedule, now)
    except ValueError as error:
        raise Invalid.of("schedule", f"is {ON_SETTLEMENT} or a cron expression: {error}") from None
    row = Rule(
        id=ids.new(),
        asset=asset.symbol,
        to_asset=to.symbol,
        basis=basis.value,
        share_percent=asked.share_percent,
        schedule=asked.schedule,
        minimum=_units(asset, "minimum", asked.minimum),
        threshold=asked.threshold and _units(asset, "threshold", asked.threshold),
        daily_limit=asked.daily_limit and _units(asset, "daily_limit", asked.daily_limit),
        dry_run=asked.dry_run,
        counted_to=await head(session),
        left_over=0,
        firings=0,
        reason=None,
        created_by=created_by,
        created_at=now,
        due_at=due_at,
    )
    session.add(row)
    try:
        await session.flush()
    except IntegrityError:
        detail = f"a rule converts what is set aside in {asset.symbol} to {to.symbol} already"
        raise Conflict(detail, code="rule_exists") from None
    await notify(session, CHANNEL)
    return rule_json(row, [])


async def end(session: AsyncSession, context: Context, rule_id: UUID | None) -> dict[str, Any]:
    """It fires no more; a conversion that is under way is followed to its end. Raises NotFound."""
    row = await locked(session, rule_id)
    if row.deleted_at is None:
        row.deleted_at = context.clock.now()
        working = [one for one in await _firings(session, row.id) if one.status == "working"]
        if not working:
            row.due_at = row.leased_until = None
        await session.flush()
    return rule_json(row, await _firings(session, row.id))


async def show(session: AsyncSession, rule_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    row = await session.get(Rule, rule_id) if rule_id else None
    if row is None:
        raise NotFound(NO_RULE)
    return rule_json(row, await _firings(session, row.id))


async def page(
    session: AsyncSession, *, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more; ended ones too."""
    rows, more = await page_of(session, Rule, limit, cursor)
    return [rule_json(row, await _firings(session, row.id)) for row in rows], more


async def locked(session: AsyncSession, rule_id: UUID | None) -> Rule:
    """Raises NotFound."""
    query = select(Rule).where(Rule.id == rule_id).with_for_update()
    row = (await session.scalars(query.execution_options(populate_existing=True))).one_or_none()
    if row is None:
        raise NotFound(NO_RULE)
    return row


def rule_json(row: Rule, firings: Sequence[Firing]) -> dict[str, Any]:
    """A rule with its last firings, newest first. `reason`: why it did not fire, the last time."""
    asset = row.asset
    return {
        "id": ids.show("rul", row.id),
        "object": "treasury_rule",
        "status": "active" if row.deleted_at is None else "ended",
        "asset": asset,
        "to": row.to_asset,
        "of": row.basis,
        "share_percent": row.share_percent,
        "schedule": row.schedule,
        "minimum": show_amount(asset, row.minimum),
        "threshold": None if row.threshold is None else show_amount(asset, row.threshold),
        "daily_limit": None if row.daily_limit is None else show_amount(asset, row.daily_limit),
        "dry_run": row.dry_run,
        "left_over": show_amount(asset, row.left_over),
        "reason": row.reason,
        "next_at": show_time(row.due_at) if row.due_at and row.deleted_at is None else None,
        "checked_at": show_time(row.checked_at) if row.checked_at else None,
        "firings": [firing_json(row, one) for one in firings],
        "created_at": show_time(row.created_at),
        "ended_at": show_time(row.deleted_at) if row.deleted_at else None,
    }


def firing_json(rule: Rule, row: Firing) -> dict[str, Any]:
    """One time that a rule fired."""
    conversion, quote = row.conversion_id, row.quote_id
    return {
        "id": ids.show("rfi", row.id),
        "object": "rule_firing",
        "rule": ids.show("rul", rule.id),
        "status": row.status,
        "amount": show_amount(rule.asset, row.amount),
        "from_amount": show_amount(rule.asset, row.given),
        "to_amount": show_amount(rule.to_asset, row.got),
        "quote": ids.show("qte", quote) if quote else None,
        "conversion": ids.show("cnv", conversion) if conversion else None,
        "created_at": show_time(row.created_at),
        "finished_at": show_time(row.finished_at) if row.finished_at else None,
    }


async def _firings(session: AsyncSession, rule_id: UUID) -> list[Firing]:
    query = select(Firing).where(Firing.rule_id == rule_id).order_by(Firing.n.desc()).limit(SHOWN)
    return list(await session.scalars(query))


def _check(asked: NewRule, basis: Basis) -> None:
    share = asked.share_percent
    if not _PERCENT.fullmatch(share) or not 0 < Fraction(share) <= 100:
        raise Invalid.of("share_percent", 'is a decimal above "0" and up to "100"')
    if basis is Basis.FIAT_AT_FILL and Fraction(share) != 100:
        raise Invalid.of("share_percent", "is 100 of what is set aside for merchants")
    if (basis is Basis.HELD) != (asked.threshold is not None):
        raise Invalid.of("threshold", "belongs to a rule of what is held, and that needs one")


def _asset(context: Context, field: str, code: str) -> Asset:
    asset = context.catalog.asset(code)
    if asset is None or asset.symbol != code or asset.decimals > VENUE_DECIMALS:
        raise Invalid.of(field, "is no currency and no asset that is configured")
    return asset


def _units(asset: Asset, field: str, amount: str) -> int:
    """Units of 10**-18."""
    try:
        return fine(asset, asset.parse(amount))
    except InvalidAmount as error:
        raise Invalid.of(field, error.detail, code="invalid_amount") from None
