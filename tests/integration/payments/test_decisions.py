"""What people decide: cancel, mark, credit, ignore; and every refusal, before anything changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from core import ids
from core.errors import Conflict, Invalid, NotFound
from payments import decisions
from tests.integration.payments.facts import (
    assert_sound,
    breaks,
    news_since,
    spend,
    status_of,
)
from tests.world import World, add_merchant

HALF = 5 * 10**15


def number(thing: dict[str, Any]) -> UUID:
    """An invoice's or a deposit's id."""
    found = ids.read(str(thing["id"]).partition("_")[0], thing["id"])
    assert found is not None
    return found


async def cancel(world: World, invoice: dict[str, Any], merchant: UUID | None = None) -> Any:
    async with world.context.database.begin() as session:
        return await decisions.cancel(
            session, world.context, merchant or world.merchant_id, number(invoice)
        )


async def mark(
    world: World, invoice: dict[str, Any], status: str, merchant: UUID | None = None
) -> Any:
    async with world.context.database.begin() as session:
        return await decisions.mark(
            session, world.context, merchant or world.merchant_id, number(invoice), status, "why"
        )


async def resolve(
    world: World,
    deposit: dict[str, Any],
    action: str = "credit",
    invoice: UUID | None = None,
    merchant: UUID | None = None,
) -> Any:
    async with world.context.database.begin() as session:
        return await decisions.resolve(
            session, world.context, merchant or world.merchant_id, number(deposit), action, invoice
        )


async def paid(world: World, amount: int = 10**16, **more: Any) -> dict[str, Any]:
    """An invoice of 25 USD (0.01 ETH), paid and confirmed."""
    invoice: dict[str, Any] = await world.invoice(**more)
    await world.pay(invoice, amount=amount)
    await world.mine(3)
    await world.follow()
    return invoice


async def late(world: World, amount: int = 10**16) -> tuple[dict[str, Any], dict[str, Any]]:
    """An invoice paid and confirmed after its deadline, and that deposit."""
    invoice: dict[str, Any] = await world.invoice()
    await world.advance(1000)
    await world.follow()
    await world.pay(invoice, amount=amount)
    await world.mine(3)
    await world.follow()
    return invoice, (await world.show(invoice))["deposits"][-1]


async def price(world: World, usd: int) -> None:
    async with world.context.database.statement() as connection:
        await connection.execute("update prices set price = %s where base = 'ETH'", (usd * 10**18,))


async def refused(do: Awaitable[Any]) -> str:
    """The stable code of the Conflict."""
    with pytest.raises(Conflict) as caught:
        await do
    return caught.value.code


# cancel


async def test_cancel_closes_and_what_comes_is_late(world: World) -> None:
    invoice = await world.invoice()
    told = len(await world.events())
    shown = await cancel(world, invoice)
    assert (shown["status"], shown["exception"]) == ("expired", "marked")
    assert shown["cancelled_at"] is not None
    assert await news_since(world, told) == ["invoice.expired"]
    assert await cancel(world, invoice) == shown
    await world.advance(2)
    await world.pay(invoice)
    await world.mine(3)
    await world.follow()
    assert await status_of(world, invoice) == ("expired", "marked")
    [deposit] = (await world.show(invoice))["deposits"]
    assert deposit["inbox"]["reason"] == "late"
    assert (await world.balances())["inbox", "ETH"] == -(10**16)
    await assert_sound(world)


async def test_cancel_sends_a_part_to_the_inbox(world: World) -> None:
    invoice = await paid(world, HALF)
    assert ("pending", "ETH") in await world.balances()
    await world.advance(10)  # Anvil's blocks may be stamped some seconds ahead
    await cancel(world, invoice)
    [deposit] = (await world.show(invoice))["deposits"]
    assert deposit["inbox"]["reason"] == "partial"
    assert (await world.balances())["inbox", "ETH"] == -HALF
    await assert_sound(world)


async def test_cancel_is_for_new_invoices(world: World) -> None:
    seen = await world.invoice()
    await world.pay(seen)
    await world.follow()
    assert await refused(cancel(world, seen)) == "invoice_not_open"
    await world.mine(3)
    await world.follow()
    assert await refused(cancel(world, seen)) == "invoice_not_open"
    marked = await world.invoice()
    await mark(world, marked, "settled")
    assert await refused(cancel(world, marked)) == "invoice_not_open"
    gone = await world.invoice()
    await world.advance(1000)
    await world.follow()
    assert await refused(cancel(world, gone)) == "invoice_not_open"
    await assert_sound(world)


# mark


async def test_mark_settled_makes_a_part_spendable(world: World) -> None:
    invoice = await paid(world, HALF)
    told = len(await world.events())
    shown = await mark(world, invoice, "settled")
    assert (shown["status"], shown["exception"]) == ("settled", "marked")
    assert shown["mark"] == {"status": "settled", "reason": "why"}
    assert await news_since(world, told) == ["invoice.settled"]
    assert (await world.balances())["available", "ETH"] == -HALF
    await assert_sound(world)


async def test_mark_invalid_takes_the_part_to_the_inbox(world: World) -> None:
    invoice = await paid(world, HALF)
    told = len(await world.events())
    await mark(world, invoice, "settled")
    shown = await mark(world, invoice, "invalid")
    assert (shown["status"], shown["exception"]) == ("invalid", "marked")
    assert await news_since(world, told) == [
        "invoice.settled", "deposit.unmatched", "invoice.invalid"
    ]  # fmt: skip
    assert (await world.balances())["inbox", "ETH"] == -HALF
    await assert_sound(world)


async def test_a_mark_cannot_take_what_was_spent(world: World) -> None:
    """The whole decision is refused: nothing changes, nothing is told."""
    invoice = await paid(world, HALF)
    await mark(world, invoice, "settled")
    await spend(world, "ETH", HALF)
    told = len(await world.events())
    assert await refused(mark(world, invoice, "invalid")) == "insufficient_funds"
    assert await status_of(world, invoice) == ("settled", "marked")
    assert await news_since(world, told) == []
    await assert_sound(world)


async def test_a_mark_stands_above_the_sums(world: World) -> None:
    invoice = await world.invoice()
    await mark(world, invoice, "invalid")
    await world.pay(invoice)
    await world.mine(3)
    await world.follow()
    assert await status_of(world, invoice) == ("invalid", "marked")
    assert (await world.balances())["inbox", "ETH"] == -(10**16)
    await mark(world, invoice, "settled")
    assert (await world.balances())["available", "ETH"] == -(10**16)
    await assert_sound(world)


async def test_what_mark_refuses(world: World) -> None:
    invoice = await paid(world)
    assert await refused(mark(world, invoice, "invalid")) == "invoice_settled"
    assert await refused(mark(world, invoice, "settled")) == "invoice_settled"
    for status in ("new", "expired", "SETTLED", ""):
        with pytest.raises(Invalid):
            await mark(world, invoice, status)
    assert await status_of(world, invoice) == ("settled", "none")
    await assert_sound(world)


# resolve


async def test_late_money_credited_settles_in_full_at_an_equal_price(world: World) -> None:
    invoice, deposit = await late(world)
    told = len(await world.events())
    shown = await resolve(world, deposit)
    assert shown["inbox"]["resolution"] == "credit"
    assert shown["inbox"]["resolved_at"] is not None
    assert await status_of(world, invoice) == ("settled", "paid_late")
    assert await news_since(world, told) == ["invoice.settled"]
    assert (await world.balances())["available", "ETH"] == -(10**16)
    assert await resolve(world, deposit) == shown
    assert await news_since(world, told) == ["invoice.settled"]
    await assert_sound(world)


@pytest.mark.parametrize(("usd", "value"), [(2000, "20.00"), (3000, "25.00")])
async def test_late_money_counts_at_the_lower_price(world: World, usd: int, value: str) -> None:
    """min(locked 2,500, price when seen): a late payment is no free option (MONEY 3)."""
    invoice = await world.invoice()
    await world.advance(1000)
    await price(world, usd)
    await world.pay(invoice)
    await world.mine(3)
    await world.follow()
    await price(world, 9999)  # what it costs when the merchant decides does not matter
    [deposit] = (await world.show(invoice))["deposits"]
    assert deposit["value"] == value
    await resolve(world, deposit)
    shown = await world.show(invoice)
    assert (shown["amount_paid"], shown["amount_confirmed"]) == (value, value)
    assert shown["status"] == ("settled" if value == "25.00" else "expired")
    assert (await world.balances())["available", "ETH"] == -(10**16)
    await assert_sound(world)


async def test_ignored_money_stays_where_it_is(world: World) -> None:
    invoice, deposit = await late(world)
    told = len(await world.events())
    shown = await resolve(world, deposit, "ignore")
    assert shown["inbox"]["resolution"] == "ignore"
    assert await status_of(world, invoice) == ("expired", "paid_late")
    assert (await world.balances())["inbox", "ETH"] == -(10**16)
    assert await news_since(world, told) == []
    assert await refused(resolve(world, deposit)) == "already_resolved"
    await assert_sound(world)


async def test_a_wrong_asset_credited_is_money_but_pays_nothing(world: World) -> None:
    invoice = await world.invoice(assets=["ETH"])
    await world.pay(invoice, "USDC", amount=25 * 10**6)
    await world.mine(3)
    await world.follow()
    [deposit] = (await world.show(invoice))["deposits"]
    await resolve(world, deposit, invoice=number(invoice))
    assert await status_of(world, invoice) == ("new", "none")
    assert (await world.balances())["available", "USDC"] == -25 * 10**6
    await assert_sound(world)


async def test_what_resolve_refuses(world: World) -> None:
    good = await paid(world)
    [matched] = (await world.show(good))["deposits"]
    assert await refused(resolve(world, matched)) == "not_in_inbox"
    other = await world.invoice()
    await world.advance(1000)
    await world.pay(other)
    await world.follow()
    [young] = (await world.show(other))["deposits"]
    assert await refused(resolve(world, young)) == "not_confirmed"
    with pytest.raises(Invalid):
        await resolve(world, young, invoice=number(good))
    await world.node.reorg(1)
    await world.follow()
    assert await refused(resolve(world, young)) == "not_in_inbox"
    with pytest.raises(NotFound):
        await resolve(world, {"id": ids.show("dep", ids.new())})
    await assert_sound(world)


async def test_a_credit_follows_its_payment_to_another_block(world: World) -> None:
    """What the merchant decided is about the payment, not about the block it stood in."""
    invoice = await world.invoice()
    await world.advance(1000)
    signed = await world.node.raw(await world.pay(invoice))
    await world.mine(5)
    await world.follow()
    [deposit] = (await world.show(invoice))["deposits"]
    await resolve(world, deposit)
    told = len(await world.events())
    await price(world, 100)
    await world.node.reorg(6, (signed, 1))
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "paid_late")
    moved = (await world.show(invoice))["deposits"][1]
    assert (moved["value"], moved["inbox"]["resolution"]) == ("25.00", "credit")
    assert await news_since(world, told) == []
    assert (await world.balances())["available", "ETH"] == -(10**16)
    await assert_sound(world)


async def test_a_credit_taken_back_by_the_chain(world: World) -> None:
    invoice, deposit = await late(world)
    await resolve(world, deposit)
    await spend(world, "ETH", 10**16)
    await world.node.reorg(4)
    await world.follow()
    assert await status_of(world, invoice) == ("expired", "reversed")
    assert len(await breaks(world)) == 1
    await assert_sound(world)


Decide = Callable[[World, dict[str, Any], UUID], Awaitable[Any]]


@pytest.mark.parametrize(
    "decide",
    [
        lambda world, invoice, stranger: cancel(world, invoice, stranger),
        lambda world, invoice, stranger: mark(world, invoice, "settled", stranger),
        lambda world, invoice, stranger: resolve(world, invoice["deposits"][0], merchant=stranger),
    ],
)
async def test_anothers_invoice_is_not_there(world: World, decide: Decide) -> None:
    invoice, _ = await late(world, HALF)
    stranger = await add_merchant(world.context)
    told = len(await world.events())
    with pytest.raises(NotFound):
        await decide(world, await world.show(invoice), stranger)
    assert await news_since(world, told) == []
    await assert_sound(world)
