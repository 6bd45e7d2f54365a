"""Where an order may lead: contracts, tokens and addresses that the policy names."""

from __future__ import annotations

from core.keccak import keccak
from wallets.addresses import DEPOSIT_INIT_CODE_HASH, create2
from wallets.intents import (
    ZERO,
    Allowance,
    Cancel,
    Deploy,
    Intent,
    Move,
    Order,
    PayoutBatch,
    Relay,
    RelayTransfer,
    Sweep,
    SweepKnown,
    payments_of,
)
from wallets.signer.facts import Denied
from wallets.signer.policy import AssetPolicy, NetworkPolicy

MOST_PAYMENTS = 500


def check(network: NetworkPolicy, order: Order) -> None:
    """Contracts, tokens and addresses that the policy names, and no others. Raises Denied."""
    match order.intent:
        case Sweep(factory=factory, batches=batches):
            if not batches or any(not b.salts for b in batches):
                raise Denied("malformed", "a sweep of nothing")
            _sweep(network, factory, *(batch.token for batch in batches))
        case SweepKnown(factory=factory, token=token):
            _sweep(network, factory, token)
        case Move(token=token, to=to):
            asset_of(network, token)
            if to not in network.destinations:
                raise Denied("destination_refused", f"{to} is no destination of moves")
        case Allowance(token=token, spender=spender):
            asset_of(network, token)
            _contract("multisend", spender, network.multisend)
        case Deploy(init_code=init_code):
            made = "0x" + keccak(bytes.fromhex(init_code[2:])).hex()
            if made not in network.init_codes:
                raise Denied("contract_refused", f"the init code {made} is not in the policy")
        case Relay(router=router, call=call):
            _contract("router", router, network.router)
            asset_of(network, call.asset)
        case RelayTransfer(token=token, to=to, salt=salt):
            asset_of(network, token)
            _own_deposit_address(network, to, salt)
        case Cancel():
            return
        case _:
            _payouts(network, order.intent)


def _sweep(network: NetworkPolicy, factory: str, *tokens: str) -> None:
    """What a sweep moves can only reach the treasury; foreign tokens cost gas all the same."""
    _contract("factory", factory, network.factory)
    if not network.sweep_any_token:
        for token in tokens:
            asset_of(network, token)


def _own_deposit_address(network: NetworkPolicy, to: str, salt: str) -> None:
    """What is transferred there can only reach the treasury (CHAIN 2)."""
    if network.factory is None:
        raise Denied("contract_refused", f"{network.id} has no factory in the policy")
    if to != create2(network.factory, bytes.fromhex(salt[2:]), DEPOSIT_INIT_CODE_HASH):
        raise Denied("destination_refused", f"{to} is not the factory's address of that salt")


def _payouts(network: NetworkPolicy, intent: Intent) -> None:
    if isinstance(intent, PayoutBatch):
        _contract("multisend", intent.multisend, network.multisend)
    payments = payments_of(intent)
    if not 1 <= len(payments) <= MOST_PAYMENTS:
        raise Denied("malformed", f"1 to {MOST_PAYMENTS} payments are allowed")
    if len({p.id for p in payments}) != len(payments):
        raise Denied("malformed", "the same payment twice")
    for payment in payments:
        asset_of(network, payment.token)
        if len(payment.initiator) > 80:
            raise Denied("malformed", "a payment's initiator")
        if payment.amount < 1:
            raise Denied("malformed", "an amount of nothing")
        if payment.to == ZERO or payment.to in network.own:
            raise Denied("destination_refused", f"{payment.to} is the zero address or our own")


def asset_of(network: NetworkPolicy, token: str) -> AssetPolicy:
    found = network.assets.get(token)
    if found is None:
        raise Denied("unknown_asset", f"{token} is not in the policy of {network.id}")
    return found


def _contract(what: str, named: str, ours: str | None) -> None:
    if ours is None or named != ours:
        raise Denied("contract_refused", f"{named} is not the policy's {what}")
