"""Sweeping without a command: what a network's policy finds worth while at the fees of now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from core.db import Database
from core.networks import SweepPolicy
from tests.integration.sweeps.conftest import Chain
from tests.integration.sweeps.sweeping import Sweeping, make_sweeping
from tests.world import connect
from wallets.sweeps import Sweeps

GWEI = 10**9
# The blocks of tests before had any fee, so here none is too high for its time.
POLICY = SweepPolicy(minimum=100, max_gas_percent=2, cheap_percent=100, max_age_seconds=86_400)


@pytest.fixture
async def willing(database: Database, one_chain: Chain) -> AsyncIterator[Sweeping]:
    url, deployed = one_chain
    async with connect(url) as node, make_sweeping(database, node, deployed, sweeps=POLICY) as made:
        yield made


async def base_fee(sweeping: Sweeping, gwei: int) -> None:
    """Of the next block."""
    fee = hex(gwei * GWEI)
    for _ in range(2):  # the head's base fee moves the next one's
        await sweeping.node.rpc("anvil_setNextBlockBaseFeePerGas", fee)
        await sweeping.world.mine()
    await sweeping.world.follow()


def with_policy(sweeping: Sweeping, **changes: int) -> Sweeps:
    """Another policy for the same network."""
    network = replace(sweeping.network, sweeps=replace(POLICY, **changes))
    return Sweeps(sweeping.world.context, network, sweeping.world.endpoints[network.id])


async def test_it_sweeps_when_it_is_worth_it(willing: Sweeping) -> None:
    before = await willing.treasuries()
    addresses = await willing.addresses(20)
    await base_fee(willing, 1)
    assert await willing.sweeps.look() is None  # nothing is there
    # 48,400 gas at 1 gwei and 2,500 USD: 12 cents, 2 % of 6.05 USD
    await willing.pay("USDC", dict.fromkeys(addresses, 5_000_000))
    await willing.confirm()
    await base_fee(willing, 1)
    assert await willing.sweeps.look() is None  # not worth its gas
    await willing.pay("USDC", dict.fromkeys(addresses, 20_000_000))
    await willing.confirm()
    await base_fee(willing, 100)
    assert await willing.sweeps.look() is None  # nor at a hundred times the fee
    await base_fee(willing, 1)
    assert await with_policy(willing, cheap_percent=1).look() is None  # it was lower before
    number = await willing.sweeps.look()
    assert number is not None
    assert await willing.sweeps.look() is None  # one is asked for already
    shown = await willing.finish(number)
    assert (shown["status"], shown["trigger"]) == ("done", "policy")
    assert [t["swept"] for t in shown["totals"]] == ["500.000000"]
    assert await willing.treasury("USDC") - before["USDC"] == 500_000_000
    assert {len(item["deposits"]) for item in shown["items"]} == {2}
    assert await willing.sweeps.look() is None
    await willing.assert_sound(before)


async def test_what_is_old_goes_at_any_fee_it_is_worth(willing: Sweeping) -> None:
    addresses = await willing.addresses(5)
    await willing.pay("DAI", dict.fromkeys(addresses, 100 * 10**18))
    await willing.confirm()
    await base_fee(willing, 30)  # 3.63 USD each: more than 2 % of 100 USD
    assert await willing.sweeps.look() is None
    await willing.world.advance(86_400)
    await base_fee(willing, 30)
    number = await willing.sweeps.look()
    assert number is not None
    await willing.plan()
    await base_fee(willing, 90)  # more than twice as dear by now: it waits
    await willing.send()
    [waiting] = await willing.world.rows("transactions")
    assert (waiting.status, waiting.reason) == ("prepared", "fees_too_high")
    assert (await willing.show(number))["status"] == "sending"
    await base_fee(willing, 30)
    await willing.world.advance(5)
    await base_fee(willing, 30)
    assert (await willing.finish(number))["status"] == "done"
