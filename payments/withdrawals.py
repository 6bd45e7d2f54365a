"""Payouts out of a customer's wallet: as a merchant's, from another account and within limits."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.context import Context
from ledger.accounts import Debt, wallet
from payments import customer_wallets, payout_requests, wallet_limits
from payments.payout_tables import Payout
from payments.payout_wanted import Wanted


async def create(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    wallet_id: UUID | None,
    wanted: Wanted,
    initiator: str,
) -> Payout:
    """Sets the money of the wallet aside; from there it goes as every payout. Raises NotFound,
    Conflict `limit_exceeded` or `insufficient_funds`: the caller's transaction must roll back."""
    row = await customer_wallets.find(session, wallet_id, merchant_id, lock=True)
    asset, now = wanted.token.asset.symbol, context.clock.now()
    await wallet_limits.check(session, context.catalog, row, asset, wanted.amount, now)
    [payout] = await payout_requests.store(
        session,
        context,
        merchant_id,
        [wanted],
        initiator=initiator,
        source=wallet(row.id, Debt.AVAILABLE),
    )
    return payout
