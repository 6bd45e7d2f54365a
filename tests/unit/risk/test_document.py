"""Reading a policy: every error names its field, all of them at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from core import ids
from core.errors import Invalid
from core.ids import new
from risk.document import EMPTY, parse
from risk.rules import Effect, Per, Window
from tests.unit.risk.documents import documents
from tests.unit.risk.world import CATALOG, NETWORK

ALICE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


def fields(document: dict[str, Any]) -> list[str]:
    with pytest.raises(Invalid) as refused:
        parse(document, CATALOG)
    assert refused.value.code == "invalid_policy"
    assert all(error.message for error in refused.value.errors)
    return [error.field for error in refused.value.errors]


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ({"name": "default"}, "rules.0.name"),
        ({"who": {"merchants": ["key_01h455vb4pex5vsknk084sn02q"]}}, "rules.0.who.merchants.0"),
        ({"who": {"keys": [ids.show("key", new()), "x"]}}, "rules.0.who.keys.1"),
        ({"assets": ["ETH", "DOGE"]}, "rules.0.assets.1"),
        ({"networks": [NETWORK, "eip155:9"]}, "rules.0.networks.1"),
        ({"effect": "approve"}, "rules.0.approvals"),
        ({"approvals": {"needed": 1}}, "rules.0.approvals"),
        ({"effect": "approve", "approvals": {"needed": 2, "of": [ALICE]}},
         "rules.0.approvals.needed"),
        ({"effect": "approve", "approvals": {"needed": 1, "of": [ALICE.replace("5aA", "5aa")]}},
         "rules.0.approvals.of.0"),
        ({"effect": "approve", "approvals": {"needed": 2, "of": [ALICE, ALICE.lower()]}},
         "rules.0.approvals.of.1"),
        ({"who": {"initiators": ["key", "operator"]}}, "rules.0.who.initiators.1"),
        ({"amount": {"asset": "DOGE", "above": "1"}}, "rules.0.amount.asset"),
        ({"amount": {"asset": "EUR", "above": "1"}}, "rules.0.amount.asset"),
        ({"amount": {"asset": "USD"}}, "rules.0.amount"),
        ({"amount": {"asset": "USD", "above": "1.001"}}, "rules.0.amount.above"),
        ({"amount": {"asset": "USDC", "up_to": "1.0000001"}}, "rules.0.amount.up_to"),
        ({"amount": {"asset": "USD", "above": "2", "up_to": "2"}}, "rules.0.amount.up_to"),
        ({"amount": {"asset": "USD", "up_to": "0"}}, "rules.0.amount.up_to"),
        ({"amount": {"asset": "USD", "above": "1", "per": "key"}}, "rules.0.amount.per"),
        ({"hours": {"timezone": "Europe/Atlantis"}}, "rules.0.hours.timezone"),
        ({"hours": {"timezone": "../../etc/passwd"}}, "rules.0.hours.timezone"),
        ({"hours": {"timezone": ""}}, "rules.0.hours.timezone"),
        ({"hours": {"timezone": "UTC", "from": "09:00", "to": "09:00"}}, "rules.0.hours.to"),
    ],
)  # fmt: skip
def test_each_error_names_its_field(rule: dict[str, Any], wrong: str) -> None:
    whole = {"name": "a", "effect": "block"} | rule
    assert fields({"default": {"effect": "allow"}, "rules": [whole]}) == [wrong]


def test_the_default_and_deposits_are_read_as_well() -> None:
    score = {"name": "risky", "score": 60, "effect": "hold"}
    assert fields(
        {
            "default": {"effect": "approve"},
            "rules": [{"name": "a", "effect": "block"}, {"name": "a", "effect": "block"}],
            "deposits": [score, score | {"assets": ["DOGE"]}],
        }
    ) == ["rules.1.name", "deposits.1.name", "default.approvals", "deposits.1.assets.0"]


def test_a_whole_policy() -> None:
    merchant = new()
    read = parse(
        {
            "default": {"effect": "approve", "approvals": {"needed": 1, "of": [ALICE, BOB]}},
            "rules": [
                {
                    "name": "staff in the morning",
                    "effect": "allow",
                    "who": {"merchants": [ids.show("mer", merchant)], "initiators": ["key"]},
                    "assets": ["USDC"],
                    "networks": [NETWORK],
                    "destination": "group:staff",
                    "amount": {"asset": "USDC", "up_to": "500", "window_seconds": 86_400,
                               "per": "destination"},
                    "hours": {"timezone": "Europe/Berlin", "days": ["mon"], "to": "12:00"},
                }
            ],
            "deposits": [{"name": "risky", "score": 60, "effect": "hold"}],
        },
        CATALOG,
        7,
    )  # fmt: skip
    [rule] = read.rules
    assert (read.version, read.default.needed) == (7, 1)
    assert read.default.approvers == (ALICE.lower(), BOB.lower())
    assert (rule.effect, rule.merchants, rule.networks) == (
        Effect.ALLOW,
        frozenset({merchant}),
        (NETWORK,),
    )
    assert rule.amount is not None
    assert rule.amount.up_to == 500 * 10**6
    assert read.windows() == (Window(86_400, Per.DESTINATION, "USDC", ("USDC",), (NETWORK,)),)
    assert rule.hours is not None
    assert (rule.hours.start, rule.hours.end) == (0, 720)
    assert read.deposits[0].matches(None, "ETH", NETWORK, 60)
    assert not read.deposits[0].matches(None, "ETH", NETWORK, 59)


def test_the_empty_policy_allows() -> None:
    assert parse(EMPTY, CATALOG).default.effect == Effect.ALLOW


@given(documents())
def test_all_that_is_well_formed_is_read(document: dict[str, Any]) -> None:
    assert len(parse(document, CATALOG).rules) == len(document["rules"])
