"""From a mined block to the webhook in the shop's hands, through the real worker.

The clock starts with the call that mines, as it did where the aim was taken; a second one, for one
deposit, when the node first says that the block is there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import psycopg

from core.errors import BezantError
from sandbox.bench.floor_worker import SUBSCRIBE
from sandbox.bench.house import House, until_answers
from sandbox.bench.result import Aim, Row, paired, quantile
from sandbox.bench.senders import Senders
from sandbox.bench.sink import sink
from sandbox.node import Node
from sandbox.world import CONFIRMATIONS

CHAIN_ID = 31340
INVOICE = {
    "amount": "25.00",
    "currency": "USD",
    "assets": ["ETH", "USDC"],
    "networks": ["eip155:31337"],
    "expires_in": 86_400,
}
WAIT_SECONDS = 30
# Blocks come every few seconds at best: the next one finds the house at rest.
PAUSE_SECONDS = 0.05
STRANGER = "0x" + "ab" * 20
BITCART = ("2,180 ms", "4,740 ms (max)")


@dataclass(frozen=True, slots=True)
class Start:
    """When a block was asked for, and when it was announced or the node said so."""

    called: float
    known: float


class Chain:
    """A node and the moment each of its blocks was known to exist."""

    def __init__(self, node: Node, senders: Senders) -> None:
        self.node = node
        self.senders = senders
        self._pushed_at = 0.0

    async def watch(self) -> None:
        """Subscribes to new heads; never returns."""
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self.node.url.replace("http://", "ws://")) as heads,
        ):
            await heads.send_json(SUBSCRIBE)
            async for _ in heads:
                self._pushed_at = self._pushed_at or time.monotonic()

    async def mine(self, transactions: Sequence[dict[str, Any]]) -> Start:
        """One block with these."""
        await self.senders.send(transactions)
        self._pushed_at = 0.0
        called = time.monotonic()
        await self.node.call("evm_mine")
        now = time.monotonic()
        return Start(called, min(now, self._pushed_at or now))


@asynccontextmanager
async def open_chain(node: Node) -> AsyncIterator[Chain]:
    chain = Chain(node, await Senders.of(node))
    await node.call("evm_setAutomine", False)
    watching = asyncio.create_task(chain.watch())
    try:
        yield chain
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await node.call("evm_setAutomine", True)


class Arrivals:
    """When each webhook came: by invoice and type of event, the floor's by "floor"."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[float]] = {}

    def seen(self, body: bytes, at: float) -> None:
        content = json.loads(body)
        name = "floor"
        if "floor" not in content:
            name = f"{content['data']['object']['id']} {content['type']}"
        future = self._waiting.pop(name, None)
        if future is not None and not future.done():
            future.set_result(at)

    def expect(self, names: Sequence[str]) -> asyncio.Future[list[float]]:
        loop = asyncio.get_running_loop()
        for name in names:
            self._waiting[name] = loop.create_future()
        return asyncio.gather(*(self._waiting[name] for name in names))


@dataclass(frozen=True, slots=True)
class Told:
    """Seconds until each webhook, by the two clocks."""

    after: list[float]
    after_known: list[float]


class Race:
    """Our worker and the floor's, each with a chain of its own, block by block in turns."""

    def __init__(self, house: House, ours: Chain, floor: Chain, arrivals: Arrivals) -> None:
        self._house = house
        self._ours = ours
        self._floor = floor
        self._arrivals = arrivals
        self._invoices: list[dict[str, Any]] = []
        self._paid: list[dict[str, Any]] = []
        self._usdc = house.sandbox.chains[0].tokens["USDC"]

    async def prepare(self, count: int) -> None:
        """Open invoices, and payers that hold USDC."""
        async with self._house.http() as session:
            for _ in range(count):
                async with session.post("/v1/invoices", json=INVOICE) as response:
                    if response.status != 201:
                        raise BezantError(f"no invoice: {await response.text()}")
                    self._invoices.append(await response.json())
        await self._ours.senders.enrich(self._usdc)
        await self._house.analyze()
        await self._ours.mine([])

    async def our_block(self, deposits: int) -> Told:
        """Each invoice's webhook, in the order of the payments."""
        paid = [self._invoices.pop() for _ in range(deposits)]
        payments = [self._payment(i, invoice) for i, invoice in enumerate(paid)]
        coming = self._arrivals.expect([f"{i['id']} invoice.processing" for i in paid])
        self._paid = paid
        return await self._time(self._ours, payments, coming)

    async def settle(self) -> None:
        """Confirms what was paid last, so that the next block does not do it on the way."""
        settled = self._arrivals.expect([f"{i['id']} invoice.settled" for i in self._paid])
        await self._ours.node.mine(CONFIRMATIONS)
        await self._time(self._ours, [], settled)

    async def floor_block(self, transfers: int) -> Told:
        """The floor's one POST."""
        coming = self._arrivals.expect(["floor"])
        sends = [self._floor.senders.ether(i, STRANGER, 1) for i in range(transfers)]
        return await self._time(self._floor, sends, coming)

    async def _time(
        self, chain: Chain, sends: list[dict[str, Any]], coming: asyncio.Future[list[float]]
    ) -> Told:
        start = await chain.mine(sends)
        try:
            arrived = await asyncio.wait_for(coming, WAIT_SECONDS)
        except TimeoutError:
            who = "our" if chain is self._ours else "the floor's"
            raise BezantError(f"{who} webhook did not come in {WAIT_SECONDS} s") from None
        await asyncio.sleep(PAUSE_SECONDS)
        return Told([at - start.called for at in arrived], [at - start.known for at in arrived])

    def _payment(self, number: int, invoice: dict[str, Any]) -> dict[str, Any]:
        """Every second one in ETH, the others in USDC: 25 USD at the sandbox's prices."""
        option = invoice["payment_options"][number % 2]
        to = option["address"].lower()
        units = int(option["amount_due"].replace(".", ""))  # with all of the asset's decimals
        if number % 2 == 0:
            return self._ours.senders.ether(number, to, units)
        return self._ours.senders.token(number, self._usdc, to, units)


