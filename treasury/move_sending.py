"""From approved to a transaction of ours, as far as the wallet's funds go."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.singleton import lock_number
from ledger.accounts import Role, place
from treasury.move_tables import Move
from wallets import transactions
from wallets.intents import Move as Intent
from wallets.transactions import Purpose

# What stands there by the books, less what is on its way out of it.
_FREE = text("""
select
    coalesce((select balance from account_balances where account = :place and asset = :asset), 0)
    - coalesce((
        select sum((t.spends ->> :token)::numeric) from transactions t
        join house_addresses h on h.network = t.network and h.address = t.wallet and h.role = :role
        where t.network = :network and t.status in ('prepared', 'sent')
    ), 0)
""")


async def free(session: AsyncSession, context: Context, network: str, role: str, asset: str) -> int:
    """Base units in the house's wallets of a role that nothing prepared or sent will take."""
    token = context.catalog.networks[network].token(asset)
    assert token is not None  # noqa: S101  (the caller has looked)
    asked = {
        "place": place(network, Role(role)),
        "asset": asset,
        "token": token.address,
        "role": role,
        "network": network,
    }
    return int(await session.scalar(_FREE, asked) or 0)


async def send(session: AsyncSession, context: Context, row: Move, now: datetime) -> None:
    """Asks for the transaction of a locked, allowed move; where funds are short it stays `short`.

    Whoever looks holds the lock of payouts until the commit, so that two do not count on the same
    money. `now` is wall time.
    """
    network = context.catalog.networks[str(row.network)]
    number = lock_number(f"hot:{network.id}")
    await session.execute(text("select pg_advisory_xact_lock(:n)"), {"n": number})
    row.short = await free(session, context, network.id, row.source, row.asset) < row.amount
    if row.short or row.address is None or row.sender is None:
        return
    token = network.token(row.asset)
    assert token is not None  # noqa: S101  (it was configured when the move was asked for)
    reference = ids.show("mov", row.id)
    row.transaction_id = await transactions.prepare(
        session,
        context,
        network=network.id,
        wallet=row.sender,
        purpose=Purpose.MOVE,
        intent=Intent(id=reference, token=token.address, to=row.address, amount=row.amount),
        reference=reference,
        now=context.clock.now(),
    )
    row.sent_at = now
