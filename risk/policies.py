"""The policy in force, and what it says of a request. It can only make things stricter than the
signer's own policy (CHAIN 4): what it allows still has to pass there."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from core.errors import Invalid, Unavailable
from core.networks import Catalog
from core.singleton import lock_number
from risk.document import parse
from risk.evaluate import evaluate
from risk.requests import record, record_all, sums
from risk.rules import Decision, Request, Ruleset
from risk.tables import PolicyVersion


async def load(session: AsyncSession, catalog: Catalog) -> Ruleset:
    """The newest published policy; nothing published yet allows all.

    Raises Unavailable `policy_unreadable` when the configuration no longer has what the policy
    names: then nothing is decided until somebody publishes another one.
    """
    row = await newest(session)
    if row is None:
        return Ruleset()
    try:
        return parse(row.document, catalog, row.number)
    except Invalid as error:
        raise Unavailable(
            f"the published policy no longer fits the configuration: {error.detail}",
            code="policy_unreadable",
        ) from None


async def newest(session: AsyncSession) -> PolicyVersion | None:
    query = select(PolicyVersion).order_by(PolicyVersion.number.desc()).limit(1)
    return (await session.scalars(query)).first()


async def judge(session: AsyncSession, context: Context, request: Request) -> Decision:
    """What the policy would say now; nothing is remembered. Raises Unavailable."""
    rules = await load(session, context.catalog)
    return evaluate(rules, request, await sums(session, rules.windows(), request))


async def admit(session: AsyncSession, context: Context, request: Request) -> Decision:
    """`judge`, remembered in the caller's transaction. Raises Unavailable.

    One merchant's requests are judged one after the other until the commit: two that fit a window
    alone do not slip through it together.
    """
    [decision] = await admit_all(session, context, [request])
    return decision


async def admit_all(
    session: AsyncSession, context: Context, asked: Sequence[Request]
) -> list[Decision]:
    """`admit` for several, in their order: each counts for those after it."""
    for merchant_id in sorted({request.merchant_id for request in asked}):
        await _wait_turn(session, merchant_id)
    rules = await load(session, context.catalog)
    windows = rules.windows()
    if not windows:  # nobody is counted, so all are judged at once
        decisions = [evaluate(rules, request, {}) for request in asked]
        await record_all(session, list(zip(asked, decisions, strict=True)))
        return decisions
    decisions = []
    for request in asked:
        decisions.append(evaluate(rules, request, await sums(session, windows, request)))
        await record(session, request, decisions[-1])
    return decisions


async def _wait_turn(session: AsyncSession, merchant_id: UUID) -> None:
    number = lock_number(f"policy:{merchant_id}")
    await session.execute(text("select pg_advisory_xact_lock(:n)"), {"n": number})
