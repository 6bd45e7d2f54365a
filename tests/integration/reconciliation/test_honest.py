"""No Break where nothing is wrong: anything in any order, reconciled whenever it was followed.

The histories are those of the payments' own machine (forks, late money, sweeps, restarts), with a
house between that moves, converts and pays out. Most runs fall where something is under way: in
transit, without an answer, in a file for the bank. `make soak` plays 1,000 of them.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from core import ids
from core.networks import Traces
from ledger.accounts import EQUITY
from ledger.journal import Entry, Kind, post, transfer
from reconciliation.venues import PATIENCE
from tests.integration.payments import test_machine
from tests.integration.payments.conftest import Chain
from tests.integration.payments.test_machine import Payments, enrich
from tests.integration.reconciliation import honest_house
from tests.integration.reconciliation.honest_house import House
from tests.integration.reconciliation.rig import Rig
from tests.settings import SOAK, numbers
from tests.world import chain

OFTEN = {"venue_tells", "venue_sees", "statement"}  # after these all is compared at once
DEEDS = {**test_machine.DEEDS, **honest_house.DEEDS}
del DEEDS["flip"]  # what the house sends waits in the pool, and would be in blocks of before
ROUNDS = 60  # of all that is to be done, until nothing is under way


@pytest.fixture(scope="module")
def chains() -> Iterator[tuple[Chain, Chain]]:
    with chain(31337) as first, chain(31338) as second:
        yield first, second


def deed_of(number: int) -> tuple[Any, ...]:
    """As the payments' own, with the house's between."""
    chance = Random(number)
    [name] = chance.choices(list(DEEDS), [often for often, _ in DEEDS.values()])
    return (name, *(chance.choice(options) for options in DEEDS[name][1]))


class Honest(Payments):
    """As `Payments`, with all that the house begins with in the books, and what it does."""

    did: ClassVar[Counter[str]] = Counter()
    ways = Traces.TRACE, Traces.TRACE

    async def open(self) -> None:
        await super().open()
        self.house = House(self.world, self.branches[0])
        venue: Any = self.house.venue
        self.rig = Rig(self.world, "", venue)
        self.compared = self.steps = 0  # reconciliations and deeds of this history
        Honest.did["honest histories"] += 1
        await self.house.open()
        begins = [(name, symbol, n) for (name, symbol), n in self.treasury.items() if n]
        async with self.world.context.database.begin() as session:
            await post(session, [self.opening(*one) for one in begins])
        await self.house.begin()
        await self.check()

    def opening(self, account: str, asset: str, units: int) -> Entry:
        return Entry(
            id=ids.new(), key=f"opening:{account}:{asset}", kind=Kind.OPENING, reference="opening",
            merchant_id=None, evidence={}, posted_at=self.world.context.clock.now(),
            postings=transfer(asset, units, debit=account, credit=EQUITY),
        )  # fmt: skip

    @rule(number=st.integers(0, 2**48))
    def happens(self, number: int) -> None:
        """The same number again is another deed: the simplest history is one too."""
        name, *arguments = deed_of(number + 2**48 * self.steps)
        self.steps += 1
        if name not in honest_house.DEEDS:
            getattr(self, name)(*arguments)
            return
        self.try_(getattr(self.house, name)(*arguments))
        if name in OFTEN:
            self.follow()

    async def check(self) -> None:
        """What payments do to the books, their own machine looks at: here merchants are paid."""
        await self.world.follow()
        await self.reconciled(PATIENCE)

    async def reconciled(self, patience: timedelta) -> None:
        more: dict[str, Any] = {"patience": patience}
        if self.compared % 3:
            more["trigger"] = "schedule"
        found = await self.rig.reconcile(**more)
        self.compared += 1
        Honest.did["reconciliations"] += 1
        Honest.did["of those with something under way"] += bool(await self.house.under_way())
        ours = [b for b in await self.rig.breaks(None) if b["reconciliation"] is not None]
        assert (found["status"], ours) == ("clean", []), json.dumps([found["unread"], ours])

    async def settle(self) -> None:
        """Everything comes to its end, and then nothing is late, however short the patience."""
        for _ in range(ROUNDS):
            await self.world.mine(3)
            await self.world.follow()
            if not await self.house.end_all():
                break
            await self.world.advance(3)
        if await self.house.under_way():
            pytest.fail("\n".join(await self.house.told()))
        await self.world.follow()
        await self.reconciled(timedelta())
        assert not await self.world.rows("deposits", status="pending")
        for table in ("moves", "conversions", "payouts", "bank_lines"):
            Honest.did[table.replace("_", " ")] += len(await self.world.rows(table))


def test_no_break_where_nothing_is_wrong(
    server_url: str, template: str, chains: tuple[Chain, Chain]
) -> None:
    for one in chains:
        asyncio.run(enrich(one))
    Honest.place = (server_url, template, chains)
    run_state_machine_as_test(
        Honest,
        settings=settings(
            max_examples=numbers(1, 100),
            stateful_step_count=60 if SOAK else 16,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print("soak:", ", ".join(f"{number} {what}" for what, number in Honest.did.items()))
