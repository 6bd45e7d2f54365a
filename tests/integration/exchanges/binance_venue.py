"""A simulated Binance on a port of its own, asked by the real SDK: HMAC and Ed25519."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, web
from binance.async_client import AsyncClient
from binance.ws.constants import WSListenerState
from binance.ws.streams import BinanceSocketManager
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from exchanges.numbers import parse
from exchanges.types import Venue
from sandbox.exchanges import markets
from sandbox.exchanges.binance_server import application
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.types import Credential

KEY, SECRET = "hmac" * 16, "secret" * 8
ED_KEY = "ed25" * 16
ED_PRIVATE = Ed25519PrivateKey.generate()
ED_PEM = ED_PRIVATE.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
ED_PUBLIC = (
    ED_PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
NETWORK = "eip155:31337"
TOKENS = {"USDC": ("0x" + "ab" * 20, 6), "USDT": ("0x" + "cd" * 20, 6)}
ADDRESS = "0x" + "11" * 20
ELSEWHERE = "0x" + "22" * 20
MID = "2272.73"


def simulator() -> Simulator:
    """Of an account with both kinds of keys; ETH-EUR stands at `MID`."""
    made = Simulator(
        Venue.BINANCE,
        credentials=[Credential(key=KEY, secret=SECRET), Credential(key=ED_KEY, public=ED_PUBLIC)],
        rules=markets.rules(NETWORK, TOKENS),
        addresses={NETWORK: ADDRESS},
    )
    made.set_mid("ETH-EUR", parse(MID))
    return made


@dataclass
class Binance:
    """The server and who asks it."""

    simulator: Simulator
    runner: web.AppRunner
    port: int
    client: AsyncClient
    session: ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sockets(self, client: AsyncClient | None = None) -> BinanceSocketManager:
        here = type("Here", (BinanceSocketManager,), {"STREAM_URL": f"ws://127.0.0.1:{self.port}/"})
        found: BinanceSocketManager = here(client or self.client)
        return found

    async def raw(
        self,
        method: str,
        path: str,
        *,
        key: str | None = KEY,
        signature: str | None = None,
        sign: bool = True,
        **parameters: Any,
    ) -> tuple[ClientResponse, Any]:
        """A request as written by hand: signed unless told otherwise."""
        given = "&".join(f"{name}={value}" for name, value in parameters.items())
        if sign and "timestamp" not in parameters:
            given += ("&" if given else "") + f"timestamp={int(time.time() * 1000)}"
        if sign or signature is not None:
            made = hmac.new(SECRET.encode(), given.encode(), hashlib.sha256).hexdigest()
            given += f"&signature={signature or made}"
        headers = {} if key is None else {"X-MBX-APIKEY": key}
        joint = "&" if "?" in path else "?"
        async with self.session.request(
            method, URL(f"{self.url}{path}{joint}{given}", encoded=True), headers=headers
        ) as response:
            is_json = "json" in response.headers["Content-Type"]
            return response, await (response.json() if is_json else response.text())


def sdk(port: int, key: str, secret: str | None, private: str | None) -> AsyncClient:
    """The SDK at our server: HMAC by `secret`, Ed25519 by `private` (PEM)."""
    here = type(
        "Here",
        (AsyncClient,),
        {
            "API_URL": f"http://127.0.0.1:{port}/api",
            "MARGIN_API_URL": f"http://127.0.0.1:{port}/sapi",
            "WS_API_URL": f"ws://127.0.0.1:{port}/ws-api/v3",
        },
    )
    client: AsyncClient = here(key, secret, private_key=private)
    return client


async def hang_up(socket: Any) -> None:
    """Closes a socket of the SDK's: its own way waits out a read of up to ten seconds."""
    if socket.ws is not None:
        socket.ws_state = WSListenerState.EXITING
        await socket.ws.close()
    await socket.close()


async def leave(client: AsyncClient) -> None:
    await hang_up(client.ws_api)
    await client.close_connection()


def order(**changes: Any) -> dict[str, Any]:
    """A sell that is filled at once; `changes` replace parameters, None leaves one out."""
    sent: dict[str, Any] = {
        "symbol": "ETHEUR",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "IOC",
        "quantity": "0.5",
        "price": "2200",
        "newClientOrderId": "order-1",
    }
    return {name: value for name, value in (sent | changes).items() if value is not None}


@pytest.fixture
async def venue() -> AsyncIterator[Binance]:
    async with served(simulator()) as binance:
        yield binance


class served:  # noqa: N801  (a context manager, read as a function)
    """Serves a simulator until the end of the block."""

    def __init__(self, made: Simulator, **options: Any) -> None:
        self._simulator = made
        self._options = options

    async def __aenter__(self) -> Binance:
        runner = web.AppRunner(application(self._simulator, **self._options), shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        client = sdk(port, KEY, SECRET, None)
        self._binance = Binance(self._simulator, runner, port, client, ClientSession())
        return self._binance

    async def __aexit__(self, *_: object) -> None:
        await leave(self._binance.client)
        await self._binance.session.close()
        await self._binance.runner.cleanup()
        self._simulator.close()
