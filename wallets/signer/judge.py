"""May this order be signed? One pure function of policy, order, facts and time.

Default deny: each step names what must hold, and the first that does not hold is the answer.
"""

from __future__ import annotations

import json

from core.keccak import keccak
from wallets.encoding import kind_of
from wallets.intents import Cancel, Order, RouterQuote, Unsigned, payments_of, transaction
from wallets.signer import destinations, effects, shapes
from wallets.signer.facts import Allowed, Denied, Facts, Issued
from wallets.signer.limits import spends
from wallets.signer.policy import NetworkPolicy, Policy
from wallets.signer.shapes import U256, WORD


def judge(policy: Policy, order: Order, facts: Facts, now: int) -> Allowed:
    """`now`: unix seconds. Raises Denied."""
    network = _network(policy, order)
    shapes.check(order)
    call = _call(order)
    destinations.check(network, order)
    content = content_of(order, call)
    known = _nonce(order, content, facts)
    again = next((one for one in facts.here if _same(order, content, one)), None)
    if not (again and again.raw):
        again = None
        _fees(network, order, facts)
    if known:
        return Allowed(call=call, content=content, known=True, spends=(), nonces=(), again=again)
    counted = spends(policy, network, order, facts, now)
    nonces = tuple(p.nonce for p in payments_of(order.intent) if p.approvals)
    return Allowed(
        call=call, content=content, known=False, spends=counted, nonces=nonces, again=again
    )


def judge_quote(policy: Policy, quote: RouterQuote, now: int) -> None:
    """A quote takes money in, so it is bound to our router and in time. Raises Denied."""
    network = policy.networks.get(quote.network)
    if network is None:
        raise Denied("unknown_network", f"{quote.network} is not in the policy")
    if quote.chain_id != network.chain_id:
        raise Denied("wrong_chain", f"{quote.network} is chain {network.chain_id}")
    if network.router is None or quote.router != network.router or not network.quote_seconds:
        raise Denied("contract_refused", f"{quote.router} is not the router that is quoted for")
    if quote.asset not in network.assets:
        raise Denied("unknown_asset", f"{quote.asset} is not in the policy")
    if (
        not WORD.fullmatch(quote.invoice)
        or not 0 < quote.amount < U256
        or not 0 <= quote.nonce < U256
    ):
        raise Denied("malformed", "invoice, amount or nonce")
    if not now < quote.deadline <= now + network.quote_seconds:
        raise Denied("expired", f"the deadline is within {network.quote_seconds} s from now")


def _network(policy: Policy, order: Order) -> NetworkPolicy:
    network = policy.networks.get(order.network)
    if network is None:
        raise Denied("unknown_network", f"{order.network[:80]} is not in the policy")
    if order.chain_id != network.chain_id:
        raise Denied("wrong_chain", f"{network.id} is chain {network.chain_id}")
    kinds = network.wallets.get(order.wallet)
    if kinds is None:
        raise Denied("unknown_wallet", f"{order.wallet[:80]} is not in the policy")
    if kind_of(order.intent) not in kinds:
        raise Denied("intent_refused", f"{order.wallet} signs no {kind_of(order.intent)}")
    return network


def _call(order: Order) -> Unsigned:
    """Builds the transaction and reads it back (`effects`)."""
    try:
        call = transaction(order)
        if effects.read(call, order.wallet) != effects.meant(order):
            raise Denied("misbuilt", "the calldata does not say what the intent says")
    except ValueError as error:
        raise Denied("malformed", str(error)[:200]) from None
    return call


def content_of(order: Order, call: Unsigned) -> bytes:
    """Hash of what an order is for; approvals may be added to it, all else is the same for ever."""
    payments = payments_of(order.intent)
    ids = [getattr(order.intent, "id", ""), *(p.id for p in payments)]
    terms = [f"{p.fee_cap}:{p.nonce}:{p.expires_at}:{p.initiator}" for p in payments]
    head = json.dumps([kind_of(order.intent), order.network, call.to, str(call.value), ids, terms])
    return keccak(keccak(head.encode()) + keccak(call.data))


def _same(order: Order, content: bytes, one: Issued) -> bool:
    mine = (order.id, content, order.gas, order.max_fee, order.priority_fee)
    return mine == (one.order_id, one.content, one.gas, one.max_fee, one.priority_fee)


def _nonce(order: Order, content: bytes, facts: Facts) -> bool:
    """True: this order was signed at this nonce before, so this is a variant of it.

    A cancel takes the place of anything at its nonce, under the id of what it ends or its own.
    """
    cancels = isinstance(order.intent, Cancel)
    here = [one for one in facts.here if one.order_id == order.id and not one.is_cancel]
    elsewhere = [one for one in facts.elsewhere if not one.is_cancel]
    sent = [one for one in facts.here if one.broadcast]
    others = [one.order_id for one in sent if one.order_id != order.id]
    if not cancels and any(one.content != content for one in (*here, *elsewhere)):
        raise Denied("order_changed", f"{order.id} was signed with another content")
    if any(_same(order, content, one) for one in facts.here):
        return bool(here) and not cancels  # given before: it says nothing new
    if not cancels and any(one.broadcast for one in elsewhere):
        raise Denied("nonce_in_use", f"{order.id} was sent with another nonce")
    if not cancels and (others or (sent and not here)):
        raise Denied("nonce_in_use", f"{[*others, order.id][0]} was sent with this nonce")
    for one in sent:
        if order.max_fee * 8 < one.max_fee * 9 or order.priority_fee * 8 < one.priority_fee * 9:
            raise Denied("bump_too_small", "both fees are at least 12.5 % above what was sent")
    return bool(here) and not cancels


def _fees(network: NetworkPolicy, order: Order, facts: Facts) -> None:
    payments = payments_of(order.intent)
    if order.fee > network.fee:
        raise Denied("fee_above_cap", f"{order.fee} wei, {network.fee} is the policy's cap")
    if payments and order.fee > sum(p.fee_cap for p in payments):
        raise Denied("fee_above_cap", f"{order.fee} wei is more than the payments allow")
    highest = max([order.fee, *(one.gas * one.max_fee for one in facts.here)])
    if facts.fees + highest > network.fees_per_day:
        raise Denied("fees_exceeded", f"{network.fees_per_day} wei is the cap of a day")
