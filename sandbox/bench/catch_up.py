"""Catching up: the worker was off for ten thousand blocks."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from chain.endpoints import Endpoints
from chain.rpc import IN_FLIGHT, Rpc
from core.errors import BezantError
from core.networks import Network
from payments.following import Following
from sandbox.bench import books, loops
from sandbox.bench.house import House
from sandbox.bench.result import Aim, Row, paired
from sandbox.bench.senders import Senders
from sandbox.node import Node

T = TypeVar("T")

TEMPLATE, COPY = "bench_catch_up", "bench_catch_up_run"
BITCART = "256/s; by default 300 blocks, then a jump"
# Of a hundred blocks: most are empty, some carry strangers' transfers, a few pay one of us.
PATTERN = {**dict.fromkeys(range(0, 100, 3), "strangers"), **dict.fromkeys(range(1, 100, 20), "us")}


@dataclass(frozen=True, slots=True)
class Recorded:
    """Request bodies in the order they were sent, and how many were under way at once."""

    bodies: list[bytes]
    at_once: int

    def one_by_one(self) -> Recorded:
        """The same calls in the same order, each in a request of its own."""
        calls = [call for body in self.bodies for call in _calls(json.loads(body))]
        return Recorded([json.dumps(call).encode() for call in calls], IN_FLIGHT)


def _calls(sent: Any) -> list[Any]:
    """What a body asks for: one call, or a batch of them."""
    return sent if isinstance(sent, list) else [sent]


class Recorder(Rpc):
    """Notes what goes out; otherwise as any."""

    def __init__(self, url: str, network: str) -> None:
        super().__init__(url, network)
        self.bodies: list[bytes] = []
        self.at_once = 0
        self._now = 0

    async def _post(self, body: bytes, timeout: float) -> tuple[int, bytes]:
        self.bodies.append(body)
        self._now += 1
        self.at_once = max(self.at_once, min(self._now, IN_FLIGHT))
        try:
            return await super()._post(body, timeout)
        finally:
            self._now -= 1


async def measure(house: House) -> list[Row]:
    """Ours applies every block to the books; the floors repeat its calls and drop the answers: call
    by call, as the aim means it, and in our own requests, each of which holds many."""
    blocks = house.number(10_000, 1_000)
    async with (
        house.anvil(books.CHAIN_ID) as node,
        house.database(TEMPLATE) as url,
    ):
        network = await books.make_network(house, node)
        addresses = await books.found(url, network, blocks // 20)
        await _begin(url, network)
        house.tell(f"mining {blocks:,} blocks")
        await mine(node, network, addresses, blocks)
        recorded, _ = await alone(_ours(house, network, len(addresses)))  # warms the node as well
        one_by_one = recorded.one_by_one()
        ours, singly, batched = [], [], []
        for _ in range(house.number(5, 2)):
            singly.append(blocks / await alone(replay(node.url, one_by_one)))
            batched.append(blocks / await alone(replay(node.url, recorded)))
            ours.append(blocks / (await alone(_ours(house, network, len(addresses))))[1])
    what = f"catch-up over {blocks:,} blocks"
    return [
        paired(f"{what} (floor: the same calls one by one, dropped)", "blocks/s", ours, singly,
               aim=Aim(0.8, at_least=True), peer=BITCART),
        paired(f"{what} (floor: our own batched requests, dropped)", "blocks/s", ours, batched),
    ]  # fmt: skip


async def alone(main: Coroutine[Any, Any, T]) -> T:
    """On an event loop of its own, of the kind that the worker has: both halves alike."""
    return await asyncio.to_thread(loops.run, main)


async def _begin(url: str, network: Network) -> None:
    """The cursor stands at the head of now."""
    async with books.open_books(url, network) as context, Endpoints(network) as endpoints:
        await Following(context, network, endpoints).start()


async def _ours(house: House, network: Network, payments: int) -> tuple[Recorded, float]:
    """One run over a fresh copy of the books: its calls and its seconds.

    Raises BezantError unless every payment was credited.
    """
    async with (
        house.database(COPY, TEMPLATE) as url,
        books.open_books(url, network) as context,
        Endpoints(network) as endpoints,
    ):
        recorder = endpoints.all[0].rpc = Recorder(network.rpc_urls[0], network.id)
        following = Following(context, network, endpoints)
        started = time.perf_counter()
        await following.catch_up()
        took = time.perf_counter() - started
        async with context.database.statement() as connection:
            cursor = await connection.execute("select count(*) from deposits")
            row = await cursor.fetchone()
        if row is None or row[0] != payments:
            raise BezantError(f"{row and row[0]} of {payments} payments were credited")
        return Recorded(recorder.bodies, recorder.at_once), took


async def replay(url: str, recorded: Recorded) -> float:
    """The same requests, as many at once; every answer is read to its end and dropped. Seconds."""
    waiting = iter(recorded.bodies)

    async def client(session: aiohttp.ClientSession) -> None:
        for body in waiting:
            async with session.post(url, data=body) as response:
                await response.read()

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(
        connector=connector, headers={"content-type": "application/json"}
    ) as session:
        started = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(recorded.at_once)))
        return time.perf_counter() - started


async def mine(node: Node, network: Network, addresses: Sequence[str], blocks: int) -> None:
    """Blocks after PATTERN; each address is paid 0.01 ETH once."""
    senders = await Senders.of(node)
    usdc = network.tokens[1].address
    await senders.enrich(usdc)
    await node.call("evm_setAutomine", False)
    unpaid = list(addresses)
    empty = 0
    for number in range(blocks):
        kind = PATTERN.get(number % 100)
        if kind is None:
            empty += 1
            continue
        await _mine_empty(node, empty)
        empty = 0
        sends = [
            senders.token(0, usdc, _stranger(), 10**6),
            senders.ether(1, unpaid.pop() if kind == "us" else _stranger(), 10**16),
            senders.token(2, usdc, _stranger(), 10**6),
        ]
        await senders.send(sends)
        await node.call("evm_mine")
    await _mine_empty(node, empty)
    await node.call("evm_setAutomine", True)


async def _mine_empty(node: Node, count: int) -> None:
    if count:
        await node.mine(count)


def _stranger() -> str:
    return "0x" + secrets.token_hex(20)
