"""A second endpoint's word for what one of them showed (MONEY 2)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chain.endpoints import Endpoints
from chain.types import BALANCE, Cursor, Movement
from chain.watch import Watch
from chain.witness import Claim, Holding, hear
from core.context import Context
from core.networks import NATIVE, Network
from ledger.accounts import Role
from payments.tables import BlockRow, Deposit, HouseMovement, NetworkCursor

RECENT_BLOCKS = 8  # a block this far below the cursor: most nodes have it, and its state
FIRST = UUID(int=0)


class Witnesses:
    """Asks every endpoint about pending deposits, off the way of the cursor: only a large one waits
    for this.

    In turns of `at_once`, and what two endpoints did not bear out rests for a while: whatever is
    never witnessed keeps nothing else waiting.
    """

    def __init__(
        self,
        context: Context,
        network: Network,
        endpoints: Endpoints,
        *,
        at_once: int = 50,
        rest_seconds: float = 60,
    ) -> None:
        self._context = context
        self._network = network
        self._endpoints = endpoints
        self._watch = Watch.of(network)
        self._at_once = at_once
        self._rest_seconds = rest_seconds
        self._after = FIRST
        self._resting: dict[UUID, float] = {}  # until when, by the monotonic clock

    async def find(self) -> bool:
        """One turn; whether a deposit won a second witness."""
        now = time.monotonic()
        self._resting = {number: until for number, until in self._resting.items() if until > now}
        async with self._context.database.read() as session:
            deposits = await self._turn(session)
            holdings = await self._holdings(session, [d for d in deposits if d.position == BALANCE])
        claims = {Claim(_movement(d), holdings.get(d.id, ())): d.id for d in deposits}
        found = []
        for claim, heard in (await hear(list(claims), self._watch, self._endpoints)).items():
            if heard.witnessed:
                found.append(claims[claim])
            elif heard.complete:
                self._resting[claims[claim]] = now + self._rest_seconds
        if found:
            async with self._context.database.begin() as session:
                await session.execute(
                    update(Deposit)
                    .where(Deposit.id.in_(found), Deposit.status == "pending")
                    .values(witnessed=True)
                    .execution_options(synchronize_session=False)
                )
        return bool(found)

    async def _turn(self, session: AsyncSession) -> Sequence[Deposit]:
        waiting = (
            select(Deposit)
            .where(
                Deposit.network == self._network.id,
                Deposit.status == "pending",
                Deposit.witnessed.is_(False),
                Deposit.id > self._after,
                Deposit.id.not_in(list(self._resting)),
            )
            .order_by(Deposit.id)
            .limit(self._at_once)
        )
        deposits = (await session.scalars(waiting)).all()
        self._after = deposits[-1].id if len(deposits) == self._at_once else FIRST
        return deposits

    async def _holdings(
        self, session: AsyncSession, deposits: Sequence[Deposit]
    ) -> dict[UUID, tuple[Holding, ...]]:
        """What these deposits' addresses have by the books: at each one's block, and at a recent
        one, since nodes drop the state of older blocks."""
        if not deposits:
            return {}
        network, addresses = self._network.id, {d.address for d in deposits}
        arrived: dict[str, list[tuple[int, int]]] = defaultdict(list)
        of_address = select(Deposit.address, Deposit.block_number, Deposit.amount).where(
            Deposit.network == network,
            Deposit.address.in_(addresses),
            Deposit.token == NATIVE,
            Deposit.role == Role.DEPOSITS.value,
            Deposit.status != "orphaned",
        )
        for address, height, amount in await session.execute(of_address):
            arrived[address].append((height, int(amount)))
        swept: dict[str, set[Cursor]] = defaultdict(set)
        leaving = select(HouseMovement).where(
            HouseMovement.network == network,
            HouseMovement.source.in_(addresses),
            HouseMovement.asset == self._network.tokens[0].asset.symbol,
            HouseMovement.status == "live",
        )
        for row in await session.scalars(leaving):
            swept[row.source].add(Cursor(row.block_number, row.block_hash))
            if row.meaning != "swept":  # a surplus: it came as well, and is nobody's deposit
                arrived[row.source].append((row.block_number, int(row.amount)))
        cursor = select(NetworkCursor.number).where(NetworkCursor.network == network)
        recent = (
            select(BlockRow.number, BlockRow.hash)
            .where(
                BlockRow.network == network,
                BlockRow.number <= cursor.scalar_subquery() - RECENT_BLOCKS,
            )
            .order_by(BlockRow.number.desc())
            .limit(1)
        )
        later = [Cursor(*row) for row in await session.execute(recent)]

        def holding(deposit: Deposit, at: Cursor) -> Holding:
            return Holding(
                at=at,
                arrived=sum(units for n, units in arrived[deposit.address] if n <= at.number),
                sweeps=frozenset(b for b in swept[deposit.address] if b.number <= at.number),
            )

        return {
            d.id: tuple(
                holding(d, at)
                for at in (Cursor(d.block_number, d.block_hash), *later)
                if at.number >= d.block_number
            )
            for d in deposits
        }


def _movement(deposit: Deposit) -> Movement:
    """As the books have it."""
    return Movement(
        deposit.block_number,
        deposit.block_hash,
        deposit.tx_hash,
        deposit.position,
        deposit.token,
        deposit.sender,
        deposit.address,
        int(deposit.amount),
    )
