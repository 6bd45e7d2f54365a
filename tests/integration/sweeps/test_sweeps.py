"""Deposit addresses are emptied once, whoever sends it, and the books equal the chain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from core import ids
from core.networks import NATIVE
from tests.integration.sweeps.sweeping import Sweeping
from tests.world import calldata
from wallets import transactions

ADDRESSES = 30
ETHER = 10**18


def by_asset(shown: Any, what: str) -> dict[str, int]:
    """asset -> how many items have this status."""
    found: dict[str, int] = {}
    for item in shown["items"]:
        if item["status"] == what:
            found[item["asset"]] = found.get(item["asset"], 0) + 1
    return found


async def test_thirty_addresses_and_four_assets(sweeping: Sweeping) -> None:
    before = await sweeping.treasuries()
    addresses = await sweeping.addresses(ADDRESSES)
    for asset, unit in (("ETH", 10**15), ("USDC", 10**6), ("USDT", 10**6), ("DAI", ETHER)):
        await sweeping.pay(asset, {a: unit * (n + 1) for n, a in enumerate(addresses)})
    await sweeping.confirm()
    number = await sweeping.ask()
    assert (await sweeping.show(number))["status"] == "requested"
    shown = await sweeping.finish(number)
    assert shown["status"] == "done", shown["reasons"]
    whole = ADDRESSES * (ADDRESSES + 1) // 2
    totals = {t["asset"]: (t["swept"], t["addresses"]) for t in shown["totals"]}
    assert totals == {
        "ETH": (f"0.{whole:03d}000000000000000", ADDRESSES),
        "USDC": (f"{whole}.000000", ADDRESSES),
        "USDT": (f"{whole}.000000", ADDRESSES),
        "DAI": (f"{whole}." + "0" * 18, ADDRESSES),
    }
    for asset, unit in (("ETH", 10**15), ("USDC", 10**6), ("USDT", 10**6), ("DAI", ETHER)):
        assert await sweeping.treasury(asset) - before[asset] == whole * unit
    balances = await sweeping.world.balances()
    assert not [key for key in balances if key[0].endswith(":deposits")]
    await sweeping.assert_sound(before)
    told = ["sweep.requested", "sweep.sending", "sweep.done"]
    assert await sweeping.events(number) == told
    await assert_gas_is_shared(sweeping, shown)
    assert (await sweeping.finish(await sweeping.ask()))["reasons"] == ["nothing_to_sweep"]


def wei(said: str) -> int:
    """The coin has 18 decimals, all of which are shown."""
    return int(said.replace(".", ""))


async def assert_gas_is_shared(sweeping: Sweeping, shown: Any) -> None:
    """Every deposit has its part, in the object and in the entries' evidence; sums are exact."""
    parts = {d["id"]: wei(d["gas"]) for item in shown["items"] for d in item["deposits"]}
    deposits = await sweeping.world.rows("deposits")
    assert set(parts) == {ids.show("dep", row.id) for row in deposits}
    paid = sum(int(row.gas_paid) for row in await sweeping.world.rows("transactions"))
    assert sum(parts.values()) == wei(shown["network_fee"]) == paid > 0
    entries = await sweeping.world.rows("journal_entries", kind="gas")
    booked: dict[str, int] = {}
    for entry in entries:
        booked |= {name: int(said) for name, said in entry.evidence["shares"].items()}
    assert booked == parts


async def test_a_blocked_token_stays_alone_and_is_tried_later(sweeping: Sweeping) -> None:
    before = await sweeping.treasuries()
    addresses = await sweeping.addresses(4)
    for asset in ("BLK", "USDC"):
        await sweeping.pay(asset, dict.fromkeys(addresses, 5_000_000))
    await sweeping.confirm()
    blocked = calldata("setBlocked(address,bool)", addresses[2], True)
    await sweeping.node.send(sweeping.token("BLK"), data=blocked, gas=100_000)
    shown = await sweeping.finish(await sweeping.ask())
    assert (shown["status"], shown["reasons"]) == ("done", ["token_refused"])
    assert by_asset(shown, "swept") == {"USDC": 4, "BLK": 3}
    assert by_asset(shown, "failed") == {"BLK": 1}
    await sweeping.assert_sound(before)

    again = await sweeping.finish(await sweeping.ask())
    [skipped] = again["skipped"]
    assert (skipped["reason"], skipped["asset"]) == ("failing", "BLK")
    assert again["reasons"] == ["nothing_to_sweep"]
    await sweeping.world.advance(3601)
    third = await sweeping.finish(await sweeping.ask())
    assert (third["status"], by_asset(third, "failed")) == ("failed", {"BLK": 1})
    await sweeping.world.advance(3601)
    await sweeping.world.follow()
    fourth = await sweeping.finish(await sweeping.ask())
    assert [s["reason"] for s in fourth["skipped"]] == ["failing"]  # two hours by now

    free = calldata("setBlocked(address,bool)", addresses[2], False)
    await sweeping.node.send(sweeping.token("BLK"), data=free, gas=100_000)
    named = await sweeping.finish(await sweeping.ask([addresses[2]]))
    assert (named["status"], by_asset(named, "swept")) == ("done", {"BLK": 1})
    await sweeping.assert_sound(before)


