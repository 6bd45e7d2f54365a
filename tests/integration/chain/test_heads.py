"""Wakes: by WebSocket, by IPC, and by the clock when there is no push or it died."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
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


async def test_a_lost_subscription_comes_back(world: World) -> None:
    with anvil() as first:
        port = int(first.url.rsplit(":", 1)[1])
        network = replace(world.network, push_url=f"ws://127.0.0.1:{port}", poll_ms=10)
        endpoints = Endpoints(network)

        async def connected() -> bool:
            await anext(ticks)
            return endpoints.push_connected

        async def lost() -> bool:
            return not await connected()

        async with aclosing(heads(network, endpoints)) as ticks:
            await eventually(connected)
            with anvil() as other:  # a node to keep: the first one goes
                assert other.url != first.url
            first.rpc("anvil_mine", "0x1")
            await eventually(connected)
