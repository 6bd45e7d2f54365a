"""Payouts are asked for at once while everything that can go wrong does: each is paid once.

Four workers share a database. Workers, API and signer are killed; the node refuses, loses its
answers to what it took, wants other fees, and replaces its blocks with and without our
transactions. At the end the chain, the books, the merchant's balances, what he was told and what
the signer counted say the same.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from core import ids
from core.networks import NATIVE
from sandbox import reorgs
from sandbox.node import Node as SandboxNode
from tests.e2e.town import (
    Chains,
    Client,
    Receiver,
    Refusal,
    Town,
    listening,
    new_merchant,
    open_api,
    open_chains,
    open_town,
    units,
)
from tests.faultproxy import FaultProxy
from tests.settings import SEED, SOAK, numbers
from tests.waiting import eventually

NETWORK = "eip155:31337"
PAYOUTS = numbers(24, 1000)
OF_A_BATCH = numbers(5, 50)
APPROVALS = numbers(3, 12)
STRIKES = numbers(9, 72)
LONGEST_CALM = 3 if SOAK else 1.5
WORKERS = 4
AT_ONCE = 48  # requests; the rest waits for a connection in any case
PATIENCE = 90 + PAYOUTS
BLOCK_SECONDS = 0.5
DEAR_SECONDS = 18  # longer than STUCK_SECONDS of the sandbox
GWEI = 10**9
DECIMALS = {"ETH": 18, "USDC": 6, "USDT": 6, "DAI": 18}
FUNDS = {"ETH": "60", "USDC": "150000", "USDT": "50000", "DAI": "50000"}
KINDS = ("worker", "lost", "signer", "errors", "fork", "api", "dropped", "workers", "dear")


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with open_town() as town:
        yield town


@dataclass
class Wanted:
    """A payout as the merchant has it on paper; `payout` is what the API answered."""

    asset: str
    amount: int
    address: str
    payout: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, str]:
        whole, part = divmod(self.amount, 10 ** DECIMALS[self.asset])
        return {
            "amount": f"{whole}.{part:0{DECIMALS[self.asset]}}",
            "asset": self.asset,
            "network": NETWORK,
            "address": self.address,
        }


def plan() -> tuple[list[Wanted], list[list[Wanted]]]:
    """Those that are asked for alone, and batches: half of all, each in one or two assets."""
    luck = random.Random(f"payouts {SEED}")

    def one(asset: str, *, large: bool = False) -> Wanted:
        unit = 10 ** DECIMALS[asset]
        amount = luck.randrange(1, unit // 500) if asset == "ETH" else luck.randrange(1, 20 * unit)
        if large:  # more than the signer lets go without a person
            amount += unit * (11 if asset == "ETH" else 26_000) // 10
        return Wanted(asset, amount, "0x" + luck.randbytes(20).hex())

    alone = [one(luck.choice(list(DECIMALS))) for _ in range(PAYOUTS // 2 - APPROVALS)]
    alone += [one(luck.choice(("ETH", "USDC")), large=True) for _ in range(APPROVALS - 1)]
    luck.shuffle(alone)
    batches = []
    for n in range((PAYOUTS - len(alone)) // OF_A_BATCH):
        kinds = luck.sample(list(DECIMALS), 1 + n % 2)
        batches.append([one(luck.choice(kinds)) for _ in range(OF_A_BATCH)])
    batches[0][-1] = one("ETH", large=True)
    rest = PAYOUTS - len(alone) - sum(len(batch) for batch in batches)
    return alone + [one("ETH") for _ in range(rest)], batches


class Workers:
    """The town's own and three more, each started again when it was killed."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._log = town.directory / "workers.log"
        self._others: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        while len(self._others) < WORKERS - 1:
            with self._log.open("ab") as stream:
                command = [sys.executable, "-m", "bezant.cli", "worker", "--metrics-port", "0"]
                environment = self._town.environment
                self._others.append(
                    subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
                )

    def kill(self, number: int) -> None:
        """0: the town's, which starts it again; as all of them, in another process."""
        if number == 0:
            os.kill(self._town.pid("worker"), signal.SIGKILL)
            return
        killed = self._others.pop(number - 1)
        killed.kill()
        killed.wait()
        self.start()

    def stop(self) -> None:
        for other in self._others:
            other.kill()
            other.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")


