"""Rules over books, venues and orders: each entry counted once, each firing once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import wall
from core.context import Context
from core.errors import Conflict, Invalid
from exchanges.numbers import ONE
from ledger.accounts import Debt, Role, merchant, place
from ledger.journal import Entry, Kind, post, transfer
from ledger.sequence import number_pending
from tests.integration.api.conftest import NETWORK, PRICES
from tests.integration.treasury.converting import Converting
from tests.listings import levels, market
from tests.venue_state import tell
from tests.waiting import eventually
from treasury import rules
from treasury.rule_tables import Rule
from treasury.rule_work import Claims, Rules
from treasury.rules import NewRule

SHOP = UUID(int=7)
HELD = {"ETH": "100", "EUR": "500000"}


async def nothing_waits(session: AsyncSession, asset: str, currency: str) -> int:
    return 0


async def nobody_waits(
    session: AsyncSession, context: Context, asset: str, to: str, given: int, got: int, by: str
) -> None:
    raise AssertionError(by)


class Desk:
    """Venues with books, and a worker's steps taken one by one."""

    def __init__(self, converting: Converting) -> None:
        self.converting = converting
        self.context = converting.context
        self.worker = Rules(self.context, Claims(nothing_waits, nobody_waits))

    async def quote(self, venue: str = "binance") -> None:
        """The venue was heard just now: 2272 EUR for each of a hundred ETH."""
        book = (market("ETH-EUR"), levels(("2272", "100")), levels(("2273", "100")))
        await tell(self.context.database, venue, [book], HELD)

    async def settle(self, amount: int, kind: Kind = Kind.DEPOSIT_CONFIRMED) -> None:
        """wei that become a merchant's to spend (less than none: a fork)."""
        number = ids.new()
        lines = transfer(
            "ETH",
            amount,
            debit=place(NETWORK, Role.DEPOSITS),
            credit=merchant(SHOP, Debt.AVAILABLE),
        )
        entry = Entry(
            id=number, key=str(number), kind=kind, reference="a test's", merchant_id=SHOP,
            evidence={}, posted_at=self.context.clock.now(), postings=lines,
        )  # fmt: skip
        async with self.context.database.begin() as session:
            await post(session, [entry])
        await number_pending(self.context.database)

    async def rule(self, **asked: Any) -> UUID:
        wanted = NewRule(**{"asset": "ETH", "to": "EUR", **asked})
        async with self.context.database.begin() as session:
            made = await rules.create(session, self.context, wanted, "key_test")
        number = ids.read("rul", made["id"])
        assert number is not None
        return number

    async def look(self, number: UUID, *, heard: bool = True) -> dict[str, Any]:
        """The rule is due, and a worker does what it needs; the venue was heard just now."""
        if heard:
            await self.quote()
        async with self.context.database.begin() as session:
            now = self.context.clock.now()
            values = {"id": number, "now": now}
            due = text("update treasury_rules set due_at = :now where id = :id")
            await session.execute(due, values)
        await self.worker.step(number)
        return await self.show(number)

    async def show(self, number: UUID) -> dict[str, Any]:
        async with self.context.database.read() as session:
            return await rules.show(session, number)

    async def convert(self, number: UUID, status: str = "filled") -> dict[str, Any]:
        """What the rule has under way comes to its end, and the rule sees it."""
        conversion = ids.read("cnv", (await self.show(number))["firings"][0]["conversion"])
        assert conversion is not None
        await self.converting.until(conversion, status)
        return await self.look(number)


@pytest.fixture
async def rig(desk: Converting) -> Desk:
    async with desk.context.database.begin() as session:
        await session.execute(text(PRICES), {"now": desk.context.clock.now()})
    return Desk(desk)


