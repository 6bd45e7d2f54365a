"""Who is asked outside: Chainalysis's oracle contract, a commercial provider. Both can be away, and
then nothing is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import msgspec

from chain.endpoints import Endpoints
from chain.wire import CALL
from core.errors import ChainError
from core.keccak import selector
from risk.verdicts import Outcome

ORACLE = "oracle"
PROVIDER = "provider"
_IS_SANCTIONED = selector("isSanctioned(address)").hex()
_TRUE, _FALSE = "0x" + "1".rjust(64, "0"), "0x" + "0" * 64
_LONGEST_ANSWER = 65_536


class SourceAway(Exception):
    """No answer that can be used: nothing is known of the address."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """A source's word, and what it rests on (kept as evidence)."""

    outcome: Outcome
    evidence: Mapping[str, Any]


class Source(Protocol):
    """Somebody who can be asked about an address."""

    async def ask(self, network: str, address: str) -> Opinion:
        """Raises SourceAway."""
        ...


class Oracle:
    """`isSanctioned(address)` of the Chainalysis oracle, or of a contract that answers like it.

    https://go.chainalysis.com/chainalysis-oracle-docs.html
    """

    def __init__(self, endpoints: Endpoints, contract: str) -> None:
        self._endpoints = endpoints
        self._contract = contract

    async def ask(self, network: str, address: str) -> Opinion:
        data = "0x" + _IS_SANCTIONED + address[2:].rjust(64, "0")
        for endpoint in self._endpoints.ranked():
            try:
                await self._endpoints.check_chain(endpoint)
                answer = await endpoint.rpc.call(
                    CALL, {"to": self._contract, "data": data}, "latest"
                )
            except ChainError as error:
                self._endpoints.failed(endpoint, error)
                continue
            self._endpoints.succeeded(endpoint)
            if answer not in (_TRUE, _FALSE):  # no contract there, or another one
                raise SourceAway(f"{self._contract} is no sanctions oracle: {answer[:20]}")
            sanctioned = answer == _TRUE
            evidence: dict[str, Any] = {"contract": self._contract, "sanctioned": sanctioned}
            if sanctioned:
                evidence["detail"] = "the sanctions oracle names it"
            return Opinion(Outcome.REJECT if sanctioned else Outcome.ACCEPT, evidence)
        raise SourceAway(f"no endpoint of {network} answers")


class _Answer(msgspec.Struct):
    """What a provider's adapter answers; more fields are kept as evidence."""

    verdict: Outcome


class HttpProvider:
    """A commercial provider behind plain HTTP: `POST url {"network", "address"}` with a bearer
    key -> 200 `{"verdict": "accept|hold|reject", "detail"?, ...}`.

    A provider with a dialect of its own gets a small adapter that speaks this. `timeout` seconds.
    An async context manager.
    """

    def __init__(self, url: str, key: str | None, *, timeout: float = 10) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def __aenter__(self) -> HttpProvider:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, network: str, address: str) -> Opinion:
        assert self._session is not None  # noqa: S101 - inside its context
        question = {"network": network, "address": address}
        try:
            async with self._session.post(
                self._url, json=question, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise SourceAway(f"HTTP {response.status}")
                body = await _bounded(response)
        except TimeoutError:
            raise SourceAway("no answer in time") from None
        except aiohttp.ClientError as error:
            # from None: its text may hold the URL, and that a key
            raise SourceAway(type(error).__name__) from None
        try:
            verdict = msgspec.json.decode(body, type=_Answer).verdict
            return Opinion(verdict, msgspec.json.decode(body, type=dict[str, Any]))
        except msgspec.DecodeError as error:
            raise SourceAway(f"an answer that cannot be read: {error}") from None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = await response.content.read(_LONGEST_ANSWER + 1)
    while len(body) <= _LONGEST_ANSWER and (more := await response.content.read(_LONGEST_ANSWER)):
        body += more
    if len(body) > _LONGEST_ANSWER:
        raise SourceAway("an answer of more than 64 KiB")
    if b"\\u0000" in body:
        raise SourceAway("an answer with U+0000, which cannot be kept")
    return body
