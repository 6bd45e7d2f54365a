"""The sandbox's simulated venues: their process, the keys to them, where they are."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from core.errors import BezantError
from exchanges.types import Venue
from sandbox.exchanges import certificates
from sandbox.exchanges.markets import NETWORK_WORDS
from sandbox.exchanges.steering import CONTROL, DIRECTORY, ask
from sandbox.exchanges.told import Told, ToldNetwork
from sandbox.exchanges.types import Credential
from sandbox.processes import Child
from sandbox.state import State, write
from sandbox.world import TOKENS, Chain

TIMEOUT_SECONDS = 4  # they are near, and some faults are silence
READY_SECONDS = 30


class Simulators:
    """One child on sockets of ours: while it restarts, callers wait and are not refused."""

    def __init__(self, directory: Path) -> None:
        self._data = directory
        self._directory = directory / DIRECTORY
        self._sockets = {name: _listen() for name in ("control", *Venue)}
        self._secret = os.urandom(32).hex()
        fds = [bound.fileno() for bound in self._sockets.values()]
        command = [sys.executable, "-m", "sandbox.exchanges.main", str(self._directory)]
        for name, bound in self._sockets.items():
            command += [f"--{name}-fd", str(bound.fileno())]
        log = directory / "logs" / "simulators.log"
        self.child = Child("simulators", command, log, pass_fds=fds)

    def host(self, name: str) -> str:
        return f"127.0.0.1:{self._sockets[name].getsockname()[1]}"

    @property
    def binance_url(self) -> str:
        return f"http://{self.host(Venue.BINANCE)}"

    @property
    def coinbase_url(self) -> str:
        return f"https://{self.host(Venue.COINBASE)}"

    @property
    def ca_file(self) -> Path:
        return self._directory / "tls" / "ca.pem"

    async def prepare(self, state: State, chains: Sequence[Chain]) -> None:
        """Makes keys and certificates that are not there yet, and starts them."""
        self._directory.mkdir(exist_ok=True)
        self._directory.chmod(0o700)
        certificates.ensure(self.ca_file.parent)
        if not state.coinbase_key:
            state.coinbase_key = f"organizations/{uuid4()}/apiKeys/{uuid4()}"
            state.coinbase_secret = ec_key()
        url = f"http://{self.host('control')}"
        write(self._data / CONTROL, {"url": url, "secret": self._secret})
        self._told(state, chains).write(self._directory)
        await self.child.start()

    def _told(self, state: State, chains: Sequence[Chain]) -> Told:
        decimals = {token.symbol: token.decimals for token in TOKENS}
        worth = ("ETH/USD", "EUR/USD", "USDC/USD", "USDT/USD")
        public = public_of(state.coinbase_secret)
        return Told(
            seed=state.simulator_seed,
            secret=self._secret,
            networks=[
                ToldNetwork(
                    id=chain.id,
                    url=chain.url,
                    tokens={s: (address, decimals[s]) for s, address in chain.tokens.items()},
                    # prices are set on all networks alike: one of them is enough
                    feeds={p: chain.feeds[p] for p in worth} if chain is chains[0] else {},
                )
                for chain in chains
            ],
            credentials={
                Venue.BINANCE: [Credential(key=state.binance_key, secret=state.binance_secret)],
                Venue.COINBASE: [Credential(key=state.coinbase_key, public=public)],
            },
        )

    def sections(self, chains: Sequence[Chain]) -> list[str]:
        """The lines of bezant.toml."""
        words = {
            venue: ", ".join(
                f'"{chain.id}" = {json.dumps(NETWORK_WORDS[venue][chain.id])}' for chain in chains
            )
            for venue in Venue
        }
        binance, coinbase = self.host(Venue.BINANCE), self.host(Venue.COINBASE)
        return [
            "",
            "[exchanges.binance]",
            f'url = "{self.binance_url}"',
            f'ws_api_url = "ws://{binance}/ws-api/v3"',
            f'stream_url = "ws://{binance}"',
            f"timeout_seconds = {TIMEOUT_SECONDS}",
            f"networks = {{ {words[Venue.BINANCE]} }}",
            "",
            "[exchanges.coinbase]",
            f'url = "{self.coinbase_url}"',
            f'stream_url = "wss://{coinbase}"',
            f"ca_file = {json.dumps(str(self.ca_file))}",
            f"timeout_seconds = {TIMEOUT_SECONDS}",
            f"networks = {{ {words[Venue.COINBASE]} }}",
        ]

    def summary(self, state: State) -> dict[str, Any]:
        """For the ready-file: anybody's SDK can talk to them."""
        binance, coinbase = self.host(Venue.BINANCE), self.host(Venue.COINBASE)
        return {
            "binance": {
                "url": self.binance_url,
                "ws_api_url": f"ws://{binance}/ws-api/v3",
                "stream_url": f"ws://{binance}",
                "api_key": state.binance_key,
                "api_secret": state.binance_secret,
            },
            "coinbase": {
                "url": self.coinbase_url,
                "stream_url": f"wss://{coinbase}",
                "ca_file": str(self.ca_file),
                "api_key": state.coinbase_key,
                "api_secret": state.coinbase_secret,
            },
        }

    async def until_ready(self) -> None:
        """Returns when every market has its price. Raises BezantError when that does not come."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while (problem := await self._problem()) is not None:
            if not self.child.running:
                raise BezantError(f"simulators did not start:\n{self.child.tail()}")
            if loop.time() > deadline:
                raise BezantError(f"simulators not ready after {READY_SECONDS} s: {problem}")
            await asyncio.sleep(0.05)

    async def _problem(self) -> str | None:
        try:
            status, found = await ask(self._data / CONTROL, "GET", "health")
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__
        if status != 200:
            return f"status {status}"
        return f"no price for {', '.join(found['unpriced'])}" if found["unpriced"] else None

    def close(self) -> None:
        """It is gone by now."""
        for bound in self._sockets.values():
            bound.close()


def key_variables(state: State) -> Mapping[str, str]:
    """The venues' keys as the worker is given them: what must lie in a file, by variable."""
    return {
        "BINANCE_API_KEY": state.binance_key,
        "BINANCE_API_SECRET": state.binance_secret,
        "COINBASE_API_KEY": state.coinbase_key,
        "COINBASE_API_SECRET": state.coinbase_secret,
    }


def _listen() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    bound.listen(2048)
    return bound


def ec_key() -> str:
    """A new key for ES256, as the venue hands them out: PEM, SEC 1."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        .decode()
    )


def public_of(pem: str) -> str:
    """Of a private key."""
    from cryptography.hazmat.primitives import serialization

    public = serialization.load_pem_private_key(pem.encode(), None).public_key()
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
