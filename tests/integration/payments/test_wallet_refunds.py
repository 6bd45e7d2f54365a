"""Deposits to customers' wallets that a person rejects: never the customer's, and back they go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core import ids
from core.db import Database
from core.errors import Conflict
from payments import decisions, deposits, refunds, screening_work, wallet_limits
from risk.verdicts import Outcome
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import breaks
from tests.integration.payments.leaving import KEY, PAYEE, Leaving, make_leaving
from tests.integration.payments.test_screening import ban, decide, screen
from tests.integration.payments.test_wallets import (
    ETHER,
    balance,
    deepen,
    give,
    move,
    open_wallet,
)
from tests.world import World, connect


@pytest.fixture
async def shop(database: Database, one_chain: Chain) -> AsyncIterator[Leaving]:
    url, deployed = one_chain
    async with connect(url) as node, make_leaving(database, node, deployed) as leaving:
        yield leaving


@pytest.fixture
async def anna(shop: Leaving, tmp_path: Path) -> Any:
    """Her wallet, to which an address of a list has paid 1 ETH, which a person has rejected."""
    world = shop.world
    await ban(world, tmp_path, world.node.accounts[1])
    one = await open_wallet(world)
    await give(world, one)
    await deepen(world)
    await screen(world)
    assert await balance(world, one) == ("0", "1", "0")
    await decide(world, Outcome.REJECT)
    return one


async def lies(world: World, one: Any) -> int:
    """Wei in the wallet's inbox."""
    rows = await world.rows("account_balances", account=f"wallet:{one['id']}:inbox")
    return -sum(int(row.balance) for row in rows)


async def give_back(world: World, address: str = PAYEE) -> Any:
    [deposit] = [d for d in await world.rows("deposits", status="confirmed") if d.held]
    async with world.context.database.begin() as session:
        return await refunds.resolve(
            session, world.context, world.merchant_id, deposit.id, address, KEY
        )


async def finish(shop: Leaving) -> None:
    await shop.judge()
    await screen(shop.world)  # the payee as well
    await shop.finish()


async def kinds(world: World) -> list[str]:
    return [b.kind for b in await breaks(world)]


async def test_it_lies_apart_and_a_person_is_told(shop: Leaving, anna: Any) -> None:
    world = shop.world
    assert await balance(world, anna) == ("0", "0", "0"), "it is not among her money any more"
    assert await lies(world, anna) == ETHER
    [found] = await breaks(world)
    assert (found.kind, found.place) == ("orphan", f"wallet:{anna['id']}:inbox")
    assert (int(found.actual), found.facts["wallet"]) == (ETHER, anna["id"])
    assert await screening_work.step(world.context) == 0, "once is enough"
    async with world.context.database.read() as session:
        shown, _ = await deposits.page(
            session, world.context, world.merchant_id, invoice=None, wallet=None, status=None,
            matched=False, network=None, limit=10, cursor=None,
        )  # fmt: skip
    assert [one["inbox"]["reason"] for one in shown] == ["held"]
    number = ids.read("dep", shown[0]["id"])
    for action in ("credit", "ignore"):
        with pytest.raises(Conflict):
            async with world.context.database.begin() as session:
                await decisions.resolve(session, world.context, world.merchant_id, number, action)
    await world.assert_books_match_the_chain()


async def test_it_goes_back_less_the_fee(shop: Leaving, anna: Any) -> None:
    world = shop.world
    before = await world.node.balance(PAYEE)
    refund = await give_back(world)
    assert (refund["invoice"], refund["fee_paid_by"]) == (None, "customer")
    assert (await lies(world, anna), await kinds(world)) == (0, [])
    with pytest.raises(Conflict, match="resolved already"):
        await give_back(world)
    await finish(shop)
    shown = await shop.show_refund(refund)
    assert shown["status"] == "paid"
    [payout] = await world.rows("payouts")
    assert int(payout.amount) + int(payout.fee) == ETHER
    assert await world.node.balance(PAYEE) == before + int(payout.amount)
    assert await balance(world, anna) == ("0", "0", "0")
    assert await breaks(world) == []
    await world.assert_books_match_the_chain()


async def test_a_refund_that_comes_to_nothing_leaves_it_there_again(
    shop: Leaving, anna: Any
) -> None:
    world = shop.world
    await give_back(world)
    [payout] = await world.rows("payouts")
    await shop.reject(payout.id)
    await shop.judge()
    assert (await lies(world, anna), await kinds(world)) == (ETHER, ["orphan"])
    assert await balance(world, anna) == ("0", "0", "0")
    refund = await give_back(world)
    await finish(shop)
    assert (await shop.show_refund(refund))["status"] == "paid"
    assert await breaks(world) == []


async def test_what_she_spent_before_it_came_back_is_seen(shop: Leaving, anna: Any) -> None:
    """Between the payout's end and the worker's step she may be quicker: then she owes it."""
    world = shop.world
    bert = await open_wallet(world, "bert")
    await give_back(world)
    [payout] = await world.rows("payouts")
    await shop.reject(payout.id)
    await move(world, anna, bert, "0.25")
    await shop.judge()
    assert await lies(world, anna) == ETHER
    assert await balance(world, anna) == ("-0.25", "0", "0")
    assert sorted(await kinds(world)) == ["missing_on_chain", "orphan"]


async def test_a_fork_takes_it_and_gives_it_again(shop: Leaving, anna: Any) -> None:
    world = shop.world
    [deposit] = await world.rows("deposits")
    signed = await world.node.raw(deposit.tx_hash)
    depth = await world.node.head() - deposit.block_number + 1
    await world.node.reorg(depth)
    await world.follow()
    assert (await lies(world, anna), await kinds(world)) == (0, [])
    await world.node.rpc("eth_sendRawTransaction", signed)
    await deepen(world)
    assert await balance(world, anna) == ("0", "0", "0")
    assert (await lies(world, anna), await kinds(world)) == (ETHER, ["orphan"])
    await world.assert_books_match_the_chain()


async def test_a_fork_stops_a_refund_that_has_not_left(shop: Leaving, anna: Any) -> None:
    world = shop.world
    [deposit] = await world.rows("deposits")
    signed = await world.node.raw(deposit.tx_hash)
    refund = await give_back(world)
    await world.node.reorg(await world.node.head() - deposit.block_number + 1)
    await world.follow()
    await shop.judge()
    assert (await shop.show_refund(refund))["status"] == "held"
    assert await kinds(world) == ["missing_on_chain"]
    await world.node.rpc("eth_sendRawTransaction", signed)
    await deepen(world)
    await finish(shop)
    assert (await shop.show_refund(refund))["status"] == "held", "in another block it is another"
    assert await lies(world, anna) == ETHER
    [payout] = await world.rows("payouts")
    await shop.reject(payout.id)
    await shop.judge()
    again = await give_back(world)
    await finish(shop)
    assert (await shop.show_refund(again))["status"] == "paid"
    assert await breaks(world) == []
    assert (await balance(world, anna), await lies(world, anna)) == (("0", "0", "0"), 0)
    await world.assert_books_match_the_chain()


async def test_her_limits_are_not_used_up_by_it(shop: Leaving, anna: Any) -> None:
    world = shop.world
    await give_back(world)
    number = ids.read("wal", anna["id"])
    assert number is not None
    async with world.context.database.read() as session:
        since = world.context.clock.now().replace(year=2000)
        assert await wallet_limits.spent(session, number, "ETH", since) == 0
