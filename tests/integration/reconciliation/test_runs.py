"""A run ends in a result, whoever dies meanwhile; people look after Breaks."""

from __future__ import annotations

import asyncio
import base64
import pickle
import signal
import sys
from datetime import timedelta

import pytest

from core import ids
from core.errors import Conflict, Invalid, NotFound, VenueUnavailable
from ledger.accounts import Debt, merchant
from reconciliation import resolving, runs
from reconciliation.parts import Scope
from tests.faultproxy import FaultProxy
from tests.integration.payments.facts import spend
from tests.integration.reconciliation.rig import HOT, ONE, WEI, Rig
from tests.waiting import eventually


async def ask(rig: Rig, scope: Scope = Scope.ALL) -> str:
    context = rig.world.context
    async with context.database.begin() as session:
        row = await runs.request(session, context, scope, trigger=runs.COMMAND, initiator="test")
    return ids.show("rec", row.id)


async def state(rig: Rig, number: str) -> dict[str, object]:
    async with rig.world.context.database.read() as session:
        return await runs.show(session, ids.read("rec", number))


async def test_one_run_at_a_time(rig: Rig) -> None:
    first, second = await ask(rig), await ask(rig)
    worker = rig.worker()
    [claimed] = await worker.claim(1)
    assert ids.show("rec", claimed) == first
    assert await rig.worker().claim(1) == []
    await worker.step(claimed)
    [then] = await worker.claim(1)
    assert ids.show("rec", then) == second


async def test_the_schedule(rig: Rig) -> None:
    worker = rig.worker(every_seconds=300)
    assert await worker.claim(1) == []  # the first one comes after the interval
    clock = rig.world.context.clock
    clock.set_offset(clock.offset + timedelta(seconds=301))
    [run] = await worker.claim(1)
    await worker.step(run)
    found = await state(rig, ids.show("rec", run))
    assert (found["trigger"], found["status"], found["scope"]) == ("schedule", "clean", "all")
    assert await worker.claim(1) == []


async def test_a_worker_that_dies_again_and_again(rig: Rig) -> None:
    """The run is taken up when the lease ends, and fails after the third time: never for ever."""
    number = await ask(rig)
    worker = rig.worker()
    for _ in range(3):
        assert len(await worker.claim(1)) == 1
        rig.tamper("update reconciliation_runs set leased_until = now()")
        assert (await state(rig, number))["status"] == "running"
    [run] = await worker.claim(1)
    await worker.step(run)
    found = await state(rig, number)
    assert found["status"] == "failed"
    assert found["unread"] == [{"part": "run", "reason": "interrupted 3 times"}]


async def test_what_a_slower_worker_finds_is_dropped(rig: Rig) -> None:
    number = await ask(rig)
    worker = rig.worker()
    [run] = await worker.claim(1)
    async with FaultProxy(rig.world.node.url) as proxy:
        assert proxy.url
    rig.tamper("update reconciliation_runs set leased_until = now()")
    assert await rig.worker().claim(1) == [run]  # taken up by another one
    attempts = (await rig.world.rows("reconciliation_runs"))[0].attempts
    assert attempts == 2
    assert not await runs.renew(rig.world.context, run, 1, timedelta(seconds=9))
    assert await runs.renew(rig.world.context, run, 2, timedelta(seconds=9))
    await worker.step(run)
    assert (await state(rig, number))["status"] == "clean"


async def test_sigkill_in_the_middle(rig: Rig) -> None:
    """While the node is silent: the next worker makes the run again, and names the mistake."""
    await rig.world.node.rpc("anvil_setBalance", HOT, hex(WEI - 1))
    await rig.world.invoice()
    await rig.follow()
    number = await ask(rig, Scope.CHAIN)
    context = rig.world.context
    packed = base64.b64encode(pickle.dumps(context.catalog.networks[rig.network])).decode()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.reconciliation.worker_process"),
        *(context.database.url, packed, str(context.clock.offset.total_seconds())),
    )

    async def reading() -> bool:
        return bool(await rig.world.rows("reconciliation_addresses"))

    try:
        await eventually(reading, 30)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert (await state(rig, number))["status"] == "running"
    worker = rig.worker()
    assert await worker.claim(1) == []  # its lease has not ended
    rig.tamper("update reconciliation_runs set leased_until = now()")
    [run] = await worker.claim(1)
    await worker.step(run)
    found = await state(rig, number)
    assert (found["status"], found["breaks_opened"]) == ("breaks", 1)
    assert await rig.world.rows("reconciliation_addresses") == []


