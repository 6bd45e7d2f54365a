"""A policy's answer to one request: a pure function that explains itself.

First match wins. An amount that nobody can value (no fresh price) satisfies the limits of a rule
that blocks or asks for approval, and never those of a rule that allows: nothing is guessed. So does
a destination of which the chain has not said what stands there.
"""

from __future__ import annotations

from datetime import datetime

from core.addresses import checksum
from risk.rules import Amount, Decision, Effect, Hours, Request, Rule, Ruleset, Step, Sums


def evaluate(rules: Ruleset, request: Request, history: Sums) -> Decision:
    """What the rules say of the request. `history` has every window of the ruleset."""
    steps: list[Step] = []
    for rule in rules.rules:
        why = _misses(rule, request, history)
        steps.append(Step(rule.name, why is None, why or _told(rule)))
        if why is None:
            return _decided(rule, rule.name, rules, steps)
    steps.append(Step("default", True, f"no rule matches: {_told(rules.default)}"))
    return _decided(rules.default, None, rules, steps)


def _decided(rule: Rule, name: str | None, rules: Ruleset, steps: list[Step]) -> Decision:
    return Decision(
        effect=rule.effect,
        needed=rule.needed,
        approvers=rule.approvers,
        rule=name,
        version=rules.version,
        steps=tuple(steps),
    )


def _misses(rule: Rule, request: Request, history: Sums) -> str | None:
    """Why the rule does not match, told by its first condition that fails; None: it matches."""
    if rule.merchants is not None and request.merchant_id not in rule.merchants:
        return "another merchant"
    if rule.keys is not None and request.key_id not in rule.keys:
        return "another API key"
    if rule.initiators is not None and request.initiator not in rule.initiators:
        return f"asked for by {request.initiator}"
    if rule.assets is not None and request.asset not in rule.assets:
        return f"the asset is {request.asset}"
    if rule.networks is not None and request.network not in rule.networks:
        return f"the network is {request.network}"
    return (
        _misses_destination(rule.destination, request)
        or _misses_kind(rule, request)
        or _misses_hours(rule.hours, request.at)
        or _misses_amount(rule, request, history)
    )


def _misses_destination(destination: str, request: Request) -> str | None:
    kind, _, group = destination.partition(":")
    shown = checksum(request.address) if request.address.startswith("0x") else request.address
    if kind == "known" and not request.known:
        return f"{shown} is not in the address book, or still cooling"
    if kind == "unknown" and request.known:
        return f"{shown} is in the address book"
    if kind == "group" and not (request.known and request.group == group):
        return f"{shown} is not in the group {group}"
    return None


def _misses_kind(rule: Rule, request: Request) -> str | None:
    kinds, kind = rule.address_kinds, request.address_kind
    if kinds is None:
        return None
    if not request.address.startswith("0x"):
        return "the destination is an account at a bank"
    if kind is None:
        unknown = "whether a contract stands at the destination is not known"
        return unknown if rule.effect == Effect.ALLOW else None
    return None if kind in kinds else f"the kind of the destination is {kind}"


def _misses_hours(hours: Hours | None, at: datetime) -> str | None:
    if hours is None or hours.hold(at):
        return None
    return f"outside of its hours ({hours.timezone})"


def _misses_amount(rule: Rule, request: Request, history: Sums) -> str | None:
    limit = rule.amount
    if limit is None:
        return None
    unit = limit.unit
    if not unit.is_fiat and request.asset != unit.symbol:
        return f"its amount is in {unit.symbol}, the asset is {request.asset}"
    total = _total(limit, request, history)
    if total is None:
        no_price = f"without a fresh price the value in {unit.symbol} is not known"
        return no_price if rule.effect == Effect.ALLOW else None
    what = f"{unit.format(total)} {unit.symbol}"
    if limit.window is not None:
        what += f" in {limit.window.seconds} s per {limit.window.per}"
    if limit.above is not None and total <= limit.above:
        return f"{what} is not above {unit.format(limit.above)}"
    if limit.up_to is not None and total > limit.up_to:
        return f"{what} is above {unit.format(limit.up_to)}"
    return None


def _total(limit: Amount, request: Request, history: Sums) -> int | None:
    measured = request.measured(limit.unit)
    if limit.window is None or measured is None:
        return measured
    before = history[limit.window]
    return None if before is None else before + measured


def _told(rule: Rule) -> str:
    if rule.effect != Effect.APPROVE:
        return f"the effect is {rule.effect}"
    of = f" of {len(rule.approvers)}" if rule.approvers else ""
    return f"the effect is {rule.effect} by {rule.needed}{of}"