class Miner:
    """A block every half second, and nobody mines while blocks are replaced."""

    def __init__(self, chains: Chains) -> None:
        self._node = chains.nodes[NETWORK]
        self.turn = asyncio.Lock()
        self.dear_until = 0.0

    async def run(self) -> None:
        while True:
            async with self.turn:
                if time.monotonic() < self.dear_until:
                    await self._node.rpc("anvil_setNextBlockBaseFeePerGas", hex(30 * GWEI))
                await self._node.rpc("anvil_mine", "0x1", "0x0")
            await asyncio.sleep(BLOCK_SECONDS)


class Trouble:
    """Drawn from the seed; each kind in its turn."""

    def __init__(self, town: Town, workers: Workers, miner: Miner, proxy: FaultProxy) -> None:
        self._town, self._workers, self.miner, self._proxy = town, workers, miner, proxy
        self._upstream = SandboxNode(proxy.upstream)
        self.luck = random.Random(f"trouble of payouts {SEED}")
        self._kinds = itertools.cycle(self.luck.sample(KINDS, len(KINDS)))
        self.happened: Counter[str] = Counter()

    async def strike(self) -> None:
        kind = next(self._kinds)
        self.happened[kind] += 1
        if kind == "worker":
            self._workers.kill(self.luck.randrange(WORKERS))
        elif kind == "workers":
            for number in range(WORKERS - 1, -1, -1):
                self._workers.kill(number)
        elif kind in ("signer", "api"):
            killed = self._town.kill(kind)
            await self._town.reborn(kind, killed)
        elif kind == "lost":  # the node takes the bytes, and nobody hears of it
            self._proxy.refuse(
                -32603, "Internal error", method="eth_sendRawTransaction",
                times=self.luck.randrange(1, 20),
            )  # fmt: skip
        elif kind == "errors":
            self._proxy.http(503, times=self.luck.randrange(1, 40))
        elif kind == "dear":  # what was offered is not enough any more
            self.miner.dear_until = time.monotonic() + DEAR_SECONDS
        else:
            await self._fork(keep=kind == "fork")

    async def _fork(self, *, keep: bool) -> None:
        async with self.miner.turn:
            await reorgs.reorg(
                self._upstream, self.luck.randrange(1, 7), keep_transactions=keep,
                now=int(time.time()),
            )  # fmt: skip