async def measure(house: House) -> list[Row]:
    """One deposit in a block, then two hundred."""
    arrivals = Arrivals()
    async with (
        sink(arrivals.seen) as url,
        house.anvil(CHAIN_ID) as floor_node,
        house.database("bench_floor") as database,
        open_chain(house.node) as ours,
        open_chain(floor_node) as floor,
    ):
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            await connection.execute("create table heads (hash text, transactions int)")
        push = floor_node.url.replace("http://", "ws://")
        async with house.python("floor_worker", push, floor_node.url, database, url) as address:
            await until_answers(f"http://{address[0]}:{address[1]}/")
            race = Race(house, ours, floor, arrivals)
            singles, blocks = house.number(300, 30), house.number(7, 2)
            await race.prepare(singles + 200 * blocks + 5)
            await _listen(house, url)
            for _ in range(5):  # connections and caches
                await race.floor_block(1)
                await race.our_block(1)
            return [*await _single(race, singles), *await _many(race, blocks)]


async def _single(race: Race, count: int) -> list[Row]:
    floors, ours = [], []
    for _ in range(count):
        floors.append(await race.floor_block(1))
        ours.append(await race.our_block(1))
    above, below = [told.after[0] for told in ours], [told.after[0] for told in floors]
    p50 = paired("mined → webhook, 1 deposit: p50", "ms", _ms(above), _ms(below),
                 aim=Aim(5, at_least=False), peer=BITCART[0])  # fmt: skip
    a, b = quantile(above, 0.99) * 1000, quantile(below, 0.99) * 1000
    p99 = Row(what="mined → webhook, 1 deposit: p99", unit="ms", ours=a, floor=b, ratio=a / b,
              aim=Aim(10, at_least=False), peer=BITCART[1])  # fmt: skip
    known = paired(
        "announced → webhook, 1 deposit: p50", "ms",
        _ms([told.after_known[0] for told in ours]), _ms([told.after_known[0] for told in floors]),
    )  # fmt: skip
    return [p50, p99, known]


async def _many(race: Race, blocks: int) -> list[Row]:
    floors, middle, late, last = [], [], [], []
    for _ in range(blocks):
        floors.append((await race.floor_block(200)).after[0])
        seen = (await race.our_block(200)).after
        middle.append(quantile(seen, 0.5))
        late.append(quantile(seen, 0.99))
        last.append(max(seen))
        await race.settle()
    below = _ms(floors)
    return [
        paired("mined → webhook, 200 deposits: p50", "ms", _ms(middle), below),
        paired("mined → webhook, 200 deposits: p99", "ms", _ms(late), below),
        paired("mined → webhook, 200 deposits: the last", "ms", _ms(last), below,
               aim=Aim(500, at_least=False, of="ours")),
    ]  # fmt: skip


def _ms(seconds: Sequence[float]) -> list[float]:
    return [1000 * s for s in seconds]


async def _listen(house: House, url: str) -> None:
    """The shop's endpoint, hearing all of its invoices' changes."""
    endpoint = {"url": url, "events": ["invoice.*"]}
    async with (
        house.http() as session,
        session.post("/v1/webhook_endpoints", json=endpoint) as response,
    ):
        if response.status != 201:
            raise BezantError(f"no webhook endpoint: {await response.text()}")
