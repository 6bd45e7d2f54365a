"""python-binance's AsyncClient, made safe: its methods stay, what lies under them is ours.

Every request of the SDK goes through `_request`. Ours signs what is really sent (percent-encoded
first, or -1022 since 2026-01-15; the SDK signs before), at the venue's own time, gives every call a
timeout, follows no redirect, spends from the token buckets, and turns each failure into one of our
three errors. It raises outside of the `except` blocks: an aiohttp error carries the signed URL and
the key's header, and none of that may hang on what we raise.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import yarl
from binance import AsyncClient
from binance.exceptions import (
    BinanceAPIException,
    BinanceOrderException,
    BinanceRequestException,
)

from core.errors import Misconfigured, VenueError, VenueUnavailable
from exchanges.binance.clock import VenueClock
from exchanges.binance.errors import (
    OUTSIDE_WINDOW,
    BadAnswer,
    bad_answer,
    reading,
    translate,
)
from exchanges.binance.limits import Limits
from exchanges.numbers import read_json

RECV_WINDOW_MS = 10_000
"""As the SDK forces it; after the request's timestamp plus this the venue begins it no more."""
_FAILURES = (
    aiohttp.ClientError,
    OSError,  # TimeoutError is one
    BadAnswer,
    BinanceAPIException,
    BinanceRequestException,
    BinanceOrderException,
)
_PATH = re.compile(r"/((?:api|sapi)/v[0-9]/.+)")
_NOWHERE = "https://unused.invalid"


@dataclass(frozen=True)
class _Call:
    """`costs`: what it takes of which limit. `executes`: it moves money. `urgent`: money may
    depend on it now."""

    costs: Mapping[str, int] = field(default_factory=dict)
    executes: bool = False
    urgent: bool = False


_CALLS = {
    ("get", "api/v3/time"): _Call({"weight": 1}, urgent=True),
    ("get", "api/v3/exchangeInfo"): _Call({"weight": 20}),
    ("get", "api/v3/depth"): _Call({"weight": 50}),
    ("get", "api/v3/account"): _Call({"weight": 20}),
    ("post", "api/v3/order"): _Call({"weight": 1, "order": 1}, executes=True, urgent=True),
    ("get", "api/v3/order"): _Call({"weight": 4}, urgent=True),
    ("get", "api/v3/myTrades"): _Call({"weight": 20}, urgent=True),
    ("get", "sapi/v1/system/status"): _Call({"ip": 1}),
    ("get", "sapi/v1/asset/tradeFee"): _Call({"ip": 1}),
    ("get", "sapi/v1/capital/config/getall"): _Call({"ip": 10}),
    ("get", "sapi/v1/capital/deposit/address"): _Call({"ip": 10}),
    ("get", "sapi/v1/capital/deposit/hisrec"): _Call({"ip": 1}),
    # a fourth of all that an account may ask in a minute
    ("get", "sapi/v1/fiat/orders"): _Call({"uid": 45_000}, urgent=True),
    ("post", "sapi/v1/capital/withdraw/apply"): _Call({"uid": 900}, executes=True, urgent=True),
    ("get", "sapi/v1/capital/withdraw/history"): _Call({"history": 18_000}, urgent=True),
}
"""All that is ever called, with the weights of the documentation (the most a call can take)."""


