"""The sequencer of events (MONEY 1): committed events get gapless numbers.

The feed, the stream and replay read those only, so that a slow transaction can never be skipped.
"""

from __future__ import annotations

from core.context import Context
from core.db import Database, raw
from core.singleton import lock_number
from core.work import run_alone

LIMIT = 1000
NAME = "sequencer:events"

_NUMBER = """
with taken as (
    delete from event_pending where event_id in (
        select event_id from event_pending order by event_id limit %s)
    returning event_id
), numbered as (
    insert into event_seq (seq, event_id, merchant_id, type)
    select (select coalesce(max(seq), 0) from event_seq) + row_number() over (order by e.id),
        e.id, e.merchant_id, e.type
    from taken t join events e on e.id = t.event_id
    returning seq
)
select count(*), pg_notify('events', max(seq)::text) from numbered having count(*) > 0
"""


async def number_pending(database: Database, limit: int = LIMIT) -> int:
    """Numbers up to `limit` waiting events in the order of their ids; returns how many.

    The lock makes two numberers take turns; the second statement sees what the first one's
    holder committed. `event_seq`'s keys would refuse anything else.
    """
    async with database.begin() as session:
        connection = await raw(session)
        await connection.execute("select pg_advisory_xact_lock(%s)", [lock_number(f"{NAME}:guard")])
        cursor = await connection.execute(_NUMBER, [limit])
        row = await cursor.fetchone()
        return int(row[0]) if row else 0


async def run(context: Context) -> None:
    """The singleton loop; a second one stands by."""
    await run_alone(
        context, NAME, "event_pending", lambda: number_pending(context.database), full=LIMIT
    )
