"""What the database knows of an address: lists, believed answers, and a deposit's score."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from risk import lists, policies, score
from risk.lists import Kind
from risk.score import Score
from risk.sources import ORACLE, PROVIDER, Opinion
from risk.tables import Screening, ScreeningAnswer
from risk.verdicts import Answer, Known, Outcome

HABIT_DEPOSITS = 100  # the last ones: what is usual for a merchant


def required(context: Context, network: str) -> tuple[str, ...]:
    """The sources outside that must have answered about an address on this network."""
    configured = context.catalog.networks.get(network)
    found = [ORACLE] if configured is not None and configured.sanctions_oracle else []
    return (*found, PROVIDER) if context.risk.provider_url else tuple(found)


async def gather(
    session: AsyncSession, context: Context, screening: Screening, now: datetime
) -> Known:
    """Raises Unavailable `policy_unreadable` for a deposit while the policy cannot be read."""
    address = screening.address
    hits = await lists.hits(session, address)
    limit = context.risk.list_max_age
    scored, rule = None, None
    if screening.subject == "deposit":
        rules = (await policies.load(session, context.catalog)).deposits
        if rules:
            mixers = tuple(hit.list for hit in hits if hit.kind == Kind.MIXER)
            scored = score.score(await _facts(session, screening, mixers))
            named = screening.merchant_id, screening.asset or "", screening.network
            rule = next((r for r in rules if r.matches(*named, scored.value)), None)
    return Known(
        address=address,
        required=required(context, screening.network),
        answers=await _answers(session, screening.network, address),
        hits=tuple(hits),
        list_age=None if limit is None else await lists.age(session, now),
        list_max_age=limit,
        score=scored,
        score_rule=rule,
        now=now,
    )


async def _answers(session: AsyncSession, network: str, address: str) -> dict[str, Answer]:
    query = select(ScreeningAnswer).where(
        ScreeningAnswer.network == network, ScreeningAnswer.address == address
    )
    return {
        row.source: Answer(row.source, Outcome(row.verdict), row.evidence, row.expires_at)
        for row in await session.scalars(query)
    }


async def _facts(
    session: AsyncSession, screening: Screening, mixers: tuple[str, ...]
) -> score.Facts:
    """Of the deposits screened before this one."""
    at = screening.created_at
    earlier = (
        Screening.subject == "deposit",
        Screening.merchant_id == screening.merchant_id,
        Screening.id < screening.id,
    )
    hour, month = at - timedelta(hours=1), at - timedelta(hours=score.USUAL_HOURS)
    same = Screening.address == screening.address
    lately = (
        await session.execute(
            select(
                func.count(case((Screening.created_at <= hour, 1))),
                func.count(case((Screening.created_at > hour, 1))),
                func.count(case(((Screening.created_at > hour) & same, 1))),
            ).where(*earlier, Screening.created_at > month)
        )
    ).one()
    last = (
        select(Screening.house_value)
        .where(*earlier, Screening.house_value.is_not(None))
        .order_by(Screening.created_at.desc())
        .limit(HABIT_DEPOSITS)
        .subquery()
    )
    usual: Any = func.percentile_disc(0.95).within_group(last.c.house_value)
    habit = (await session.execute(select(func.count(), usual).select_from(last))).one()
    seen = await session.scalar(select(func.count()).where(*earlier, same))
    return score.Facts(
        seen_before=seen or 0,
        value=screening.house_value,
        habit=habit[0],
        usual=None if habit[1] is None else int(habit[1]),
        from_address_hour=lately[2],
        merchant_hour=lately[1],
        merchant_month=lately[0],
        mixer_lists=mixers,
    )


async def remember(
    session: AsyncSession,
    context: Context,
    screening: Screening,
    source: str,
    opinion: Opinion,
    now: datetime,
) -> None:
    """Keeps an answer for every screening of the address until it expires."""
    row = {
        "verdict": opinion.outcome.value,
        "evidence": dict(opinion.evidence),
        "asked_at": now,
        "expires_at": now + timedelta(seconds=context.risk.verdict_lifetime),
    }
    place = {"network": screening.network, "address": screening.address, "source": source}
    await session.execute(
        insert(ScreeningAnswer)
        .values(**place, **row)
        .on_conflict_do_update(index_elements=list(place), set_=row)
    )


def told(found: Score | None) -> int | None:
    return found.value if found else None
