"""Signed bytes of our transactions: stored before they leave, kept for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from chain.fees import Fees
from core.db import Raw
from wallets.senders import Due

_VARIANT = """
insert into transaction_variants
    (tx_hash, transaction_id, kind, nonce, gas, max_fee, priority_fee, raw, made_at)
values (%(tx_hash)s, %(id)s, %(kind)s, %(nonce)s, %(gas)s, %(max_fee)s, %(priority_fee)s,
    %(raw)s, %(now)s)
on conflict (tx_hash) do nothing
"""

_VARIANTS = """
select v.tx_hash, v.kind, v.gas, v.max_fee, v.priority_fee, v.raw, v.made_at, v.handed_at, v.outcome
from transaction_variants v join transactions t on t.id = v.transaction_id
where t.id = %s and v.nonce = t.nonce
order by v.made_at, v.max_fee
"""

_HANDED = """
with handed as (
    update transaction_variants set outcome = %(outcome)s, detail = %(detail)s,
        handed_at = coalesce(handed_at, %(now)s)
    where tx_hash = %(tx_hash)s
)
update transactions set due_at = %(due_at)s,
    reason = case when %(outcome)s = 'accepted' then null else reason end
where id = %(id)s and status = 'sent'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Signed bytes at a row's present nonce."""

    tx_hash: str
    kind: str
    gas: int
    max_fee: int
    priority_fee: int
    raw: str
    made_at: datetime
    handed_at: datetime | None
    outcome: str | None

    @property
    def fees(self) -> Fees:
        return Fees(self.max_fee, self.priority_fee)


async def add(connection: Raw, due: Due, nonce: int, variant: Variant) -> None:
    """The same bytes twice are one variant."""
    await connection.execute(
        _VARIANT,
        {
            "id": due.id,
            "nonce": nonce,
            "tx_hash": variant.tx_hash,
            "kind": variant.kind,
            "gas": variant.gas,
            "max_fee": variant.max_fee,
            "priority_fee": variant.priority_fee,
            "raw": variant.raw,
            "now": variant.made_at,
        },
    )


async def of(connection: Raw, transaction_id: UUID) -> Sequence[Variant]:
    """Those at its present nonce, oldest first."""
    async with connection.cursor(row_factory=class_row(Variant)) as cursor:
        await cursor.execute(_VARIANTS, (transaction_id,))
        return await cursor.fetchall()


async def handed(
    connection: Raw,
    due: Due,
    tx_hash: str,
    *,
    outcome: str,
    detail: str,
    now: datetime,
    due_at: datetime,
) -> None:
    """What came of handing a variant to nodes, and when to look after it."""
    await connection.execute(
        _HANDED,
        {
            "id": due.id,
            "tx_hash": tx_hash,
            "outcome": outcome,
            "detail": detail or None,
            "now": now,
            "due_at": due_at,
        },
    )