async def test_a_node_that_does_not_answer(rig: Rig) -> None:
    for endpoint in rig.world.endpoints[rig.network].all:
        endpoint.rpc._url = "http://127.0.0.1:9"
    found = await rig.reconcile()
    assert (found["status"], found["blocks"]) == ("failed", [])
    assert [one["part"] for one in found["unread"]] == [f"chain:{rig.network}"]
    assert [venue["venue"] for venue in found["venues"]] == ["binance"]


async def test_a_venue_that_does_not_answer(rig: Rig) -> None:
    """The rest is proved all the same, and what was known of the venue stays open."""
    rig.account.held["EUR"] -= ONE
    await rig.reconcile()
    rig.account.error = VenueUnavailable("maintenance")
    found = await rig.reconcile()
    assert (found["status"], found["venues"]) == ("failed", [])
    assert found["unread"] == [{"part": "venue:binance", "reason": "maintenance"}]
    assert len(found["blocks"]) == 1
    assert [b["kind"] for b in await rig.breaks()] == ["amount"]


async def test_a_run_on_command_waits_for_the_cursor(rig: Rig) -> None:
    await rig.world.mine(2)
    late = await rig.reconcile("chain", wait_seconds=0.05)
    assert (late["status"], late["behind"]) == ("clean", {rig.network: 2})

    async def follow_soon() -> None:
        await asyncio.sleep(0)
        await rig.world.follow()

    asked = asyncio.create_task(rig.reconcile("chain", wait_seconds=10))
    await follow_soon()
    found = await asked
    head = await rig.world.node.head()
    assert (found["behind"], found["blocks"][0]["number"]) == ({}, head)


async def test_a_break_is_looked_after_and_resolved(rig: Rig) -> None:
    await rig.world.node.rpc("anvil_setBalance", HOT, hex(WEI - 1))
    await rig.follow()
    await rig.reconcile()
    [one] = await rig.breaks()
    context, number = rig.world.context, ids.read("brk", one["id"])
    async with context.database.begin() as session:
        taken = await resolving.acknowledge(session, context, number, owner="Ada", note="looking")
    assert (taken["status"], taken["owner"], taken["note"]) == ("acknowledged", "Ada", "looking")
    assert (await rig.reconcile())["breaks_opened"] == 0  # it is the same one
    with pytest.raises(Invalid):
        await rig.resolve(one["id"], "forgotten")
    done = await rig.resolve(one["id"], "write_off", "gone")
    assert (done["status"], done["resolved_by"], done["owner"]) == ("resolved", "key_test", "Ada")
    with pytest.raises(Conflict) as refused:
        await rig.resolve(one["id"], "write_off")
    assert refused.value.code == "already_resolved"
    with pytest.raises(NotFound):
        await rig.resolve(ids.show("brk", ids.new()), "explained")
    assert (await rig.reconcile())["status"] == "clean"


async def test_what_an_entry_cannot_mend_is_refused(rig: Rig) -> None:
    await rig.world.invoice()
    rig.tamper("update account_balances set balance = balance + 1 where account = 'equity'")
    await rig.reconcile()
    one = (await rig.breaks())[0]
    with pytest.raises(Conflict) as refused:
        await rig.resolve(one["id"], "write_off")
    assert refused.value.code == "not_allowed"


async def test_an_overdraft_is_written_off(rig: Rig) -> None:
    """MONEY 1: after a reversal a person may take the loss."""
    invoice = await rig.world.invoice()
    await rig.world.pay(invoice)
    await rig.world.mine(3)
    await rig.world.follow()
    units = int(-(await rig.world.balances())["available", "ETH"])
    await spend(rig.world, "ETH", units)
    await rig.world.node.reorg(5)
    await rig.world.follow()
    [one] = await rig.breaks()
    assert (one["kind"], one["resolutions"]) == ("missing_on_chain", ["explained", "write_off"])
    await rig.resolve(one["id"], "write_off", "the payer is gone")
    balances = await rig.world.balances()
    assert ("available", "ETH") not in balances
    assert balances["expense:losses", "ETH"] == units
    account = merchant(rig.world.merchant_id, Debt.AVAILABLE)
    assert one["place"] == account
    assert (await rig.reconcile())["status"] == "clean"
