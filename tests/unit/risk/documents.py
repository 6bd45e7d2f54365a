"""Hypothesis strategies: policies over a small world, and requests that meet their edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from core import ids
from risk.rules import AddressKind, Initiator, Request
from tests.unit.risk.world import NETWORK, OTHER

MERCHANTS = [UUID(int=n) for n in (1, 2)]
KEYS = [UUID(int=n) for n in (11, 12)]
ADDRESSES = ["0x" + c * 39 + "1" for c in "ab"]
START = datetime(2026, 3, 27, 20, tzinfo=UTC)  # Europe changes its clocks two days later
AMOUNTS = {"USD": ["5", "10", "20"], "ETH": ["1", "2"], "USDC": ["5", "10"]}
DECIMALS = {"ETH": 18, "USDC": 6}


def some(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.lists(st.sampled_from(values), min_size=1, unique=True)


@st.composite
def amounts(draw: st.DrawFn) -> dict[str, Any]:
    unit = draw(st.sampled_from(sorted(AMOUNTS)))
    low, high = sorted(draw(st.tuples(*[st.sampled_from(["0", *AMOUNTS[unit]])] * 2)), key=int)
    amount: dict[str, Any] = {"asset": unit}
    amount["above"] = draw(st.sampled_from([low, None])) if low != high else low
    amount["up_to"] = None if low == high else draw(st.sampled_from([high, None]))
    if amount["above"] is None and amount["up_to"] is None:
        amount["up_to"] = high
    if draw(st.booleans()):
        amount["window_seconds"] = draw(st.sampled_from([60, 3600, 86_400]))
        amount["per"] = draw(st.sampled_from([None, "merchant", "destination", "key"]))
    return amount


@st.composite
def hours(draw: st.DrawFn) -> dict[str, Any]:
    times = draw(
        st.lists(st.sampled_from(["00:00", "02:30", "09:00", "17:30"]), min_size=2, max_size=2)
    )
    return {
        "timezone": draw(st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Auckland"])),
        "days": draw(some(["mon", "fri", "sat", "sun"])),
        "from": times[0],
        "to": "24:00" if times[0] == times[1] else times[1],
    }


@st.composite
def documents(draw: st.DrawFn, *, timed: bool = True) -> dict[str, Any]:
    rules = []
    for n in range(draw(st.integers(0, 4))):
        effect = draw(st.sampled_from(["allow", "block", "approve"]))
        rule: dict[str, Any] = {
            "name": f"rule {n}",
            "effect": effect,
            "who": {
                "merchants": draw(some([ids.show("mer", m) for m in MERCHANTS])),
                "keys": draw(some([ids.show("key", k) for k in KEYS])),
                "initiators": draw(some([i.value for i in Initiator])),
            },
            "assets": draw(some(["ETH", "USDC"])),
            "networks": draw(some([NETWORK, OTHER])),
            "destination": draw(st.sampled_from(["any", "known", "unknown", "group:staff"])),
            "address_kinds": draw(some([k.value for k in AddressKind])),
            "amount": draw(st.none() | amounts()),
            "hours": draw(st.none() | hours()) if timed else None,
        }
        if effect == "approve":
            rule["approvals"] = {"needed": draw(st.integers(1, 3))}
        rules.append(rule)
    default = draw(st.sampled_from(["allow", "block"]))
    return {"default": {"effect": default}, "rules": rules}


@st.composite
def requests(draw: st.DrawFn, reference: str = "now", *, latest: int = 0) -> Request:
    """At START + up to `latest` seconds."""
    asset = draw(st.sampled_from(["ETH", "USDC"]))
    amount = int(draw(st.sampled_from(AMOUNTS[asset]))) * 10 ** DECIMALS[asset]
    known = draw(st.booleans())
    return Request(
        reference=reference,
        merchant_id=draw(st.sampled_from(MERCHANTS)),
        key_id=draw(st.sampled_from([*KEYS, None])),
        initiator=draw(st.sampled_from(Initiator)),
        network=draw(st.sampled_from([NETWORK, OTHER])),
        asset=asset,
        address=draw(st.sampled_from(ADDRESSES)),
        amount=amount + draw(st.sampled_from([-1, 0, 1])),
        house_value=draw(st.none() | st.sampled_from([499, 500, 501, 1000, 1001, 1999, 2001])),
        known=known,
        group=draw(st.sampled_from([None, "staff", "other"])) if known else None,
        address_kind=draw(st.none() | st.sampled_from(AddressKind)),
        at=START + timedelta(seconds=draw(st.integers(0, latest))),
    )


@st.composite
def days(draw: st.DrawFn, most: int = 8) -> list[Request]:
    """Requests of three days, in order."""
    count = draw(st.integers(1, most))
    made = [draw(requests(f"request {n}", latest=3 * 86_400)) for n in range(count)]
    return sorted(made, key=lambda one: one.at)
