"""What is queued outlives a restart; a dead endpoint is nobody else's; a second worker takes over.

A worker that is stopped (SIGSTOP) and not dead keeps its locks, for its connections stand: the
standby waits with everybody else. Once the server ends those connections the standby takes over,
and when the stopped one wakes up the guard rows keep it from applying anything again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.town import (
    PATIENCE_SECONDS,
    Chains,
    Client,
    Receiver,
    Town,
    listening,
    new_merchant,
    open_api,
    open_chains,
    open_town,
)
from tests.settings import SEED
from tests.waiting import eventually

RETRIES_SECONDS = 3600  # on the test clock: the first retries are due
ORDERS = 12


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with open_town() as town:
        yield town


async def paid(client: Client, chains: Chains, asset: str = "USDC") -> Any:
    """An invoice, settled."""
    invoice = await client.invoice()
    await chains.pay(invoice, asset)
    await chains.mine()
    return await client.becomes(invoice, "settled")


async def told(client: Client) -> set[str]:
    """Ids of every event of the merchant."""
    return {event["id"] for event in await client.every("/v1/events")}


async def test_queued_webhooks_outlive_a_restart(town: Town) -> None:
    """The merchant's server is away, then the whole of Bezant: everything is delivered after."""
    async with open_api(town.ready) as (_, operator), open_chains(town.ready) as chains:
        client = await new_merchant(operator, "Away")
        async with listening(client) as receiver:
            await receiver.close()
            await paid(client, chains)

            async def tried_in_vain() -> bool:
                log = await client.every(f"/v1/webhook_endpoints/{receiver.endpoint}/deliveries")
                return len(log) == 5 and any(d["attempts"] for d in log)

            await eventually(tried_in_vain, PATIENCE_SECONDS)
            town.stop()
            town.start()
            await receiver.open()
            async with open_api(town.ready) as (_, operator):
                client = Client(operator.url, client.key, operator.session)
                await operator.post("/v1/sandbox/clock", {"advance_seconds": RETRIES_SECONDS})
                await delivered(client, receiver)
                assert len(receiver.received) == 5


async def delivered(client: Client, receiver: Receiver) -> None:
    """Every event of the merchant was heard, and the log says so."""

    async def all_heard() -> bool:  # the feed may be numbered a moment after a delivery
        return set(receiver.ids) == await told(client)

    await eventually(all_heard, PATIENCE_SECONDS)
    everything = await told(client)

    async def all_noted() -> bool:
        log = await client.every(f"/v1/webhook_endpoints/{receiver.endpoint}/deliveries")
        return {d["status"] for d in log} == {"delivered"} and len(log) == len(everything)

    await eventually(all_noted, PATIENCE_SECONDS)


@asynccontextmanager
async def silence() -> AsyncIterator[tuple[str, list[asyncio.StreamWriter]]]:
    """A server that takes connections and never answers."""
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", held
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()


async def test_a_dead_endpoint_keeps_nobody_waiting(town: Town) -> None:
    """The live one has heard everything before the dead one's first attempt is given up."""
    async with (
        open_api(town.ready) as (_, operator),
        silence() as (url, held),
    ):
        client = await new_merchant(operator, "Two endpoints")
        dead = await client.post("/v1/webhook_endpoints", {"url": url})
        async with listening(client) as receiver:
            await client.invoice()

            async def hangs() -> bool:
                return bool(held)

            await eventually(hangs, PATIENCE_SECONDS)
            for _ in range(ORDERS):
                await client.invoice()
            await receiver.hears(lambda heard: len({e["id"] for e in heard}) == ORDERS + 1)
            log = await client.every(f"/v1/webhook_endpoints/{dead['id']}/deliveries")
            assert [(d["status"], d["attempts"]) for d in log] == [("pending", [])] * (ORDERS + 1)
            await delivered(client, receiver)
        await client.ask("DELETE", f"/v1/webhook_endpoints/{dead['id']}")


class Standby:
    """A second `bezant worker` of the same installation."""

    def __init__(self, town: Town, log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bezant.cli", "worker", "--metrics-port", "0"],
                env=town.environment,
                stdout=stream,
                stderr=stream,
                cwd="/",
            )

    async def says(self, what: str, times: int = 1) -> None:
        """Waits for a line of its log."""

        async def said() -> bool:
            assert self.process.poll() is None, self._log.read_text()
            return self._log.read_text().count(f'"event": "{what}"') >= times

        await eventually(said, PATIENCE_SECONDS)


@contextmanager
def standby(town: Town) -> Iterator[Standby]:
    second = Standby(town, town.directory / "standby.log")
    try:
        yield second
    finally:
        second.process.send_signal(signal.SIGCONT)
        second.process.kill()
        second.process.wait()


