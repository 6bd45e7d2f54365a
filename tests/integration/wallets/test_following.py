"""The chain loop itself takes our transactions into the books: what leaves, what arrives, forks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from core import ids
from core.clock import wall
from core.db import Database
from core.networks import NATIVE
from tests.fakes import LocalSigner
from tests.integration.wallets.conftest import Chain
from tests.world import World, connect, network_of
from tests.world import world as make_world
from wallets import hot, transactions
from wallets.hot import WalletKind
from wallets.intents import Intent, Move
from wallets.sending import Sending
from wallets.transactions import Purpose

HOT_KEY, TREASURY_KEY = "0x" + "33" * 32, "0x" + "22" * 32
HOT = "0x5cbdd86a2fa8dc4bddd8a8f69dba48572eec07fb"  # of HOT_KEY


@pytest.fixture
async def world(database: Database, own_chain: Chain) -> AsyncIterator[World]:
    url, deployed = own_chain
    async with connect(url) as node:
        network = network_of(node, deployed)
        for address in (HOT, deployed.treasury):
            await node.rpc("anvil_setBalance", address, hex(10 * 10**18))
        async with make_world(database, {network: (node, deployed)}) as made:
            async with database.begin() as session:
                for address, kind in (
                    (HOT, WalletKind.HOT),
                    (deployed.treasury, WalletKind.TREASURY),
                ):
                    await hot.add(
                        session, address=address, label=kind, kind=kind,
                        networks=[network.id], now=wall(),
                    )  # fmt: skip
            yield made


def sending(world: World) -> Sending:
    [name] = world.nodes
    signer = LocalSigner({HOT: HOT_KEY, world.contracts.treasury: TREASURY_KEY})
    return Sending(
        world.context, world.context.catalog.networks[name], world.endpoints[name], signer
    )


async def prepare(world: World, wallet: str, intent: Intent) -> UUID:
    async with world.context.database.begin() as session:
        return await transactions.prepare(
            session, world.context, network=next(iter(world.nodes)), wallet=wallet,
            purpose=Purpose.MOVE, intent=intent, reference=ids.show("mov", ids.new()),
            now=world.context.clock.now(),
        )  # fmt: skip


async def work(world: World) -> None:
    loop = sending(world)
    while rows := await loop.claim(16):
        await asyncio.gather(*(loop.step(row) for row in rows))


def move(to: str, amount: int) -> Move:
    return Move(id=ids.show("mov", ids.new()), token=NATIVE, to=to, amount=amount)


def place(world: World, role: str) -> tuple[str, str]:
    return f"network:{next(iter(world.nodes))}:{role}", "ETH"


async def test_a_move_between_our_places_is_no_unknown_inflow(world: World) -> None:
    """Both places change with the block. Its gas is the treasury's: that is who paid it."""
    number = await prepare(world, world.contracts.treasury, move(HOT, 10**18))
    await work(world)
    await world.follow()
    [row] = await world.rows("transactions", id=number)
    assert (row.status, row.succeeded) == ("mined", True)
    assert await world.rows("house_movements") == []
    assert await world.rows("breaks") == []
    balances = await world.balances()
    assert balances["expense:gas", "ETH"] == row.gas_paid
    assert balances[place(world, "treasury")] == -row.gas_paid - 10**18
    assert balances[place(world, "hot")] == 10**18
    left = await world.node.balance(world.contracts.treasury)
    assert left == 10 * 10**18 - 10**18 - row.gas_paid


async def test_what_a_stranger_sends_still_gets_a_break(world: World) -> None:
    await world.transfer("ETH", HOT, 5, sender=2)
    await prepare(world, HOT, move(world.contracts.treasury, 10**17))
    await work(world)
    await world.follow()
    [found] = await world.rows("house_movements")
    assert (found.meaning, found.destination, found.amount) == ("unknown", HOT, 5)
    assert len(await world.rows("breaks")) == 1


async def test_a_fork_takes_gas_back_and_the_same_bytes_return(world: World) -> None:
    await world.mine(2)
    number = await prepare(world, HOT, move(world.contracts.treasury, 10**17))
    await work(world)
    await world.mine(2)
    await world.follow()
    [before] = await world.rows("transactions", id=number)
    assert before.status == "confirmed"
    await world.node.reorg(4)
    await world.node.rpc("anvil_dropAllTransactions")
    await world.follow()
    [back] = await world.rows("transactions", id=number)
    assert (back.status, back.nonce, back.block_hash) == ("sent", before.nonce, None)
    assert await world.balances() == {}
    await work(world)
    await world.follow()
    [again] = await world.rows("transactions", id=number)
    assert (again.status, again.tx_hash, again.generation) == ("mined", before.tx_hash, 2)
    assert (await world.balances())["expense:gas", "ETH"] == again.gas_paid


async def test_a_worker_that_was_away_misses_none(world: World) -> None:
    """Read in ranges, blocks later, by a process that remembers nothing."""
    numbers = []
    for _ in range(5):
        numbers.append(await prepare(world, HOT, move(world.contracts.treasury, 10**15)))
        await work(world)
        await world.mine(40)
    await world.restart()
    await world.follow()
    rows = await world.rows("transactions")
    assert {row.id for row in rows} == set(numbers)
    assert {row.status for row in rows} == {"confirmed"}
    assert {row.open for row in rows} == {True, False}  # the last ones are not final yet
    spent = 10 * 10**18 - await world.node.balance(HOT)
    assert (await world.balances())["expense:gas", "ETH"] == spent - 5 * 10**15
