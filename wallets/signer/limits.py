"""How much may leave, by itself and with approvals."""

from __future__ import annotations

from wallets.intents import Move, Order, Payment, payments_of
from wallets.signer.approvals import digest, recover
from wallets.signer.destinations import asset_of
from wallets.signer.facts import Denied, Facts, Spend, Spent
from wallets.signer.policy import NetworkPolicy, Policy


def spends(
    policy: Policy, network: NetworkPolicy, order: Order, facts: Facts, now: int
) -> tuple[Spend, ...]:
    """What signing it counts for. Raises Denied."""
    if isinstance(order.intent, Move):
        return (_move(network, order.intent, facts),)
    payments = payments_of(order.intent)
    nonces = [p.nonce for p in payments if p.approvals]
    if len(set(nonces)) != len(nonces) or facts.used & set(nonces):
        raise Denied("approval_replayed", "an approval's nonce was used before")
    sums: dict[str, Spent] = dict(facts.spent)
    return tuple(_payment(policy, network, p, sums, now) for p in payments)


def _move(network: NetworkPolicy, move: Move, facts: Facts) -> Spend:
    asset = asset_of(network, move.token)
    moved = facts.spent.get(move.token, Spent()).moved
    if asset.moves_per_day is None or move.amount < 1:
        raise Denied("destination_refused", f"the policy has no moves of {asset.symbol}")
    if moved + move.amount > asset.moves_per_day:
        raise Denied("velocity_exceeded", f"{asset.moves_per_day} base units may move in a day")
    return Spend(
        asset=asset.symbol, token=asset.token, amount=move.amount, attended=True, is_move=True
    )


def _payment(
    policy: Policy, network: NetworkPolicy, payment: Payment, sums: dict[str, Spent], now: int
) -> Spend:
    """Counts the payment into `sums` when it goes unattended."""
    asset = asset_of(network, payment.token)
    if payment.expires_at <= now:
        raise Denied("expired", f"{payment.id} was to be sent before {payment.expires_at}")
    if asset.largest is not None and payment.amount > asset.largest:
        raise Denied("amount_above_limit", f"{asset.largest} base units is the most, approved too")
    given = _approvals(policy, network, payment)
    attended = policy.needed > 0 and given >= policy.needed
    spent = sums.get(payment.token, Spent())
    hour, day = spent.hour + payment.amount, spent.day + payment.amount
    if not attended:
        if payment.amount > asset.single:
            _above(policy, "amount_above_limit", f"{asset.single} base units at once", given)
        if hour > asset.per_hour or day > asset.per_day:
            limits = f"{asset.per_hour} in an hour, {asset.per_day} in a day"
            _above(policy, "velocity_exceeded", limits, given)
        sums[payment.token] = Spent(hour=hour, day=day, moved=spent.moved)
    return Spend(asset=asset.symbol, token=asset.token, amount=payment.amount, attended=attended)


def _above(policy: Policy, code: str, limits: str, given: int) -> None:
    if not policy.needed:
        raise Denied(code, f"{limits} may leave, and the policy has no approvers")
    detail = f"{limits} may leave unattended; {given} of {policy.needed} approvals are given"
    raise Denied("approval_needed", detail, needed=policy.needed, given=given)


def _approvals(policy: Policy, network: NetworkPolicy, payment: Payment) -> int:
    """How many are given; every one that is there must be good."""
    if not payment.approvals:
        return 0
    try:
        hashed = digest(payment, network.chain_id)
    except ValueError as error:
        raise Denied("malformed", str(error)[:200]) from None
    seen: set[str] = set()
    for approval in payment.approvals:
        approver = policy.approver(approval.approver)
        if approver is None or approval.approver in seen:
            raise Denied("approval_invalid", f"{approval.approver[:80]} may not approve, or twice")
        if payment.initiator and payment.initiator in approver.api_keys:
            raise Denied("own_approval", f"{approver.name} asked for {payment.id}")
        try:
            signer = recover(hashed, approval.signature)
        except ValueError as error:
            raise Denied("approval_invalid", str(error)[:200]) from None
        if signer != approval.approver:
            raise Denied("approval_invalid", f"the signature is not {approver.name}'s over this")
        seen.add(approval.approver)
    return len(seen)
