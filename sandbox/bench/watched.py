"""What a block costs with ten addresses watched, with ten thousand and with a million."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from statistics import median

import psycopg

from chain.endpoints import Endpoints
from core.networks import Network
from payments.following import Following
from sandbox.bench import books
from sandbox.bench.house import House
from sandbox.bench.result import Aim, Row, paired
from sandbox.bench.senders import Senders

TEMPLATE = "bench_watched"
FEW = 10  # invoices of the template; two of them are paid in each block
TRANSFERS = 20

# Open invoices of one merchant, with an address each, as many as asked for.
FILL = """
with new as (
    select gen_random_uuid() as id, '0x' || substr(md5(n::text) || md5('x' || n), 1, 40) as address
    from generate_series(1, %(count)s) n
), merchant as (select id from merchants limit 1), invoice as (
    insert into invoices (id, merchant_id, status, exception, currency, currency_decimals, amount,
        amount_paid, amount_confirmed, tolerance, address, options, metadata, created_at,
        expires_at, monitored_until)
    select new.id, merchant.id, 'new', 'none', 'USD', 2, 2500, 0, 0, 0, address, options, '{}',
        now(), now() + interval '7 days', now() + interval '8 days'
    from new, merchant, (select options from invoices limit 1) o
)
insert into deposit_addresses (address, id, merchant_id, invoice_id, watch_until, created_at)
select address, gen_random_uuid(), merchant.id, new.id, now() + interval '8 days', now()
from new, merchant
"""


async def measure(house: House) -> list[Row]:
    """The same blocks, followed by three books in turns; the sender is paid in none of them."""
    sizes = [FEW, 10_000, house.number(1_000_000, 100_000)]
    costs: dict[int, list[float]] = {size: [] for size in sizes}
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(house.anvil(books.CHAIN_ID))
        template = await stack.enter_async_context(house.database(TEMPLATE))
        network = await books.make_network(house, node)
        addresses = await books.found(template, network, FEW)
        loops: dict[int, Following] = {}
        for size in sizes:
            name = f"{TEMPLATE}_{size}"
            url = await stack.enter_async_context(house.database(name, TEMPLATE))
            house.tell(f"{size:,} addresses")
            await _fill(url, size - FEW)
            loops[size] = await _follow(stack, url, network)
        senders = await Senders.of(node)
        await node.call("evm_setAutomine", False)
        for turn in range(house.number(60, 12)):
            paid = [addresses[turn % FEW], addresses[(turn + 1) % FEW]]
            targets = paid + [f"0x{turn * TRANSFERS + i:040x}" for i in range(2, TRANSFERS)]
            await senders.send([senders.ether(i, to, 10**12) for i, to in enumerate(targets)])
            await node.call("evm_mine")
            order = sizes[turn % 3 :] + sizes[: turn % 3]  # nobody is always first
            for size in order:
                started = time.perf_counter()
                await loops[size].catch_up()
                costs[size].append(1000 * (time.perf_counter() - started))
    few = costs[FEW]
    first = Row(what=f"a block of {TRANSFERS} transfers, {FEW} addresses watched", unit="ms",
                ours=median(few), ours_rounds=few)  # fmt: skip
    aim = Aim(1.3, at_least=False)
    return [first, *(
        paired(f"the same, {size:,} addresses against {FEW}", "ms", costs[size], few, aim=aim)
        for size in sizes[1:]
    )]  # fmt: skip


async def _fill(url: str, count: int) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        if count:
            await connection.execute(FILL, {"count": count})
        await connection.execute("vacuum analyze")


async def _follow(stack: AsyncExitStack, url: str, network: Network) -> Following:
    context = await stack.enter_async_context(books.open_books(url, network))
    endpoints = await stack.enter_async_context(Endpoints(network))
    following = Following(context, network, endpoints)
    await following.start()
    return following
