"""A policy as it is written down (JSON) -> a Ruleset. Every error names its field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core import ids
from core.errors import FieldError, Invalid, InvalidAmount
from core.money import FIAT
from core.networks import Catalog
from risk.addresses import read as read_address
from risk.rules import (
    DAY_MINUTES,
    DAYS,
    AddressKind,
    Amount,
    Effect,
    Hours,
    Initiator,
    Per,
    Rule,
    Ruleset,
    ScoreRule,
    Window,
)

EMPTY: dict[str, Any] = {"default": {"effect": "allow"}, "rules": [], "deposits": []}


def parse(document: Mapping[str, Any], catalog: Catalog, version: int = 0) -> Ruleset:
    """Raises Invalid `invalid_policy` with every error that was found."""
    reader = _Reader(catalog)
    ruleset = reader.ruleset(document, version)
    if reader.errors:
        first = reader.errors[0]
        raise Invalid(
            f"{first.field}: {first.message}", code="invalid_policy", errors=reader.errors
        )
    return ruleset


def approvers_of(document: Mapping[str, Any], rule: str | None) -> frozenset[str]:
    """Whom a rule of a published document asks (None: its default), whether or not the document
    still fits the configuration. Lower-case addresses; empty: whom the signer's policy names."""
    rules = [one for one in document.get("rules") or [] if one["name"] == rule]
    found = document.get("default") or EMPTY["default"] if rule is None else (rules or [{}])[0]
    return frozenset(text.lower() for text in (found.get("approvals") or {}).get("of") or [])


