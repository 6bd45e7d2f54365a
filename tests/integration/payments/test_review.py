"""What a hostile reading of the money path found: each way is closed, and stays so."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from chain.blocks import Follower
from chain.endpoints import Endpoints
from chain.types import Cursor
from core.errors import Conflict, ForkBelowFinalized
from payments.batch import apply_batch
from tests.integration.payments.facts import assert_sound, breaks, spend, status_of
from tests.world import World

ID = "eip155:31337"
LARGEST_TRANSFER = 2**256 - 1


async def test_money_that_was_never_there_cannot_be_spent(world: World) -> None:
    """An account without a balance row meets no condition of the upsert."""
    with pytest.raises(Conflict) as refused:
        await spend(world, "DAI", 1)
    assert refused.value.code == "insufficient_funds"
    assert await world.balances() == {}
    assert await world.rows("journal_entries") == []


async def test_an_amount_beyond_any_value_stops_no_network(world: World) -> None:
    """2^256 - 1 units of a dollar with 6 decimals are more wei than NUMERIC(78,0) holds."""
    invoice, other = await world.invoice("1.00", "ETH"), await world.invoice()
    node, token = world.node, world.contracts.tokens["USDT"]
    snapshot = await node.rpc("evm_snapshot")
    supply = int(
        await node.rpc("eth_call", {"to": token.address, "data": "0x18160ddd"}, "latest"), 16
    )
    to = invoice["payment_options"][0]["address"]
    await world.transfer("USDT", to, LARGEST_TRANSFER - supply)
    await world.pay(other, sender=2)
    await world.mine(3)
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "paid_over")
    assert await status_of(world, other) == ("settled", "none")
    await assert_sound(world)
    assert await node.rpc("evm_revert", snapshot)


async def test_an_asset_that_is_no_longer_configured_keeps_its_decimals(world: World) -> None:
    """A part paid in it must not become 10^18 times as much at the next look."""
    invoice = await world.invoice()
    await world.pay(invoice, "DAI", amount=10**18)
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["amount_paid"] == "1.00"
    catalog = world.context.catalog
    network = catalog.networks[ID]
    kept = tuple(t for t in network.tokens if t.asset.symbol != "DAI")
    object.__setattr__(
        world.context, "catalog", replace(catalog, networks={ID: replace(network, tokens=kept)})
    )
    await world.restart()
    await world.pay(invoice, "USDC", amount=10**6)
    await world.mine(3)
    await world.follow()
    shown = await world.show(invoice)
    assert (shown["status"], shown["amount_paid"]) == ("new", "2.00")


async def test_a_fork_below_a_block_that_became_final_while_it_was_read(world: World) -> None:
    """The reader knew an older finalized block than the locked cursor does."""
    network = world.context.catalog.networks[ID]
    await world.mine(70)
    await world.follow()
    [row] = await world.rows("network_cursors")
    await world.node.reorg(66)
    await world.mine(2)
    hashes = {block.number: block.hash for block in await world.rows("blocks")}

    async def stored(number: int) -> str | None:
        return hashes.get(number)

    async with Endpoints(network) as endpoints:
        batch = await Follower(network, endpoints).next_batch(
            Cursor(row.number, row.hash), finalized=None, stored=stored
        )
    assert batch is not None
    assert batch.fork is not None
    assert batch.fork < row.finalized
    with pytest.raises(ForkBelowFinalized):
        async with world.context.database.begin() as session:
            await apply_batch(session, world.context, network, batch)
    assert (await world.rows("network_cursors"))[0].hash == row.hash


async def test_a_break_names_what_is_missing_by_now(world: World) -> None:
    """A second reversal makes an open overdraft larger, a later deposit smaller."""
    first, second = await world.invoice(), await world.invoice("50.00")
    await world.pay(first)
    await world.mine(3)
    await world.pay(second)
    await world.mine(3)
    await world.follow()
    await spend(world, "ETH", 3 * 10**16)
    for depth, missing in ((4, 2 * 10**16), (8, 3 * 10**16)):
        await world.node.reorg(depth)
        await world.follow()
        [found] = await breaks(world)
        assert (int(found.expected), int(found.actual)) == (0, -missing)
    await world.pay(await world.invoice())
    await world.mine(3)
    await world.follow()
    [found] = await breaks(world)
    assert int(found.actual) == -2 * 10**16
    assert (await world.events()).count("break.opened") == 1
    await assert_sound(world)


async def test_the_first_event_of_a_payment_tells_its_value(world: World) -> None:
    await world.pay(await world.invoice())
    await world.follow()
    [seen] = await world.rows("events", type="deposit.seen")
    assert json.loads(seen.body)["data"]["object"]["value"] == "25.00"