async def test_anybody_may_be_first(sweeping: Sweeping) -> None:
    """One address is emptied by a stranger before it is planned, one between plan and block."""
    before = await sweeping.treasuries()
    addresses = await sweeping.addresses(4)
    await sweeping.pay("USDC", dict.fromkeys(addresses, 7_000_000))
    await sweeping.confirm()
    salts = [await sweeping.salt(a) for a in addresses]
    await sweeping.world.sweep_salts(sweeping.token("USDC"), salts[:1])
    await sweeping.world.follow()
    number = await sweeping.ask()
    await sweeping.plan()
    stranger = await sweeping.world.sweep_salts(sweeping.token("USDC"), salts[1:2])
    await sweeping.world.follow()
    shown = await sweeping.finish(number)
    assert shown["status"] == "done"
    items = {item["address"].lower(): item for item in shown["items"]}
    assert set(items) == set(addresses[1:])
    assert {item["status"] for item in items.values()} == {"swept"}
    theirs = items[addresses[1]]
    assert (theirs["tx_hashes"], theirs["gas"]) == ([stranger], None)
    assert items[addresses[2]]["gas"] is not None
    assert await sweeping.treasury("USDC") - before["USDC"] == 4 * 7_000_000
    await sweeping.assert_sound(before)


async def test_a_reorg_puts_it_back_and_it_comes_again(sweeping: Sweeping) -> None:
    before = await sweeping.treasuries()
    addresses = await sweeping.addresses(3)
    await sweeping.pay("DAI", dict.fromkeys(addresses, ETHER))
    await sweeping.confirm()
    number = await sweeping.ask()
    await sweeping.plan()
    await sweeping.send()
    await sweeping.world.follow()
    assert (await sweeping.show(number))["status"] == "in_transit"
    await sweeping.node.reorg(1)
    await sweeping.world.follow()
    back = await sweeping.show(number)
    assert (back["status"], back["network_fee"]) == ("sending", None)
    assert {item["status"] for item in back["items"]} == {"pending"}
    await sweeping.assert_sound(before)

    await sweeping.world.advance(5)  # the same bytes are handed over again
    await sweeping.send()
    await sweeping.confirm()
    assert (await sweeping.show(number))["status"] == "done"
    [row] = await sweeping.world.rows("transactions")
    assert row.generation == 2

    # Deeper than what counted as final here: done is taken back as well.
    await sweeping.node.reorg(5)
    await sweeping.world.follow()
    assert (await sweeping.show(number))["status"] == "sending"
    assert [i.live for i in await sweeping.world.rows("sweep_items")] == [True] * 3
    await sweeping.world.advance(10)
    await sweeping.send()
    await sweeping.confirm()
    shown = await sweeping.show(number)
    assert (shown["status"], by_asset(shown, "swept")) == ("done", {"DAI": 3})
    assert await sweeping.events(number) == [
        "sweep.requested", "sweep.sending", "sweep.sending", "sweep.done", "sweep.sending",
        "sweep.done",
    ]  # fmt: skip
    await sweeping.assert_sound(before)


async def test_an_asset_at_an_address_is_in_one_sweep(sweeping: Sweeping) -> None:
    addresses = await sweeping.addresses(6)
    await sweeping.pay("USDC", dict.fromkeys(addresses, 1_000_000))
    await sweeping.confirm()
    numbers = [await sweeping.ask() for _ in range(3)]
    rows = await sweeping.sweeps.claim(16)
    assert len(rows) == 3
    await asyncio.gather(*(sweeping.sweeps.step(row) for row in rows))
    shown = [await sweeping.show(number) for number in numbers]
    taken = [item["address"] for one in shown for item in one["items"]]
    assert sorted(taken) == sorted(set(taken))
    assert len(taken) == 6
    skipped = [s["reason"] for one in shown for s in one["skipped"]]
    assert skipped == ["in_another_sweep"] * 12
    for number in numbers:
        assert (await sweeping.finish(number))["status"] == "done"
    assert len(await sweeping.world.rows("transactions")) == sum(bool(s["items"]) for s in shown)


