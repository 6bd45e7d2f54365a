"""A full reconciliation of a chain: every deposit address and asset against the books."""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg

from chain.endpoints import Endpoints
from core import ids
from core.context import Context
from core.db import plain_url
from core.errors import BezantError
from core.networks import Network
from ledger.accounts import EQUITY, Role, place
from ledger.journal import Entry, Kind, post, transfer
from payments.following import Following
from reconciliation.chain import ChainComparison
from sandbox.bench import books
from sandbox.bench.catch_up import Recorded, Recorder, alone, replay
from sandbox.bench.house import House
from sandbox.bench.result import Aim, Row, paired
from sandbox.bench.watched import FILL
from sandbox.node import Node

NAME = "bench_reconciliation"
HOLDING = 1_000  # addresses that hold something; of the others the node tells nothing, and so do we
UNITS = 10**15
MINUTES = 5 * 60  # "in minutes": the aim for 100,000 addresses

_HOLD = """
insert into address_holdings (network, address, asset, amount)
select %s, address, 'ETH', %s from deposit_addresses order by address limit %s returning address
"""


async def measure(house: House) -> list[Row]:
    """Ours reads the books at the cursor's block and compares them with each answer; the floor
    repeats our Multicall3 requests and drops the answers."""
    count = house.number(100_000, 10_000)
    async with (
        house.anvil(books.CHAIN_ID) as node,
        house.database(NAME) as url,
    ):
        network = await books.make_network(house, node)
        await books.found(url, network, 1)
        house.tell(f"{count:,} addresses, {HOLDING:,} of them hold something")
        async with books.open_books(url, network) as context:
            await _fill(url, count - 1)
            await _hold(context, network, node)
            async with Endpoints(network) as endpoints:
                await Following(context, network, endpoints).start()
        recorded, _ = await alone(_ours(url, network, count))  # warms the node as well
        ours, floor = [], []
        for _ in range(house.number(3, 2)):
            floor.append(count / await alone(replay(node.url, recorded)))
            ours.append(count / (await alone(_ours(url, network, count)))[1])
    what = f"reconciled, {count:,} addresses of {len(network.tokens)} assets"
    aim = Aim(count / MINUTES, at_least=True, of="ours")
    title = f"{what} (floor: our Multicall3 calls, dropped)"
    return [paired(title, "addresses/s", ours, floor, aim=aim)]


async def _fill(url: str, count: int) -> None:
    async with await psycopg.AsyncConnection.connect(plain_url(url), autocommit=True) as connection:
        await connection.execute(FILL, {"count": count})
        await connection.execute("analyze")


async def _hold(context: Context, network: Network, node: Node) -> None:
    """Some addresses hold ETH, by the books and on chain."""
    async with context.database.begin() as session:
        entry = Entry(
            id=ids.new(), key="bench", kind=Kind.OPENING, reference="bench", merchant_id=None,
            evidence={}, posted_at=context.clock.now(),
            postings=transfer("ETH", HOLDING * UNITS,
                              debit=place(network.id, Role.DEPOSITS), credit=EQUITY),
        )  # fmt: skip
        await post(session, [entry])
    async with context.database.statement() as connection:
        cursor = await connection.execute(_HOLD, (network.id, UNITS, HOLDING))
        addresses: Sequence[tuple[str]] = await cursor.fetchall()
    for (address,) in addresses:
        await node.call("anvil_setBalance", address, hex(UNITS))
    await node.mine(1)


async def _ours(url: str, network: Network, count: int) -> tuple[Recorded, float]:
    """One run: its calls and its seconds. Raises BezantError unless all was compared and clean."""
    async with books.open_books(url, network) as context, Endpoints(network) as endpoints:
        recorder = endpoints.all[0].rpc = Recorder(network.rpc_urls[0], network.id)
        comparison = ChainComparison(context, network, endpoints, ids.new())
        started = time.perf_counter()
        part = await comparison.compare()
        took = time.perf_counter() - started
        if part.differing or part.compared < count * len(network.tokens):
            raise BezantError(f"{part.differing} differ, {part.compared} were compared")
        return Recorded(recorder.bodies, recorder.at_once), took
