"""Places with money on a real chain and at a scripted venue; a worker's steps taken one by one."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from eth_account import Account
from sqlalchemy import text

from core import ids
from core.banks import BankAccount
from core.clock import wall
from core.context import MoveSettings
from core.db import Database
from core.errors import OrderRefused
from core.money import FIAT
from exchanges.numbers import ONE, parse
from exchanges.types import (
    TransferStatus,
    Venue,
    VenueDeposit,
    VenueWithdrawal,
    WithdrawalOrder,
    WithdrawalRule,
)
from ledger.accounts import EQUITY, Role, exchange, place
from ledger.journal import Entry, Kind, post, transfer
from payments import arrivals
from tests.fakes import LocalSigner
from tests.waiting import eventually
from tests.world import Deployed, Node, World, network_of
from tests.world import world as make_world
from treasury import moves
from treasury.move_machine import Windows
from treasury.move_tables import Move
from treasury.move_work import Moves
from treasury.moves import NewMove
from wallets import hot
from wallets.hot import WalletKind
from wallets.sending import Sending

KEY = "key_01h455vb4pex5vsknk084sn02q"
TREASURY_KEY = "0x" + "22" * 32
FEE = parse("0.0004")
HELD = 10 * ONE
SOON = timedelta(milliseconds=10)
WINDOWS = Windows(
    polling=timedelta(milliseconds=60),
    tell=timedelta(milliseconds=300),
    late=timedelta(hours=1),
    soonest=SOON,
    latest=SOON,
    again=SOON,
    watch_every=SOON,
)


def named(move_id: UUID) -> str:
    return ids.show("mov", move_id)


def order_of(row: Move) -> WithdrawalOrder:
    return WithdrawalOrder(
        client_id=named(row.id),
        asset=row.asset,
        network=str(row.network),
        address=str(row.address),
        amount=row.amount,
    )


@dataclass
class ScriptedVenue:
    """`script`: what the next calls of `withdraw` do: executed or not, and what is raised then.
    Money comes and goes on the chain only when a test says `credit` or `pay`."""

    node: Node
    network: str
    venue: Venue = Venue.BINANCE
    resend_returns_original: bool = False
    script: deque[tuple[bool, Exception | None]] = field(default_factory=deque)
    ordered: list[WithdrawalOrder] = field(default_factory=list)
    gone: dict[str, VenueWithdrawal] = field(default_factory=dict)
    come: list[VenueDeposit] = field(default_factory=list)
    moved: str = ""  # another deposit address from now on

    async def deposit_address(self, asset: str, network: str) -> str:
        if asset == "DAI":
            raise OrderRefused("unknown_network", "the test says so")
        return self.moved or self.node.accounts[8]

    async def deposits(self, since: datetime) -> list[VenueDeposit]:
        return self.come

    async def withdrawal_rule(self, asset: str, network: str) -> WithdrawalRule:
        return WithdrawalRule(
            asset=asset, network=network, fee=FEE, minimum=parse("0.01"), step=10**10, enabled=True
        )

    async def withdraw(self, order: WithdrawalOrder) -> str:
        self.ordered.append(order)
        executes, error = self.script.popleft() if self.script else (True, None)
        if executes and order.client_id not in self.gone:
            self.execute(order)
        if error is not None:
            raise error
        return self.gone[order.client_id].id

    async def withdrawal(self, client_id: str, since: datetime) -> VenueWithdrawal | None:
        return self.gone.get(client_id)

    def execute(self, order: WithdrawalOrder) -> None:
        self.gone[order.client_id] = VenueWithdrawal(
            id=f"w{len(self.gone)}",
            client_id=order.client_id,
            asset=order.asset,
            network=order.network,
            address=order.address,
            amount=order.amount - FEE,
            fee=FEE,
            tx_hash=None,
            status=TransferStatus.PENDING,
            at=wall(),
        )

    async def pay(self, client_id: str, *, tell: bool = True) -> str:
        """Its transaction is mined; it is shown at once where `tell`."""
        shown = self.gone[client_id]
        sent = await self.node.send(shown.address, shown.amount, sender=9)
        if tell:
            self.tell(client_id, sent)
        return sent

    def tell(self, client_id: str, tx_hash: str) -> None:
        shown = self.gone[client_id]
        self.gone[client_id] = replace(shown, tx_hash=tx_hash, status=TransferStatus.DONE)

    def fail(self, client_id: str) -> None:
        self.gone[client_id] = replace(self.gone[client_id], status=TransferStatus.FAILED)

    def credit(self, asset: str, tx_hash: str, amount: int) -> None:
        self.come.append(
            VenueDeposit(
                id=f"d{len(self.come)}",
                asset=asset,
                network=self.network,
                address=self.node.accounts[8],
                amount=amount,
                tx_hash=tx_hash,
                status=TransferStatus.DONE,
                at=wall(),
            )
        )


@dataclass
class Moving:
    """Nothing runs by itself: `work`, `send` and `follow` are the worker's steps."""

    world: World
    venue: ScriptedVenue
    signer: LocalSigner
    hot: str
    loop: Moves
    sending: Sending

    @property
    def network(self) -> str:
        return self.venue.network

    @property
    def hot_place(self) -> tuple[str, str]:
        return place(self.network, Role.HOT), "ETH"

    @property
    def treasury_place(self) -> tuple[str, str]:
        return place(self.network, Role.TREASURY), "ETH"

    @property
    def venue_place(self) -> tuple[str, str]:
        return exchange(self.venue.venue), "ETH"

    async def ask(self, source: str, destination: str, amount: str = "1", **more: Any) -> UUID:
        context = self.world.context
        asked = NewMove(
            asset="ETH", amount=amount, network=self.network, source=source,
            destination=destination, initiator=KEY,
        )  # fmt: skip
        async with context.database.begin() as session:
            made = await moves.create(session, context, replace(asked, **more))
        number = ids.read("mov", made["id"])
        assert number is not None
        return number

    async def work(self) -> int:
        """One step of each move that is due."""
        rows = await self.loop.claim(16)
        await asyncio.gather(*(self.loop.step(row) for row in rows))
        return len(rows)

    async def until(self, move_id: UUID, status: str, reason: str | None = None) -> Any:
        """Works until the move is so, and shows it."""

        async def is_there() -> bool:
            await self.work()
            shown = await self.show(move_id)
            return (shown["status"], shown["reason"]) == (status, reason)

        await eventually(is_there)
        return await self.show(move_id)

    async def send(self) -> None:
        while rows := await self.sending.claim(16):
            await asyncio.gather(*(self.sending.step(row) for row in rows))
        await self.world.node.took()

    async def follow(self) -> None:
        await self.world.follow()

    async def look(self) -> int:
        """What the loop of arrivals does."""
        context = self.world.context
        return await arrivals.look(context, context.catalog.networks[self.network])

    async def deep(self) -> None:
        await self.world.mine(3)
        await self.follow()

    async def show(self, move_id: UUID) -> Any:
        async with self.world.context.database.read() as session:
            return await moves.show(session, self.world.context, move_id)

    async def story(self, move_id: UUID) -> list[str]:
        """What was told of it."""
        told = await self.world.events(ids.show("mov", move_id))
        return [type_.removeprefix("move.") for type_ in told]

    async def row(self, move_id: UUID) -> Any:
        [row] = await self.world.rows("moves", id=move_id)
        return row

    async def forget_lease(self, move_id: UUID) -> None:
        """As if its time had passed: whoever held it is gone."""
        async with self.world.context.database.begin() as session:
            await session.execute(
                text("update moves set leased_until = null, due_at = :now where id = :id"),
                {"now": wall(), "id": move_id},
            )

    async def balances(self) -> dict[tuple[str, str], int]:
        """Without gas and what began: only what moved."""
        found = await self.world.balances()
        found.pop(("expense:gas", "ETH"), None)
        found.pop((EQUITY, "ETH"), None)
        return found

    async def open_breaks(self) -> list[tuple[str, str]]:
        rows = await self.world.rows("breaks")
        return [(row.kind, row.place) for row in rows if row.status != "resolved"]

    async def until_told(self) -> None:
        """Works until a person is told of something."""

        async def told() -> bool:
            await self.work()
            return bool(await self.open_breaks())

        await eventually(told)

    async def books_match(self) -> None:
        """Hot wallet and treasury equal the chain; nothing hangs in between."""
        balances = await self.world.balances()
        node = self.world.node
        assert balances[self.hot_place] == await node.balance(self.hot)
        assert not [a for a, _ in balances if a.startswith(("transit:", "suspense"))]