async def test_only_what_is_confirmed(sweeping: Sweeping) -> None:
    """A token's confirmed part is named and goes; of ETH all would go, so it waits."""
    before = await sweeping.treasuries()
    [address] = await sweeping.addresses(1)
    for asset, amount in (("USDC", 3_000_000), ("ETH", 10**15)):
        await sweeping.pay(asset, {address: amount})
    await sweeping.confirm()
    for asset, amount in (("USDC", 4_000_000), ("ETH", 2 * 10**15)):
        await sweeping.pay(asset, {address: amount})
    await sweeping.world.follow()
    number = await sweeping.ask()
    await sweeping.plan()
    shown = await sweeping.show(number)
    assert [(i["asset"], i["amount"]) for i in shown["items"]] == [("USDC", "3.000000")]
    assert [(s["asset"], s["reason"]) for s in shown["skipped"]] == [("ETH", "unconfirmed")]
    await sweeping.finish(number)
    assert await sweeping.treasury("USDC") - before["USDC"] == 3_000_000
    shown = await sweeping.finish(await sweeping.ask())
    assert by_asset(shown, "swept") == {"ETH": 1, "USDC": 1}
    await sweeping.assert_sound(before)


async def test_a_signer_that_refuses_moves_nothing(sweeping: Sweeping) -> None:
    """A token that its policy does not name stays where it is, and all else goes."""
    [address] = await sweeping.addresses(1)
    await sweeping.pay("USDC", {address: 1_000_000})
    await sweeping.confirm()
    foreign = await sweeping.node.deploy(
        "SandboxToken", ("string", "Odd"), ("string", "ODD"), ("uint8", 8)
    )
    mint = calldata("mint(address,uint256)", address, 99)
    await sweeping.node.send(foreign, data=mint, gas=200_000)
    shown = await sweeping.finish(await sweeping.ask([address], ["USDC", foreign]))
    await sweeping.plan()
    shown = await sweeping.show(ids.read("swp", shown["id"]))  # type: ignore[arg-type]
    statuses = {item["token"].lower(): item["status"] for item in shown["items"]}
    assert statuses == {sweeping.token("USDC"): "swept", foreign: "unsent"}
    assert (shown["status"], shown["reasons"]) == ("done", ["unknown_asset"])
    assert "unknown_asset" in sweeping.signer.codes("sign")


@pytest.mark.parametrize("asset", [NATIVE, "USDC"])
async def test_a_sweep_without_a_wallet_waits(sweeping: Sweeping, asset: str) -> None:
    [address] = await sweeping.addresses(1)
    await sweeping.pay("ETH" if asset == NATIVE else asset, {address: 1_000_000})
    await sweeping.confirm()
    async with sweeping.world.context.database.begin() as session:
        await session.execute(text("update hot_wallets set retired_at = now()"))
    number = await sweeping.ask()
    await sweeping.plan()
    waiting = await sweeping.show(number)
    assert (waiting["status"], waiting["reasons"]) == ("approved", ["no_wallet"])
    async with sweeping.world.context.database.begin() as session:
        await session.execute(text("update hot_wallets set retired_at = null"))
    await sweeping.world.advance(6)
    assert (await sweeping.finish(number))["status"] == "done"


async def test_a_transaction_that_is_dropped_ends_its_sweep(sweeping: Sweeping) -> None:
    """One address was emptied by a stranger meanwhile; the other is free for the next sweep."""
    before = await sweeping.treasuries()
    addresses = await sweeping.addresses(2)
    await sweeping.pay("USDC", dict.fromkeys(addresses, 2_000_000))
    await sweeping.confirm()
    number = await sweeping.ask()
    await sweeping.plan()
    context = sweeping.world.context
    [prepared] = await sweeping.world.rows("transactions")
    async with context.database.begin() as session:
        await transactions.cancel(session, context, prepared.id, context.clock.now())
    await sweeping.world.sweep_salts(sweeping.token("USDC"), [await sweeping.salt(addresses[0])])
    await sweeping.world.follow()
    await sweeping.plan()
    shown = await sweeping.show(number)
    assert (shown["status"], shown["reasons"]) == ("done", ["cancelled"])
    assert (by_asset(shown, "swept"), by_asset(shown, "unsent")) == ({"USDC": 1}, {"USDC": 1})
    assert (await sweeping.finish(await sweeping.ask()))["status"] == "done"
    assert await sweeping.treasury("USDC") - before["USDC"] == 4_000_000
    await sweeping.assert_sound(before)
