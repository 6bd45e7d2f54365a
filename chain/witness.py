"""What moved in a block, by more than one endpoint's word.

A block's hash proves its transactions, not what a node tells of calls and logs inside them: a
second endpoint that holds the same block has still not said that money moved, nor how much. For
large sums each endpoint is asked by itself (MONEY 2: `waiting_for: second_endpoint`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from chain import balances, decode
from chain.decode import number
from chain.endpoints import Endpoint, Endpoints, tag
from chain.ranges import together
from chain.reader import Reader, whole
from chain.types import BALANCE, Cursor, Movement, Swept
from chain.watch import Watch
from chain.wire import BALANCE as GET_BALANCE
from chain.wire import BLOCK_BY_NUMBER, Header
from core.errors import BlockUnknown, ChainError, Inconsistent
from core.metrics import MOVEMENTS_DISPUTED
from core.networks import NATIVE

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Holding:
    """What came to an address up to a block, by the books: `arrived` wei. It has them still, or
    sweeps in the blocks of `sweeps` took them away."""

    at: Cursor
    arrived: int
    sweeps: frozenset[Cursor] = frozenset()


@dataclass(frozen=True, slots=True)
class Claim:
    """A movement as it stands in the books. No block tells of a `balance`: what speaks for it are
    the address's `holdings`, of which a witness answers the first that it has the state for."""

    movement: Movement
    holdings: tuple[Holding, ...] = ()

    @property
    def block(self) -> Cursor:
        return Cursor(self.movement.block_number, self.movement.block_hash)


@dataclass(slots=True)
class Heard:
    """What endpoints that hold a claim's block say of it. `unable`: how many of them cannot tell,
    because the state is gone, or failed when they were asked."""

    shown: list[Endpoint]
    denied: list[Endpoint]
    unable: int = 0

    @property
    def witnessed(self) -> bool:
        """By two endpoints, and by more than contradict them."""
        return len(self.shown) > 1 and len(self.shown) > len(self.denied)

    @property
    def complete(self) -> bool:
        """Two have answered: to ask again at once would bring the same."""
        return len(self.shown) + len(self.denied) + self.unable > 1


async def hear(claims: Collection[Claim], watch: Watch, endpoints: Endpoints) -> dict[Claim, Heard]:
    """What each endpoint says of these claims by itself, sender and amount included.

    Nothing of a claim whose block fewer than two endpoints hold (yet). Who contradicts is blamed
    and told as for a wrong hash: the smaller side, or both. Never raises: who does not answer
    witnesses nothing.
    """
    witnesses = [_Witness(Reader(watch, e, endpoints, alone=True)) for e in endpoints.ranked()]
    if not claims or len(witnesses) < 2:
        return {}
    blocks = {block for claim in claims for block in _blocks(claim)}
    await together(*(witness.look_for(blocks) for witness in witnesses))
    holders = Counter(block_hash for witness in witnesses for block_hash in witness.held)
    asked = [c for c in claims if holders[c.movement.block_hash] > 1]
    await together(*(witness.answer(asked) for witness in witnesses))
    found = {}
    for claim in asked:
        said = [(w.endpoint, w.said[claim]) for w in witnesses if claim in w.said]
        found[claim] = Heard(
            shown=[endpoint for endpoint, word in said if word is True],
            denied=[endpoint for endpoint, word in said if word is False],
            unable=sum(1 for _, word in said if word is None),
        )
        _judge(claim, found[claim], endpoints)
    return found


def _blocks(claim: Claim) -> set[Cursor]:
    return {claim.block, *(b for h in claim.holdings for b in (h.at, *h.sweeps))}


def _judge(claim: Claim, heard: Heard, endpoints: Endpoints) -> None:
    shown, denied, movement = heard.shown, heard.denied, claim.movement
    if not denied:
        return
    if shown:
        for side, other in ((shown, denied), (denied, shown)):
            for endpoint in side if len(side) <= len(other) else ():
                endpoints.disagreed(endpoint, movement.block_number)
    if not heard.witnessed:
        MOVEMENTS_DISPUTED.labels(endpoints.network.id).inc()
        log.warning(
            "movement_disputed",
            network=endpoints.network.id,
            block=movement.block_hash,
            tx_hash=movement.tx_hash,
            position=movement.position,
            amount=str(movement.amount),
            shown=[endpoint.name for endpoint in shown],
            denied=[endpoint.name for endpoint in denied],
        )


class _Witness:
    """One endpoint. `held`: the blocks that it has on its chain; `said`: whether it shows what is
    claimed, None where it cannot tell."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ours: dict[str, set[str]] = defaultdict(set)  # whose arrivals to measure, by block
        self._read: dict[str, tuple[set[Movement], list[Swept]]] = {}
        self.held: dict[str, Header] = {}
        self.said: dict[Claim, bool | None] = {}

    @property
    def endpoint(self) -> Endpoint:
        return self._reader.endpoint

    async def look_for(self, blocks: Collection[Cursor]) -> None:
        reader = self._reader
        try:
            await reader.endpoints.check_chain(self.endpoint)
            top = number((await reader.head()).number)
            there = [block for block in blocks if block.number <= top]
            headers = await reader.each(
                BLOCK_BY_NUMBER,
                [(tag(block.number), False) for block in there],
                self.endpoint.headers,
                lambda _, header: header,
            )
            for block, header in zip(there, headers, strict=True):
                if header is not None and header.hash == block.hash:
                    with suppress(Inconsistent):  # without its body
                        whole(header)
                        self.held[header.hash] = header
        except ChainError as error:
            reader.endpoints.failed(self.endpoint, error)

    async def answer(self, claims: Sequence[Claim]) -> None:
        mine = [claim for claim in claims if claim.movement.block_hash in self.held]
        for claim in mine:
            self._ours[claim.movement.block_hash].add(claim.movement.recipient)
        for claim in mine:
            self.said[claim] = None
            try:
                if claim.movement.position == BALANCE:
                    self.said[claim] = await self._holds(claim)
                else:
                    movements, _ = await self._contents(claim.movement.block_hash)
                    self.said[claim] = claim.movement in movements
            except BlockUnknown:
                continue  # an old block: no fault
            except ChainError as error:
                self._reader.endpoints.failed(self.endpoint, error)
                return

    async def _contents(self, block_hash: str) -> tuple[set[Movement], list[Swept]]:
        if block_hash not in self._read:
            header = self.held[block_hash]
            found, sweeps, payments = await self._reader.contents([header], by_hash=True)
            block = decode.block(header)
            ours = self._ours[block_hash]
            arrived = await balances.arrived([block], found, ours, self._reader)
            self._read[block_hash] = {*arrived, *(paid.movement for paid in payments)}, sweeps
        return self._read[block_hash]

    async def _holds(self, claim: Claim) -> bool:
        """Whether all that the books say came to the address is there, or was swept."""
        address = claim.movement.recipient
        for holding in claim.holdings:
            if any(block.hash not in self.held for block in (holding.at, *holding.sweeps)):
                continue
            try:
                answer = await self._reader.rpc.call(
                    GET_BALANCE, address, {"blockHash": holding.at.hash}
                )
            except BlockUnknown:
                continue
            units = number(answer)
            for block in holding.sweeps:
                _, sweeps = await self._contents(block.hash)
                units += sum(
                    s.amount for s in sweeps if (s.deposit_address, s.token) == (address, NATIVE)
                )
            return units >= holding.arrived
        raise BlockUnknown(f"{self._reader.name}: no state to tell what {address} has")
