"""Anything in any order: invoices, payments, forks, time, restarts and decisions.

Whatever happened, once the chains are followed the books agree with them to the wei and every
invoice is what the facts say (facts.assert_sound). `make soak` does it 200 times, on networks of
all ways to find ETH inside blocks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from fractions import Fraction
from random import Random
from typing import Any, ClassVar, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from core import ids
from core.db import Database
from core.errors import Refused
from core.networks import Traces
from ledger.accounts import Role, place
from payments import decisions
from tests.conftest import other_database
from tests.integration.payments.branch import Branch, Sent
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import assert_sound, spend
from tests.settings import SOAK, numbers
from tests.world import Deployed, Node, World, calldata, connect, network_of
from tests.world import world as make_world

T = TypeVar("T")
ASSETS = ("ETH", "USDC", "DAI", "FEE")
SPENT = (*ASSETS, "EUR")
RICH = 10**30  # base units of every token for every sender

NETWORKS, SOME = range(2), range(1000)  # SOME: an index into whatever there is
SHARES = [(1, 1), (1, 1), (1, 2), (3, 2), (1, 3), (0, 1)]  # of what is asked for; 0: dust

# What may happen next, how often, and with what.
DEEDS: dict[str, tuple[int, tuple[Sequence[Any], ...]]] = {
    "invoice": (3, (["25.00", "10.00", "0.50"], ["0", "0", "2"], [False, True])),
    "pay": (10, (SOME, NETWORKS, ASSETS, SHARES, range(1, 9))),
    "sweep": (2, (SOME, NETWORKS, ASSETS)),
    "setting": (2, (["crypto", "fiat_at_quote", "fiat_at_fill"],)),
    "decide": (1, (SOME, ["cancel", "settled", "invalid"])),
    "resolve": (2, (SOME, ["credit", "credit", "ignore"])),
    "spend": (2, (SPENT, [Fraction(1, 2), 1, 1, 2])),
    "mine": (6, (NETWORKS, range(1, 5))),
    "advance": (1, ([5, 300, 1000],)),
    "price": (1, ([50, 90, 110, 200],)),
    "reorg": (5, (NETWORKS, range(1, 11), range(256), SOME)),
    "snapshot": (2, (NETWORKS,)),
    "revert": (2, (NETWORKS, SOME, range(4))),
    "flip": (2, (NETWORKS, SOME, range(4), [True, True, False])),
    "resend": (3, (NETWORKS, SOME)),
    "follow": (7, ()),
    "follow_one": (2, (NETWORKS,)),
    "restart": (1, ()),
}


def deed_of(number: int) -> tuple[Any, ...]:
    """A deed and its arguments, evenly by the weights above.

    As rules of their own Hypothesis would switch most of them off in each example, and with few
    examples nobody would ever pay.
    """
    chance = Random(number)
    [name] = chance.choices(list(DEEDS), [often for often, _ in DEEDS.values()])
    return (name, *(chance.choice(options) for options in DEEDS[name][1]))


class Payments(RuleBasedStateMachine):
    """One merchant on two networks. `place` is where databases and chains are, `ways` how ETH
    inside blocks is found on them."""

    place: ClassVar[tuple[str, str, tuple[Chain, Chain]]]
    ways: ClassVar[tuple[Traces, Traces]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.made: list[dict[str, Any]] = []
        self.name = f"t_{ids.new().hex}"
        server, template, _ = self.place
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"create database {self.name} template {template}")
        self.run(self.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> None:
        server, _, chains = self.place
        database = Database(other_database(server, self.name))
        self.stack.push_async_callback(database.close)
        joined: dict[Any, tuple[Node, Deployed]] = {}
        for number, (url, deployed), way in zip((31337, 31338), chains, self.ways, strict=True):
            node = await self.stack.enter_async_context(connect(url))
            joined[network_of(node, deployed, number, traces=way)] = (node, deployed)
        self.world: World = await self.stack.enter_async_context(make_world(database, joined))
        self.branches = [Branch(node, await node.head()) for node, _ in joined.values()]
        self.treasury: dict[tuple[str, str], int] = {}
        async with database.statement() as connection:
            for name, deployed in self.world.deployed.items():
                await connection.execute(
                    "insert into house_addresses (network, address, role)"
                    " values (%s, %s, 'treasury')",
                    (name, deployed.treasury),
                )
        self.treasury = await self.at_treasuries()

    def teardown(self) -> None:
        try:
            self.run(self.settle())
        finally:
            self.run(self.stack.aclose())
            self.runner.close()
            with psycopg.connect(self.place[0], autocommit=True) as connection:
                connection.execute(f"drop database {self.name} with (force)")

    async def at_treasuries(self) -> dict[tuple[str, str], int]:
        return {
            (place(name, Role.TREASURY), symbol): await node.balance(
                self.world.deployed[name].treasury, token.address
            )
            for name, node in self.world.nodes.items()
            for symbol, token in self.world.deployed[name].tokens.items()
        }

    async def settle(self) -> None:
        """Nothing moves any more: everything is confirmed, and the books are right."""
        for _ in range(2):  # what only a balance shows is dated at the block of the look
            await self.world.mine(3)
            await self.check()
        assert not await self.world.rows("deposits", status="pending")

    async def check(self) -> None:
        await self.world.follow()
        for branch, way in zip(self.branches, self.ways, strict=True):
            if way is Traces.NONE:  # after a fork balances are compared with the next block only
                await branch.node.mine()
        await self.world.follow()
        await assert_sound(self.world)
        balances = await self.world.balances()
        for key, units in (await self.at_treasuries()).items():
            assert balances.get(key, 0) == units - self.treasury[key], key

    def one(self, which: int) -> dict[str, Any]:
        return self.made[which % len(self.made)]

    @initialize()
    def begin(self) -> None:
        self.invoice("25.00", "0", False)
        for network in NETWORKS:
            self.snapshot(network)
        self.setting("fiat_at_quote")
        self.invoice("10.00", "2", True)
        for network in NETWORKS:  # through a contract, which is rare otherwise
            self.pay(0, network, "ETH", (1, 3), 1)

    @rule(deed=st.integers(0, 2**48).map(deed_of))
    def happens(self, deed: tuple[Any, ...]) -> None:
        name, *arguments = deed
        getattr(self, name)(*arguments)

    # What people do

    def invoice(self, amount: str, tolerance: str, first_only: bool) -> None:
        offered = [next(iter(self.world.nodes))] if first_only else None
        made = self.world.invoice(amount, networks=offered, tolerance_percent=tolerance)
        self.made.append(self.run(made))

    def pay(
        self, which: int, network: int, asset: str, share: tuple[int, int], sender: int
    ) -> None:
        """Also to an address on a network that its invoice did not offer."""
        invoice = self.one(which)
        node, deployed = self.world.at(network)
        token = deployed.tokens[asset]
        asked = token.asset.parse(self.world.option(invoice, asset)["amount"])
        units = asked * share[0] // share[1] or 1
        to = invoice["payment_options"][0]["address"]

        async def send() -> None:
            if token.is_native and which % 3 == 0:
                data = calldata("pay(address)", to)
                sent = await node.send(deployed.payer, units, data, sender=sender, gas=200_000)
            elif token.is_native:
                sent = await node.send(to, units, sender=sender)
            else:
                data = calldata("transfer(address,uint256)", to, units)
                sent = await node.send(token.address, data=data, sender=sender, gas=200_000)
            await self.branches[network].note(sent, sender)

        self.run(send())

    def sweep(self, which: int, network: int, asset: str) -> None:
        async def send() -> None:
            swept = await self.world.sweep(asset, self.one(which), sender=9, network=network)
            await self.branches[network].note(swept, 9)

        self.run(send())

    def setting(self, settle_in: str) -> None:
        """Of the invoices that come."""

        async def change() -> None:
            async with self.world.context.database.statement() as connection:
                await connection.execute(
                    "update merchants set settle_in = %s, settle_currency = 'EUR',"
                    " spread_percent = '0.7'",
                    (settle_in,),
                )

        self.run(change())

    def decide(self, which: int, what: str) -> None:
        number = ids.read("inv", self.one(which)["id"])
        context, mine = self.world.context, self.world.merchant_id

        async def say() -> None:
            async with context.database.begin() as session:
                if what == "cancel":
                    await decisions.cancel(session, context, mine, number)
                else:
                    await decisions.mark(session, context, mine, number, what, "why")

        self.try_(say())

    def resolve(self, which: int, action: str) -> None:
        context = self.world.context

        async def say() -> None:
            inbox = [d for d in await self.world.rows("deposits") if d.inbox_reason is not None]
            if inbox:
                async with context.database.begin() as session:
                    await decisions.resolve(
                        session,
                        context,
                        self.world.merchant_id,
                        inbox[which % len(inbox)].id,
                        action,
                    )

        self.try_(say())

    def spend(self, asset: str, share: Fraction | int) -> None:
        """Also of what is not there, which is refused."""

        async def ask() -> None:
            held = -(await self.world.balances()).get(("available", asset), 0)
            await spend(self.world, asset, max(1, int(held * share)))

        self.try_(ask())

    def try_(self, work: Coroutine[Any, Any, None]) -> None:
        """A refusal is an answer; what it left behind is looked at like everything else."""
        try:
            self.run(work)
        except Refused:
            return

    # What the world does

    def mine(self, network: int, blocks: int) -> None:
        self.run(self.branches[network].node.mine(blocks))

    def advance(self, seconds: int) -> None:
        self.run(self.world.advance(seconds))

    def price(self, percent: int) -> None:
        async def move() -> None:
            async with self.world.context.database.statement() as connection:
                await connection.execute(
                    "update prices set price = price * %s / 100 where base = 'ETH'", (percent,)
                )

        self.run(move())

    def reorg(self, network: int, depth: int, keep: int, late: int) -> None:
        """Other blocks; of their transactions some come back, as early or later than before.

        Without an earlier one of its sender a transaction is not valid any more.
        """
        branch = self.branches[network]

        async def fork() -> None:
            head = await branch.node.head()
            deep = min(depth, head - branch.base)
            if deep < 1:
                return
            again: list[tuple[str, int]] = []
            missing: set[int] = set()
            index = 0
            for n, sent in enumerate(branch.cut(head - deep)):
                if sent.sender in missing or not keep >> (n % 8) & 1:
                    missing.add(sent.sender)
                    branch.lost.append(sent)
                    continue
                index = max(index, (late + n) % deep)
                again.append((sent.raw, index))
                branch.sent.append(Sent(sent.raw, sent.sender, sent.nonce, head - deep + 1 + index))
            await branch.node.reorg(deep, *again)

        self.run(fork())

    def snapshot(self, network: int) -> None:
        self.run(self.branches[network].snapshot())

    def revert(self, network: int, which: int, then: int) -> None:
        branch = self.branches[network]

        async def back() -> None:
            if (height := await branch.back(which)) is not None:
                branch.lost += branch.cut(height)
                await branch.other(which + 1, then + 1)

        self.run(back())

    def flip(self, network: int, which: int, then: int, looked_at: bool) -> None:
        """A, B, A: the very same blocks leave and come back, whether we saw the others or not."""
        branch = self.branches[network]

        async def there_and_back() -> None:
            whole = await branch.blocks(branch.base)
            if (height := await branch.back(which)) is None:
                return
            await branch.snapshot()
            await branch.other(which + 1, then + 1)
            if looked_at:
                await self.catch_up(network)
            await branch.back(-1)
            await branch.snapshot()
            await branch.again([b for b in whole if int(b["number"], 16) > height])

        self.run(there_and_back())

    def resend(self, network: int, which: int) -> None:
        """A payment that a fork threw out is mined after all, if its nonce is still the next."""
        branch = self.branches[network]

        async def again() -> None:
            if not branch.lost:
                return
            sent = branch.lost.pop(which % len(branch.lost))
            account = branch.node.accounts[sent.sender]
            count = await branch.node.rpc("eth_getTransactionCount", account, "latest")
            if int(count, 16) == sent.nonce:
                tx_hash = await branch.node.rpc("eth_sendRawTransaction", sent.raw)
                await branch.note(tx_hash, sent.sender)

        self.run(again())

    # What the worker does

    def follow(self) -> None:
        self.run(self.check())

    def follow_one(self, network: int) -> None:
        self.run(self.catch_up(network))

    async def catch_up(self, network: int) -> None:
        await self.world.followings[list(self.world.nodes)[network]].catch_up()

    def restart(self) -> None:
        self.run(self.world.restart())


async def enrich(chain: Chain) -> None:
    """Tokens for every sender, once."""
    url, deployed = chain
    async with connect(url) as node:
        for symbol in ASSETS[1:]:
            for account in node.accounts:
                mint = calldata("mint(address,uint256)", account, RICH)
                await node.send(deployed.tokens[symbol].address, data=mint)


@pytest.fixture(scope="module")
def rich_chains(one_chain: Chain, second_chain: Chain) -> tuple[Chain, Chain]:
    for chain in (one_chain, second_chain):
        asyncio.run(enrich(chain))
    return one_chain, second_chain


@pytest.mark.parametrize(
    ("ways", "few"),
    [
        ((Traces.TRACE, Traces.NONE), 2),
        ((Traces.NONE, Traces.DEBUG), 2),
        ((Traces.DEBUG, Traces.TRACE), 1),
    ],
)
def test_whatever_happens_the_books_are_right(
    server_url: str,
    template: str,
    rich_chains: tuple[Chain, Chain],
    ways: tuple[Traces, Traces],
    few: int,
) -> None:
    Payments.place = (server_url, template, rich_chains)
    Payments.ways = ways
    run_state_machine_as_test(
        Payments,
        settings=settings(
            max_examples=numbers(few, 67),
            stateful_step_count=40 if SOAK else 25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
