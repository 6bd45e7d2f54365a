"""A second, naive reading of the policy language: straight from the document, no shared code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from core import ids
from risk.rules import Request

DECIMALS = {"USD": 2, "ETH": 18, "USDC": 6, "DAI": 18}
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def decide(document: dict[str, Any], request: Request, past: Sequence[Request]) -> tuple[str, str]:
    """(effect, name of the rule or default)."""
    for rule in document["rules"]:
        if matches(rule, request, past):
            return rule["effect"], rule["name"]
    return document["default"]["effect"], "default"


def matches(rule: dict[str, Any], request: Request, past: Sequence[Request]) -> bool:
    who = rule.get("who") or {}
    merchant = ids.show("mer", request.merchant_id)
    key = ids.show("key", request.key_id) if request.key_id else None
    facts = [
        (who.get("merchants"), merchant),
        (who.get("keys"), key),
        (who.get("initiators"), request.initiator),
        (rule.get("assets"), request.asset),
        (rule.get("networks"), request.network),
    ]
    for allowed, fact in facts:
        if allowed is not None and fact not in allowed:
            return False
    destination = rule.get("destination", "any")
    if destination == "known" and not request.known:
        return False
    if destination == "unknown" and request.known:
        return False
    if destination.startswith("group:") and (
        not request.known or request.group != destination[len("group:") :]
    ):
        return False
    kinds = rule.get("address_kinds")
    told = request.address_kind is not None or rule["effect"] == "allow"
    if kinds and told and request.address_kind not in kinds:
        return False
    if rule.get("hours") and not open_at(rule["hours"], request):
        return False
    if rule.get("amount"):
        return in_range(rule, request, past)
    return True


def open_at(hours: dict[str, Any], request: Request) -> bool:
    """Walks back from the request to the minute the doors opened."""
    local = request.at.astimezone(ZoneInfo(hours["timezone"])).replace(tzinfo=None)
    local = local.replace(second=0, microsecond=0)
    days = hours.get("days") or WEEK
    for day in (local.date(), local.date() - timedelta(days=1)):
        if WEEK[day.weekday()] not in days:
            continue
        midnight = local.replace(year=day.year, month=day.month, day=day.day, hour=0, minute=0)
        begin = midnight + offset(hours.get("from") or "00:00")
        end = midnight + offset(hours.get("to") or "24:00")
        if end <= begin:
            end += timedelta(days=1)
        if begin <= local < end:
            return True
    return False


def offset(text: str) -> timedelta:
    hour, minute = text.split(":")
    return timedelta(hours=int(hour), minutes=int(minute))


def in_range(rule: dict[str, Any], request: Request, past: Sequence[Request]) -> bool:
    amount = rule["amount"]
    unit = amount["asset"]
    if unit != "USD" and unit != request.asset:
        return False
    counted = [request]
    if amount.get("window_seconds"):
        begin = request.at - timedelta(seconds=amount["window_seconds"])
        for other in past:
            if other.merchant_id != request.merchant_id or not begin < other.at <= request.at:
                continue
            if rule.get("assets") is not None and other.asset not in rule["assets"]:
                continue
            if rule.get("networks") is not None and other.network not in rule["networks"]:
                continue
            if unit not in ("USD", other.asset):
                continue
            per = amount.get("per") or "merchant"
            if per == "destination" and other.address != request.address:
                continue
            if per == "key" and other.key_id != request.key_id:
                continue
            counted.append(other)
    values = [one.house_value if unit == "USD" else one.amount for one in counted]
    if None in values:
        return str(rule["effect"]) != "allow"
    total = Fraction(sum(v for v in values if v is not None), 10 ** DECIMALS[unit])
    low, high = amount.get("above"), amount.get("up_to")
    enough = low is None or total > Fraction(low)
    little = high is None or total <= Fraction(high)
    return enough and little
