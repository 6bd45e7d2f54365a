"""Transfers between customers' wallets on the real database: whatever is asked, in whatever order
or at once, money is only moved, never made, and no wallet is overdrawn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from core import ids
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.errors import Conflict
from core.listen import Listener
from core.networks import Catalog
from core.secrets import SecretBox
from ledger.accounts import EQUITY, Debt, wallet
from ledger.journal import Entry, Kind, post, transfer
from payments import customer_wallets, customers, transfers, wallet_limits
from payments.transfers import NewTransfer
from payments.wallet_limits import NewLimit
from tests.integration.api.conftest import CATALOG
from tests.settings import numbers
from tests.world import add_merchant

WALLETS = 3
SCALE = 10**6  # USDC
# (from, to, amount in base units, hours later)
Move = tuple[int, int, int, int]
moves = st.lists(
    st.tuples(
        st.integers(0, WALLETS - 1),
        st.integers(0, WALLETS - 1),
        st.integers(1, 120),
        st.sampled_from([0, 0, 0, 13]),
    ).filter(lambda move: move[0] != move[1]),
    min_size=1,
    max_size=12,
)
caps = st.tuples(
    st.none() | st.integers(20, 100), st.none() | st.integers(30, 200)
)  # at once, in a day


class Bank:
    """Wallets of one merchant, each with 100 base units of USDC."""

    def __init__(self, context: Context, merchant_id: UUID, wallets: Sequence[UUID]) -> None:
        self.context, self.merchant_id, self.wallets = context, merchant_id, wallets

    @classmethod
    async def open(cls, database: Database) -> Bank:
        context = Context(
            database=database,
            clock=Clock(),
            listener=Listener(database),
            catalog=Catalog(CATALOG.networks),
            secrets=SecretBox({1: os.urandom(32)}),
            public_url="http://127.0.0.1:1",
        )
        merchant_id = await add_merchant(context)
        wallets = [await cls._wallet(context, merchant_id) for _ in range(WALLETS)]
        return cls(context, merchant_id, wallets)

    @staticmethod
    async def _wallet(context: Context, merchant_id: UUID) -> UUID:
        async with context.database.begin() as session:
            customer = await customers.create(session, context, merchant_id, ids.new().hex, {})
            number = ids.read("cus", customer["id"])
            made = await customer_wallets.create(session, context, merchant_id, number, None)
            found = ids.read("wal", made["id"])
            assert found is not None
            entry = Entry(
                id=ids.new(), key=f"opening:{found}", kind=Kind.OPENING, reference="a test's",
                merchant_id=merchant_id, evidence={}, posted_at=context.clock.now(),
                postings=transfer("USDC", 100, debit=EQUITY, credit=wallet(found, Debt.AVAILABLE)),
            )  # fmt: skip
            await post(session, [entry])
        return found

    async def move(self, move: Move) -> str:
        """`done`, or the code it was refused with."""
        payer, payee, units, hours = move
        clock = self.context.clock
        clock.set_offset(clock.offset + timedelta(hours=hours))
        request = NewTransfer(
            from_wallet=self.wallets[payer],
            to_wallet=self.wallets[payee],
            amount=f"{units // SCALE}.{units % SCALE:06}",
            asset="USDC",
        )
        try:
            async with self.context.database.begin() as session:
                await transfers.create(session, self.context, self.merchant_id, request, "key_x")
        except Conflict as refused:
            return refused.code
        return "done"

    async def limit(self, per_transfer: int | None, per_day: int | None) -> None:
        def major(units: int | None) -> str | None:
            return None if units is None else f"0.{units:06}"

        limit = NewLimit(asset="USDC", per_transfer=major(per_transfer), per_day=major(per_day))
        async with self.context.database.begin() as session:
            await wallet_limits.replace(session, self.context, self.wallets[0], [limit])

    async def holds(self) -> list[int]:
        mine = [wallet(one, Debt.AVAILABLE) for one in self.wallets]
        query = text("select account, -balance from account_balances where account = any(:mine)")
        async with self.context.database.read() as session:
            found = (await session.execute(query, {"mine": mine})).all()
        balances = {account: int(units) for account, units in found}
        return [balances[account] for account in mine]

    async def assert_nothing_was_made(self) -> None:
        held = await self.holds()
        assert sum(held) == 100 * WALLETS
        assert min(held) >= 0
        async with self.context.database.read() as session:
            odd = "select 1 from postings group by entry_id, asset having sum(amount) <> 0"
            assert (await session.execute(text(odd))).all() == []
            wrong = """
            select 1 from (select account, asset, sum(amount) s from postings group by 1, 2) p
            full join account_balances b using (account, asset) where p.s is distinct from b.balance
            """
            assert (await session.execute(text(wrong))).all() == []


class Naive:
    """The rule once more, as simple as can be."""

    def __init__(self, per_transfer: int | None, per_day: int | None) -> None:
        self.per_transfer, self.per_day = per_transfer, per_day  # of the first wallet
        self.held = [100] * WALLETS
        self.left: list[tuple[int, int]] = []  # hour, units that left the first wallet
        self.hour = 0

    def move(self, move: Move) -> str:
        payer, payee, units, hours = move
        self.hour += hours
        if payer == 0:
            lately = sum(n for hour, n in self.left if hour > self.hour - 24)
            if self.per_transfer is not None and units > self.per_transfer:
                return "limit_exceeded"
            if self.per_day is not None and lately + units > self.per_day:
                return "limit_exceeded"
        if self.held[payer] < units:
            return "insufficient_funds"
        self.held[payer] -= units
        self.held[payee] += units
        if payer == 0:
            self.left.append((self.hour, units))
        return "done"


@settings(
    max_examples=numbers(15, 300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(wanted=moves, cap=caps)
async def test_one_after_another_as_the_naive_rule_says(
    database: Database, wanted: list[Move], cap: tuple[int | None, int | None]
) -> None:
    bank, naive = await Bank.open(database), Naive(*cap)
    await bank.limit(*cap)
    said = [await bank.move(move) for move in wanted]
    assert said == [naive.move(move) for move in wanted]
    assert await bank.holds() == naive.held
    await bank.assert_nothing_was_made()


@settings(
    max_examples=numbers(10, 300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(wanted=moves, cap=caps)
async def test_all_at_once(
    database: Database, wanted: list[Move], cap: tuple[int | None, int | None]
) -> None:
    """Whoever comes first: nobody waits in a circle, the limits of a day hold."""
    bank = await Bank.open(database)
    await bank.limit(*cap)
    now = [(payer, payee, units, 0) for payer, payee, units, _ in wanted]
    said = await asyncio.gather(*(bank.move(move) for move in now))
    done = [move for move, word in zip(now, said, strict=True) if word == "done"]
    held = [100] * WALLETS
    for payer, payee, units, _ in done:
        held[payer] -= units
        held[payee] += units
    assert await bank.holds() == held
    left = [units for payer, _, units, _ in done if payer == 0]
    assert all(cap[0] is None or units <= cap[0] for units in left)
    assert cap[1] is None or sum(left) <= cap[1]
    await bank.assert_nothing_was_made()