async def test_a_share_of_what_settled_since_the_last_time(rig: Desk) -> None:
    await rig.settle(7 * ONE)  # before there was a rule
    rule = await rig.rule(share_percent="50")
    assert (await rig.look(rule))["reason"] == "nothing_to_convert"
    await rig.settle(3 * ONE)
    await rig.settle(-ONE, Kind.DEPOSIT_REVERSED)
    await rig.settle(ONE, Kind.OPENING)  # nothing that settled
    shown = await rig.look(rule)
    [firing] = shown["firings"]
    assert (firing["status"], firing["amount"], shown["reason"]) == ("working", "1", None)
    await rig.settle(2 * ONE)
    assert (await rig.look(rule))["firings"] == [firing]  # one at a time
    shown = await rig.convert(rule)
    [done] = shown["firings"]
    assert (done["status"], done["from_amount"], done["to_amount"]) == ("done", "1", "2267.45028")
    shown = await rig.look(rule)
    assert [one["amount"] for one in shown["firings"]] == ["1", "1"]
    await rig.convert(rule)
    assert (await rig.look(rule))["left_over"] == "0"
    assert len(rig.converting.exchange.placed) == 2
    told = [one for one in await rig.converting.told() if one.startswith("rule.")]
    assert told == ["rule.fired", "rule.done"] * 2
    await rig.converting.agree()


async def test_what_was_not_converted_counts_again(rig: Desk) -> None:
    rule = await rig.rule()
    await rig.settle(ONE)
    await rig.look(rule)
    conversion = ids.read("cnv", (await rig.show(rule))["firings"][0]["conversion"])
    assert conversion is not None
    await rig.converting.expire(conversion)  # before anything was sent
    shown = await rig.convert(rule, "failed")
    assert (shown["firings"][0]["from_amount"], shown["left_over"]) == ("0", "1")
    assert (await rig.look(rule))["firings"][0]["amount"] == "1"


