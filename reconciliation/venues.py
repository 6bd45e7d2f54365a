"""A venue against the books: balances, and item by item what explains them.

What differs is named by the item that differs: an execution, a deposit, a withdrawal. A balance
is a Break only for what no item explains. Orders and transfers under way are no mistakes: what
they leave open is a timing difference, and none while it is young.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from core import clock
from core.context import Context
from core.errors import OrderRefused
from core.money import FIAT
from exchanges.protocol import Exchange
from exchanges.types import Fill, TransferStatus, VenueDeposit, VenueWithdrawal
from ledger.accounts import exchange as account_of
from ledger.breaks import BreakKind, Difference
from reconciliation import marks, moves, venue_books
from reconciliation.executions import FillComparison
from reconciliation.parts import Part
from reconciliation.transfers import Item, TransferComparison, sums
from reconciliation.venue_books import KnownTransfers, Reading, changed
from treasury import fundings
from treasury.units import ledger_code

AGAIN = timedelta(hours=1)  # before the last run: a venue may show an item late
LOOK_BACK = timedelta(days=7)  # of a run on command, and of the first one
PATIENCE = timedelta(minutes=2)  # what is under way for so long is told
TRIES = 4  # readings, until nothing moved meanwhile
_MICROSECONDS = 1_000_000
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)  # no venue is older


class VenueComparison:
    """Of one venue, in one run. `whole`: further back than the last run."""

    def __init__(
        self,
        context: Context,
        exchange: Exchange,
        run_id: UUID,
        *,
        whole: bool,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._context = context
        self._exchange = exchange
        self._venue = exchange.venue
        self._run_id = run_id
        self._whole = whole
        self._patience = patience
        self._part = Part(f"venue:{self._venue}")
        # What items explain: the ledger's code -> units that the venue has more than the books.
        self._explained: defaultdict[str, int] = defaultdict(int)

    async def compare(self) -> Part:
        """Raises VenueUnavailable when the venue cannot be read."""
        since = await self._since()
        reading = await self._read(since)
        self._part.venue = {"venue": self._venue.value, "as_of": clock.show(reading.as_of)}
        self._part.facts = {"since": clock.show(since), "under_way": 0}
        await self._fills(reading)
        moving = await self._moves(reading, since)
        reading = await self._from_banks(reading, since)
        self._balances(reading, moving)
        at = int(reading.as_of.timestamp() * _MICROSECONDS)
        self._part.marks[self._part.name] = (at, reading.as_of.isoformat())
        return self._part

    async def _since(self) -> datetime:
        """From the last reading (with overlap), and never from before the books began."""
        async with self._context.database.read() as session:
            mark = await marks.load(session, self._part.name)
            oldest = await marks.oldest_time(session, self._part.prefix)
        far = clock.wall() - LOOK_BACK
        since = far
        if mark is not None and not self._whole:
            since = datetime.fromisoformat(mark.hash) - AGAIN
        if oldest is not None:
            since = min(since, oldest - AGAIN)
        return max(since, await self._begun())

    async def _begun(self) -> datetime:
        """Wall time; what happened before is in the opening balance."""
        begun = await venue_books.begun(self._context, self._venue)
        return _ALWAYS if begun is None else begun - self._context.clock.offset

    async def _read(self, since: datetime) -> Reading:
        """Again while something moves: balances, items and books belong to one moment."""
        for left in reversed(range(TRIES)):
            began = clock.wall()
            async with self._context.database.statement() as connection:
                before = await venue_books.balances(connection, self._venue)
            held = await self._held()
            shown, untold = await self._executions(before.keys() | held.keys(), since)
            fills = [fill for fill in shown if fill.amends is None]
            amendments = [fill for fill in shown if fill.amends is not None]
            deposits = await self._exchange.deposits(since)
            withdrawals = await self._exchange.withdrawals(since)
            as_of = clock.wall()
            after = await self._held()
            books = await venue_books.read(self._context, self._venue, since)
            moved = changed(held, after) | changed(before, books.balances)
            if not moved or not left:
                return Reading(
                    began, as_of, after, fills, amendments, untold, deposits, withdrawals, books,
                    moved,
                )  # fmt: skip
        raise AssertionError("not reached")

    async def _held(self) -> dict[str, int]:
        """The ledger's code -> units, without zeros."""
        balances = await self._exchange.balances()
        catalog = self._context.catalog
        return {ledger_code(catalog, s): b.total for s, b in balances.items() if b.total}

    async def _executions(
        self, assets: Set[str], since: datetime
    ) -> tuple[list[Fill], frozenset[str]]:
        """Also in what is no market any more, or none with a fee that is told. The symbols besides
        of which the venue does not tell."""
        listed = await self._symbols(assets)
        booked = await venue_books.symbols(self._context, self._venue, since)
        shown, untold = [], set()
        for symbol in sorted({*listed, *booked}):
            try:
                shown += await self._exchange.fills_since(symbol, since)
            except OrderRefused:
                if symbol in listed:
                    raise
                untold.add(symbol)
        # A venue may show some from before; the books are read from `since` on.
        return [fill for fill in shown if fill.at >= since], frozenset(untold)

    async def _symbols(self, assets: Set[str]) -> list[str]:
        """Markets between assets that we hold there, or ever held: others cannot have been used."""
        catalog = self._context.catalog
        return [
            market.symbol
            for market in (await self._exchange.markets()).values()
            if {ledger_code(catalog, market.base), ledger_code(catalog, market.quote)} <= assets
        ]

    async def _fills(self, reading: Reading) -> None:
        comparison = FillComparison(self._venue, self._context.catalog, reading, self._patience)
        missing = comparison.missing()
        booked = await venue_books.in_journal(self._context, list(missing))
        for item in comparison.compare(booked):
            self._item(item)
        self._part.compared += len(reading.books.fills) + len(missing)
        self._part.facts["under_way"] += comparison.under_way
        for code, units in comparison.explained.items():
            self._explained[code] += units
        for fill in reading.amendments:
            # What it did to the balances nobody tells: they are compared as they are.
            said = f"{fill.amends}: an execution that is undone or corrected is for a person"
            facts = comparison.facts(fill, said, booked=False)
            name, base = ("amendment", fill.symbol, fill.id), fill.symbol.partition("-")[0]
            self._add(name, BreakKind.MISSING_IN_LEDGER, base, None, None, facts)
        self._part.compared += len(reading.amendments)
        await self._untold(reading.untold)

    async def _untold(self, symbols: Set[str]) -> None:
        """What is said of their executions stands as it is."""
        if not symbols:
            return
        async with self._context.database.read() as session:
            standing = await marks.standing(session, self._part.prefix)
        for symbol in sorted(symbols):
            names = tuple(self._part.key(what, symbol, "") for what in ("fill", "amendment"))
            self._part.unjudged |= {key for key in standing if key.startswith(names)}
            self._part.unread.append(f"{symbol} is no market any more: its executions are not told")

    async def _moves(self, reading: Reading, since: datetime) -> dict[str, list[int]]:
        """Deposits and withdrawals. The ledger's code -> what each pending withdrawal takes."""
        catalog = self._context.catalog
        async with self._context.database.statement() as connection:
            known = await moves.known(
                connection, self._venue, reading.deposits, reading.withdrawals, since
            )
        self._transfers(reading, known, reading.deposits, reading.withdrawals)
        moving: defaultdict[str, list[int]] = defaultdict(list)
        for one in reading.withdrawals:
            if one.status is TransferStatus.PENDING:
                moving[ledger_code(catalog, one.asset)].append(one.amount + one.fee)
        return moving

    def _transfers(
        self,
        reading: Reading,
        known: KnownTransfers,
        deposits: Sequence[VenueDeposit],
        withdrawals: Sequence[VenueWithdrawal] = (),
    ) -> None:
        comparison = TransferComparison(self._venue, reading.as_of, self._patience, known)
        items = comparison.compare(deposits, withdrawals)
        self._part.compared += len(deposits) + len(withdrawals)
        self._part.facts["under_way"] += comparison.under_way
        for item in items:
            code = ledger_code(self._context.catalog, item.asset)
            self._explained[code] += item.actual - item.expected
            self._item(item)

    async def _from_banks(self, reading: Reading, since: datetime) -> Reading:
        """What banks brought, where all the rest does not explain a balance of fiat: the question
        is dear (see `fiat_deposits`), and has no news where the sums agree. A deposit may be listed
        by when it was announced, so the look back is as far as on command."""
        if not any(self._rest(reading, asset.at_venue().code) for asset in FIAT.values()):
            return reading
        begins = max(min(since, clock.wall() - LOOK_BACK), await self._begun())
        deposits = await self._exchange.fiat_deposits(begins)
        async with self._context.database.read() as session:
            found = await fundings.find(session, self._context, self._venue, deposits)
        async with self._context.database.statement() as connection:
            known = await moves.known(
                connection, self._venue, deposits, (), since, moves.BY_BANK,
                [one.id for one in found.same.values()],
            )  # fmt: skip
        self._transfers(reading, known, deposits)
        moved = changed(reading.balances, await self._held())
        return replace(reading, moved=reading.moved | moved)

    def _rest(self, reading: Reading, code: str) -> int:
        """What the venue has more of than books and items explain."""
        ours, theirs = reading.books.balances.get(code, 0), reading.balances.get(code, 0)
        return theirs - ours - self._explained[code]

    def _balances(self, reading: Reading, moving: Mapping[str, Sequence[int]]) -> None:
        """The rest that no item explains. A withdrawal under way may still be in the venue's
        balance, or not any more."""
        for code in sorted(reading.balances.keys() | reading.books.balances.keys()):
            self._part.compared += 1
            ours, theirs = reading.books.balances.get(code, 0), reading.balances.get(code, 0)
            rest = self._rest(reading, code)
            if rest in sums(moving.get(code, ())):
                continue
            symbol = code.partition("@")[0]
            orders = [o for o in reading.books.unended if symbol in (o.from_asset, o.to_asset)]
            if code in reading.moved and not orders:
                self._part.unjudged.add(self._part.key("balance", code))
                self._part.unread.append(f"{code} moved at each of {TRIES} readings")
                continue
            busy = bool(orders)
            if busy and all(reading.as_of - o.created_at < self._patience for o in orders):
                self._part.unjudged.add(self._part.key("balance", code))
                self._part.facts["under_way"] += 1
                continue
            facts = {
                "venue": self._venue.value,
                "as_of": reading.as_of.isoformat(),
                "explained_units": str(self._explained[code]),
                "unexplained_units": str(rest),
                "moving_units": str(sum(moving.get(code, ()))),
                "orders": [order.client_id for order in orders],
                "ledger_asset": code,
            }
            kind = BreakKind.TIMING if busy else BreakKind.AMOUNT
            self._add(("balance", code), kind, code, ours + self._explained[code], theirs, facts)

    def _item(self, item: Item) -> None:
        if item.kind is not None:
            self._add(item.name, item.kind, item.asset, item.expected, item.actual, item.facts)

    def _add(
        self,
        name: Sequence[object],
        kind: BreakKind,
        asset: str,
        expected: int | None,
        actual: int | None,
        facts: Mapping[str, object],
    ) -> None:
        """`asset` by symbol or code; amounts in the venue's units."""
        code = asset if "@" in asset else ledger_code(self._context.catalog, asset)
        self._part.add(
            Difference(
                key=self._part.key(*name),
                kind=kind,
                place=account_of(self._venue),
                asset=code,
                expected=expected,
                actual=actual,
                facts=dict(facts),
                run_id=self._run_id,
            )
        )
