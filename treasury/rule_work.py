"""The worker's loop of rules: what is due looks, and converts as a person would.

A firing, its quote and its conversion are one transaction under the rule's lock, so a rule that is
killed anywhere has fired or has not; `rule_firings.key` says so to whoever comes second. One
conversion of a rule is under way at a time. `due_at` is the domain's time, leases the wall's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.errors import Refused
from core.money import Asset
from core.rows import Rows
from exchanges.types import Side
from ledger.units import coarse, fine
from treasury import conversion_cases, conversions, plan, quotes, rule_counting
from treasury.conversion_machine import OVER, reached
from treasury.conversion_tables import Conversion
from treasury.rule_machine import Basis, Found, Judgement, Reason, Terms, judge, next_due
from treasury.rule_tables import Firing, Rule
from treasury.rules import CHANNEL, firing_json, locked, rule_json
from webhooks.events import NewEvent, emit

SOON = timedelta(seconds=1)  # until a conversion that is under way is looked at again

_CLAIM = """
with due as (
    select id from treasury_rules
    where due_at <= %(now)s and (leased_until is null or leased_until <= %(wall)s)
    order by due_at, id limit %(limit)s for update skip locked
)
update treasury_rules r set leased_until = %(leased_until)s from due where r.id = due.id
returning r.id
"""


@dataclass(frozen=True, slots=True)
class Claims:
    """What is set aside for merchants who settle at the fill: payments.settle_fills, by whoever
    puts the house together."""

    waiting: Callable[[AsyncSession, str, str], Awaitable[int]]
    distribute: Callable[[AsyncSession, Context, str, str, int, int, str], Awaitable[None]]


class Rules(Rows):
    """Looks at rules when they are due. Any number of workers may do this."""

    name = "rules"
    channel = CHANNEL
    claiming = _CLAIM

    def __init__(self, context: Context, claims: Claims, *, poll_seconds: float = 1) -> None:
        super().__init__(context, parallel=2, poll_seconds=poll_seconds)
        self._claims = claims

    async def step(self, rule_id: UUID) -> None:
        """One look; happening twice does no harm."""
        now = self._context.clock.now()
        async with self._context.database.begin() as session:
            rule = await locked(session, rule_id)
            if rule.due_at is None or rule.due_at > now:
                return  # somebody else has looked
            rule.checked_at, rule.leased_until = now, None
            working = await _working(session, rule.id)
            if working is not None:
                await self._follow(session, rule, working, now)
            elif rule.deleted_at is None:
                await self._look(session, rule, now)
            else:
                rule.due_at = None
            await session.flush()

    async def _follow(
        self, session: AsyncSession, rule: Rule, firing: Firing, now: datetime
    ) -> None:
        """Waits for its conversion. What that did not take counts again; a fill that is booked
        after a conversion's end is the house's."""
        row = await session.get_one(Conversion, firing.conversion_id)
        if row.status not in OVER:
            rule.due_at = now + SOON
            return
        firing.status, firing.finished_at = "done", now
        firing.given, firing.got = row.given, row.got
        if rule.basis in (Basis.SETTLED, Basis.FIAT_AT_QUOTE):
            rule.left_over += firing.amount - firing.given
        if rule.basis == Basis.FIAT_AT_FILL:
            await self._distribute(session, rule, row.id)
        rule.due_at = next_due(rule.schedule, now) if rule.deleted_at is None else None
        await _tell(session, "done", firing_json(rule, firing), now)

    async def _distribute(self, session: AsyncSession, rule: Rule, conversion_id: UUID) -> None:
        """Merchants part with what was exchanged to the end and no more: what got stuck between
        two steps is the house's to bear, and waits for the next conversion."""
        case = await conversion_cases.lock(session, conversion_id)
        row = case.conversion
        whole = reached(plan.parse(row.plan), [conversion_cases.made(one) for one in case.orders])
        if whole > 0:
            reference = ids.show("cnv", row.id)
            await self._claims.distribute(
                session, self._context, rule.asset, rule.to_asset, whole, row.got, reference
            )

    async def _look(self, session: AsyncSession, rule: Rule, now: datetime) -> None:
        head = await rule_counting.head(session)
        terms = self._terms(rule)
        answer = judge(terms, await self._found(session, rule, terms, head, now))
        rule.counted_to, rule.due_at = head, next_due(rule.schedule, now)
        reason: str | None = answer.reason
        if answer.amount:
            reason = await self._fire(session, rule, answer, now)
        if answer.amount and reason is None:
            rule.left_over = answer.left_over
        elif terms.basis in (Basis.SETTLED, Basis.FIAT_AT_QUOTE):
            rule.left_over = answer.left_over + answer.amount
        news = reason not in (None, Reason.NOTHING, rule.reason)
        rule.reason = reason
        if news:
            await _tell(session, "skipped", rule_json(rule, []), now)

    async def _fire(
        self, session: AsyncSession, rule: Rule, answer: Judgement, now: datetime
    ) -> str | None:
        """The quote and its conversion, all or nothing; why not, where they are refused."""
        asset = self._asset(rule.asset)
        amount = asset.format(coarse(asset, answer.amount)[0])
        asked = quotes.NewQuote(rule.asset, rule.to_asset, amount, Side.SELL.value)
        name, n = ids.show("rul", rule.id), rule.firings + 1
        conversion: UUID | None = None
        try:
            async with session.begin_nested():
                quote = await quotes.make(session, self._context, asked)
                number = quote.id
                if not rule.dry_run:
                    made = await conversions.accept(session, self._context, number, name)
                    conversion = ids.read("cnv", made["id"])
        except Refused as error:
            return error.code
        firing = Firing(
            id=ids.new(),
            rule_id=rule.id,
            n=n,
            key=f"rule:{name}:{n}",
            status="dry_run" if rule.dry_run else "working",
            amount=answer.amount,
            given=0,
            got=0,
            quote_id=number,
            conversion_id=conversion,
            created_at=now,
            finished_at=now if rule.dry_run else None,
        )
        session.add(firing)
        await session.flush()
        rule.firings = n
        if conversion is not None:
            rule.due_at = now + SOON
        await _tell(session, "fired", firing_json(rule, firing), now)
        return None

    async def _found(
        self, session: AsyncSession, rule: Rule, terms: Terms, head: int, now: datetime
    ) -> Found:
        counted = standing = 0
        catalog, asset = self._context.catalog, self._asset(rule.asset)
        if terms.basis is Basis.FIAT_AT_FILL:
            standing = fine(asset, await self._claims.waiting(session, rule.asset, rule.to_asset))
        elif terms.basis is Basis.HELD:
            standing = await rule_counting.held(session, catalog, rule.asset)
        else:
            counted = await rule_counting.counted(
                session, catalog, terms.basis, rule.asset, rule.to_asset, rule.counted_to, head
            )
        return Found(
            left_over=rule.left_over,
            counted=counted,
            standing=standing,
            converted_today=await _converted(session, rule.id, now),
        )

    def _terms(self, rule: Rule) -> Terms:
        return Terms(
            basis=Basis(rule.basis),
            share=Fraction(rule.share_percent) / 100,
            minimum=rule.minimum,
            threshold=rule.threshold,
            daily_limit=rule.daily_limit,
            step=fine(self._asset(rule.asset), 1),
        )

    def _asset(self, symbol: str) -> Asset:
        asset = self._context.catalog.asset(symbol)
        if asset is None:  # its configuration is gone: the step fails and says so until it is back
            raise LookupError(f"{symbol} is not configured any more")
        return asset


async def _working(session: AsyncSession, rule_id: UUID) -> Firing | None:
    query = select(Firing).where(Firing.rule_id == rule_id, Firing.status == "working")
    return (await session.scalars(query)).one_or_none()


async def _converted(session: AsyncSession, rule_id: UUID, now: datetime) -> int:
    """Today, UTC: what was given, or would have been in a dry run."""
    given = select(
        func.coalesce(func.sum(Firing.given).filter(Firing.status == "done"), 0)
        + func.coalesce(func.sum(Firing.amount).filter(Firing.status != "done"), 0)
    )
    begun = now.replace(hour=0, minute=0, second=0, microsecond=0)
    mine = given.where(Firing.rule_id == rule_id, Firing.created_at >= begun)
    return int(await session.scalar(mine) or 0)


async def _tell(session: AsyncSession, what: str, shown: dict[str, object], now: datetime) -> None:
    """The house's own event `rule.<what>`."""
    await emit(session, [NewEvent(None, f"rule.{what}", str(shown["id"]), shown)], now)