class _Reader:
    """Reads a document whose shape is right, collecting what is wrong with its meaning."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.errors: list[FieldError] = []

    def ruleset(self, document: Mapping[str, Any], version: int) -> Ruleset:
        rules = document.get("rules") or []
        deposits = document.get("deposits") or []
        self._names("rules", rules)
        self._names("deposits", deposits)
        default = document.get("default") or EMPTY["default"]
        effect, needed, approvers = self._effect("default", default)
        return Ruleset(
            rules=tuple(self._rule(f"rules.{i}", rule) for i, rule in enumerate(rules)),
            default=Rule(name="default", effect=effect, needed=needed, approvers=approvers),
            deposits=tuple(self._score(f"deposits.{i}", r) for i, r in enumerate(deposits)),
            version=version,
        )

    def _wrong(self, field: str, message: str) -> None:
        self.errors.append(FieldError(field, message))

    def _names(self, place: str, rules: Sequence[Mapping[str, Any]]) -> None:
        names = [rule["name"] for rule in rules]
        for index, name in enumerate(names):
            if name == "default":
                self._wrong(f"{place}.{index}.name", "is taken by the default")
            elif name in names[:index]:
                self._wrong(f"{place}.{index}.name", f"is the name of rule {names.index(name)}")

    def _rule(self, place: str, rule: Mapping[str, Any]) -> Rule:
        effect, needed, approvers = self._effect(place, rule)
        who = rule.get("who") or {}
        assets = self._assets(place, rule)
        networks = self._networks(place, rule)
        kinds = rule.get("address_kinds")
        return Rule(
            name=rule["name"],
            effect=effect,
            merchants=self._ids(f"{place}.who.merchants", "mer", who.get("merchants")),
            keys=self._ids(f"{place}.who.keys", "key", who.get("keys")),
            initiators=self._initiators(f"{place}.who.initiators", who.get("initiators")),
            assets=assets,
            networks=networks,
            destination=rule.get("destination") or "any",
            address_kinds=None if kinds is None else frozenset(map(AddressKind, kinds)),
            amount=self._amount(f"{place}.amount", rule.get("amount"), assets, networks),
            hours=self._hours(f"{place}.hours", rule.get("hours")),
            needed=needed,
            approvers=approvers,
        )

    def _score(self, place: str, rule: Mapping[str, Any]) -> ScoreRule:
        return ScoreRule(
            name=rule["name"],
            score=rule["score"],
            effect=rule["effect"],
            merchants=self._ids(f"{place}.merchants", "mer", rule.get("merchants")),
            assets=self._assets(place, rule),
            networks=self._networks(place, rule),
        )

    def _effect(self, place: str, rule: Mapping[str, Any]) -> tuple[Effect, int, tuple[str, ...]]:
        effect = Effect(rule["effect"])
        approvals = rule.get("approvals")
        field = f"{place}.approvals"
        if effect != Effect.APPROVE:
            if approvals is not None:
                self._wrong(field, f"goes with the effect approve only, this one is {effect}")
            return effect, 0, ()
        if approvals is None:
            self._wrong(field, "is required with the effect approve")
            return effect, 1, ()
        approvers: list[str] = []
        for index, text in enumerate(approvals.get("of") or []):
            try:
                address = read_address(text)
            except Invalid as error:
                self._wrong(f"{field}.of.{index}", error.errors[0].message)
                continue
            if address in approvers:
                self._wrong(f"{field}.of.{index}", "is there twice: an approver signs once")
            approvers.append(address)
        needed = approvals["needed"]
        if approvers and needed > len(approvers):
            self._wrong(f"{field}.needed", f"is more than the {len(approvers)} approvers")
        return effect, needed, tuple(approvers)

    def _ids(self, field: str, prefix: str, texts: Sequence[str] | None) -> frozenset[UUID] | None:
        if texts is None:
            return None
        found = set()
        for index, text in enumerate(texts):
            value = ids.read(prefix, text)
            if value is None:
                self._wrong(f"{field}.{index}", f"is not an id such as {prefix}_01h455vb...")
            else:
                found.add(value)
        return frozenset(found)

    def _initiators(self, field: str, names: Sequence[str] | None) -> frozenset[Initiator] | None:
        if names is None:
            return None
        known = [one.value for one in Initiator]
        for index, name in enumerate(names):
            if name not in known:
                self._wrong(f"{field}.{index}", f"must be {' or '.join(known)}, not {name}")
        return frozenset(Initiator(name) for name in names if name in known)

    def _assets(self, place: str, rule: Mapping[str, Any]) -> tuple[str, ...] | None:
        assets = rule.get("assets")
        for index, symbol in enumerate(assets or []):
            if self._catalog.asset(symbol) is None:
                self._wrong(f"{place}.assets.{index}", "is not a known asset")
        return None if assets is None else tuple(sorted(set(assets)))

    def _networks(self, place: str, rule: Mapping[str, Any]) -> tuple[str, ...] | None:
        networks = rule.get("networks")
        for index, network in enumerate(networks or []):
            if network not in self._catalog.networks:
                self._wrong(f"{place}.networks.{index}", "is not a configured network")
        return None if networks is None else tuple(sorted(set(networks)))

    def _amount(
        self,
        place: str,
        amount: Mapping[str, Any] | None,
        assets: tuple[str, ...] | None,
        networks: tuple[str, ...] | None,
    ) -> Amount | None:
        if amount is None:
            return None
        house = self._catalog.house_currency
        symbol = amount["asset"]
        unit = FIAT[house] if symbol == house else self._catalog.assets.get(symbol)
        if unit is None:
            self._wrong(f"{place}.asset", f"must be {house}, the house currency, or an asset")
            return None
        limits: dict[str, int | None] = {"above": None, "up_to": None}
        for name in limits:
            if (text := amount.get(name)) is None:
                continue
            try:
                limits[name] = unit.parse(text)
            except InvalidAmount as error:
                self._wrong(f"{place}.{name}", error.detail)
        above, up_to = limits["above"], limits["up_to"]
        if amount.get("above") is None and amount.get("up_to") is None:
            self._wrong(place, "needs above, up_to or both")
        if up_to is not None and up_to <= (above or 0):
            self._wrong(f"{place}.up_to", f"must be more than {unit.format(above or 0)}")
        seconds, per = amount.get("window_seconds"), amount.get("per")
        if seconds is None:
            if per is not None:
                self._wrong(f"{place}.per", "goes with window_seconds only")
            return Amount(unit=unit, above=above, up_to=up_to)
        counted = assets if unit.is_fiat else (unit.symbol,)
        window = Window(seconds, Per(per or Per.MERCHANT), unit.symbol, counted, networks)
        return Amount(unit=unit, above=above, up_to=up_to, window=window)

    def _hours(self, place: str, hours: Mapping[str, Any] | None) -> Hours | None:
        if hours is None:
            return None
        try:
            ZoneInfo(hours["timezone"])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._wrong(f"{place}.timezone", "is no time zone such as Europe/Berlin")
            return None
        start = _minutes(hours.get("from") or "00:00")
        end = _minutes(hours.get("to") or "24:00")
        if start in (end, DAY_MINUTES):
            self._wrong(f"{place}.to", "must be another time than from")
        days = frozenset(hours.get("days") or DAYS)
        return Hours(timezone=hours["timezone"], days=days, start=start, end=end)


def _minutes(text: str) -> int:
    """`09:30` -> minutes of the day; `24:00` is its end."""
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)
