"""Conversions on a real database: quotes taken once, legs carried out, books equal to venues."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction

import pytest

from core import ids
from core.errors import Conflict, NotFound
from exchanges.numbers import ONE
from exchanges.types import Side, Venue
from ledger.accounts import EXCHANGE_FEES, SLIPPAGE, TRADING
from tests.integration.treasury.converting import (
    CENT,
    MARKETS,
    OPENING,
    Converting,
    leg,
    plan_of,
    sell_eth,
    through_usdt,
)
from tests.integration.treasury.scripted import Place, refused, unavailable
from treasury.blocked import blocked

HALF = Fraction(1, 2)


async def holds(desk: Converting) -> dict[tuple[str, str], int]:
    async with desk.context.database.read() as session:
        return await blocked(session)


async def test_a_quote_is_carried_out_and_every_unit_is_in_the_books(desk: Converting) -> None:
    desk.exchange.script.append(Place(pieces=3, price=2010 * ONE))
    number = await desk.start(sell_eth())
    assert await holds(desk) == {("binance", "ETH"): 2 * ONE}
    shown = await desk.until(number, "filled")
    assert (shown["from_amount"], shown["to_amount"]) == ("2", "4015.98")
    assert shown["against_quote"] == [{"asset": "EUR", "amount": "19.98"}]
    assert shown["left"] == []
    [made] = shown["legs"]
    assert (made["status"], made["filled"], made["average_price"]) == ("filled", "2", "2010.00")
    assert made["fees"] == [{"asset": "EUR", "amount": "4.02"}]
    await desk.agree()
    assert await holds(desk) == {}
    assert await desk.balance(EXCHANGE_FEES, "EUR") == 402 * CENT
    # what the quote's own rate leaves in trading, and what went better beside it
    assert await desk.balance(SLIPPAGE, "EUR") == -1998 * CENT
    assert await desk.balance(TRADING, "EUR") == -(4020 * ONE - 1998 * CENT)
    assert await desk.balance(TRADING, "ETH") == 2 * ONE
    assert await desk.told() == [
        "conversion.accepted", "conversion.working", "conversion.filled"
    ]  # fmt: skip


async def test_a_quote_is_used_once_and_in_time(desk: Converting) -> None:
    quote = await desk.quote(sell_eth())
    results = await asyncio.gather(desk.accept(quote), desk.accept(quote), return_exceptions=True)
    [lost] = [r for r in results if isinstance(r, Conflict)]
    assert lost.code == "quote_used"
    old = await desk.quote(sell_eth(), seconds=-1)
    with pytest.raises(Conflict) as expired:
        await desk.accept(old)
    assert expired.value.code == "quote_expired"
    with pytest.raises(NotFound):
        await desk.accept(ids.new())


async def test_funds_are_given_out_once(desk: Converting) -> None:
    quotes = [await desk.quote(sell_eth(60 * ONE)) for _ in range(4)]
    results = await asyncio.gather(*(desk.accept(q) for q in quotes), return_exceptions=True)
    short = [r for r in results if isinstance(r, Conflict)]
    assert [r.code for r in short] == ["insufficient_funds"] * 3
    assert await holds(desk) == {("binance", "ETH"): 60 * ONE}
    # the refused quotes were not used up
    await desk.until(next(r for r in results if not isinstance(r, BaseException)), "filled")
    rest = [q for q, r in zip(quotes, results, strict=True) if isinstance(r, Conflict)]
    with pytest.raises(Conflict, match="40 ETH free"):
        await desk.accept(rest[0])


async def test_a_rest_is_asked_for_again_within_the_limit(desk: Converting) -> None:
    desk.exchange.script.extend([Place(part=HALF), Place(part=Fraction(0)), Place()])
    shown = await desk.until(await desk.start(sell_eth()), "filled")
    assert [(m["attempt"], m["quantity"], m["filled"]) for m in shown["legs"]] == [
        (0, "2", "1"),
        (1, "1", "0"),
        (2, "1", "1"),
    ]
    assert len({m["client_order_id"] for m in shown["legs"]}) == 3
    assert {order.price for order in desk.exchange.placed} == {2000 * ONE}
    await desk.agree()


async def test_when_the_quote_has_expired_the_rest_stays_and_is_named(desk: Converting) -> None:
    desk.exchange.script.extend([Place(part=HALF), *[Place(part=Fraction(0))] * 20])
    shown = await desk.until(await desk.sent(sell_eth()), "partially_filled")
    assert (shown["from_amount"], shown["to_amount"]) == ("1", "1998.00")
    assert shown["reason"] == "not_sent_in_time"
    assert shown["left"] == [{"venue": "binance", "asset": "ETH", "amount": "1"}]
    assert await holds(desk) == {}
    await desk.agree()


async def test_what_was_never_sent_in_time_is_not_sent(desk: Converting) -> None:
    desk.exchange.script.extend([unavailable()] * 100)
    shown = await desk.until(await desk.sent(sell_eth()), "failed", "cancelled")
    assert shown["reason"] == "not_sent_in_time"
    assert await holds(desk) == {}
    assert not desk.exchange.orders


async def test_a_venue_that_was_away_is_sent_to_again(desk: Converting) -> None:
    desk.exchange.script.extend([unavailable(), unavailable()])
    shown = await desk.until(await desk.start(sell_eth()), "filled")
    assert len(shown["legs"]) == 1
    assert len(desk.exchange.orders) == 1


async def test_a_refusal_ends_it(desk: Converting) -> None:
    desk.exchange.script.append(refused("insufficient_funds"))
    shown = await desk.until(await desk.start(sell_eth()), "failed", "refused")
    assert shown["reason"] == "insufficient_funds"
    assert len(desk.exchange.placed) == 1
    assert await holds(desk) == {}


async def test_a_second_step_sells_what_the_first_one_brought(desk: Converting) -> None:
    desk.exchange.script.append(Place(price=2201 * ONE))  # brings more than was planned
    shown = await desk.until(await desk.start(through_usdt()), "filled")
    first, second = shown["legs"]
    assert first["filled"] == "2"
    assert second["quantity"] == "4397.598"  # 2 * 2201 less 0.1 %, all of it
    assert shown["left"] == []
    await desk.agree()


async def test_what_cannot_be_sold_on_goes_back(desk: Converting) -> None:
    nothing = [Place(part=Fraction(0))] * 3
    desk.exchange.script.extend([Place(), *nothing, refused("market_closed")])
    shown = await desk.until(await desk.start(through_usdt()), "failed")
    assert [m["step"] for m in shown["legs"]] == [0, 1, 1, 1, 1, 2]
    back = shown["legs"][-1]
    assert (back["symbol"], back["side"], back["status"]) == ("ETH-USDT", "buy", "filled")
    # at most half a percent worse than what the first step paid
    assert back["limit_price"] == "2208.78"
    assert shown["reason"] == "market_closed"
    # what it cost stands against the quote, in the asset that was to be sold
    assert [one["asset"] for one in shown["against_quote"]] == ["ETH"]
    assert shown["against_quote"][0]["amount"].startswith("-0.0")
    await desk.agree()
    assert await holds(desk) == {}


async def test_what_cannot_go_back_either_is_kept_and_named(desk: Converting) -> None:
    desk.exchange.script.extend([Place(), refused("market_closed"), refused("market_closed")])
    shown = await desk.until(await desk.start(through_usdt()), "partially_filled")
    assert shown["to_amount"] == "0.00"
    assert shown["left"] == [{"venue": "binance", "asset": "USDT", "amount": "4395.6"}]
    await desk.agree()
    assert await holds(desk) == {}


async def test_what_a_first_step_brought_is_nobody_elses(desk: Converting) -> None:
    """Between two steps the money is held: another conversion cannot take it."""
    desk.exchange.script.append(Place(part=HALF))
    number = await desk.start(through_usdt())
    await desk.work()  # half of the first step
    held = await holds(desk)
    assert held[("binance", "USDT")] == 2197_80 * CENT
    assert held[("binance", "ETH")] == ONE
    more = OPENING["USDT"] + 100 * ONE  # the books hold it, and 2197.80 of it are spoken for
    with pytest.raises(Conflict) as short:
        await desk.start(plan_of(leg("USDT-EUR", Side.SELL, more, 9 * ONE // 10)))
    assert short.value.code == "insufficient_funds"
    await desk.until(number, "filled")


async def test_a_buyer_at_coinbase_blocks_the_fee_as_well(desk: Converting) -> None:
    desk.coinbase.fee_asset = "EUR"
    made = leg("ETH-EUR", Side.BUY, 2 * ONE, 2000 * ONE, venue=Venue.COINBASE)
    made = replace(made, fee_asset="EUR", expected_in=4004 * ONE, expected_out=2 * ONE)
    number = await desk.start(plan_of(made))
    assert await holds(desk) == {("coinbase", "EUR"): 4004 * ONE}
    shown = await desk.until(number, "filled")
    assert (shown["from_amount"], shown["to_amount"]) == ("4004.00", "2")
    assert shown["against_quote"] == []
    await desk.agree()


async def test_a_fee_in_a_third_asset(desk: Converting) -> None:
    desk.exchange.fee_asset = "BNB"
    shown = await desk.until(await desk.start(sell_eth()), "filled")
    assert shown["to_amount"] == "4000.00"
    assert [fee["asset"] for fee in shown["legs"][0]["fees"]] == ["BNB"]
    assert await desk.balance(EXCHANGE_FEES, "BNB") > 0
    await desk.agree()


async def test_a_split_works_at_both_venues(desk: Converting) -> None:
    wanted = plan_of(
        leg("ETH-EUR", Side.SELL, ONE, 2000 * ONE),
        leg("ETH-EUR", Side.SELL, 3 * ONE, 1999 * ONE, path=1, venue=Venue.COINBASE),
    )
    number = await desk.start(wanted)
    assert await holds(desk) == {("binance", "ETH"): ONE, ("coinbase", "ETH"): 3 * ONE}
    shown = await desk.until(number, "filled")
    assert {m["venue"] for m in shown["legs"]} == {"binance", "coinbase"}
    assert shown["from_amount"] == "4"
    await desk.agree()


async def test_any_number_of_workers_send_an_order_once(desk: Converting) -> None:
    numbers = [await desk.start(sell_eth(ONE)) for _ in range(5)]
    rows = await desk.rows("select id from orders")
    workers = [desk.worker() for _ in range(4)]
    await asyncio.gather(*(w.step(row.id) for w in workers for row in rows))
    assert len(desk.exchange.placed) == 5
    for number in numbers:
        await desk.until(number, "filled")
    await desk.agree()


async def test_a_market_that_is_gone_refuses_the_quote(desk: Converting) -> None:
    quote = await desk.quote(sell_eth())
    async with desk.context.database.statement() as connection:
        await connection.execute("update venue_markets set min_notional = 10 ^ 24")
    with pytest.raises(Conflict) as gone:
        await desk.accept(quote)
    assert gone.value.code == "quote_expired"
    assert MARKETS["ETH-EUR"].min_notional == 5 * ONE