async def test_the_standby_takes_over(town: Town) -> None:
    async with (
        open_api(town.ready) as (_, operator),
        open_chains(town.ready) as chains,
    ):
        client = await new_merchant(operator, "Standby")
        with standby(town) as second:
            await second.says("worker_started")
            await paid(client, chains)
            before = town.log("worker").count('"event": "following"')
            killed = town.kill("worker")
            unseen = await client.invoice()
            await chains.pay(unseen, "ETH", network=1)
            await second.says("following", times=len(chains.networks))
            await chains.mine()
            await client.becomes(unseen, "settled")
            await town.reborn("worker", killed)
            await once_and_for_all(client, operator, deposits=2)
            # The killed one's successor stands by in its turn.
            assert town.log("worker").count('"event": "following"') == before


async def test_a_worker_that_sleeps_while_others_work(town: Town) -> None:
    luck = random.Random(SEED)
    async with (
        open_api(town.ready) as (_, operator),
        open_chains(town.ready) as chains,
    ):
        client = await new_merchant(operator, "Sleeper")
        await paid(client, chains)  # the town's own worker is the active one
        invoices = [await client.invoice() for _ in range(ORDERS)]
        with standby(town) as second:
            await second.says("worker_started")
            sleeper, moment = town.pid("worker"), luck.randrange(ORDERS)
            try:
                for number, invoice in enumerate(invoices):
                    if number == moment:
                        os.kill(sleeper, signal.SIGSTOP)
                    await chains.pay(invoice, luck.choice(("ETH", "DAI")), network=number % 2)
                await chains.mine()
                holders = locks(town)
                assert holders
                cut(town, holders)
                await second.says("following", times=len(chains.networks))
                await open_transactions_end(town)
                for invoice in invoices:
                    await client.becomes(invoice, "settled")
            finally:
                os.kill(sleeper, signal.SIGCONT)
            await paid(client, chains)
            assert town.pid("worker") == sleeper
            await once_and_for_all(client, operator, deposits=ORDERS + 2)
        # The sleeper is the standby now, and awake: with the other one gone it works again.
        await paid(client, chains)
        await once_and_for_all(client, operator, deposits=ORDERS + 3)


def locks(town: Town) -> set[int]:
    """Backends that hold a singleton's lock."""
    query = "select distinct pid from pg_locks where locktype = 'advisory' and granted"
    with psycopg.connect(town.ready["database_url"], autocommit=True) as connection:
        return {row[0] for row in connection.execute(query)}


def cut(town: Town, backends: set[int]) -> None:
    """As the server does to a peer that answers no keepalive."""
    with psycopg.connect(town.ready["database_url"], autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(p) from unnest(%s::int[]) as p", [list(backends)]
        )


async def open_transactions_end(town: Town) -> None:
    """What the sleeper left open in the middle of a batch: its row locks go with it. The server
    calls it idle, or active where it was stopped between the statements of a pipeline."""
    query = (
        "select pid from pg_stat_activity where state_change < now() - interval '1 s'"
        " and (state = 'idle in transaction' or state = 'active' and wait_event = 'ClientRead')"
    )
    deadline = asyncio.get_running_loop().time() + 2  # by then whatever it left is a second old

    async def none_is_left() -> bool:
        with psycopg.connect(town.ready["database_url"], autocommit=True) as connection:
            left = {row[0] for row in connection.execute(query)}
        cut(town, left)
        return not left and asyncio.get_running_loop().time() > deadline

    await eventually(none_is_left, PATIENCE_SECONDS)


async def once_and_for_all(client: Client, operator: Client, *, deposits: int) -> None:
    """Every deposit is in the books once and was told once; the chain of entries is whole."""
    found = await client.every("/v1/deposits")
    assert [d["status"] for d in found] == ["confirmed"] * deposits
    entries = await client.every("/v1/ledger/entries")
    kinds = Counter((entry["reference"], entry["kind"]) for entry in entries)
    expected = {(d["id"], kind) for d in found for kind in ("deposit_seen", "deposit_confirmed")}
    assert kinds == Counter(expected)

    async def all_numbered() -> bool:
        feed = await client.every("/v1/events")
        types = Counter((e["data"]["object"]["id"], e["type"]) for e in feed)
        assert set(types.values()) == {1}, types
        settled = [kind for _, kind in types if kind == "invoice.settled"]
        return len(settled) == deposits

    await eventually(all_numbered, PATIENCE_SECONDS)
    report = await operator.get("/v1/ledger/verify")
    assert report["ok"], report
