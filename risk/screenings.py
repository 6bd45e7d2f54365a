"""Screenings as people meet them: looked up, shown, decided."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core import clock, ids
from core.addresses import checksum
from core.errors import Conflict, Invalid, NotFound
from core.listen import notify
from core.pages import page_of
from risk.screening import CHANNEL
from risk.tables import Screening
from risk.verdicts import Outcome

_PREFIX = {"deposit": "dep", "payout": "pay"}


async def find(session: AsyncSession, screening_id: UUID | None) -> Screening:
    """Raises NotFound."""
    row = await session.get(Screening, screening_id) if screening_id else None
    if row is None:
        raise NotFound("no such screening")
    return row


async def page(
    session: AsyncSession,
    *,
    address: str | None,
    status: str | None,
    verdict: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[Screening], bool]:
    """Screenings, newest first, and whether there are more."""
    return await page_of(
        session,
        Screening,
        limit,
        cursor,
        address=address and address.lower(),
        status=status,
        verdict=verdict,
    )


async def decide(
    session: AsyncSession,
    screening_id: UUID | None,
    verdict: str,
    reason: str,
    by: UUID | None,
    now: datetime,
) -> Screening:
    """A person's word on what is held or rejected; it stands above every list and answer, for this
    deposit or payout alone, and what spoke against it stays beside it.

    Raises NotFound, Invalid, Conflict `already_decided` or `not_held`.
    """
    if verdict not in (Outcome.ACCEPT, Outcome.REJECT):
        raise Invalid.of("verdict", "is accept or reject")
    found = await find(session, screening_id)
    await session.refresh(found, with_for_update=True)
    if found.decided_at is not None:
        if found.verdict == verdict:
            return found
        raise Conflict(f"decided already: {found.verdict}", code="already_decided")
    if found.verdict == Outcome.ACCEPT:
        raise Conflict("nothing holds this any more: it was accepted", code="not_held")
    found.verdict, found.status = verdict, "done"
    found.decided_by, found.decided_at, found.decision_reason = by, now, reason
    found.updated_at, found.leased_until = now, None
    await session.flush()
    await notify(session, CHANNEL, f"{found.subject}:{found.subject_id}")
    return found


def show(row: Screening) -> dict[str, Any]:
    """The API's JSON of a screening."""
    decision = None
    if row.decided_at is not None:
        decision = {
            "by": ids.show("key", row.decided_by) if row.decided_by else None,
            "reason": row.decision_reason,
            "at": clock.show(row.decided_at),
        }
    return {
        "id": ids.show("scr", row.id),
        "object": "screening",
        "subject": ids.show(_PREFIX[row.subject], row.subject_id),
        "merchant": ids.show("mer", row.merchant_id) if row.merchant_id else None,
        "network": row.network,
        "address": checksum(row.address) if row.address else None,
        "status": row.status,
        "verdict": row.verdict,
        "score": row.score,
        "reasons": row.reasons,
        "evidence": row.evidence,
        "decision": decision,
        "created_at": clock.show(row.created_at),
        "updated_at": clock.show(row.updated_at),
    }
