"""Screening as payments meet it: ask about a payout's destination, hand in new deposits, read what
came of it. Asking outside is the worker's (risk.screener); here is only what is stored already.

`NOTIFY screenings` carries `deposit:<uuid>` or `payout:<uuid>` at each verdict, "" for new work.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.db import Raw
from core.listen import notify
from risk.known import gather, required, told
from risk.tables import Screening
from risk.verdicts import Judgement, Outcome, judge

DEPOSIT, PAYOUT = "deposit", "payout"
CHANNEL = "screenings"

# Whether a list is loaded or a rule of the policy looks at scores: then all deposits are screened.
_STORED = """
    exists (select from screening_lists) or coalesce((
        select jsonb_array_length(document -> 'deposits') > 0
        from policy_versions order by number desc limit 1), false)
"""
ACTIVE = f"select {_STORED}"
# Nothing is written while nobody is to be asked, no list is loaded and no rule looks at scores.
_REQUEST = f"""
with given as (
    select * from unnest(
        %(ids)s::uuid[], %(deposits)s::uuid[], %(merchants)s::uuid[], %(networks)s::text[],
        %(addresses)s::text[], %(assets)s::text[], %(values)s::numeric[], %(required)s::bool[]
    ) as g (id, deposit, merchant, network, address, asset, value, required)
), made as (
    insert into screenings (id, subject, subject_id, merchant_id, network, address, asset,
        house_value, status, verdict, reasons, evidence, attempts, due_at, created_at, updated_at)
    select id, 'deposit', deposit, merchant, network, address, asset, value, 'pending', 'hold',
        '[]', '{{}}', 0, %(now)s, %(now)s, %(now)s
    from given where required or {_STORED}
    on conflict (subject, subject_id) do nothing
    returning 1
)
select pg_notify('screenings', '') from made limit 1
"""  # noqa: S608 - our own condition
_VERDICTS = """
select subject_id, id, verdict, reasons from screenings
where subject = 'deposit' and subject_id = any(%s)
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What screening says now. `reasons` are codes (risk.verdicts.Reason)."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    screening: UUID | None = None

    @property
    def accepted(self) -> bool:
        return self.outcome == Outcome.ACCEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeposit:
    """A deposit that was just seen. `sender` in lower case, "" where nobody knows."""

    id: UUID
    merchant_id: UUID
    network: str
    sender: str
    asset: str
    house_value: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayout:
    """A payout whose destination is asked about, in lower case."""

    id: UUID
    merchant_id: UUID | None
    network: str
    address: str


async def screen(
    session: AsyncSession, context: Context, payouts: Sequence[NewPayout], now: datetime
) -> dict[UUID, Verdict]:
    """What is known now of each, kept in the caller's transaction, in a few statements for all. A
    person's decision stands; else lists and answers are judged anew, and where an answer is missing
    the worker is woken and it holds.
    """
    if not payouts:
        return {}
    await _make(session, payouts, now)
    query = (
        select(Screening)
        .where(Screening.subject == PAYOUT, Screening.subject_id.in_([p.id for p in payouts]))
        .order_by(Screening.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    rows = (await session.scalars(query)).all()
    open_ = [row for row in rows if row.decided_at is None]
    waking = False
    for row, known in zip(open_, await gather(session, context, open_, now), strict=True):
        was_pending = row.status == "pending" and row.reasons
        settle(row, judge(known), told(known.score), now)
        if row.status == "pending" and not was_pending:
            row.due_at, row.attempts, waking = now, 0, True
    await session.flush()
    if waking:
        await notify(session, CHANNEL)
    return {row.subject_id: verdict_of(row) for row in rows}


async def _make(session: AsyncSession, payouts: Sequence[NewPayout], now: datetime) -> None:
    """Those that are not there yet; sorted, so that two workers do not wait in a circle."""
    made = insert(Screening).values(
        [
            {
                "id": ids.new(),
                "subject": PAYOUT,
                "subject_id": one.id,
                "merchant_id": one.merchant_id,
                "network": one.network,
                "address": one.address,
                "status": "pending",
                "verdict": Outcome.HOLD.value,
                "reasons": [],
                "evidence": {},
                "attempts": 0,
                "due_at": now,
                "created_at": now,
                "updated_at": now,
            }
            for one in sorted(payouts, key=lambda one: one.id)
        ]
    )
    await session.execute(made.on_conflict_do_nothing(constraint="screenings_subject"))


def settle(row: Screening, found: Judgement, score: int | None, now: datetime) -> None:
    """Writes a judgement into its row."""
    row.verdict = found.outcome.value
    row.status = "done" if found.final else "pending"
    row.reasons = [reason.json() for reason in found.reasons]
    row.evidence = found.evidence
    row.score = score
    row.updated_at = now


async def request_deposits(
    connection: Raw, context: Context, deposits: Sequence[NewDeposit], now: datetime
) -> None:
    """Asks about the sources of new deposits: one statement, none for no deposits. A deposit that
    was asked about before (the chain gave it back after a fork) keeps its verdict."""
    if not deposits:
        return
    asked = {d.network: needed(context, d.network) for d in deposits}
    await connection.execute(
        _REQUEST,
        {
            "ids": [ids.new() for _ in deposits],
            "deposits": [d.id for d in deposits],
            "merchants": [d.merchant_id for d in deposits],
            "networks": [d.network for d in deposits],
            "addresses": [d.sender for d in deposits],
            "assets": [d.asset for d in deposits],
            "values": [d.house_value for d in deposits],
            "required": [asked[d.network] for d in deposits],
            "now": now,
        },
    )


def needed(context: Context, network: str) -> bool:
    """Whether the configuration alone demands that movements on the network are screened."""
    return context.risk.list_max_age is not None or bool(required(context, network))


async def deposit_verdicts(connection: Raw, deposits: Collection[UUID]) -> dict[UUID, Verdict]:
    """The verdicts of these deposits. One that is missing was never asked about: it is fine.

    A deposit counts when its verdict is accept; hold and reject keep its money in the inbox.
    """
    if not deposits:
        return {}
    cursor = await connection.execute(_VERDICTS, (list(deposits),))
    return {
        deposit: Verdict(Outcome(verdict), tuple(r["code"] for r in reasons), screening)
        for deposit, screening, verdict, reasons in await cursor.fetchall()
    }


def verdict_of(row: Screening) -> Verdict:
    return Verdict(Outcome(row.verdict), tuple(r["code"] for r in row.reasons), row.id)