@asynccontextmanager
async def open_moving(database: Database, node: Node, deployed: Deployed) -> AsyncIterator[Moving]:
    key = "0x" + secrets.token_hex(32)
    wallet = str(Account.from_key(key).address).lower()
    network = network_of(node, deployed)
    await node.rpc("anvil_setBalance", wallet, hex(HELD))
    async with make_world(database, {network: (node, deployed)}) as world:
        world.context.moves = MoveSettings(hold_new_addresses=False)
        world.context.banks = {"main": BankAccount(id="main", name="Main", asset=FIAT["EUR"])}
        async with database.begin() as session:
            for address, kind in (
                (wallet, WalletKind.HOT),
                (deployed.treasury, WalletKind.TREASURY),
            ):
                await hot.add(
                    session, address=address, label=kind, kind=kind, networks=[network.id],
                    now=wall(),
                )  # fmt: skip
            for account in (place(network.id, Role.HOT), *map(exchange, Venue)):
                begins = Entry(
                    id=ids.new(),
                    key=f"opening:{account}",
                    kind=Kind.OPENING,
                    reference=account,
                    merchant_id=None,
                    evidence={},
                    posted_at=wall(),
                    postings=transfer("ETH", HELD, debit=account, credit=EQUITY),
                )
                await post(session, [begins])
        venue = ScriptedVenue(node, network.id)
        signer = LocalSigner({wallet: key, deployed.treasury: TREASURY_KEY})
        endpoints = world.endpoints[network.id]
        yield Moving(
            world,
            venue,
            signer,
            wallet,
            Moves(world.context, {venue.venue: venue}, windows=WINDOWS),  # type: ignore[dict-item]
            Sending(world.context, network, endpoints, signer),
        )
