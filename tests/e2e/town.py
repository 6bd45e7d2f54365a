"""A sandbox of a test's own, and who lives there: merchants' code, customers, a webhook receiver.

Everything is outside of Bezant: the processes are the real ones, spoken to over HTTP, JSON-RPC
and signals only.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from core.ids import new
from core.networks import NATIVE
from sandbox.keys import socket_in
from tests.folders import folder
from tests.waiting import eventually
from tests.world import Node, calldata, connect

START_SECONDS = 90  # under load; it aims at 12 s
STOP_SECONDS = 15
PATIENCE_SECONDS = 60  # for a condition to hold after something was killed
REQUEST_SECONDS = 10
MINTED = 10**9  # whole tokens that each customer starts with
CUSTOMERS = 4


class Town:
    """`bezant sandbox` in a directory of its own. Raises AssertionError when it does not start."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = directory / "ready.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.start_seconds = 0.0

    def start(self, *options: str) -> None:
        """Returns when the ready-file is there."""
        began = time.monotonic()
        command = [
            *(sys.executable, "-m", "bezant.cli", "sandbox", "--port", "0"),
            *("--data-dir", str(self.data), "--ready-file", str(self._file), *options),
        ]
        with (self.directory / "sandbox.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        while not self._file.exists():
            assert self._process.poll() is None, self.log("sandbox")
            assert time.monotonic() - began < START_SECONDS, self.log("sandbox")
            time.sleep(0.05)
        self.start_seconds = time.monotonic() - began

    def stop(self) -> None:
        """As Ctrl-C does; kills it when that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its children are told by the kernel
            self._process.wait()
            raise
        finally:
            self._process = None
            self._file.unlink(missing_ok=True)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def ready(self) -> dict[str, Any]:
        """As it is now: it is written anew when a child was started again."""
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def pid(self, name: str) -> int:
        """Of the one process that does the work."""
        number: int = self.ready["pids"][name]
        return number

    def kill(self, name: str) -> int:
        """SIGKILL; returns the pid that is gone."""
        number = self.pid(name)
        os.kill(number, signal.SIGKILL)
        return number

    async def reborn(self, name: str, killed: int) -> None:
        """Returns when the ready-file names another process."""

        async def another() -> bool:
            return self.pid(name) != killed

        await eventually(another, PATIENCE_SECONDS)

    def log(self, name: str) -> str:
        """Of `sandbox` itself, or of a child."""
        file = self.directory / "sandbox.log"
        if name != "sandbox":
            file = self.data / "logs" / f"{name}.log"
        return file.read_text(errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        """What another process of the same installation needs."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BEZANT_")}
        keys = self.data / "keys"
        venues = {
            f"{venue.upper()}_API_{part.upper()}_FILE": str(keys / f"{venue}.api.{part}")
            for venue in ("binance", "coinbase")
            for part in ("key", "secret")
        }
        return (
            kept
            | venues
            | {
                "BEZANT_CONFIG": str(self.data / "bezant.toml"),
                "BEZANT_DATABASE_URL": self.ready["database_url"],
                "BEZANT_DATA_DIR": str(self.data),
                "BEZANT_PUBLIC_URL": self.ready["api_url"],
                "BEZANT_SECRET_KEY_FILE": str(keys / "secret.key"),
                "BEZANT_SERVICE_KEY_FILE": str(keys / "service.key"),
                "BEZANT_SIGNER_SOCKET": str(socket_in(self.data / "signer")),
            }
        )


@contextmanager
def open_town(*options: str) -> Iterator[Town]:
    """A fresh sandbox, gone at the end."""
    with folder("bz-") as directory:
        town = Town(directory)
        try:
            town.start("--fresh", *options)
            yield town
        finally:
            town.stop()
            if kept := os.environ.get("BEZANT_KEEP_LOGS"):  # what a failure left behind
                shutil.copytree(town.data / "logs", kept, dirs_exist_ok=True)
                shutil.copy(town.directory / "sandbox.log", kept)


