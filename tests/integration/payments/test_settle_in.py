"""Merchants who settle in fiat, on a real chain: settled, taken back, settled again, converted."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from core import ids
from core.errors import Refused
from exchanges.numbers import ONE
from ledger.accounts import exchange
from ledger.sequence import number_pending
from payments import decisions, settle_fills
from reconciliation.deposits import DepositComparison
from tests.integration.payments.facts import (
    assert_invoices_are_what_the_facts_say,
    assert_overdrafts_have_breaks,
    breaks,
    status_of,
)
from tests.integration.treasury.converting import Converting
from tests.integration.treasury.scripted import Place, refused
from tests.integration.treasury.test_rules import HELD, Desk
from tests.listings import levels, market
from tests.venue_state import tell
from tests.world import World
from treasury.rule_work import Claims, Rules

FULL = 10**16  # wei: 25 USD at 2,500, and 22.727272... EUR at 1.10


async def takes(world: World, settle_in: str, spread: str = "0.5") -> None:
    async with world.context.database.statement() as connection:
        await connection.execute(
            "update merchants set settle_in = %s, settle_currency = 'EUR', spread_percent = %s",
            (settle_in, spread),
        )


async def paid(world: World, blocks: int = 2, **more: Any) -> Any:
    invoice = await world.invoice()
    await world.pay(invoice, **more)
    await world.mine(blocks)
    await world.follow()
    return invoice


async def assert_sound(world: World) -> None:
    """As facts.assert_sound, and reconciliation finds nothing: exchanges are no deposits'."""
    await world.assert_books_match_the_chain()
    await assert_overdrafts_have_breaks(world)
    await assert_invoices_are_what_the_facts_say(world)
    part = await DepositComparison(world.context, ids.new(), None).compare()
    assert part.compared
    assert part.found == []


async def test_fiat_at_quote_through_a_fork(world: World) -> None:
    await takes(world, "fiat_at_quote")
    invoice = await paid(world, blocks=0)
    signed = await world.node.raw((await world.rows("deposits"))[0].tx_hash)
    assert ("available", "EUR") not in await world.balances()
    await world.mine(2)
    await world.follow()
    settled = {
        ("available", "EUR"): -2261,  # 22.7272... less half a percent
        ("income:spread", "EUR"): -11,
        ("trading", "ETH"): -FULL,
        ("trading", "EUR@18"): 2272 * 10**16,
        ("units", "EUR"): 2272,
        ("units", "EUR@18"): -2272 * 10**16,
        (f"network:{next(iter(world.nodes))}:deposits", "ETH"): FULL,
    }
    assert await world.balances() == settled
    await assert_sound(world)
    await world.node.reorg(3)
    await world.follow()
    assert await status_of(world, invoice) == ("new", "reversed")
    assert await world.balances() == {}
    await assert_sound(world)
    await world.node.rpc("eth_sendRawTransaction", signed)
    await world.mine(3)
    await world.follow()
    assert await world.balances() == settled
    keys = [row.key for row in await world.rows("journal_entries", kind="settled_in_fiat")]
    assert sorted(keys) == [f"settled_in:{invoice['id']}:{n}" for n in (1, 2, 3)]
    await assert_sound(world)


async def test_fiat_that_was_spent_before_the_fork_is_owed(world: World) -> None:
    await takes(world, "fiat_at_quote")
    await paid(world)
    async with world.context.database.begin() as session:
        spent = "update account_balances set balance = 0 where account like '%available'"
        await session.execute(text(spent))
    await world.node.reorg(3)
    await world.follow()
    [one] = await breaks(world)
    assert (one.kind, one.asset, one.actual) == ("missing_on_chain", "EUR", -2261)


async def test_reconciliation_names_what_is_not_in_the_books(world: World) -> None:
    await takes(world, "fiat_at_quote")
    invoice = await paid(world)
    async with world.context.database.begin() as session:
        changed = "update invoices set settlement = jsonb_set(settlement, '{net}', '\"2262\"')"
        await session.execute(text(changed))
    part = await DepositComparison(world.context, ids.new(), None).compare()
    [one] = part.found
    assert (one.kind, one.asset, one.facts["invoice"]) == ("amount", "EUR", invoice["id"])
    assert {one.expected, one.actual} <= {-10, -11, -2262, -2261}


async def test_a_later_setting_is_for_later_invoices(world: World) -> None:
    invoice = await world.invoice()
    await takes(world, "fiat_at_quote")
    await world.pay(invoice)
    await world.mine(2)
    await world.follow()
    assert (await world.balances())["available", "ETH"] == -FULL
    await paid(world)
    assert (await world.balances())["available", "ETH"] == -FULL
    await assert_sound(world)


async def test_no_price_no_invoice(world: World) -> None:
    await takes(world, "fiat_at_quote")
    async with world.context.database.statement() as connection:
        await connection.execute("delete from prices where base = 'EUR'")
        await connection.execute("select pg_notify('prices', '')")
    with pytest.raises(Refused) as refused:
        await world.invoice()
    assert refused.value.code == "price_unavailable"