class Client(AsyncClient):  # type: ignore[misc]
    """Begin it inside a running loop; `close_connection` ends it. `secret`: an HMAC secret, or an
    Ed25519 key as PEM. Raises Misconfigured for any other PEM."""

    def __init__(
        self, *, key: str, secret: str, url: str, ws_api_url: str, timeout_seconds: float
    ) -> None:
        # All of them: `testnet=True` would still send the wallet's calls to production
        for name in dir(AsyncClient):
            if name.endswith("_URL"):
                setattr(self, name, _NOWHERE)
        self.API_URL = f"{url.rstrip('/')}/api"
        self.MARGIN_API_URL = f"{url.rstrip('/')}/sapi"
        self.WS_API_URL = ws_api_url
        self.timeout_seconds = timeout_seconds
        self.clock = VenueClock()
        self.limits = Limits(lambda: self.clock.now_ms() / 1000)
        self._measuring = asyncio.Lock()
        pem = _pem(secret)
        super().__init__(
            key,
            None if pem else secret,
            private_key=pem,
            session_params={"trust_env": False},
        )

    def __repr__(self) -> str:
        return f"Client({self.API_URL})"

    def _init_private_key(
        self, private_key: str | None, private_key_pass: str | None = None
    ) -> object:
        """Raises Misconfigured, without a word of the key."""
        if private_key is None:
            return None
        try:
            self.PRIVATE_KEY = super()._init_private_key(private_key)
            self._ed25519_signature("probe")
        except (ValueError, TypeError, AttributeError):
            problem = Misconfigured(
                "BINANCE_API_SECRET: holds a PEM that is no Ed25519 private key "
                "(allowed: an HMAC secret, or an unencrypted Ed25519 key as PEM)"
            )
        else:
            return self.PRIVATE_KEY
        raise problem

    async def measure(self) -> None:
        """Asks for the venue's time."""
        started = self.clock.started()
        answer = await self.get_server_time()
        with reading("its time"):
            self.clock.measured(started, int(answer["serverTime"]))

    async def keep_time(self) -> None:
        """Measures the clock where it was not lately; before anything is signed."""
        if self.clock.is_fresh:
            return
        async with self._measuring:
            if not self.clock.is_fresh:
                await self.measure()

    def sign_subscription(self) -> dict[str, Any]:
        """Parameters of `userDataStream.subscribe.signature`, with either kind of key."""
        given = {"recvWindow": RECV_WINDOW_MS, "timestamp": self.clock.now_ms()}
        return dict(self._sign_ws_params(given, self._generate_ws_api_signature))

    async def _request(
        self, method: str, uri: str, signed: bool, force_params: bool = False, **kwargs: Any
    ) -> Any:
        found = _PATH.search(uri)
        call = _CALLS.get((method, found[1])) if found else None
        if call is None:
            raise NotImplementedError(f"{method} {uri} is not among the calls that are made")
        if signed:
            await self.keep_time()
        self.limits.take(call.costs, urgent=call.urgent)
        try:
            return await self._send(method, uri, signed, kwargs.get("data") or {})
        except _FAILURES as error:
            failure = self._judge(error, call)
        finally:
            self.limits.done(call.costs)
        raise failure

    async def _send(self, method: str, uri: str, signed: bool, params: Mapping[str, Any]) -> Any:
        query = self._signed(params) if signed else urlencode(self._order_params(params))
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        async with self.session.request(
            method,
            yarl.URL(f"{uri}?{query}" if method == "get" and query else uri, encoded=True),
            data=query if method == "post" else None,
            headers=form if method == "post" else None,
            timeout=aiohttp.ClientTimeout(total=self.timeout_seconds),
            allow_redirects=False,
        ) as response:
            return await self._handle_response(response)

    def _signed(self, params: Mapping[str, Any]) -> str:
        stamped = {
            **params,
            "timestamp": self.clock.now_ms(),
            "recvWindow": RECV_WINDOW_MS,
        }
        query = urlencode(self._order_params(stamped))
        sign = self._ed25519_signature if self.PRIVATE_KEY else self._hmac_signature
        return f"{query}&signature={quote(sign(query), safe='')}"

    async def _handle_response(self, response: aiohttp.ClientResponse) -> Any:
        """The SDK's reads the last answer of any call, takes JSON of any type and turns numbers
        into floats."""
        self.limits.learn(response.headers)
        text = (await response.read()).decode("utf-8", "replace")
        if 200 <= response.status < 300:
            try:
                answer = read_json(text)
            except ValueError:
                pass
            else:
                self.limits.served()
                return answer
        raise bad_answer(response.status, text, response.headers.get("Retry-After"))

    def _judge(self, error: Exception, call: _Call) -> VenueError:
        failure = translate(error, executes=call.executes)
        if isinstance(error, BadAnswer):
            if error.status in (403, 418, 429):
                self.limits.back_off(error.wait)
            if error.code == OUTSIDE_WINDOW:
                self.clock.forget()
        if isinstance(failure, VenueUnavailable) and failure.retry_after is None:
            failure.retry_after = self.limits.waits or None
        return failure


def _pem(secret: str) -> str | None:
    """An Ed25519 key as the SDK knows one, by its length: no blanks around, no CRs. None for an
    HMAC secret."""
    if "-----BEGIN" not in secret:
        return None
    return "\n".join(line.strip() for line in secret.strip().splitlines())