@dataclass
class Shop:
    """The merchant's side of the run."""

    merchant: Client
    operator: Client
    chains: Chains
    town: Town
    paid_in: dict[str, int] = field(default_factory=dict)

    async def earn(self) -> None:
        """Deep enough that no fork of this test reaches it."""
        for asset, amount in FUNDS.items():
            invoice = await self.merchant.invoice(
                amount, asset, assets=[asset], networks=[NETWORK]
            )  # fmt: skip
            await self.chains.pay(invoice, asset)
            await self.chains.mine()
            await self.merchant.becomes(invoice, "settled")
            self.paid_in[asset] = units(self.chains.option(invoice, asset)["amount"])
        await self.chains.mine(20)

    async def ask(self, alone: Sequence[Wanted], batches: Sequence[Sequence[Wanted]]) -> None:
        """All at once; again, under the same key, where the API was killed meanwhile."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, wanted: Wanted) -> None:
            async with room:
                wanted.payout = await self.merchant.post(
                    "/v1/payouts", wanted.body(), once=f"payout-{number}"
                )

        async def batch(number: int, wanted: Sequence[Wanted]) -> None:
            async with room:
                body = {"payouts": [w.body() for w in wanted]}
                made = await self.merchant.post("/v1/payout_batches", body, once=f"batch-{number}")
                for w, payout in zip(wanted, made["payouts"], strict=True):
                    w.payout = payout

        await asyncio.gather(
            *(batch(n, wanted) for n, wanted in enumerate(batches)),
            *(one(n, wanted) for n, wanted in enumerate(alone)),
        )

    async def approve(self) -> None:
        """The person whose signature the signer asks for, for as long as he is asked."""
        key = (self.town.data / "keys" / "approver.key").read_text().strip()
        person = Account.from_key(key)
        while True:
            for asked in await self.operator.every("/v1/approvals?status=requested"):
                signable = encode_typed_data(full_message=plain(asked["typed_data"]))
                signature = "0x" + Account.sign_message(signable, key).signature.hex()
                body = {"approver": person.address, "signature": signature}
                try:
                    path = f"/v1/payouts/{asked['payout']}/approve"
                    await self.merchant.post(path, body, once=asked["id"])
                except Refusal as refused:
                    if refused.code != "no_approval_needed":
                        raise
            await asyncio.sleep(1)  # as a person would: looks again

    async def all_paid(self) -> None:
        query = "select status, count(*) from payouts group by status"
        seen: dict[str, int] = {}

        async def paid() -> bool:
            nonlocal seen
            await asyncio.sleep(0.5)
            with psycopg.connect(self.town.ready["database_url"]) as connection:
                seen = dict(connection.execute(query).fetchall())
            return seen == {"paid": PAYOUTS}

        try:
            await eventually(paid, PATIENCE)
        except AssertionError:
            raise AssertionError(seen) from None


def plain(typed: dict[str, Any]) -> dict[str, Any]:
    numbers_ = {"amount", "feeCap", "expiresAt", "nonce"}
    message = {k: int(v) if k in numbers_ else v for k, v in typed["message"].items()}
    return {**{k: typed[k] for k in ("types", "primaryType", "domain")}, "message": message}


def behind(town: Town, proxy: FaultProxy, direct: str) -> None:
    """From their next start on, the services speak to the node through the proxy."""
    file = town.data / "bezant.toml"
    text = file.read_text()
    assert text.count(f"rpc_urls = {json.dumps([direct])}") == 1
    file.write_text(text.replace(json.dumps([direct]), json.dumps([proxy.url])))


@asynccontextmanager
async def besieged(
    town: Town, chains: Chains, direct: str
) -> AsyncIterator[tuple[Trouble, Workers]]:
    """Four workers behind a proxy, and a chain that mines by time."""
    workers, node = Workers(town), chains.nodes[NETWORK]
    async with FaultProxy(direct) as proxy:
        behind(town, proxy, direct)
        with psycopg.connect(town.ready["database_url"], autocommit=True) as connection:
            connection.execute("alter system set max_connections = 400")  # for four workers
        await town.reborn("postgres", town.kill("postgres"))
        await town.reborn("worker", town.kill("worker"))
        workers.start()
        await node.rpc("evm_setAutomine", False)
        miner = Miner(chains)
        mining = asyncio.create_task(miner.run())
        try:
            yield Trouble(town, workers, miner, proxy), workers
        finally:
            mining.cancel()
            await asyncio.gather(mining, return_exceptions=True)
            workers.stop()


async def test_each_is_paid_once_whatever_happens(town: Town) -> None:
    alone, batches = plan()
    wanted = [*alone, *itertools.chain(*batches)]
    assert len(wanted) == PAYOUTS
    direct = town.ready["networks"][0]["rpc_url"]
    async with open_api(town.ready) as (_, operator), open_chains(town.ready) as chains:
        operator.patient = True
        merchant = await new_merchant(operator, "Payouts")
        shop = Shop(merchant, operator, chains, town)
        async with listening(merchant) as heard, besieged(town, chains, direct) as siege:
            trouble, workers = siege
            await chains.nodes[NETWORK].rpc("evm_setAutomine", True)
            await shop.earn()
            await chains.nodes[NETWORK].rpc("evm_setAutomine", False)
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(shop.ask(alone, batches))
                approving = group.create_task(shop.approve())
                for _ in range(STRIKES):
                    await asyncio.sleep(trouble.luck.uniform(0.1, LONGEST_CALM))  # within its work
                    await trouble.strike()
                await asking
                await shop.all_paid()
                approving.cancel()
            took = round(time.monotonic() - began)
            await at_the_head(operator, chains, trouble)
            await the_chain_has_each_once(shop, wanted)
            await nonces_have_no_holes(town, chains)
            await the_books_equal_the_chain(town, operator, chains)
            await the_merchant_has_the_rest(shop, wanted)
            await everything_was_told(shop, heard, wanted)
        the_signer_counted_what_it_signed(town)
        report = await operator.get("/v1/ledger/verify")
        assert (report["ok"], report["problems"]) == (True, [])
        nothing_unforeseen(town, workers)
        struck = ", ".join(f"{n} {kind}" for kind, n in sorted(trouble.happened.items()))
        print(f"\nsoak: {PAYOUTS} payouts, {took} seconds until all were paid, {struck}")


async def at_the_head(operator: Client, chains: Chains, trouble: Trouble) -> None:
    """The last blocks are taken in, and no more come."""
    await trouble.miner.turn.acquire()  # until the end
    heads = {name: await node.head() for name, node in chains.nodes.items()}
    await operator.shows(
        "/v1/networks", lambda found: {n["id"]: n["height"] for n in found["data"]} == heads
    )


async def the_chain_has_each_once(shop: Shop, wanted: Sequence[Wanted]) -> None:
    """Nobody else ever paid these addresses."""
    found = {p["id"]: p for p in await shop.merchant.every("/v1/payouts")}
    assert len(found) == PAYOUTS
    node, tokens = shop.chains.nodes[NETWORK], shop.chains.tokens[NETWORK]
    for one in wanted:
        shown = found[one.payout["id"]]
        assert (shown["status"], shown["address"].lower()) == ("paid", one.address), shown
        assert units(shown["amount"]) == one.amount
        held = await node.balance(one.address, {"ETH": NATIVE, **tokens}[one.asset])
        assert held == one.amount, shown


async def nonces_have_no_holes(town: Town, chains: Chains) -> None:
    with psycopg.connect(town.ready["database_url"]) as connection:
        rows = connection.execute(
            "select network, wallet, nonce, status from transactions where nonce is not null"
        ).fetchall()
    taken: dict[tuple[str, str], list[int]] = defaultdict(list)
    for network, wallet, nonce, status in rows:
        assert status in ("mined", "confirmed"), (nonce, status)
        taken[network, wallet].append(nonce)
    assert taken
    for (network, wallet), nonces in taken.items():
        count = await chains.nodes[network].rpc("eth_getTransactionCount", wallet, "latest")
        assert sorted(nonces) == list(range(int(count, 16)))


async def the_books_equal_the_chain(town: Town, operator: Client, chains: Chains) -> None:
    """To the wei: hot wallets, deposit addresses, treasury; in every asset on every network."""
    accounts = await operator.every("/v1/ledger/accounts")
    books = {(a["account"], a["asset"]): units(a["balance"]) for a in accounts}
    with psycopg.connect(town.ready["database_url"]) as connection:
        houses = connection.execute("select network, role, address from house_addresses").fetchall()
        paid_to = {row[0] for row in connection.execute("select address from deposit_addresses")}
    for network, tokens in chains.tokens.items():
        places = {"deposits": paid_to, "hot": set[str](), "treasury": set[str]()}
        for at, role, address in houses:
            if at == network and role in places:
                places[role].add(address)
        for role, addresses in places.items():
            for asset in ("ETH", *tokens):
                held = await chains.held(network, asset, addresses)
                assert books.get((f"network:{network}:{role}", asset), 0) == held, (role, asset)
    sums: dict[str, int] = defaultdict(int)
    for (account, asset), balance in books.items():
        sums[asset] += balance
        assert balance == 0 or not account.endswith("suspense"), account
    assert set(sums.values()) == {0}


async def the_merchant_has_the_rest(shop: Shop, wanted: Sequence[Wanted]) -> None:
    left = dict(shop.paid_in)
    for one in wanted:
        left[one.asset] -= one.amount + units(one.payout["network_fee"])
    balances = {b["asset"]: b for b in (await shop.merchant.get("/v1/balances"))["data"]}
    for asset, amount in left.items():
        assert units(balances[asset]["available"]) == amount, asset
        assert units(balances[asset]["reserved"]) == 0, asset
        assert units(balances[asset]["pending"]) == 0, asset


async def everything_was_told(shop: Shop, heard: Receiver, wanted: Sequence[Wanted]) -> None:
    """Each payout's story makes sense, and every event of it was delivered."""
    feed: list[Any] = []

    async def complete() -> bool:
        nonlocal feed
        await asyncio.sleep(0.5)
        feed = await shop.merchant.every("/v1/events")
        return {e["id"] for e in feed} == set(heard.ids) and makes_sense(feed)

    def makes_sense(feed: Sequence[Any]) -> bool:
        stories: dict[str, list[str]] = defaultdict(list)
        for event in sorted(feed, key=lambda e: e["id"]):
            stories[event["data"]["object"]["id"]].append(event["type"].partition(".")[2])
        return all(sense(" ".join(stories[one.payout["id"]])) for one in wanted)

    await eventually(complete, 120)
    assert len({e["id"] for e in feed}) == len(feed)


