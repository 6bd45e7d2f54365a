"""Outcomes that nobody can say: each venue's own recovery, and what no recovery proves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from core.clock import wall
from exchanges.numbers import ONE
from exchanges.types import LimitOrder, Side, Venue
from ledger.breaks import close_break
from tests.integration.treasury.converting import SOON, Converting, sell_eth, through_usdt
from tests.integration.treasury.scripted import Place, lost, refused
from tests.integration.treasury.test_conversions import holds
from tests.waiting import eventually
from treasury.conversion_tables import Order
from treasury.fills import book
from treasury.order_breaks import key


async def breaks(desk: Converting) -> list[tuple[str, str]]:
    rows = await desk.rows("select kind, status from breaks order by id")
    return [(row.kind, row.status) for row in rows]


async def unknown(desk: Converting, number: UUID) -> dict[str, Any]:
    """Until a person was told."""

    async def told() -> bool:
        await desk.work()
        return "break.opened" in await desk.told()

    await eventually(told, 5)
    shown = await desk.show(number)
    assert (shown["status"], shown["legs"][-1]["status"]) == ("working", "unknown")
    return shown


async def resolve(desk: Converting) -> None:
    """A person says that the order is not there."""
    async with desk.context.database.begin() as session:
        [row] = await desk.rows("select id from orders where told_at is not null")
        order = await session.get_one(Order, row.id)
        assert await close_break(session, key(order), "looked by hand", wall(), by="key_person")


@pytest.mark.parametrize("hidden", [0, 3])
async def test_binance_executed_and_said_nothing(desk: Converting, hidden: int) -> None:
    """-1007, then -2013 for a while: the order is found, and was sent once."""
    desk.exchange.script.append(lost(executed=True))
    desk.exchange.hidden = hidden
    shown = await desk.until(await desk.start(sell_eth()), "filled")
    assert len(desk.exchange.placed) == 1
    assert len(shown["legs"]) == 1
    await desk.agree()


async def test_binance_did_nothing_and_said_nothing(desk: Converting) -> None:
    """Refused only after all windows; until then its funds are blocked. It is never sent again."""
    desk.exchange.script.append(lost(executed=False))
    left_at = wall()
    number = await desk.sent(sell_eth())
    assert (await desk.show(number))["legs"][0]["status"] == "unknown"
    assert await holds(desk) == {("binance", "ETH"): 2 * ONE}
    shown = await desk.until(number, "failed", "refused")
    windows = desk.windows
    assert wall() - left_at >= windows.receive + windows.engine + windows.polling
    assert shown["reason"] == "not_shown"
    assert len(desk.exchange.placed) == 1
    assert await holds(desk) == {}
    assert await breaks(desk) == []


async def test_binance_did_nothing_and_the_quote_stands(desk: Converting) -> None:
    """What is proved never to have come is asked for anew, under an id of its own."""
    desk.exchange.script.append(lost(executed=False))
    shown = await desk.until(await desk.start(sell_eth()), "filled")
    assert [(m["attempt"], m["status"]) for m in shown["legs"]] == [(0, "refused"), (1, "filled")]
    assert len({order.client_id for order in desk.exchange.placed}) == 2
    await desk.agree()


async def test_a_late_fill_of_an_order_believed_dead_is_booked(desk: Converting) -> None:
    desk.exchange.script.append(lost(executed=False))
    number = await desk.sent(sell_eth())
    await desk.until(number, "failed", "refused")
    [sent] = desk.exchange.placed
    desk.exchange.execute(sent, Place())
    shown = await desk.until(number, "filled", "filled")
    assert shown["to_amount"] == "3996.00"
    assert shown["against_quote"] == []
    await desk.agree()


async def test_a_late_first_step_starts_nothing_new(desk: Converting) -> None:
    """A day later nobody sells on: what came is kept, named, and told."""
    desk.exchange.script.append(lost(executed=False))
    number = await desk.sent(through_usdt())
    await desk.until(number, "failed", "refused")
    desk.exchange.execute(desk.exchange.placed[0], Place())
    shown = await desk.until(number, "partially_filled", "filled")
    assert shown["left"] == [{"venue": "binance", "asset": "USDT", "amount": "4395.6"}]
    assert len(desk.exchange.placed) == 1
    assert (await desk.told())[-1] == "conversion.partially_filled"
    await desk.agree()


async def test_binance_partly_executed_then_silent(desk: Converting) -> None:
    desk.exchange.script.append(lost(executed=True, part=Fraction(1, 2)))
    desk.exchange.hidden = 2
    shown = await desk.until(await desk.start(sell_eth()), "filled")
    assert [m["filled"] for m in shown["legs"]] == ["1", "1"]
    await desk.agree()


async def test_executions_of_a_stranger_are_no_proof_of_absence(desk: Converting) -> None:
    """The venue does not show our id, but somebody sold just this: it may have been us."""

    def sell_too(order: LimitOrder) -> None:
        desk.exchange.stranger(order)

    desk.exchange.before_place = sell_too
    desk.exchange.script.append(lost(executed=False))
    number = await desk.start(sell_eth())
    await unknown(desk, number)
    assert await holds(desk) == {("binance", "ETH"): 2 * ONE}
    assert await breaks(desk) == [("missing_at_venue", "open")]


async def test_coinbase_answers_the_second_sending_with_the_first_order(desk: Converting) -> None:
    """Executed, never listed: after three looks the same is sent again, and executes nothing."""
    desk.coinbase.script.append(lost(executed=True))
    desk.coinbase.hidden = 1000
    number = await desk.start(sell_eth(venue=Venue.COINBASE))

    async def sent_twice() -> bool:
        await desk.work()
        return len(desk.coinbase.placed) == 2

    await eventually(sent_twice)
    desk.coinbase.hidden = 0
    await desk.until(number, "filled")
    first, second = desk.coinbase.placed
    assert first == second
    assert len(desk.coinbase.orders) == 1
    await desk.agree()


async def test_coinbase_did_nothing_and_is_sent_again_once(desk: Converting) -> None:
    desk.coinbase.script.append(lost(executed=False))
    shown = await desk.until(await desk.start(sell_eth(venue=Venue.COINBASE)), "filled")
    assert len(desk.coinbase.placed) == 2
    assert len(shown["legs"]) == 1
    await desk.agree()


async def test_coinbase_is_not_sent_again_when_the_quote_has_expired(desk: Converting) -> None:
    """Unknown, its funds blocked, a Break; a person resolves it and the funds are free."""
    desk.coinbase.script.append(lost(executed=False))
    number = await desk.sent(sell_eth(venue=Venue.COINBASE))
    shown = await unknown(desk, number)
    assert len(desk.coinbase.placed) == 1
    assert await holds(desk) == {("coinbase", "ETH"): 2 * ONE}
    assert await breaks(desk) == [("missing_at_venue", "open")]
    assert "conversion.unknown" in await desk.told()
    assert shown["from_amount"] == "0"
    await resolve(desk)
    await desk.until(number, "failed", "refused")
    assert await holds(desk) == {}
    assert await breaks(desk) == [("missing_at_venue", "resolved")]


async def test_coinbase_lost_both_sendings(desk: Converting) -> None:
    """There is no third one."""
    desk.coinbase.script.extend([lost(executed=False), lost(executed=False)])
    number = await desk.start(sell_eth(venue=Venue.COINBASE))
    await unknown(desk, number)
    assert len(desk.coinbase.placed) == 2
    desk.coinbase.execute(desk.coinbase.placed[0], Place())  # it was on its way all the time
    await desk.until(number, "filled")
    assert await breaks(desk) == [("missing_at_venue", "resolved")]
    assert (await desk.told())[-2:] == ["break.resolved", "conversion.filled"]
    await desk.agree()


async def test_coinbase_refuses_the_second_sending(desk: Converting) -> None:
    """As if it were new, and the first one does not show: refused, after looking again."""
    desk.coinbase.script.extend([lost(executed=False), refused()])
    number = await desk.start(sell_eth(venue=Venue.COINBASE))
    shown = await desk.until(number, "failed", "refused")
    assert len(desk.coinbase.placed) == 2
    assert shown["reason"] == "not_shown"


async def test_an_order_that_is_not_the_one_sent(desk: Converting) -> None:
    desk.exchange.script.append(Place(changed=lambda order: replace(order, quantity=3 * ONE)))
    number = await desk.start(sell_eth())
    await unknown(desk, number)
    [row] = await desk.rows("select kind, facts from breaks")
    assert row.kind == "amount"
    assert row.facts["differs"] == "quantity 3, sent 2"
    await desk.agree()  # what was executed is in the books all the same
    await resolve(desk)
    await desk.until(number, "filled", "cancelled")


async def test_fills_prove_the_end_and_not_the_venues_word(desk: Converting) -> None:
    desk.exchange.unlisted = 3
    number = await desk.start(sell_eth())
    await desk.work()
    shown = await desk.show(number)
    assert (shown["status"], shown["legs"][0]["status"]) == ("working", "open")
    await desk.until(number, "filled")
    await desk.agree()


async def never_listed(desk: Converting) -> UUID:
    """An order that the venue has filled without listing its fills, when a person was told."""
    desk.exchange.unlisted = 1000
    number = await desk.start(sell_eth())

    async def told() -> bool:
        await desk.work()
        return await breaks(desk) == [("timing", "open")]

    await eventually(told)
    return number


async def test_fills_that_are_never_listed_are_a_break(desk: Converting) -> None:
    number = await never_listed(desk)
    assert (await desk.show(number))["legs"][0]["status"] == "open"
    desk.exchange.unlisted = 0
    await desk.until(number, "filled")
    assert await breaks(desk) == [("timing", "resolved")]


async def test_fills_that_are_never_listed_end_by_a_persons_word(desk: Converting) -> None:
    """As the Break says: nothing follows from the order any more, and its funds are free."""
    number = await never_listed(desk)
    assert await holds(desk) == {("binance", "ETH"): 2 * ONE}
    await resolve(desk)
    await desk.until(number, "failed", "cancelled")
    assert await holds(desk) == {}
    assert await breaks(desk) == [("timing", "resolved")]


async def test_a_fill_that_was_booked_as_a_strangers_counts(desk: Converting) -> None:
    """Reconciliation found it before the order did: it stands once, and the order ends by it."""
    desk.exchange.script.append(lost(executed=True))
    number = await desk.start(sell_eth())
    await desk.work()
    async with desk.context.database.begin() as session:
        assert len(await book(session, desk.context, "binance", desk.exchange.all_fills, None)) == 1
    await desk.until(number, "filled")
    assert len(await desk.rows("select from fills")) == 1
    await desk.agree()


async def test_a_worker_dies_between_intent_and_answer(desk: Converting) -> None:
    """`sent` stands and nobody is there: after the lease the venue is asked, not sent to."""

    def die(order: LimitOrder) -> None:
        raise SystemExit  # nothing of what follows is done, as by SIGKILL

    desk.lease_seconds = 0.2
    desk.exchange.before_place = die
    number = await desk.start(sell_eth())
    worker = desk.worker()
    [order] = await worker.claim(5)
    with pytest.raises(SystemExit):
        await worker.step(order)
    assert (await desk.show(number))["legs"][0]["status"] == "sent"
    assert await desk.work() == 0  # leased
    desk.exchange.before_place = lambda order: None
    desk.exchange.execute(
        LimitOrder(
            client_id=(await desk.show(number))["legs"][0]["client_order_id"],
            symbol="ETH-EUR",
            side=Side.SELL,
            quantity=2 * ONE,
            price=2000 * ONE,
        ),
        Place(),
    )
    await desk.until(number, "filled")
    assert desk.exchange.placed == []
    await desk.agree()


async def test_a_step_that_was_overtaken_stores_nothing(desk: Converting) -> None:
    """Its lease ended while the venue was slow: the other one's word stands, and all is once."""
    desk.lease_seconds = 2
    number = await desk.start(sell_eth())
    [row] = await desk.rows("select id from orders")
    first, second = desk.worker(), desk.worker()
    await first.claim(1)
    left = await first._leave(await _row(desk, row.id), wall())
    assert left is not None
    answer = await first._place(left, wall(), desk.exchanges[Venue.BINANCE])
    await second.step(row.id)  # asks, finds it, books it
    await first._store(left, answer)
    shown = await desk.until(number, "filled")
    assert len(shown["legs"]) == 1
    assert len(await desk.rows("select from fills")) == 1
    await desk.agree()


async def test_news_of_the_private_stream_wake(desk: Converting) -> None:
    desk.windows = replace(desk.windows, soonest=SOON * 1000, latest=SOON * 1000)
    desk.exchange.unlisted = 1
    number = await desk.start(sell_eth())
    await desk.work()
    assert await desk.work() == 0  # not due for ten seconds
    client_id = (await desk.show(number))["legs"][0]["client_order_id"]
    await desk.worker().heard(f"binance {client_id}")
    await desk.until(number, "filled")


async def _row(desk: Converting, order_id: UUID) -> Order:
    async with desk.context.database.read() as session:
        return await session.get_one(Order, order_id)