async def test_overpaid_and_late_money_stays_crypto(world: World) -> None:
    await takes(world, "fiat_at_quote")
    invoice = await paid(world, amount=FULL * 3 // 2)
    assert await status_of(world, invoice) == ("settled", "paid_over")
    balances = await world.balances()
    assert (balances["available", "ETH"], balances["available", "EUR"]) == (-FULL // 2, -2261)
    late = await world.invoice()
    await world.advance(1000)
    await world.pay(late)
    await world.mine(3)
    await world.follow()
    number = (await world.rows("deposits", invoice_id=ids.read("inv", late["id"])))[0].id
    async with world.context.database.begin() as session:
        await decisions.resolve(session, world.context, world.merchant_id, number, "credit")
    assert (await status_of(world, late))[0] == "settled"
    balances = await world.balances()
    assert (balances["available", "ETH"], balances["available", "EUR"]) == (-FULL * 3 // 2, -2261)
    await assert_sound(world)


async def at_fill(world: World) -> tuple[Converting, Desk, UUID]:
    """Merchants settle at the fill, by this rule."""
    await takes(world, "fiat_at_fill")
    venues = Converting(world.context)
    await venues.open()
    desk = Desk(venues)
    desk.worker = Rules(world.context, Claims(settle_fills.waiting, settle_fills.distribute))
    rule = await desk.rule(of="fiat_at_fill")
    return venues, desk, rule


async def test_fiat_at_fill_is_what_the_rule_got(world: World) -> None:
    venues, desk, rule = await at_fill(world)
    invoices = [await paid(world) for _ in range(3)]
    await number_pending(world.context.database)
    assert (await world.balances())["reserved", "ETH"] == -3 * FULL
    assert (await desk.look(rule))["firings"][0]["amount"] == "0.03"
    await world.node.reorg(3)  # the last one's, while it is being converted
    await world.follow()
    assert (await world.balances())["reserved", "ETH"] == -2 * FULL
    shown = await desk.convert(rule)
    assert shown["firings"][0]["to_amount"] == "68.0235084"
    balances = await world.balances()
    # 22.6745028 each, down to cents; the third is the house's own by now.
    assert balances["available", "EUR"] == -2 * 2267
    assert balances["rounding", "EUR@18"] == -(2 * 226745028 * 10**11 - 2 * 2267 * 10**16)
    assert balances["trading", "ETH"] == FULL
    sides = ("trading", "expense:exchange_fees", "income:slippage")
    assert sum(balances[side, "EUR@18"] for side in sides) == -226745028 * 10**11
    assert ("reserved", "ETH") not in balances
    assert balances[exchange("binance"), "ETH"] == 100 * ONE - 3 * FULL
    async with world.context.database.read() as session:
        assert await settle_fills.waiting(session, "ETH", "EUR") == 0
    assert (await desk.look(rule))["reason"] == "nothing_to_convert"
    assert [await status_of(world, one) for one in invoices[:2]] == [("settled", "none")] * 2
    await venues.agree()
    await assert_sound(world)


async def test_fiat_at_fill_that_stops_between_two_steps(world: World) -> None:
    """ETH became USDT, and half of that EUR: a merchant parts with half, and the rest waits."""
    venues, desk, rule = await at_fill(world)
    await paid(world)
    await paid(world)
    await number_pending(world.context.database)
    round_about = [
        (market("ETH-USDT"), levels(("2500", "100")), levels(("2501", "100"))),
        (market("USDT-EUR"), levels(("0.91", "500000")), levels(("0.92", "500000"))),
    ]
    await tell(world.context.database, "binance", round_about, HELD | {"USDT": "500000"})
    closed = refused("market_closed")
    venues.exchange.script.extend([Place(), Place(part=Fraction(1, 2)), closed, closed])
    await desk.look(rule, heard=False)
    shown = await desk.convert(rule, "partially_filled")
    [firing] = shown["firings"]
    assert firing["from_amount"] == "0.02"
    brought, sold = venues.exchange.changes["USDT"], venues.exchange.changes["EUR"]
    assert brought > 0  # half of it, which the house has
    balances = await world.balances()
    # What was sold on is the first one's, to the cent; the second one has all that he had.
    assert -balances["available", "EUR"] == sold // 10**16
    assert abs(balances["reserved", "ETH"] + FULL) < FULL // 1000
    async with world.context.database.read() as session:
        assert await settle_fills.waiting(session, "ETH", "EUR") == -balances["reserved", "ETH"]
    await venues.agree()
    await assert_sound(world)
    venues.exchange.script.clear()
    await desk.look(rule)
    await desk.convert(rule)
    # less than the market's step is left to wait
    assert 0 <= -(await world.balances()).get(("reserved", "ETH"), 0) < 10**14
    await venues.agree()
    await assert_sound(world)
