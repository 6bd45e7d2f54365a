"""Customers' wallets on a real chain: what comes is theirs, what the chain takes back is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core import ids
from core.db import Database
from core.errors import Conflict
from core.networks import Tier
from ledger.accounts import Debt, wallet
from payments import (
    customer_wallets,
    customers,
    payout_requests,
    screening_work,
    transfers,
    withdrawals,
)
from payments.payout_requests import NewPayout
from payments.transfers import NewTransfer
from risk.verdicts import Outcome
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import breaks
from tests.integration.payments.leaving import KEY, PAYEE, Leaving, make_leaving
from tests.integration.payments.test_payout_races import publish
from tests.integration.payments.test_screening import ban, decide, screen
from tests.world import World, connect, network_of
from tests.world import world as make_world
from wallets.addresses import salt_of

ETHER = 10**18
Shown = dict[str, Any]


async def open_wallet(world: World, reference: str = "anna") -> Shown:
    context, merchant_id = world.context, world.merchant_id
    async with context.database.begin() as session:
        customer = await customers.create(session, context, merchant_id, reference, {})
        number = ids.read("cus", customer["id"])
        return await customer_wallets.create(session, context, merchant_id, number, None)


async def balance(world: World, one: Shown, asset: str = "ETH") -> tuple[str, str, str]:
    """available, pending, reserved, without the zeros behind."""
    number = ids.read("wal", one["id"])
    async with world.context.database.read() as session:
        shown = await customer_wallets.show(session, world.context, number, world.merchant_id)
    for found in shown["balances"]:
        if found["asset"] == asset:
            parts = (found[debt.value] for debt in customer_wallets.DEBTS)
            return tuple(f"{p.rstrip('0').rstrip('.')}" for p in parts)  # type: ignore[return-value]
    return "0", "0", "0"


async def move(world: World, payer: Shown, payee: Shown, amount: str, asset: str = "ETH") -> Shown:
    request = NewTransfer(
        from_wallet=ids.read("wal", payer["id"]),
        to_wallet=ids.read("wal", payee["id"]),
        amount=amount,
        asset=asset,
    )
    async with world.context.database.begin() as session:
        return await transfers.create(session, world.context, world.merchant_id, request, KEY)


async def give(world: World, one: Shown, amount: int = ETHER, asset: str = "ETH") -> str:
    sent = await world.transfer(asset, one["addresses"][0]["address"], amount)
    await world.follow()
    return sent


async def deepen(world: World) -> None:
    await world.mine(3)
    await world.follow()


async def assert_sound(world: World) -> None:
    """Places equal the chain; wallets hold what their deposits brought, less what left."""
    await world.assert_books_match_the_chain()
    accounts = {(r.account, r.asset): int(r.balance) for r in await world.rows("account_balances")}
    for one in await world.rows("wallets"):
        for asset in {asset for _, asset in accounts}:
            held = sum(-accounts.get((wallet(one.id, d), asset), 0) for d in customer_wallets.DEBTS)
            came = sum(
                int(d.amount)
                for d in await world.rows("deposits", wallet_id=one.id, asset=asset)
                if d.status != "orphaned"
            )
            left = sum(
                int(t.amount)
                for t in await world.rows("transfers", from_wallet_id=one.id, asset=asset)
            )
            got = sum(
                int(t.amount)
                for t in await world.rows("transfers", to_wallet_id=one.id, asset=asset)
            )
            assert held == came + got - left, (one.id, asset)
    open_ = {b.key for b in await breaks(world) if b.kind == "missing_on_chain"}
    overdrawn = {
        f"overdrawn:{account}:{asset}"
        for (account, asset), units in accounts.items()
        if account.endswith(":available") and units > 0
    }
    assert open_ == overdrawn


async def test_what_comes_is_pending_then_available(world: World) -> None:
    anna = await open_wallet(world)
    await give(world, anna, 5_000_000, "USDC")
    await give(world, anna)
    assert await balance(world, anna) == ("0", "1", "0")
    assert await balance(world, anna, "USDC") == ("0", "5", "0")
    await deepen(world)
    assert await balance(world, anna) == ("1", "0", "0")
    assert await balance(world, anna, "USDC") == ("5", "0", "0")
    await give(world, anna)  # the address stays
    assert await balance(world, anna) == ("1", "1", "0")
    assert await world.events() == ["deposit.seen"] * 2 + ["deposit.confirmed"] * 2 + [
        "deposit.seen"
    ]
    [row, *_] = await world.rows("deposits")
    assert (row.invoice_id, row.wallet_id) == (None, ids.read("wal", anna["id"]))
    mine = [name for name, _ in await world.balances() if not name.startswith(("wallet:", "net"))]
    assert mine == [], "the merchant owns none of it"
    await assert_sound(world)


async def test_from_a_contract_with_a_fee_and_dust(world: World) -> None:
    anna = await open_wallet(world)
    await give(world, anna, 100 * ETHER, "FEE")
    await give(world, anna, 1)
    await deepen(world)
    [fee, dust] = await world.rows("deposits")
    assert int(fee.amount) < 100 * ETHER, "what arrived counts"
    assert dust.account == "available"
    assert await world.events() == ["deposit.seen", "deposit.confirmed"], "dust makes no noise"
    await assert_sound(world)


async def test_the_depth_is_that_of_the_sum(database: Database, one_chain: Chain) -> None:
    """Many small deposits do not slip under a limit."""
    url, deployed = one_chain
    async with connect(url) as node:
        tiers = (Tier(up_to=3_000_00, required=1), Tier(up_to=None, required=4))
        network = network_of(node, deployed, tiers=tiers)
        async with make_world(database, {network: (node, deployed)}) as world:
            anna, bert = await open_wallet(world), await open_wallet(world, "bert")
            async with node.one_block():
                for one in (anna, anna, bert):  # 2,500 USD each
                    await world.transfer("ETH", one["addresses"][0]["address"], ETHER)
            await world.follow()
            assert await balance(world, bert) == ("1", "0", "0")
            assert await balance(world, anna) == ("0", "2", "0")
            await deepen(world)
            assert await balance(world, anna) == ("2", "0", "0")
            await assert_sound(world)


async def test_a_reorg_moves_it_to_another_block(world: World) -> None:
    anna = await open_wallet(world)
    signed = await world.node.raw(await give(world, anna))
    await world.node.reorg(1, (signed, 0))
    await world.follow()
    assert await balance(world, anna) == ("0", "1", "0")
    await deepen(world)
    assert await balance(world, anna) == ("1", "0", "0")
    await world.node.reorg(4, (signed, 1))
    await world.follow()
    assert await balance(world, anna) == ("1", "0", "0")
    assert await world.events() == ["deposit.seen", "deposit.confirmed"]
    await assert_sound(world)


async def test_a_reorg_takes_it_back_and_the_chain_gives_it_again(world: World) -> None:
    anna = await open_wallet(world)
    signed = await world.node.raw(await give(world, anna))
    await world.node.reorg(1)
    await world.follow()
    assert await balance(world, anna) == ("0", "0", "0")
    await world.node.rpc("eth_sendRawTransaction", signed)
    await deepen(world)
    assert await balance(world, anna) == ("1", "0", "0")
    told = await world.events()
    assert told == ["deposit.seen", "deposit.orphaned", "deposit.seen", "deposit.confirmed"]
    await assert_sound(world)


async def test_a_wallet_that_has_spent_what_the_chain_takes_back(world: World) -> None:
    anna, bert = await open_wallet(world), await open_wallet(world, "bert")
    await give(world, anna)
    await deepen(world)
    await move(world, anna, bert, "0.75")
    await world.node.reorg(4)
    await world.follow()
    assert await balance(world, anna) == ("-0.75", "0", "0")
    assert await balance(world, bert) == ("0.75", "0", "0")
    [found] = await breaks(world)
    assert (found.kind, found.facts["wallet"]) == ("missing_on_chain", anna["id"])
    with pytest.raises(Conflict) as caught:
        await move(world, anna, bert, "0.1")
    assert caught.value.code == "insufficient_funds"
    await assert_sound(world)
    await move(world, bert, anna, "0.25")
    assert len(await breaks(world)) == 1
    await give(world, anna, 2 * ETHER)
    await deepen(world)
    assert await balance(world, anna) == ("1.5", "0", "0"), "later deposits fill it first"
    assert await breaks(world) == []
    await assert_sound(world)


async def test_a_transfer_may_fill_an_overdraft(world: World) -> None:
    anna, bert = await open_wallet(world), await open_wallet(world, "bert")
    await give(world, anna)
    await deepen(world)
    await move(world, anna, bert, "1")
    await world.node.reorg(4)
    await world.follow()
    assert len(await breaks(world)) == 1
    await move(world, bert, anna, "1")
    assert await breaks(world) == []
    assert (await world.events())[-2:] == ["transfer.created", "break.resolved"]
    await assert_sound(world)


async def test_a_held_deposit_is_not_spendable(world: World, tmp_path: Path) -> None:
    await ban(world, tmp_path, world.node.accounts[1])
    anna = await open_wallet(world)
    signed = await world.node.raw(await give(world, anna))
    await deepen(world)
    [row] = await world.rows("deposits")
    assert (row.status, row.waiting_for) == ("pending", "screening")
    assert await screen(world) == 1
    [row] = await world.rows("deposits")
    assert (row.status, row.account, row.inbox_reason) == ("confirmed", "pending", "held")
    assert await balance(world, anna) == ("0", "1", "0")
    await world.node.reorg(4, (signed, 0))
    await world.follow()
    assert await balance(world, anna) == ("0", "1", "0")
    await decide(world, Outcome.ACCEPT)
    assert await screening_work.step(world.context) == 0
    assert await balance(world, anna) == ("1", "0", "0")
    await assert_sound(world)


async def test_a_sweep_brings_it_in_and_the_wallet_keeps_it(world: World) -> None:
    anna = await open_wallet(world)
    await give(world, anna)
    await deepen(world)
    [address] = await world.rows("deposit_addresses")
    for _ in range(2):
        await world.sweep_salts("native", [salt_of(address.id)])
        await world.follow()
        assert (await balance(world, anna))[:1] != ("0",)
        await assert_sound(world)
        await give(world, anna)  # the same address again
        await deepen(world)
    assert await balance(world, anna) == ("3", "0", "0")
    assert [r.meaning for r in await world.rows("house_movements")] == ["swept"] * 2
    assert await breaks(world) == []
    await assert_sound(world)


async def test_on_two_networks_under_one_address(two_networks: World) -> None:
    world = two_networks
    anna = await open_wallet(world)
    first, second = anna["addresses"]
    assert first["address"] == second["address"]
    for network in (0, 1):
        await world.transfer("ETH", first["address"], ETHER, network=network)
    await world.follow()
    await deepen(world)
    assert await balance(world, anna) == ("2", "0", "0")
    await assert_sound(world)


@pytest.fixture
async def shop(database: Database, one_chain: Chain) -> AsyncIterator[Leaving]:
    url, deployed = one_chain
    async with connect(url) as node, make_leaving(database, node, deployed) as leaving:
        yield leaving


async def ask(shop: Leaving, one: Shown, amount: str) -> Any:
    world = shop.world
    new = NewPayout(amount=amount, asset="ETH", network=shop.network.id, address=PAYEE)
    async with world.context.database.begin() as session:
        on = await payout_requests.ground(session, world.context, world.merchant_id, [PAYEE])
        wanted = payout_requests.read_on_chain(on, new)
        number = ids.read("wal", one["id"])
        return await withdrawals.create(
            session, world.context, world.merchant_id, number, wanted, KEY
        )


async def test_a_withdrawal_leaves_by_the_chain(shop: Leaving) -> None:
    world = shop.world
    anna = await open_wallet(world)
    await give(world, anna)
    await deepen(world)
    before = await world.node.balance(PAYEE)
    row = await ask(shop, anna, "0.4")
    available, _, reserved = await balance(world, anna)
    assert available.startswith("0.59") or available == "0.6"
    assert reserved.startswith("0.4")
    with pytest.raises(Conflict) as caught:
        await ask(shop, anna, "0.6")
    assert caught.value.code == "insufficient_funds"
    await shop.finish()
    assert (await shop.show(row.id))["status"] == "paid"
    assert await world.node.balance(PAYEE) == before + 4 * 10**17
    assert (await balance(world, anna))[1:] == ("0", "0")
    assert row.source == wallet(ids.read("wal", anna["id"]) or row.id, Debt.AVAILABLE)
    await world.assert_books_match_the_chain()


async def test_a_reorg_holds_a_withdrawal_that_has_not_left(shop: Leaving) -> None:
    world = shop.world
    anna = await open_wallet(world)
    await give(world, anna)
    await deepen(world)
    row = await ask(shop, anna, "0.4")
    await world.node.reorg(4)
    await world.follow()
    await shop.judge()
    assert (await shop.show(row.id))["status"] == "held"
    await give(world, anna)
    await deepen(world)
    await shop.finish()
    assert (await shop.show(row.id))["status"] == "paid"


async def test_a_rule_on_customers_asks_people_about_withdrawals_alone(shop: Leaving) -> None:
    world = shop.world
    anna = await open_wallet(world)
    await give(world, anna)
    await shop.fund("ETH", "1")
    await deepen(world)
    await publish(shop, "approve", who={"initiators": ["customer"]}, approvals={"needed": 2})
    hers, merchants = (await ask(shop, anna, "0.4")).id, await shop.ask("0.4")
    await shop.judge()
    shown = await shop.show(hers)
    assert (shown["status"], shown["reasons"]) == ("held", ["approval_needed"])
    assert (shown["rule"], shown["approvals"]["needed"]) == ("the rule", 2)
    other = await shop.show(merchants)
    assert (other["status"], other["rule"]) == ("sending", None)
    kept = {row.reference: row.initiator for row in await world.rows("policy_requests")}
    assert kept == {ids.show("pay", hers): "customer", ids.show("pay", merchants): "key"}
