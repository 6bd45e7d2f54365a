"""Whether an authorization can be sent now, and what that may cost: the worker asks a node."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from chain.authorizations import standing
from chain.broadcast import CannotPay, Reverts
from chain.endpoints import Endpoints
from core import ids
from core.context import Context
from core.networks import Network
from payments import relay_fees
from payments.x402_tables import Check, PayTo, Settlement
from payments.x402_terms import NONCE_USED, NotPaid
from wallets import hot
from wallets.addresses import salt_of
from wallets.hot import WalletKind
from wallets.intents import RelayTransfer


class NoRelayer(Exception):
    """We cannot send it now, whatever it is; the payer did nothing wrong."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What is asked of the signer; `fee_cap` in wei."""

    wallet: str
    intent: RelayTransfer
    fee_cap: int


async def ready(
    context: Context, network: Network, endpoints: Endpoints, row: Check | Settlement
) -> Ready:
    """Simulated and worth its gas.

    Raises NotPaid for what the chain or our policy refuses, NoRelayer, ChainError,
    PriceUnavailable.
    """
    relayer, address_id = await _ours(context, row.merchant_id)
    intent = RelayTransfer(
        id=ids.show("xst", row.id),
        token=row.token,
        payer=row.payer,
        to=row.pay_to,
        salt="0x" + salt_of(address_id).hex(),
        amount=row.amount,
        valid_after=row.valid_after,
        valid_before=row.valid_before,
        nonce=row.nonce,
        signature=row.signature,
    )
    try:
        cost = await relay_fees.cost(network, endpoints, relayer, intent)
    except CannotPay:
        raise NoRelayer("the relayer cannot pay for gas") from None
    except Reverts as error:
        raise await _why(endpoints, intent, error) from None
    return Ready(relayer, intent, await _fee_cap(context, network, row, cost))


async def _ours(context: Context, merchant_id: UUID) -> tuple[str, UUID]:
    async with context.database.read() as session:
        wallets = await hot.known(session)
        query = select(PayTo.address_id).where(PayTo.merchant_id == merchant_id)
        address_id = (await session.scalars(query)).one()
    relayer = next((w.address for w in wallets if w.kind == WalletKind.RELAYER), None)
    if relayer is None:
        raise NoRelayer("there is no relayer")
    return relayer, address_id


async def _why(endpoints: Endpoints, intent: RelayTransfer, error: Reverts) -> NotPaid:
    now = await standing(endpoints, intent.token, intent.payer, intent.nonce)
    if now.used:
        return NotPaid(NONCE_USED, "the authorization was used or cancelled", intent.payer)
    if now.balance < intent.amount:
        reason = "invalid_exact_evm_insufficient_balance"
        return NotPaid(reason, f"the payer holds {now.balance} base units", intent.payer)
    reason = "invalid_exact_evm_transaction_simulation_failed"
    return NotPaid(reason, error.reason, intent.payer)


async def _fee_cap(
    context: Context, network: Network, row: Check | Settlement, cost: tuple[int, int]
) -> int:
    if network.x402 is None:
        raise NotPaid("invalid_network", "nothing is settled on this network", row.payer)
    policy, asset = network.x402, network.by_address()[row.token].asset
    try:
        return await relay_fees.fee_cap(
            context.database,
            network,
            (row.amount, asset),
            (policy.max_gas_percent, policy.max_fee),
            cost,
            context.clock.now(),
        )
    except relay_fees.TooDear as error:
        raise NotPaid("gas_too_expensive", str(error), row.payer) from None
