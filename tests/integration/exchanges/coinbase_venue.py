"""A simulated Coinbase on a port of its own, and the real SDK that talks to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from coinbase.rest import RESTClient
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from requests import Response
from requests.exceptions import HTTPError

from exchanges.numbers import parse
from exchanges.types import Venue
from sandbox.exchanges import certificates
from sandbox.exchanges.coinbase_gate import ALL_SCOPES
from sandbox.exchanges.coinbase_server import application
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.markets import rules
from sandbox.exchanges.types import Credential

KEY = "organizations/6f1c/apiKeys/2d0a"
ED25519_KEY = "6b1d2c3e-0000-4000-8000-1f2e3d4c5b6a"
NETWORK = "eip155:31337"
TOKENS = {"USDC": ("0x" + "0a" * 20, 6), "USDT": ("0x" + "0b" * 20, 6)}
DEPOSIT_ADDRESS = "0x" + "ab" * 20
MID = {"ETH-EUR": "2000", "ETH-USDT": "2200", "USDT-EUR": "0.91"}
_EC = ec.generate_private_key(ec.SECP256R1())
_ED = ed25519.Ed25519PrivateKey.generate()
Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private_pem(key: Private) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem(key: Private) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


SECRET, ED25519_SECRET = private_pem(_EC), private_pem(_ED)
CREDENTIALS = (
    Credential(key=KEY, public=public_pem(_EC)),
    Credential(key=ED25519_KEY, public=public_pem(_ED)),
)


@dataclass
class Served:
    """`host` is 127.0.0.1:port."""

    simulator: Simulator
    host: str
    ca_file: Path

    def client(
        self, key: str = KEY, secret: str = SECRET, *, timeout: float | None = 5, **more: Any
    ) -> RESTClient:
        client = RESTClient(
            api_key=key, api_secret=secret, base_url=self.host, timeout=timeout, **more
        )
        client.session.trust_env = False
        client.session.verify = str(self.ca_file)
        return client

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))


@asynccontextmanager
async def serve(
    directory: Path, scopes: Collection[str] = ALL_SCOPES, per_second: int = 1000
) -> AsyncIterator[Served]:
    """With mids set by hand and a book around them."""
    kept = certificates.ensure(directory)
    simulator = Simulator(
        Venue.COINBASE,
        credentials=CREDENTIALS,
        rules=rules(NETWORK, TOKENS),
        addresses={NETWORK: DEPOSIT_ADDRESS},
    )
    for symbol, mid in MID.items():
        simulator.set_mid(symbol, parse(mid))
    app = application(simulator, scopes=scopes, per_second=per_second)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=kept.server_context())
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield Served(simulator, f"127.0.0.1:{port}", kept.ca_file)
    finally:
        await runner.cleanup()
        simulator.close()


async def ask(call: Callable[..., Any], *arguments: Any, **named: Any) -> dict[str, Any]:
    """What the SDK's synchronous method answers, as a dict."""
    answer = await asyncio.to_thread(call, *arguments, **named)
    return answer if isinstance(answer, dict) else plain(answer)


def plain(answer: Any) -> Any:
    """The SDK's objects as they came."""
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    if hasattr(answer, "to_dict"):
        return {name: plain(value) for name, value in vars(answer).items()}
    return answer


async def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> Response:
    """The HTTP answer that the SDK raised for."""
    with pytest.raises(HTTPError) as raised:
        await asyncio.to_thread(call, *arguments, **named)
    assert raised.value.response is not None
    return raised.value.response
