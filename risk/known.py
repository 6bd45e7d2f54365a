"""What the database knows of an address: lists, believed answers, and a deposit's score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from risk import lists, policies, score
from risk.lists import Kind
from risk.rules import ScoreRule
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
    session: AsyncSession, context: Context, screenings: Sequence[Screening], now: datetime
) -> list[Known]:
    """One for each, in a few statements for all of them; only the score of a deposit, where a rule
    looks at it, costs some of its own.

    Raises Unavailable `policy_unreadable` for a deposit while the policy cannot be read.
    """
    if not screenings:
        return []
    limit = context.risk.list_max_age
    age = None if limit is None else await lists.age(session, now)
    hits = await lists.hits(session, {one.address for one in screenings})
    answers = await _answers(session, screenings)
    rules: Sequence[ScoreRule] = ()
    if any(one.subject == "deposit" for one in screenings):
        rules = (await policies.load(session, context.catalog)).deposits
    found = []
    for one in screenings:
        listed = hits.get(one.address, [])
        scored, rule = None, None
        if rules and one.subject == "deposit":
            mixers = tuple(hit.list for hit in listed if hit.kind == Kind.MIXER)
            scored = score.score(await _facts(session, one, mixers))
            named = one.merchant_id, one.asset or "", one.network
            rule = next((r for r in rules if r.matches(*named, scored.value)), None)
        known = Known(
            address=one.address,
            required=required(context, one.network),
            answers=answers.get((one.network, one.address), {}),
            hits=tuple(listed),
            list_age=age,
            list_max_age=limit,
            score=scored,
            score_rule=rule,
            now=now,
        )
        found.append(known)
    return found


async def _answers(
    session: AsyncSession, screenings: Sequence[Screening]
) -> dict[tuple[str, str], dict[str, Answer]]:
    """By network and address, then by source."""
    places = {(one.network, one.address) for one in screenings}
    query = select(ScreeningAnswer).where(
        tuple_(ScreeningAnswer.network, ScreeningAnswer.address).in_(places)
    )
    found: dict[tuple[str, str], dict[str, Answer]] = {}
    for row in await session.scalars(query.execution_options(populate_existing=True)):
        answer = Answer(row.source, Outcome(row.verdict), row.evidence, row.expires_at)
        found.setdefault((row.network, row.address), {})[row.source] = answer
    return found


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
    told: Mapping[tuple[str, str, str], Opinion],
    now: datetime,
) -> None:
    """Keeps answers, by network, address and source, for every screening of the address until they
    expire."""
    if not told:
        return
    rows = [
        {
            "network": network,
            "address": address,
            "source": source,
            "verdict": opinion.outcome.value,
            "evidence": dict(opinion.evidence),
            "asked_at": now,
            "expires_at": now + timedelta(seconds=context.risk.verdict_lifetime),
        }
        for (network, address, source), opinion in sorted(told.items(), key=lambda one: one[0])
    ]
    new = insert(ScreeningAnswer).values(rows)
    said = ("verdict", "evidence", "asked_at", "expires_at")
    await session.execute(
        new.on_conflict_do_update(
            index_elements=["network", "address", "source"],
            set_={name: new.excluded[name] for name in said},
        )
    )


def told(found: Score | None) -> int | None:
    return found.value if found else None
