"""A world with a hot wallet and a treasury in its books, and somebody who reconciles it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from core import ids
from core.clock import wall
from core.db import plain_url
from core.errors import OrderRefused
from core.networks import NATIVE
from exchanges.types import (
    Balance,
    Fill,
    Market,
    Side,
    Venue,
    VenueDeposit,
    VenueWithdrawal,
)
from ledger.accounts import EQUITY, Role, exchange, place
from ledger.journal import Entry, Kind, post, transfer
from ledger.sequence import number_pending
from reconciliation import resolving, runs
from reconciliation.parts import Scope
from reconciliation.running import Reconciling
from tests.world import World, artifact, calldata
from treasury import fills as treasury_fills
from treasury.units import ledger_code
from wallets import hot
from wallets.hot import WalletKind

ONE = 10**18
HOT = "0x" + "a1" * 20
WEI = 5 * ONE


def market(symbol: str) -> Market:
    base, _, quote = symbol.partition("-")
    return Market(
        symbol=symbol, native=symbol, base=base, quote=quote, tick=1, step=1, min_quantity=1,
        max_quantity=None, min_notional=1, max_notional=None, taker_fee=0, trading=True,
    )  # fmt: skip


@dataclass
class Account:
    """The reading half of an `Exchange`: what a test puts into it."""

    venue: Venue = Venue.BINANCE
    listed: Sequence[str] = ("ETH-EUR", "ETH-USDT", "DOGE-BTC")
    held: dict[str, int] = field(default_factory=dict)
    executed: list[Fill] = field(default_factory=list)
    came: list[VenueDeposit] = field(default_factory=list)
    banked: list[VenueDeposit] = field(default_factory=list)
    went: list[VenueWithdrawal] = field(default_factory=list)
    refused: Sequence[str] = ()  # symbols that it knows nothing of any more
    error: Exception | None = None

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error

    async def markets(self) -> Mapping[str, Market]:
        self._answer()
        return {symbol: market(symbol) for symbol in self.listed}

    async def balances(self) -> Mapping[str, Balance]:
        self._answer()
        return {asset: Balance(units, 0) for asset, units in self.held.items()}

    async def fills_since(self, symbol: str, since: datetime) -> list[Fill]:
        self._answer()
        if symbol in self.refused:
            raise OrderRefused("unknown_symbol", symbol)
        return [f for f in self.executed if f.symbol == symbol and f.at >= since]

    async def deposits(self, since: datetime) -> list[VenueDeposit]:
        self._answer()
        return [d for d in self.came if d.at >= since]

    async def fiat_deposits(self, since: datetime) -> list[VenueDeposit]:
        self._answer()
        return [d for d in self.banked if d.at >= since]

    async def withdrawals(self, since: datetime) -> list[VenueWithdrawal]:
        self._answer()
        return [w for w in self.went if w.at >= since]

    def execute(self, number: str, side: Side, quantity: int, price: int, **more: Any) -> Fill:
        """A fill, and what it does to the balances."""
        values: dict[str, Any] = {"fee": ONE // 1000, "fee_asset": "EUR", "at": wall(), **more}
        fill = Fill(
            id=number, venue_id=f"v-{number}", symbol="ETH-EUR", side=side, price=price,
            quantity=quantity, quote_quantity=quantity * price // ONE, **values,
        )  # fmt: skip
        sign = 1 if side is Side.BUY else -1
        self.held["ETH"] = self.held.get("ETH", 0) + sign * quantity
        self.held["EUR"] = self.held.get("EUR", 0) - sign * fill.quote_quantity
        self.held[fill.fee_asset] = self.held.get(fill.fee_asset, 0) - fill.fee
        self.executed.append(fill)
        return fill


@dataclass
class Rig:
    """`reconcile` is a whole run, as the worker makes one."""

    world: World
    owner_url: str
    account: Account
    scope: str = "all"

    @property
    def network(self) -> str:
        return next(iter(self.world.context.catalog.networks))

    async def open_venue(self) -> None:
        """What the account holds, in the books."""
        context, now = self.world.context, self.world.context.clock.now()
        async with context.database.begin() as session:
            await post(
                session,
                [
                    _opening(
                        exchange(self.account.venue), ledger_code(context.catalog, s), units, now
                    )
                    for s, units in self.account.held.items()
                ],
            )

    async def begin(self) -> None:
        """A hot wallet with ETH and USDC, an empty treasury, and what the venue's account holds:
        all of it in the books."""
        await self.open_venue()
        world, context = self.world, self.world.context
        node, usdc = world.node, world.contracts.tokens["USDC"]
        await node.rpc("anvil_setCode", context.catalog.networks[self.network].multicall,
                       artifact("Multicall3")["deployedBytecode"])  # fmt: skip
        await node.rpc("anvil_setBalance", HOT, hex(WEI))
        have = await node.balance(HOT, usdc.address)
        await node.send(usdc.address, data=calldata("mint(address,uint256)", HOT, 7), gas=200_000)
        treasury = world.contracts.treasury
        for token in world.contracts.tokens.values():
            if token.address == NATIVE:
                await node.rpc("anvil_setBalance", treasury, "0x0")
        await world.follow()  # what came before it was ours has no meaning
        now = context.clock.now()
        at_treasury = {
            symbol: await node.balance(treasury, token.address)
            for symbol, token in world.contracts.tokens.items()
        }
        openings = [
            (place(self.network, Role.HOT), "ETH", WEI),
            (place(self.network, Role.HOT), "USDC", have + 7),
            *((place(self.network, Role.TREASURY), s, n) for s, n in at_treasury.items()),
        ]
        async with context.database.begin() as session:
            for address, kind in ((HOT, WalletKind.HOT), (treasury, WalletKind.TREASURY)):
                await hot.add(session, address=address, label=kind, kind=kind,
                              networks=[self.network], now=now)  # fmt: skip
            await post(session, [_opening(*one, now) for one in openings if one[2]])
        await self.follow()

    async def follow(self) -> None:
        await self.world.mine()
        await self.world.follow()

    async def reconcile(self, scope: str | None = None, **more: Any) -> dict[str, Any]:
        """On command; the sequencer has done its work before."""
        context = self.world.context
        while await number_pending(context.database):
            pass
        async with context.database.begin() as session:
            row = await runs.request(
                session, context, Scope(scope or self.scope), initiator="test",
                trigger=more.pop("trigger", runs.COMMAND),
            )  # fmt: skip
        worker = self.worker(**more)
        assert await worker.claim(1) == [row.id]
        await worker.step(row.id)
        async with context.database.read() as session:
            return await runs.show(session, row.id)

    def worker(self, **more: Any) -> Reconciling:
        values: dict[str, Any] = {
            "every_seconds": None, "wait_seconds": 0, "patience": timedelta(), **more,
        }  # fmt: skip
        exchanges: Any = {self.account.venue: self.account}
        return Reconciling(self.world.context, self.world.endpoints, exchanges, **values)

    async def breaks(self, status: str | None = "open") -> list[dict[str, Any]]:
        """As the API shows them, oldest first."""
        async with self.world.context.database.read() as session:
            found, _ = await resolving.page(
                session, self.world.context, status=status, kind=None, place=None, limit=100,
                cursor=None,
            )  # fmt: skip
        return found[::-1]

    async def resolve(self, number: str, how: str, note: str = "seen") -> dict[str, Any]:
        context = self.world.context
        async with context.database.begin() as session:
            return await resolving.resolve(
                session, context, ids.read("brk", number), how, note, by="key_test"
            )

    def tamper(self, *statements: str) -> None:
        """As a superuser, with the triggers switched off."""
        with psycopg.connect(plain_url(self.owner_url), autocommit=True) as connection:
            connection.execute("set session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.encode())

    async def post(self, account: str, units: int) -> None:
        """ETH that came to a place or left it, as an entry of somebody else's says."""
        context = self.world.context
        async with context.database.begin() as session:
            await post(session, [_opening(account, "ETH", units, context.clock.now(), "more")])

    async def book(self, fill: Fill) -> None:
        context = self.world.context
        async with context.database.begin() as session:
            await treasury_fills.book(session, context, self.account.venue, [fill], None)


def _opening(account: str, asset: str, units: int, now: datetime, name: str = "opening") -> Entry:
    return Entry(
        id=ids.new(), key=f"{name}:{account}:{asset}", kind=Kind.OPENING, reference="opening",
        merchant_id=None, evidence={}, posted_at=now,
        postings=transfer(asset, units, debit=account, credit=EQUITY),
    )  # fmt: skip