async def test_minimum_daily_limit_and_the_next_day(rig: Desk) -> None:
    rule = await rig.rule(minimum="0.5", daily_limit="2")
    await rig.settle(ONE // 4)
    shown = await rig.look(rule)
    assert (shown["reason"], shown["left_over"], shown["firings"]) == ("below_minimum", "0.25", [])
    await rig.settle(3 * ONE)
    assert (await rig.look(rule))["firings"][0]["amount"] == "2"
    shown = await rig.convert(rule)
    assert shown["left_over"] == "1.25"
    assert (await rig.look(rule))["reason"] == "daily_limit"
    rig.context.clock.set_offset(timedelta(days=1))
    async with rig.context.database.begin() as session:
        later = text("update prices set updated_at = :now, valid_until = :now + interval '1 day'")
        await session.execute(later, {"now": rig.context.clock.now()})
    assert (await rig.look(rule))["firings"][0]["amount"] == "1.25"


async def test_what_is_held_above_a_threshold(rig: Desk) -> None:
    rule = await rig.rule(of="held", threshold="199", share_percent="50")
    shown = await rig.look(rule)  # 100 at each venue
    assert shown["firings"][0]["amount"] == "0.5"
    assert (await rig.convert(rule))["left_over"] == "0"
    assert (await rig.look(rule))["firings"][0]["amount"] == "0.25"


async def test_a_dry_run_counts_and_sends_nothing(rig: Desk) -> None:
    rule = await rig.rule(dry_run=True)
    await rig.settle(ONE)
    for _ in range(2):
        shown = await rig.look(rule)
    [firing] = shown["firings"]
    assert (firing["status"], firing["amount"], firing["conversion"]) == ("dry_run", "1", None)
    assert firing["quote"] is not None
    assert await rig.converting.rows("select 1 from conversions") == []


async def test_a_refused_quote_is_named_and_nothing_is_lost(rig: Desk) -> None:
    rule = await rig.rule()
    await rig.settle(ONE)
    async with rig.context.database.begin() as session:
        await session.execute(text("update venue_streams set alive_at = alive_at - interval '1 h'"))
    for _ in range(2):
        shown = await rig.look(rule, heard=False)
        assert (shown["reason"], shown["left_over"]) == ("price_unavailable", "1")
    assert (await rig.converting.told()).count("rule.skipped") == 1
    assert await rig.converting.rows("select 1 from treasury_quotes") == []
    assert (await rig.look(rule))["firings"][0]["amount"] == "1"


async def test_many_workers_fire_once(rig: Desk) -> None:
    rule = await rig.rule()
    await rig.settle(ONE)
    async with rig.context.database.begin() as session:
        row = await session.get_one(Rule, rule)
        row.due_at = rig.context.clock.now()
    workers = [Rules(rig.context, Claims(nothing_waits, nobody_waits)) for _ in range(4)]
    await rig.quote()
    claimed = [one for worker in workers for one in await worker.claim(5)]
    assert claimed == [rule]  # the others see the lease
    await asyncio.gather(*(worker.step(rule) for worker in workers))  # as if it had run out
    assert len((await rig.show(rule))["firings"]) == 1
    assert len(await rig.converting.rows("select 1 from conversions")) == 1


async def test_the_loop_looks_when_the_clock_says_so(rig: Desk) -> None:
    context = rig.context
    tasks = [
        asyncio.create_task(context.listener.run(("rules",))),
        asyncio.create_task(Rules(context, Claims(nothing_waits, nobody_waits)).run()),
    ]
    try:
        rule = await rig.rule()
        await rig.settle(ONE)
        await rig.quote()

        async def fired() -> bool:
            return bool((await rig.show(rule))["firings"])

        assert not await fired()
        context.clock.set_offset(timedelta(seconds=3))
        await eventually(fired, 5)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_schedule_in_the_domains_time(rig: Desk) -> None:
    rule = await rig.rule(schedule="0 6 * * *")
    await rig.settle(ONE)
    assert await rig.worker.claim(5) == []
    async with rig.context.database.read() as session:
        due_at = (await session.get_one(Rule, rule)).due_at
    assert due_at is not None
    rig.context.clock.set_offset(due_at - wall())
    async with rig.context.database.begin() as session:
        later = text("update prices set updated_at = :now, valid_until = :now + interval '1 day'")
        await session.execute(later, {"now": rig.context.clock.now()})
    assert await rig.worker.claim(5) == [rule]
    await rig.quote()
    await rig.worker.step(rule)
    assert (await rig.show(rule))["firings"][0]["amount"] == "1"
    await rig.convert(rule)
    async with rig.context.database.read() as session:
        assert (await session.get_one(Rule, rule)).due_at == due_at + timedelta(days=1)


async def test_an_ended_rule_follows_what_it_began(rig: Desk) -> None:
    rule = await rig.rule()
    await rig.settle(ONE)
    await rig.look(rule)
    async with rig.context.database.begin() as session:
        await rules.end(session, rig.context, rule)
    await rig.settle(ONE)
    shown = await rig.convert(rule)
    assert (shown["status"], shown["firings"][0]["status"]) == ("ended", "done")
    assert (shown["next_at"], len(shown["firings"])) == (None, 1)
    assert await rig.worker.claim(5) == []


async def test_refusals(rig: Desk) -> None:
    for asked, field in (
        ({"to": "ETH"}, "to"),
        ({"asset": "GOLD"}, "asset"),
        ({"share_percent": "0"}, "share_percent"),
        ({"share_percent": "100.1"}, "share_percent"),
        ({"of": "fiat_at_fill", "share_percent": "50"}, "share_percent"),
        ({"schedule": "at noon"}, "schedule"),
        ({"of": "held"}, "threshold"),
        ({"threshold": "1"}, "threshold"),
        ({"minimum": "1.0000000000000000001"}, "minimum"),
    ):
        with pytest.raises(Invalid) as refused:
            await rig.rule(**asked)
        assert [one.field for one in refused.value.errors] == [field]


async def test_only_one_rule_for_what_is_set_aside(rig: Desk) -> None:
    await rig.rule(of="fiat_at_fill")
    with pytest.raises(Conflict, match="already"):
        await rig.rule(of="fiat_at_fill")