class Refusal(Exception):
    """A problem document: `code` is stable."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(status, problem)
        self.status = status
        self.problem = problem
        self.code: str = problem.get("code", "")


@dataclass
class Client:
    """A merchant's code. `patient`: asks again, under the same key, until there is an answer."""

    url: str
    key: str
    session: aiohttp.ClientSession
    patient: bool = False
    asked_again: int = 0

    async def get(self, path: str) -> Any:
        return await self.ask("GET", path)

    async def post(
        self, path: str, body: dict[str, Any] | None = None, *, once: str | None = None
    ) -> Any:
        """`once` is the Idempotency-Key; without it one is drawn."""
        return await self.ask("POST", path, body, once=once or new().hex)

    async def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, once: str | None = None
    ) -> Any:
        """The JSON of a success. Raises Refusal."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                status, _, answer = await self.answer(method, path, body, once=once)
                final = status < 500 and answer.get("code") != "idempotency_in_progress"
                if status < 300:
                    return answer
                if final or not self.patient or time.monotonic() > deadline:
                    raise Refusal(status, answer)
            except (aiohttp.ClientError, TimeoutError):
                if not self.patient or time.monotonic() > deadline:
                    raise
            self.asked_again += 1
            await asyncio.sleep(0.1)  # as any client would: not at once

    async def answer(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, once: str | None = None
    ) -> tuple[int, Mapping[str, str], dict[str, Any]]:
        """Status, headers, JSON, as they came."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if once is not None:
            headers["Idempotency-Key"] = once
        async with self.session.request(
            method, f"{self.url}{path}", json=body, headers=headers
        ) as response:
            return response.status, response.headers, await response.json(content_type=None)

    async def every(self, path: str) -> list[Any]:
        """All pages of a list, in its order."""
        found: list[Any] = []
        cursor: str | None = None
        while True:
            page = f"{path}{'&' if '?' in path else '?'}limit=100"
            answer = await self.get(page if cursor is None else f"{page}&cursor={cursor}")
            found += answer["data"]
            cursor = answer["next_cursor"]
            if not answer["has_more"]:
                return found

    async def stream(self, cursor: int, until: int) -> list[tuple[int, str, dict[str, Any]]]:
        """Server-sent events after `cursor` up to number `until`: (number, type, body)."""
        told: list[tuple[int, str, dict[str, Any]]] = []
        headers = {"Authorization": f"Bearer {self.key}"}
        path = f"{self.url}/v1/events/stream?cursor={cursor}"
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_SECONDS), self.session.get(
            path, headers=headers, timeout=aiohttp.ClientTimeout(total=None)
        ) as response:  # fmt: skip
            async for line in response.content:
                name, colon, value = line.decode().rstrip("\r\n").partition(": ")
                if colon and name:
                    fields[name] = value
                elif not name and "id" in fields:
                    told.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
                    fields = {}
                    if told[-1][0] >= until:
                        return told
        raise AssertionError(f"the stream ended after {len(told)} events")

    async def shows(self, path: str, right: Callable[[Any], bool]) -> Any:
        """Waits until what is at `path` is right, and returns it."""
        seen: Any = None

        async def looks_right() -> bool:
            nonlocal seen
            seen = await self.get(path)
            return right(seen)

        try:
            await eventually(looks_right, PATIENCE_SECONDS)
        except AssertionError:
            raise AssertionError(f"{path} stays {str(seen)[:500]}") from None
        return seen

    async def invoice(self, amount: str = "25.00", currency: str = "USD", **more: Any) -> Any:
        return await self.post("/v1/invoices", {"amount": amount, "currency": currency, **more})

    async def becomes(self, invoice: dict[str, Any], status: str, exception: str = "none") -> Any:
        """Waits for an invoice's state."""
        return await self.shows(
            f"/v1/invoices/{invoice['id']}",
            lambda i: (i["status"], i["exception"]) == (status, exception),
        )


def units(amount: str) -> int:
    """An amount printed in all of its asset's decimals -> base units."""
    return int(amount.replace(".", ""))


