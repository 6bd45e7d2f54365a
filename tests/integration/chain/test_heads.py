"""Wakes: by WebSocket, by IPC, and by the clock when there is no push or it died."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from chain.endpoints import Endpoints
from chain.heads import heads
from core.networks import Network
from tests.contracts.chain import anvil
from tests.integration.chain.conftest import World
from tests.waiting import eventually

NEVER_MS = 60_000


async def wakes(network: Network, mine: object) -> None:
    """With a poll that never comes: each mined block wakes, and the end ends the subscription."""
    assert callable(mine)
    endpoints = Endpoints(network)
    async with aclosing(heads(network, endpoints)) as ticks:
        await anext(ticks)  # at once
        waiting = asyncio.ensure_future(anext(ticks))

        async def connected() -> bool:
            return endpoints.push_connected

        await eventually(connected)
        await asyncio.wait_for(waiting, 5)  # the subscription itself is a reason to look
        for _ in range(3):
            mine()
            await asyncio.wait_for(anext(ticks), 5)
    assert not endpoints.push_connected


async def test_a_websocket_wakes(world: World) -> None:
    url = world.chain.url.replace("http", "ws")
    await wakes(replace(world.network, push_url=url, poll_ms=NEVER_MS), world.mine)


async def test_a_socket_of_the_node_wakes(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "node.ipc")
    with anvil("--ipc", path) as chain:
        network = replace(world.network, push_url=path, poll_ms=NEVER_MS)
        await wakes(network, lambda: chain.rpc("anvil_mine", "0x1"))


@pytest.mark.parametrize("push", [None, "ws://127.0.0.1:9/secret", "/nowhere/node.ipc"])
async def test_the_clock_wakes_without_a_push(
    world: World, push: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    network = replace(world.network, push_url=push, poll_ms=10)
    endpoints = Endpoints(network)
    async with aclosing(heads(network, endpoints)) as ticks:
        for _ in range(5):
            await asyncio.wait_for(anext(ticks), 5)
    assert not endpoints.push_connected
    assert "secret" not in capsys.readouterr().out


class Relay:
    """Hands a node's socket on, until it is cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[asyncio.StreamWriter] = []
        self.taken = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        there, here = await asyncio.open_connection("127.0.0.1", self._port)
        self._open += [writer, here]
        await asyncio.gather(_hand_on(reader, here), _hand_on(there, writer))

    def cut(self) -> None:
        while self._open:
            self._open.pop().transport.abort()


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while some := await reader.read(1 << 16):
            writer.write(some)
            await writer.drain()
    writer.close()


async def test_a_lost_subscription_comes_back(world: World) -> None:
    relay = Relay(int(world.chain.url.rsplit(":", 1)[1]))
    async with await asyncio.start_server(relay.take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoints = Endpoints(world.network)

        async def connected() -> bool:
            return endpoints.push_connected

        async def lost() -> bool:
            return not endpoints.push_connected

        network = replace(world.network, push_url=f"ws://127.0.0.1:{port}", poll_ms=NEVER_MS)
        async with aclosing(heads(network, endpoints)) as ticks:
            await anext(ticks)  # at once
            await asyncio.wait_for(anext(ticks), 5)  # the subscription
            await eventually(connected)
            relay.cut()
            await eventually(lost)
            await asyncio.wait_for(anext(ticks), 5)  # the next one
            await eventually(connected)
            assert relay.taken == 2
            world.mine()
            assert await asyncio.wait_for(anext(ticks), 5) is not None
        relay.cut()
