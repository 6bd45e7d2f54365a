"""The rows behind sending: what is due, and the next nonce under its sender's lock (CHAIN 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from chain.fees import Urgency
from core import ids
from core.db import Raw

# Rows that are due, the longest waiting first, so that neither new ones nor those in flight starve
# the others. A wallet with as many in flight as it may have gets no new ones. `due_at` is the
# lease as well.
_CLAIM = """
with busy as (
    select wallet, count(*) as n from transactions
    where network = %(network)s and status = 'sent' group by wallet
), ranked as (
    select t.id, t.status, t.due_at, coalesce(b.n, 0) + row_number() over (
        partition by t.wallet, t.status order by t.due_at, t.id) as place
    from transactions t left join busy b using (wallet)
    where t.network = %(network)s and t.status in ('prepared', 'sent') and t.due_at <= %(now)s
), due as (
    select t.id from ranked r join transactions t on t.id = r.id
    where (r.status = 'sent' or r.place <= %(in_flight)s)
        and t.status in ('prepared', 'sent') and t.due_at <= %(now)s
    order by r.due_at, r.id limit %(limit)s
    for update of t skip locked
)
update transactions t set due_at = %(leased_until)s from due where t.id = due.id
returning t.id, t.network, t.wallet, t.order_id, t.purpose, t.intent, t.spends, t.urgency,
    t.fee_cap, t.least_gas, t.status, t.nonce, t.gas, t.cancel_asked, t.attempts, t.reason,
    t.sent_at, t.created_at
"""

_SENDER = """
insert into senders (network, address, next_nonce, created_at) values (%s, %s, %s, %s)
on conflict do nothing
"""

_LOCK = """
select s.next_nonce, t.status, t.intent,
    (select count(*) from transactions o
        where o.network = s.network and o.wallet = s.address and o.status = 'sent'),
    (select p.id from transactions p where p.id = s.promised and p.status = 'prepared')
from senders s
join transactions t on t.id = %(id)s
where s.network = %(network)s and s.address = %(wallet)s
for update
"""

# What transactions in flight will still take: their own value by token, and gas at its dearest.
_COMMITTED = """
select token, sum(amount) from (
    select s.key as token, s.value::numeric as amount
    from transactions t, jsonb_each_text(t.spends) s
    where t.network = %(network)s and t.wallet = %(wallet)s and t.status = 'sent'
    union all
    select 'native', max(v.gas * v.max_fee)
    from transactions t join transaction_variants v on v.transaction_id = t.id and v.nonce = t.nonce
    where t.network = %(network)s and t.wallet = %(wallet)s and t.status = 'sent'
    group by t.id
) as out group by token
"""

_TAKE = """
with taken as (
    update senders set next_nonce = %(nonce)s + 1, promised = null
    where network = %(network)s and address = %(wallet)s
)
update transactions set status = 'sent', nonce = %(nonce)s, gas = %(gas)s, open = true,
    sent_at = %(now)s, due_at = %(due_at)s, attempts = 0, reason = null
where id = %(id)s
"""

_WAIT = """
update transactions set due_at = %(due_at)s, reason = %(reason)s,
    attempts = case when %(reason)s::text is null then 0 else attempts + 1 end
where id = %(id)s and status = %(status)s and nonce is not distinct from %(nonce)s
"""

_RENEW = """
with raised as (
    update senders set next_nonce = greatest(next_nonce, %(count)s)
    where network = %(network)s and address = %(wallet)s
)
update transactions set status = %(status)s, nonce = null, gas = null, open = false,
    order_id = %(order_id)s, sent_at = null, due_at = %(now)s, reason = %(reason)s, attempts = 0,
    ended_at = case when %(status)s = 'cancelled' then %(now)s::timestamptz end
