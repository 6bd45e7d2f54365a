"""Policies over the real database: windows, publishing, history, two requests at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from core import ids
from core.errors import Conflict, Invalid, Unavailable
from core.networks import Catalog
from risk import drafts, policies, requests
from risk.document import parse
from risk.replay import Tally, replay
from risk.rules import Decision, Effect, Request
from tests.integration.risk.conftest import Shop
from tests.unit.risk.documents import days, documents
from tests.unit.risk.world import CATALOG, NETWORK

DAILY: dict[str, Any] = {
    "default": {"effect": "allow"},
    "rules": [
        {
            "name": "daily",
            "effect": "block",
            "amount": {"asset": "USD", "above": "100", "window_seconds": 86_400},
        }
    ],
}


def request(shop: Shop, value: int | None = 6_000, **more: Any) -> Request:
    given_: dict[str, Any] = {
        "reference": ids.show("pay", ids.new()),
        "merchant_id": shop.one,
        "key_id": shop.key,
        "network": NETWORK,
        "asset": "USDC",
        "address": "0x" + "ab" * 20,
        "amount": 60 * 10**6,
        "house_value": value,
        "at": shop.now,
    }
    return Request(**(given_ | more))


async def publish(shop: Shop, document: dict[str, Any]) -> None:
    async with shop.database.begin() as session:
        draft = await drafts.find_draft(session)
        row = await drafts.write(
            session, document, draft.version if draft else 0, shop.key, shop.now
        )
        await drafts.publish(session, shop.context, row.version, shop.key, "why", shop.now)


async def admit(shop: Shop, asked: Request) -> Effect:
    async with shop.database.begin() as session:
        return (await policies.admit(session, shop.context, asked)).effect


async def test_nothing_published_allows(shop: Shop) -> None:
    assert await admit(shop, request(shop)) == Effect.ALLOW


async def test_a_window_counts_what_left_and_forgets_it(shop: Shop) -> None:
    await publish(shop, DAILY)
    first = request(shop)
    assert await admit(shop, first) == Effect.ALLOW
    assert await admit(shop, first) == Effect.ALLOW, "itself is not counted twice"
    second = request(shop)
    assert await admit(shop, second) == Effect.BLOCK
    assert await admit(shop, request(shop, merchant_id=shop.two)) == Effect.ALLOW
    assert await admit(shop, request(shop, 4_000)) == Effect.ALLOW, "what is blocked counts not"
    assert await admit(shop, request(shop, 1)) == Effect.BLOCK
    shop.wait(86_400)
    assert await admit(shop, request(shop)) == Effect.ALLOW


async def test_judged_again_what_was_let_go_counts_what_came_before_it(shop: Shop) -> None:
    """A payout is judged as it comes and when it leaves. What comes between was judged with it."""
    by_people = {"name": "daily", "effect": "approve", "approvals": {"needed": 1}}
    limit = {"asset": "USD", "above": "100", "window_seconds": 86_400}
    await publish(shop, {"rules": [by_people | {"amount": limit}]})
    first, second = request(shop), request(shop, 4_000)  # of one batch: the same moment
    shop.wait(1)
    third, fourth = request(shop), request(shop)
    for _ in range(2):
        assert await admit(shop, second) == Effect.ALLOW
        assert await admit(shop, first) == Effect.ALLOW
        assert await admit(shop, third) == Effect.APPROVE
        assert await admit(shop, fourth) == Effect.APPROVE
    stricter = {"name": "less", "effect": "block", "amount": limit | {"above": "90"}}
    await publish(shop, {"rules": [stricter]})
    assert await admit(shop, first) == Effect.ALLOW
    assert await admit(shop, second) == Effect.BLOCK


async def test_what_did_not_leave_makes_room(shop: Shop) -> None:
    await publish(shop, DAILY)
    first = request(shop)
    await admit(shop, first)
    async with shop.database.begin() as session:
        await requests.release(session, first.reference)
    assert await admit(shop, request(shop)) == Effect.ALLOW


async def test_a_past_without_price_blocks(shop: Shop) -> None:
    await admit(shop, request(shop, None))
    await publish(shop, DAILY)
    assert await admit(shop, request(shop, 1)) == Effect.BLOCK


async def test_two_at_once_do_not_share_the_last_room(shop: Shop) -> None:
    await publish(shop, DAILY)
    effects = await asyncio.gather(*(admit(shop, request(shop)) for _ in range(6)))
    assert sorted(effects) == [Effect.ALLOW, *[Effect.BLOCK] * 5]


async def test_a_dry_run_leaves_nothing(shop: Shop) -> None:
    await publish(shop, DAILY)
    async with shop.database.begin() as session:
        decision = await policies.judge(session, shop.context, request(shop, 20_000))
    assert (decision.effect, decision.rule, decision.version) == (Effect.BLOCK, "daily", 1)
    assert await shop.read("select * from policy_requests") == []


async def test_recent_destinations(shop: Shop) -> None:
    old, paid, blocked = ("0x" + c * 40 for c in "abc")
    await admit(shop, request(shop, 0, address=old, at=shop.now - timedelta(days=91)))
    await admit(shop, request(shop, 0, address=paid))
    await admit(shop, request(shop, 0, address=paid))
    await publish(shop, DAILY)
    await admit(shop, request(shop, 20_000, address=blocked))
    async with shop.database.read() as session:
        assert await requests.recent(session, shop.one, shop.now) == [paid]
        assert await requests.recent(session, shop.two, shop.now) == []


async def test_the_draft_is_not_overwritten_unseen(shop: Shop) -> None:
    async with shop.database.begin() as session:
        with pytest.raises(Conflict):
            await drafts.write(session, DAILY, 1, None, shop.now)
        assert (await drafts.write(session, DAILY, 0, None, shop.now)).version == 1
        with pytest.raises(Conflict) as refused:
            await drafts.write(session, DAILY, 0, None, shop.now)
        assert refused.value.code == "draft_changed"
        assert (await drafts.write(session, DAILY, 1, None, shop.now)).version == 2
        with pytest.raises(Conflict):
            await drafts.publish(session, shop.context, 1, None, None, shop.now)


async def test_a_wrong_draft_is_kept_and_not_published(shop: Shop) -> None:
    wrong = {"rules": [{"name": "a", "effect": "block", "assets": ["DOGE"]}]}
    async with shop.database.begin() as session:
        draft = await drafts.write(session, wrong, 0, None, shop.now)
        review = await drafts.review(session, CATALOG, draft.document)
        assert [e["field"] for e in review["errors"]] == ["rules.0.assets.0"]
        with pytest.raises(Invalid) as refused:
            await drafts.publish(session, shop.context, 1, None, None, shop.now)
        assert refused.value.code == "invalid_policy"
    assert await shop.read("select * from policy_versions") == []


async def test_strangers_are_told(shop: Shop) -> None:
    nobody = ids.new()
    who = {
        "merchants": [ids.show("mer", shop.one), ids.show("mer", nobody)],
        "keys": [ids.show("key", shop.key), ids.show("key", nobody)],
    }
    document = {
        "rules": [{"name": "a", "effect": "allow"}, {"name": "b", "effect": "block", "who": who}],
        "deposits": [{"name": "c", "score": 1, "effect": "hold", "merchants": who["merchants"]}],
    }
    async with shop.database.begin() as session:
        review = await drafts.review(session, CATALOG, document)
    assert review["errors"] == []
    assert [(w["code"], w["field"]) for w in review["warnings"]] == [
        ("unknown", "rules.1.who.merchants"),
        ("unknown", "rules.1.who.keys"),
        ("unknown", "deposits.0.merchants"),
        ("unreachable", "rules.1"),
    ]


async def test_history_and_a_way_back(shop: Shop) -> None:
    await publish(shop, DAILY)
    await publish(shop, {"default": {"effect": "block"}, "rules": []})
    assert await admit(shop, request(shop)) == Effect.BLOCK
    async with shop.database.begin() as session:
        with pytest.raises(Invalid):
            await drafts.roll_back(session, shop.context, 9, None, None, shop.now)
        await drafts.roll_back(session, shop.context, 1, shop.key, "too strict", shop.now)
    assert await admit(shop, request(shop)) == Effect.ALLOW
    async with shop.database.read() as session:
        rows, more = await drafts.history(session, limit=2, cursor=None)
        assert ([r.number for r in rows], more) == ([3, 2], True)
        rest, more = await drafts.history(session, limit=2, cursor=rows[-1].id)
        assert ([r.number for r in rest], more) == ([1], False)
    assert (rows[0].document, rows[0].note, rows[0].author) == (DAILY, "too strict", shop.key)


@pytest.mark.parametrize("change", ["update policy_versions set note = 'x'",
                                    "delete from policy_versions"])  # fmt: skip
async def test_what_was_published_stands(shop: Shop, database_url: str, change: str) -> None:
    await publish(shop, DAILY)
    async with shop.database.begin() as session:
        with pytest.raises(ProgrammingError, match="permission denied"):
            await session.execute(text(change))
    with (
        psycopg.connect(database_url) as owner,
        pytest.raises(psycopg.errors.RestrictViolation),
    ):
        owner.execute(change)


async def test_a_policy_that_no_longer_fits_decides_nothing(shop: Shop) -> None:
    await publish(shop, {"rules": [{"name": "a", "effect": "block", "assets": ["USDC"]}]})
    smaller = replace(shop.context)
    smaller.catalog = Catalog({})
    async with shop.database.begin() as session:
        with pytest.raises(Unavailable) as refused:
            await policies.admit(session, smaller, request(shop))
    assert refused.value.code == "policy_unreadable"


async def test_the_past_can_be_replayed(shop: Shop) -> None:
    asked = [request(shop, at=shop.now + timedelta(seconds=n)) for n in range(3)]
    for one in asked:
        await admit(shop, one)
    async with shop.database.read() as session:
        now = shop.now
        past, more = await requests.past(session, now - timedelta(days=1), now, limit=2)
        assert more is False
        assert [p.request for p in past] == asked[:1]
        until = now + timedelta(days=1)
        past, more = await requests.past(session, now - timedelta(days=1), until, limit=2)
        assert (len(past), more) == (2, True)
        past, _ = await requests.past(session, now - timedelta(days=1), until, limit=3)
    assert [p.request for p in past] == asked
    found = replay(parse(DAILY, CATALOG), past)
    assert [d.past.request.reference for d in found] == [a.reference for a in asked[1:]]


ALLOWED = Decision(effect=Effect.ALLOW)


async def test_sums_are_what_the_replay_counts(shop: Shop) -> None:
    """The windows in SQL and in memory say the same, for any policy and any past."""

    async def both(document: dict[str, Any], asked: list[Request]) -> None:
        rules = parse(document, CATALOG)
        *before, last = [replace(a, merchant_id=shop.one) for a in asked]
        async with shop.database.rehearse() as session:
            for one in before:
                await requests.record(session, one, ALLOWED)
            found = await requests.sums(session, rules.windows(), last)
        for window in rules.windows():
            tally = Tally(window)
            for one in before:
                tally.add(one)
            assert found[window] == tally.before(last), window

    examples: list[tuple[dict[str, Any], list[Request]]] = []

    @settings(
        max_examples=60, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), deadline=None,
    )  # fmt: skip
    @given(documents(timed=False), days(10))
    def collect(document: dict[str, Any], asked: list[Request]) -> None:
        examples.append((document, asked))

    collect()
    for document, asked in examples:
        await both(document, asked)


async def test_the_past_knows_whom_the_policy_of_its_day_asked(shop: Shop) -> None:
    mixed, other = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x" + "ab" * 20
    people = {"needed": 1, "of": [mixed, other]}
    rule = {"name": "large", "effect": "approve", "approvals": people, "assets": ["USDC"]}
    default = {"effect": "approve", "approvals": {"needed": 1, "of": [other]}}
    since = shop.now
    await admit(shop, request(shop))
    await publish(shop, {"rules": [rule], "default": default})
    await admit(shop, request(shop))
    await admit(shop, request(shop, asset="ETH"))
    less = rule | {"approvals": {"needed": 1, "of": [mixed]}}
    await publish(shop, {"rules": [less], "default": default})
    shop.wait(1)
    async with shop.database.read() as session:
        past, _ = await requests.past(session, since, shop.now, limit=10)
        document = (await drafts.history(session, limit=1, cursor=None))[0][0].document
    asked = {frozenset({mixed.lower(), other}), frozenset({other}), frozenset[str]()}
    assert {one.approvers for one in past} == asked
    found = replay(parse(document, CATALOG), past)
    assert {(d.past.rule, d.would.approvers) for d in found} == {
        (None, (mixed.lower(),)),  # nothing was published yet
        ("large", (mixed.lower(),)),
    }