@dataclass
class Chains:
    """The chains: customers pay there with accounts of their own, as wallets do."""

    nodes: dict[str, Node]
    tokens: dict[str, dict[str, str]]
    payers: dict[str, str]
    networks: list[str] = field(default_factory=list)

    def option(self, invoice: dict[str, Any], asset: str, network: int = 0) -> Any:
        wanted = (asset, self.networks[network])
        return next(
            o for o in invoice["payment_options"] if (o["asset"], o["network"]) == wanted
        )  # fmt: skip

    async def pay(
        self,
        invoice: dict[str, Any],
        asset: str,
        amount: int | None = None,
        *,
        network: int = 0,
        sender: int = 1,
        contract: bool = False,
    ) -> str:
        """What is due of that option, or `amount` base units: mined when this returns."""
        if amount is None:
            amount = units(self.option(invoice, asset, network)["amount_due"])
        name, to = self.networks[network], invoice["payment_options"][0]["address"]
        node = self.nodes[name]
        if contract:
            data = calldata("pay(address)", to)
            return await node.send(self.payers[name], amount, data, sender=sender, gas=200_000)
        if asset == "ETH":
            return await node.send(to, amount, sender=sender, gas=100_000)
        data = calldata("transfer(address,uint256)", to, amount)
        return await node.send(self.tokens[name][asset], data=data, sender=sender, gas=200_000)

    async def mine(self, blocks: int = 3) -> None:
        """On every chain, at the chain's own time."""
        for node in self.nodes.values():
            await node.rpc("anvil_mine", hex(blocks), "0x0")

    async def held(self, network: str, asset: str, addresses: set[str]) -> int:
        """What the chain says these addresses have, in base units."""
        token = {"ETH": NATIVE, **self.tokens[network]}[asset]
        return sum([await self.nodes[network].balance(a, token) for a in addresses])


@asynccontextmanager
async def open_chains(ready: dict[str, Any]) -> AsyncIterator[Chains]:
    """Connects to the chains and gives every customer tokens of each kind."""
    async with AsyncExitStack() as stack:
        chains = Chains({}, {}, {})
        for network in ready["networks"]:
            node = await stack.enter_async_context(connect(network["rpc_url"]))
            chains.nodes[network["network"]] = node
            chains.tokens[network["network"]] = network["tokens"]
            chains.payers[network["network"]] = network["payer"]
            chains.networks.append(network["network"])
            async with node.one_block():
                for sender in range(1, CUSTOMERS + 1):
                    for token in network["tokens"].values():
                        amount = MINTED * 10**24
                        mint = calldata("mint(address,uint256)", node.accounts[sender], amount)
                        await node.send(token, data=mint, sender=sender, gas=200_000)
        yield chains


@asynccontextmanager
async def open_api(ready: dict[str, Any]) -> AsyncIterator[tuple[Client, Client]]:
    """The sandbox's own merchant, and its operator."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        url = ready["api_url"]
        yield (
            Client(url, ready["api_key"], session),
            Client(url, ready["operator_key"], session),
        )


async def new_merchant(operator: Client, name: str) -> Client:
    """A new merchant, its key with every scope."""
    merchant = await operator.post("/v1/merchants", {"name": name})
    key = await operator.post("/v1/api_keys", {"merchant": merchant["id"], "scopes": ["*"]})
    return Client(operator.url, key["key"], operator.session, operator.patient)


class Receiver:
    """A merchant's server. It believes nothing that is not signed."""

    def __init__(self) -> None:
        self.secret = ""
        self.endpoint = ""
        self.received: list[dict[str, Any]] = []
        self.forged: list[str] = []
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    @property
    def ids(self) -> list[str]:
        """As they came: a repetition carries the id it had."""
        return [event["id"] for event in self.received]

    async def open(self) -> None:
        """At the port it had before, if it was open."""
        application = web.Application()
        application.router.add_post("/hook", self._hear)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _hear(self, request: web.Request) -> web.Response:
        body = await request.text()
        try:
            event = Webhook(self.secret).verify(body, dict(request.headers))
        except Exception as error:  # noqa: BLE001  (whatever it is: the test will show it)
            self.forged.append(f"{type(error).__name__}: {error}")
            return web.Response(status=400)
        if event["id"] != request.headers["webhook-id"]:
            self.forged.append(f"{request.headers['webhook-id']} carries {event['id']}")
        async with self._changed:
            self.received.append(event)
            self._changed.notify_all()
        return web.Response(status=204)

    async def hears(self, right: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Returns when what was received is right."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: right(self.received))


@asynccontextmanager
async def listening(client: Client) -> AsyncIterator[Receiver]:
    """A receiver that hears everything of the client's merchant."""
    receiver = Receiver()
    await receiver.open()
    try:
        endpoint = await client.post("/v1/webhook_endpoints", {"url": receiver.url})
        receiver.secret = endpoint["secret"]
        receiver.endpoint = endpoint["id"]
        yield receiver
        assert receiver.forged == []
    finally:
        await receiver.close()
