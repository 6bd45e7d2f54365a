"""The words of a policy: its rules, what they are asked about, and what they answer.

Amounts are base units: of the asset, or minor units of the house currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from core.money import Asset

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60


class Effect(StrEnum):
    """What a rule does with a request that it matches."""

    ALLOW = "allow"
    """It may go on: the signer's own limits still hold."""
    BLOCK = "block"
    """It is rejected."""
    APPROVE = "approve"
    """It waits until enough approvers have signed."""


class Initiator(StrEnum):
    """Who asked for money to leave. Neither operators nor standing rules can: what they move stays
    the house's, and only the signer's policy speaks of it."""

    KEY = "key"
    """A merchant, by his API key."""
    CUSTOMER = "customer"
    """A customer: a refund that he asked for at the checkout, a withdrawal of his wallet."""


class AddressKind(StrEnum):
    """What stands at a destination. None in its place: the chain has not said."""

    ACCOUNT = "account"
    """No code: whoever has its key. Also a contract that is still to be deployed."""
    DELEGATED = "delegated"
    """An account whose key may still spend, and which runs a contract's code (EIP-7702)."""
    CONTRACT = "contract"
    """Code: its own rules say what becomes of what it gets."""


class Per(StrEnum):
    """Whose requests a window adds up. Always within one merchant."""

    MERCHANT = "merchant"
    """All of the merchant's."""
    DESTINATION = "destination"
    """The merchant's to the same address."""
    KEY = "key"
    """Those asked for with the same API key."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling sum: what counts into it. `unit` is a symbol, `assets` and `networks` are those of
    the rule (None: all)."""

    seconds: int
    per: Per
    unit: str
    assets: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None


# What left in each window before the request; None where something in it had no price.
Sums = Mapping[Window, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Matches above < amount <= up_to; with a window: its sum, this request included."""

    unit: Asset  # the house currency, or one asset: then no other one matches
    above: int | None = None
    up_to: int | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Local wall time in [start, end), minutes of the day. Where the end is not after the start it
    is the next day's, and the night belongs to the day on which it began."""

    timezone: str
    days: frozenset[str] = frozenset(DAYS)
    start: int = 0
    end: int = DAY_MINUTES

    def hold(self, at: datetime) -> bool:
        local = at.astimezone(ZoneInfo(self.timezone))
        minute = local.hour * 60 + local.minute
        today, yesterday = DAYS[local.weekday()], DAYS[local.weekday() - 1]
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        late = today in self.days and minute >= self.start
        return late or (yesterday in self.days and minute < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """All conditions must hold; None is any. `destination`: any, known (in the merchant's address
    book and past its cooling), unknown (not so), or group:<name>."""

    name: str
    effect: Effect
    merchants: frozenset[UUID] | None = None
    keys: frozenset[UUID] | None = None
    initiators: frozenset[Initiator] | None = None
    assets: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    destination: str = "any"
    address_kinds: frozenset[AddressKind] | None = None
    amount: Amount | None = None
    hours: Hours | None = None
    needed: int = 0
    approvers: tuple[str, ...] = ()  # lower-case addresses; empty: whom the signer's policy names


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRule:
    """What becomes of a deposit whose score is `score` or more: hold or reject."""

    name: str
    score: int
    effect: str
    merchants: frozenset[UUID] | None = None
    assets: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None

    def matches(self, merchant_id: UUID | None, asset: str, network: str, score: int) -> bool:
        return (
            score >= self.score
            and (self.merchants is None or merchant_id in self.merchants)
            and (self.assets is None or asset in self.assets)
            and (self.networks is None or network in self.networks)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """Rules in order, first match wins. `version` 0: nothing was published yet."""

    rules: tuple[Rule, ...] = ()
    default: Rule = field(default=Rule(name="default", effect=Effect.ALLOW))
    deposits: tuple[ScoreRule, ...] = ()
    version: int = 0

    def windows(self) -> tuple[Window, ...]:
        found = (r.amount.window for r in self.rules if r.amount is not None)
        return tuple(dict.fromkeys(w for w in found if w is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Money that somebody wants to leave. `reference` is the payout's id, "" for a dry run.

    `house_value` None: no fresh price. `known` and `group` tell the usable entry of the address
    book, if there is one. `address_kind` None: not known, or an account at a bank.
    """

    reference: str
    merchant_id: UUID
    key_id: UUID | None = None
    initiator: Initiator = Initiator.KEY
    network: str
    asset: str
    address: str
    amount: int
    house_value: int | None
    known: bool = False
    group: str | None = None
    address_kind: AddressKind | None = None
    at: datetime

    def measured(self, unit: Asset) -> int | None:
        """The amount in the house currency (fiat), else in the asset itself; None: not known."""
        return self.house_value if unit.is_fiat else self.amount

    def counts_in(self, window: Window, other: Request) -> bool:
        """Whether this earlier request counts in the other one's window."""
        return (
            self.reference != other.reference
            and self.merchant_id == other.merchant_id
            and other.at - timedelta(seconds=window.seconds) < self.at <= other.at
            and (window.assets is None or self.asset in window.assets)
            and (window.networks is None or self.network in window.networks)
            and (window.per != Per.DESTINATION or self.address == other.address)
            and (window.per != Per.KEY or self.key_id == other.key_id)
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was looked at, and why it did (not) match."""

    rule: str
    matched: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy says. `needed` signatures of `approvers` (empty: any approver that the
    signer's own policy names). `rule` None: the default."""

    effect: Effect
    needed: int = 0
    approvers: tuple[str, ...] = ()
    rule: str | None = None
    version: int = 0
    steps: tuple[Step, ...] = ()

    def json(self) -> dict[str, Any]:
        """As the API explains it."""
        return {
            "effect": self.effect.value,
            "needed": self.needed,
            "approvers": list(self.approvers),
            "rule": self.rule,
            "version": self.version,
            "steps": [{"rule": s.rule, "matched": s.matched, "why": s.why} for s in self.steps],
        }