def sense(story: str) -> bool:
    """What a fork takes back is told, and told again when it is paid in another block."""
    words = "(delayed |held |approved )*"
    return (
        re.fullmatch(f"requested {words}sending( paid reversed( sending)?)* paid", story)
        is not None
    )


def the_signer_counted_what_it_signed(town: Town) -> None:
    """For each (order, nonce) that it gave a signature for, exactly the payments in it."""
    with psycopg.connect(town.ready["database_url"]) as connection:
        orders = {
            ids.show("tx", order): spends
            for order, spends in connection.execute("select order_id, spends from transactions")
        }
        stored = {
            (ids.show("tx", order), nonce)
            for order, nonce in connection.execute(
                "select order_id, nonce from transactions where nonce is not null"
            )
        }
    [file] = (town.data / "signer").glob("*.db")
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as store:
        signed = set(
            store.execute("select distinct order_id, nonce from signatures where is_cancel = 0")
        )
        rows = store.execute("select order_id, nonce, token, amount from spends").fetchall()
    counted: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for order, nonce, token, amount in rows:
        counted[order, nonce][token] += int(amount)
    assert stored <= signed
    for order, nonce in signed:
        expected = {token: int(amount) for token, amount in orders[order].items()}
        assert dict(counted.pop((order, nonce), {})) == expected, (order, nonce)
    assert not counted


def nothing_unforeseen(town: Town, workers: Workers) -> None:
    logs = [town.log("api"), town.log("worker"), workers.log()]
    errors = [line for log in logs for line in log.splitlines() if '"level": "error"' in line]
    assert [line for line in errors if not foreseen(json.loads(line))] == []


def foreseen(line: dict[str, Any]) -> bool:
    """The database was made anew at the start; a loop that began while the node refused everything
    begins again."""
    away = line["event"] == "loop_failed" and "core.errors.EndpointFailed" in line["exception"]
    return away or line["event"] == "database_unavailable"
