"""What a run on a venue must not call clean: what was not compared, and what it could not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.clock import wall
from exchanges.types import Balance, Fill, Side, VenueDeposit
from reconciliation import runs
from reconciliation.parts import Scope
from reconciliation.running import Reconciling
from tests.integration.reconciliation.rig import ONE, Account, Rig

SELL = Side.SELL


@dataclass
class Restless(Account):
    """ETH trickles in at each reading. `trades`: how many executions are booked while it reads."""

    rig: Rig | None = None
    trades: int = 0

    async def balances(self) -> Mapping[str, Balance]:
        self.held["ETH"] += 1
        return await super().balances()

    async def deposits(self, since: datetime) -> list[VenueDeposit]:
        if self.trades and self.rig is not None:
            self.trades -= 1
            await self.rig.book(self.execute(f"t{self.trades}", SELL, ONE, 2500 * ONE))
        return await super().deposits(since)


class Early(Account):
    """Shows a minute more than it was asked for, as Coinbase's adapter does."""

    async def fills_since(self, symbol: str, since: datetime) -> list[Fill]:
        return await super().fills_since(symbol, since - timedelta(minutes=1))


async def test_money_that_is_gone_from_a_venue_that_never_stands_still(desk: Rig) -> None:
    """Euros did not move: they are compared. Ether did, and the run says so."""
    desk.account = Restless(held=dict(desk.account.held))
    desk.account.held["EUR"] -= 4000 * ONE
    found = await desk.reconcile()
    assert (found["status"], [one["part"] for one in found["unread"]]) == (
        "failed", ["venue:binance"],
    )  # fmt: skip
    assert found["unread"][0]["reason"] == "ETH moved at each of 4 readings"
    [one] = await desk.breaks()
    assert (one["kind"], one["asset"], one["difference"]) == (
        "amount", "EUR@18", f"-4000.{'0' * 18}",
    )  # fmt: skip


async def test_a_break_that_could_not_be_judged_stands(desk: Rig) -> None:
    desk.account.held["ETH"] -= ONE
    assert (await desk.reconcile())["status"] == "breaks"
    desk.account = Restless(held=dict(desk.account.held))
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["asset"], one["difference"]) == ("ETH", f"-1.{'0' * 18}")


async def test_a_trade_booked_while_the_venue_is_read_is_not_missing_there(desk: Rig) -> None:
    desk.account = Restless(held=dict(desk.account.held), rig=desk, trades=4)
    await desk.reconcile()
    assert await desk.breaks() == []


async def test_a_fill_from_before_the_time_that_was_asked_for(desk: Rig) -> None:
    """It is in the books, only not among those that were read: no row is gone."""
    desk.account = Early(held=dict(desk.account.held))
    desk.tamper("update journal_entries set posted_at = now() - interval '3 days'")
    at = wall() - timedelta(minutes=60, seconds=30)
    await desk.book(desk.account.execute("1", SELL, ONE, 2500 * ONE, at=at))
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()
    found = await desk.reconcile(trigger="schedule")  # from an hour before the first one on
    assert found["status"] == "clean", await desk.breaks()


async def test_a_venue_with_money_that_nobody_is_configured_to_ask(desk: Rig) -> None:
    context = desk.world.context
    for scope, left_out in ((Scope.EXCHANGES, ["exchange:binance"]), (Scope.INVOICES, [])):
        async with context.database.begin() as session:
            row = await runs.request(session, context, scope, trigger="command", initiator="test")
        worker = Reconciling(context, {}, {}, every_seconds=None, wait_seconds=0)
        assert await worker.claim(1) == [row.id]
        await worker.step(row.id)
        async with context.database.read() as session:
            found = await runs.show(session, row.id)
        assert [one["part"] for one in found["unread"]] == left_out
        assert found["status"] == ("failed" if left_out else "clean")
