"""No Break where nothing is wrong: anything in any order, reconciled whenever it was followed.

The histories are those of the payments' own machine (forks, late money, sweeps, restarts), with
trades at a venue between. `make soak` plays 1,000 of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from core import ids
from exchanges.types import Side
from ledger.accounts import EQUITY, exchange
from ledger.journal import Entry, Kind, post, transfer
from tests.integration.payments.conftest import Chain
from tests.integration.payments.test_machine import Payments, enrich
from tests.integration.reconciliation.rig import ONE, Account, Rig
from tests.settings import SOAK, numbers
from tests.world import chain
from treasury.units import ledger_code


@pytest.fixture(scope="module")
def chains() -> Iterator[tuple[Chain, Chain]]:
    with chain(31337) as first, chain(31338) as second:
        yield first, second


class Honest(Payments):
    """As `Payments`, with all that the house begins with in the books, and a venue."""

    histories = 0
    runs = 0

    async def open(self) -> None:
        await super().open()
        account = Account(held={"ETH": 1000 * ONE, "EUR": 10**7 * ONE})
        self.rig = Rig(self.world, "", account)
        self.chance = Random(Honest.histories)
        Honest.histories += 1
        context = self.world.context
        begins = [(name, symbol, n) for (name, symbol), n in self.treasury.items() if n]
        begins += [
            (exchange(account.venue), ledger_code(context.catalog, symbol), units)
            for symbol, units in account.held.items()
        ]
        async with context.database.begin() as session:
            await post(session, [self.opening(*one) for one in begins])
        self.treasury = dict.fromkeys(self.treasury, 0)

    def opening(self, account: str, asset: str, units: int) -> Entry:
        return Entry(
            id=ids.new(), key=f"opening:{account}:{asset}", kind=Kind.OPENING, reference="opening",
            merchant_id=None, evidence={}, posted_at=self.world.context.clock.now(),
            postings=transfer(asset, units, debit=account, credit=EQUITY),
        )  # fmt: skip

    async def check(self) -> None:
        await super().check()
        if self.chance.random() < 0.5:
            side = self.chance.choice(list(Side))
            amount = self.chance.randrange(1, 10**18)
            number = str(len(self.rig.account.executed))
            fill = self.rig.account.execute(number, side, amount, 2500 * ONE + amount)
            await self.rig.book(fill)
        more: dict[str, Any] = {}
        if self.chance.random() < 0.7:
            more["trigger"] = "schedule"
        found = await self.rig.reconcile(**more)
        Honest.runs += 1
        ours = [b for b in await self.rig.breaks(None) if b["reconciliation"] is not None]
        assert (found["status"], ours) == ("clean", []), found


def test_no_break_where_nothing_is_wrong(
    server_url: str, template: str, chains: tuple[Chain, Chain]
) -> None:
    for one in chains:
        asyncio.run(enrich(one))
    Honest.place = (server_url, template, chains)
    run_state_machine_as_test(
        Honest,
        settings=settings(
            max_examples=numbers(2, 100),
            stateful_step_count=40 if SOAK else 12,
            deadline=None,
            derandomize=not SOAK,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"soak: {Honest.histories} honest histories, {Honest.runs} reconciliations")
