"""Screening over the real database: what is stored, what is asked, what a person says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core import ids
from core.context import RiskSettings
from core.db import raw
from core.errors import Conflict, Invalid, NotFound
from risk import drafts, lists, screenings
from risk.lists import SAMPLE, Kind
from risk.screener import Screener
from risk.screening import (
    NewDeposit,
    NewPayout,
    Verdict,
    deposit_verdicts,
    request_deposits,
    screen,
)
from risk.sources import Opinion, SourceAway
from risk.verdicts import Outcome
from tests.integration.risk.conftest import Shop
from tests.unit.risk.test_formats import LAZARUS, YAN
from tests.unit.risk.world import NETWORK, OTHER

CLEAN = "0x" + "ab" * 20


@dataclass
class Desk:
    """A source that answers what it is told to, and can be away."""

    says: Outcome | None = Outcome.ACCEPT
    asked: list[str] = field(default_factory=list)

    async def ask(self, network: str, address: str) -> Opinion:
        self.asked.append(address)
        if self.says is None:
            raise SourceAway("closed")
        return Opinion(self.says, {"detail": f"the desk says {self.says}"})


def with_desk(shop: Shop, **settings: Any) -> Desk:
    """A provider is demanded; the desk stands in its place."""
    shop.context.risk = RiskSettings(provider_url="http://127.0.0.1:1", **settings)
    return Desk()


async def pay(shop: Shop, payout: UUID, address: str = CLEAN, network: str = NETWORK) -> Verdict:
    async with shop.database.begin() as session:
        one = NewPayout(id=payout, merchant_id=shop.one, network=network, address=address)
        return (await screen(session, shop.context, [one], shop.now))[payout]


def deposit(shop: Shop, sender: str = CLEAN, value: int | None = 5_000) -> NewDeposit:
    return NewDeposit(
        id=ids.new(),
        merchant_id=shop.one,
        network=NETWORK,
        sender=sender,
        asset="USDC",
        house_value=value,
    )


async def arrive(shop: Shop, *deposits: NewDeposit) -> None:
    async with shop.database.begin() as session:
        await request_deposits(await raw(session), shop.context, deposits, shop.now)


async def verdicts(shop: Shop, *deposits: NewDeposit) -> list[Outcome | None]:
    async with shop.database.statement() as connection:
        found = await deposit_verdicts(connection, [d.id for d in deposits])
    return [found[d.id].outcome if d.id in found else None for d in deposits]


async def load(shop: Shop, path: Path = SAMPLE, kind: Kind = Kind.SANCTIONS) -> None:
    async with shop.database.begin() as session:
        await lists.load(session, path, name=kind.value, kind=kind, now=shop.now)


async def work(shop: Shop, desk: Desk | None = None) -> int:
    """Does all that is due, once."""
    screener = Screener(shop.context, provider=desk)
    async with AsyncExitStack() as stack:
        await screener.open(stack)
        due = await screener.claim(100)
        await screener.ask(due)
    return len(due)


@asynccontextmanager
async def working(shop: Shop, desk: Desk) -> AsyncIterator[None]:
    task = asyncio.create_task(Screener(shop.context, provider=desk).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nothing_configured_asks_and_writes_nothing(shop: Shop) -> None:
    one = deposit(shop)
    await arrive(shop, one)
    await arrive(shop)
    assert await verdicts(shop, one) == [None]
    assert await verdicts(shop) == []
    assert await shop.read("select * from screenings") == []
    assert (await pay(shop, ids.new())).accepted


async def test_a_listed_destination_is_rejected_at_once(shop: Shop) -> None:
    await load(shop)
    payout = ids.new()
    verdict = await pay(shop, payout, LAZARUS)
    assert (verdict.outcome, verdict.reasons) == (Outcome.REJECT, ("sanctioned_address",))
    assert (await pay(shop, ids.new())).accepted
    assert await work(shop) == 0, "nothing is left to ask"
    assert verdict == await pay(shop, payout, LAZARUS)
    assert len(await shop.read("select * from screenings")) == 2


async def test_a_demanded_list_that_is_missing_or_old_holds(shop: Shop) -> None:
    shop.context.risk = RiskSettings(list_max_age=3600)
    payout, one = ids.new(), deposit(shop)
    await arrive(shop, one)
    verdict = await pay(shop, payout)
    assert (verdict.outcome, verdict.reasons) == (Outcome.HOLD, ("screening_list_stale",))
    await load(shop)
    assert await work(shop) == 2, "a new list makes what waits due"
    assert (await pay(shop, payout)).accepted
    assert await verdicts(shop, one) == [Outcome.ACCEPT]
    shop.wait(3_601)
    assert (await pay(shop, ids.new())).outcome == Outcome.HOLD
    assert await verdicts(shop, one) == [Outcome.ACCEPT], "a deposit that was accepted stays so"


async def test_a_source_is_asked_by_the_worker_and_believed_for_a_while(shop: Shop) -> None:
    desk = with_desk(shop, verdict_lifetime=600)
    payout = ids.new()
    verdict = await pay(shop, payout)
    assert (verdict.outcome, verdict.reasons) == (Outcome.HOLD, ("screening_unanswered",))
    assert await work(shop, desk) == 1
    assert (await pay(shop, payout)).accepted
    assert (await pay(shop, ids.new())).accepted, "believed for another payout too"
    assert (await pay(shop, ids.new(), network=OTHER)).outcome == Outcome.HOLD
    assert desk.asked == [CLEAN]
    shop.wait(601)
    assert (await pay(shop, payout)).outcome == Outcome.HOLD, "an old answer is none"
    assert await work(shop, desk) == 2
    assert (await pay(shop, payout)).accepted


@pytest.mark.parametrize("says", [Outcome.HOLD, Outcome.REJECT])
async def test_what_a_source_says_counts(shop: Shop, says: Outcome) -> None:
    desk = with_desk(shop)
    desk.says = says
    payout, one = ids.new(), deposit(shop)
    await pay(shop, payout)
    await arrive(shop, one)
    await work(shop, desk)
    assert (await pay(shop, payout)).outcome == says
    assert await verdicts(shop, one) == [says]
    assert await work(shop, desk) == 0, "a person decides, nobody asks again"


async def test_a_source_that_is_away_holds_and_is_asked_again(shop: Shop) -> None:
    desk = with_desk(shop, retry=30)
    desk.says = None
    payout = ids.new()
    await pay(shop, payout)
    assert await work(shop, desk) == 1
    assert await work(shop, desk) == 0
    shop.wait(31)
    assert await work(shop, desk) == 1
    assert (await pay(shop, payout)).outcome == Outcome.HOLD
    shop.wait(31)
    assert await work(shop, desk) == 0, "later and later"
    shop.wait(30)
    desk.says = Outcome.ACCEPT
    assert await work(shop, desk) == 1
    assert (await pay(shop, payout)).accepted


async def test_a_crash_is_only_a_delay(shop: Shop) -> None:
    desk = with_desk(shop)
    await pay(shop, ids.new())
    screener = Screener(shop.context, provider=desk)
    [due] = await screener.claim(10)
    assert await screener.claim(10) == [], "leased"
    await shop.read("update screenings set leased_until = now() returning id")
    [again] = await screener.claim(10)
    await screener.ask([due])
    assert [r[0] for r in await shop.read("select verdict from screenings")] == ["hold"]
    await screener.ask([again])
    assert [r[0] for r in await shop.read("select verdict from screenings")] == ["accept"]


async def test_the_loop_is_woken_and_tells(shop: Shop) -> None:
    desk = with_desk(shop)
    payout, one = ids.new(), deposit(shop)
    async with shop.context.listener.subscribe("screenings") as told, working(shop, desk):
        await pay(shop, payout)
        await arrive(shop, one)
        heard: set[str] = set()
        while not {f"payout:{payout}", f"deposit:{one.id}"} <= heard:
            message = await told.next(10)
            assert message is not None, heard
            heard.add(message)
    assert await verdicts(shop, one) == [Outcome.ACCEPT]
    assert (await pay(shop, payout)).accepted


async def test_deposits_are_asked_about_once(shop: Shop) -> None:
    desk = with_desk(shop)
    one, two = deposit(shop), deposit(shop, YAN)
    await load(shop)
    await arrive(shop, one, two)
    await work(shop, desk)
    await arrive(shop, one, two, three := deposit(shop))
    assert await verdicts(shop, one, two, three) == [
        Outcome.ACCEPT,
        Outcome.REJECT,
        Outcome.HOLD,
    ]


async def test_a_loaded_list_is_enough_to_screen_deposits(shop: Shop) -> None:
    await load(shop)
    one, two = deposit(shop, LAZARUS), deposit(shop)
    await arrive(shop, one, two)
    assert await verdicts(shop, one, two) == [Outcome.HOLD, Outcome.HOLD]
    await work(shop)
    assert await verdicts(shop, one, two) == [Outcome.REJECT, Outcome.ACCEPT]


async def test_a_deposit_without_a_known_source_is_held_for_a_person(shop: Shop) -> None:
    desk = with_desk(shop)
    one = deposit(shop, "")
    await arrive(shop, one)
    await work(shop, desk)
    assert await verdicts(shop, one) == [Outcome.HOLD]
    assert desk.asked == []
    [row] = await shop.read("select status, reasons from screenings")
    assert (row[0], [r["code"] for r in row[1]]) == ("done", ["source_unknown"])


async def test_a_persons_word_stands(shop: Shop) -> None:
    await load(shop)
    payout = ids.new()
    verdict = await pay(shop, payout, LAZARUS)
    async with shop.database.begin() as session:
        with pytest.raises(Invalid):
            await screenings.decide(session, verdict.screening, "hold", "why", shop.key, shop.now)
        with pytest.raises(NotFound):
            await screenings.decide(session, ids.new(), "accept", "why", None, shop.now)
        row = await screenings.decide(
            session, verdict.screening, "accept", "delisted", shop.key, shop.now
        )
    shown = screenings.show(row)
    assert shown["decision"]["reason"] == "delisted"
    assert shown["evidence"]["lists"][0]["name"] == "LAZARUS GROUP"
    assert (await pay(shop, payout, LAZARUS)).accepted
    assert (await pay(shop, ids.new(), LAZARUS)).outcome == Outcome.REJECT, "for this one alone"
    async with shop.database.begin() as session:
        await screenings.decide(session, verdict.screening, "accept", "again", None, shop.now)
        with pytest.raises(Conflict) as refused:
            await screenings.decide(session, verdict.screening, "reject", "no", None, shop.now)
        assert refused.value.code == "already_decided"


async def test_a_person_may_be_faster_than_a_source(shop: Shop) -> None:
    desk = with_desk(shop)
    desk.says = Outcome.REJECT
    verdict = await pay(shop, payout := ids.new())
    screener = Screener(shop.context, provider=desk)
    [due] = await screener.claim(10)
    async with shop.database.begin() as session:
        await screenings.decide(session, verdict.screening, "accept", "ours", None, shop.now)
    await screener.ask([due])
    assert (await pay(shop, payout)).accepted
    clean = await pay(shop, ids.new(), "0x" + "cd" * 20)
    desk.says = Outcome.ACCEPT
    await work(shop, desk)
    async with shop.database.begin() as session:
        with pytest.raises(Conflict) as refused:
            await screenings.decide(session, clean.screening, "reject", "late", None, shop.now)
    assert refused.value.code == "not_held"


async def test_a_score_holds_as_the_policy_says(shop: Shop, tmp_path: Path) -> None:
    mixers = tmp_path / "mixers.txt"
    mixers.write_text(YAN)
    await load(shop, mixers, Kind.MIXER)
    document = {
        "rules": [],
        "deposits": [
            {"name": "others", "score": 0, "effect": "reject", "assets": ["ETH"]},
            {"name": "risky", "score": 60, "effect": "hold"},
        ],
    }
    async with shop.database.begin() as session:
        await drafts.write(session, document, 0, None, shop.now)
        await drafts.publish(session, shop.context, 1, None, None, shop.now)
    usual = [deposit(shop, value=1_000) for _ in range(20)]
    await arrive(shop, *usual)
    mixed, large = deposit(shop, YAN, 1_000), deposit(shop, value=50_000)
    other = replace(deposit(shop), asset="ETH")
    await arrive(shop, mixed)
    await arrive(shop, large)
    await arrive(shop, other)
    await work(shop)
    assert await verdicts(shop, usual[0], mixed, large, other) == [
        Outcome.ACCEPT,
        Outcome.HOLD,
        Outcome.HOLD,
        Outcome.REJECT,
    ]
    [row] = await shop.read(
        "select score, reasons, evidence from screenings where subject_id = %s", large.id
    )
    # 50 times the habit; the others came from the same address in the same hour
    assert row[0] == 70
    assert [p["code"] for p in row[2]["score"]] == ["amount_above_habit", "velocity_address"]
    assert row[1][0]["source"] == "risky"


async def test_a_pace_is_held_against_the_month_before(shop: Shop) -> None:
    rule = {"name": "any", "score": 0, "effect": "hold"}
    async with shop.database.begin() as session:
        await drafts.write(session, {"rules": [], "deposits": [rule]}, 0, None, shop.now)
        await drafts.publish(session, shop.context, 1, None, None, shop.now)

    async def burst() -> list[str]:
        """The reasons of the last of 21 deposits from as many addresses."""
        made = [deposit(shop, f"0x{ids.new().hex}{n:08}") for n in range(21)]
        for one in made:
            await arrive(shop, one)
        await work(shop)
        [row] = await shop.read(
            "select evidence from screenings where subject_id = %s", made[-1].id
        )
        return [point["code"] for point in row[0]["score"]]

    assert await burst() == ["new_address"], "nobody knows a usual pace yet"
    shop.wait(86_400)
    assert await burst() == ["new_address", "velocity_merchant"]