where id = %(id)s and status = 'sent' and nonce = %(nonce)s
"""

_PENDING = """
select wallet, count(*) from transactions where network = %s and status = 'sent' group by wallet
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A claimed row, leased."""

    id: UUID
    network: str
    wallet: str
    order_id: UUID  # as the signer knows it
    purpose: str
    intent: dict[str, Any]
    spends: dict[str, str]
    urgency: Urgency
    fee_cap: int | None
    least_gas: int | None
    status: str
    nonce: int | None
    gas: int | None
    cancel_asked: bool
    attempts: int
    reason: str | None
    sent_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Locked:
    """A sender and one of its rows, both locked until the transaction ends."""

    next_nonce: int
    status: str
    intent: dict[str, Any]
    in_flight: int
    promised: UUID | None


async def claim(
    connection: Raw,
    network: str,
    *,
    limit: int,
    in_flight: int,
    now: datetime,
    leased_until: datetime,
) -> list[Due]:
    """Leases at most `limit` due rows of a network; a wallet gets new ones up to `in_flight`."""
    async with connection.cursor(row_factory=class_row(Due)) as cursor:
        await cursor.execute(
            _CLAIM,
            {
                "network": network,
                "limit": limit,
                "in_flight": in_flight,
                "now": now,
                "leased_until": leased_until,
            },
        )
        return await cursor.fetchall()


async def next_nonce(connection: Raw, network: str, wallet: str) -> int | None:
    """None for a wallet that never sent anything on this network."""
    cursor = await connection.execute(
        "select next_nonce from senders where network = %s and address = %s", (network, wallet)
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else None


async def begin(connection: Raw, network: str, wallet: str, nonce: int, now: datetime) -> None:
    """The first use of a wallet: it goes on from the chain's count. Whoever is first, wins."""
    await connection.execute(_SENDER, (network, wallet, nonce, now))


async def lock(connection: Raw, due: Due) -> Locked:
    """Waits for the sender's row and the transaction's, and locks both."""
    cursor = await connection.execute(
        _LOCK, {"id": due.id, "network": due.network, "wallet": due.wallet}
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  (`begin` made the sender, rows are never deleted)
    return Locked(*row)


async def promise(connection: Raw, due: Due) -> None:
    """The next nonce is this row's alone, until it is taken or given back.

    An approval is good at one nonce for ever. Should a process die between such a signature and
    its commit, the row must come back to the same nonce, so nobody else may take it meanwhile.
    """
    await connection.execute(
        "update senders set promised = %s where network = %s and address = %s",
        (due.id, due.network, due.wallet),
    )


async def give_back(connection: Raw, due: Due) -> None:
    """Nothing was signed: the next nonce is anybody's."""
    await connection.execute(
        "update senders set promised = null where network = %s and address = %s and promised = %s",
        (due.network, due.wallet, due.id),
    )


async def lock_sent(connection: Raw, due: Due) -> bool:
    """Locks a row that is still `sent` at the nonce that was read; False when it is not."""
    cursor = await connection.execute(
        "select 1 from transactions where id = %s and status = 'sent' and nonce = %s for update",
        (due.id, due.nonce),
    )
    return await cursor.fetchone() is not None


async def committed(connection: Raw, network: str, wallet: str) -> dict[str, int]:
    """What this wallet's transactions in flight will take at most: token -> base units."""
    cursor = await connection.execute(_COMMITTED, {"network": network, "wallet": wallet})
    return {token: int(amount) for token, amount in await cursor.fetchall()}


async def take(
    connection: Raw, due: Due, *, nonce: int, gas: int, now: datetime, due_at: datetime
) -> None:
    """The row has this nonce from now on, and the sender the next one."""
    values = {"id": due.id, "network": due.network, "wallet": due.wallet, "nonce": nonce}
    await connection.execute(_TAKE, {**values, "gas": gas, "now": now, "due_at": due_at})


async def wait(connection: Raw, due: Due, due_at: datetime, reason: str | None) -> None:
    """Not now. Fenced by status and nonce: whoever changed the row meanwhile is right."""
    await connection.execute(
        _WAIT,
        {
            "id": due.id,
            "status": due.status,
            "nonce": due.nonce,
            "due_at": due_at,
            "reason": reason,
        },
    )


async def renew(
    connection: Raw, due: Due, *, count: int, status: str, reason: str, now: datetime
) -> bool:
    """Its nonce is gone to a stranger for good: the sender goes on from the chain's final count.

    The signer will never sign an order at two nonces, so this is another order for it, which
    counts again: it cannot see that the first one can no longer be mined.
    """
    values: Mapping[str, object] = {
        "id": due.id,
        "network": due.network,
        "wallet": due.wallet,
        "nonce": due.nonce,
        "order_id": ids.new(),
        "count": count,
        "status": status,
        "reason": reason,
        "now": now,
    }
    return (await connection.execute(_RENEW, values)).rowcount == 1


async def pending(connection: Raw, network: str) -> dict[str, int]:
    """How many are in flight by wallet."""
    cursor = await connection.execute(_PENDING, (network,))
    return {wallet: int(n) for wallet, n in await cursor.fetchall()}
