"""The signer as everybody else sees it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from core.errors import KeyUnavailable, NeedsApproval, SignerAway, SignerRefused
from wallets.encoding import plain, read
from wallets.intents import Order, RouterQuote, Signed
from wallets.signer.channel import Channel, Closed

TIMEOUT_SECONDS = 2
MOST_CONNECTIONS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the signer would do. `needed` approvals (0: none), by `approvers` (lower-case 0x);
    `code` and `detail` say why not, also `approval_needed` as long as some are missing."""

    allowed: bool
    needed: int
    approvers: tuple[str, ...]
    code: str | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerWallet:
    """`address` is lower-case 0x; `kind` is hot, relayer, treasury, watch or quote."""

    address: str
    label: str
    kind: str
    created_at: datetime


class Signer(Protocol):
    """Every call raises SignerAway when there is no answer within its limit, and `sign` and
    `quote` its KeyUnavailable when the signer is there and the one key that they need is not."""

    async def sign(self, order: Order) -> Signed:
        """The same order gives the same bytes and counts once.

        Raises SignerRefused, NeedsApproval, SignerAway.
        """
        ...

    async def check(self, order: Order) -> Verdict:
        """As `sign` would judge now, without counting or storing anything."""
        ...

    async def broadcast(self, order_id: str, tx_hash: str) -> None:
        """To be told before the bytes leave: from then on their nonce is taken.

        Raises SignerRefused when it never signed such bytes.
        """
        ...

    async def quote(self, quote: RouterQuote) -> str:
        """The quote key's EIP-712 signature, 65 bytes as 0x hex. Raises SignerRefused."""
        ...

    async def wallets(self) -> list[SignerWallet]:
        """All it has keys for, or watches; retired ones are left out."""
        ...


class SignerClient:
    """A few connections to a running signer, each for one call at a time, made anew when they
    break; so nobody waits behind a call whose key is slow to answer.

    `key` is the one it shares with the signer (BEZANT_SERVICE_KEY, 32 bytes).
    """

    def __init__(
        self, socket: Path, key: bytes, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._socket, self._key, self._timeout = socket, key, timeout_seconds
        self._idle: list[Channel] = []
        self._turns = asyncio.Semaphore(MOST_CONNECTIONS)

    async def sign(self, order: Order) -> Signed:
        return read(Signed, await self._ask({"do": "sign", "order": plain(order)}))

    async def check(self, order: Order) -> Verdict:
        return msgspec.convert(await self._ask({"do": "check", "order": plain(order)}), Verdict)

    async def broadcast(self, order_id: str, tx_hash: str) -> None:
        await self._ask({"do": "broadcast", "order_id": order_id, "tx_hash": tx_hash})

    async def quote(self, quote: RouterQuote) -> str:
        return str(await self._ask({"do": "quote", "quote": plain(quote)}))

    async def wallets(self) -> list[SignerWallet]:
        return msgspec.convert(await self._ask({"do": "wallets"}), list[SignerWallet])

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _ask(self, request: dict[str, Any]) -> Any:
        """The answer. Raises SignerRefused, NeedsApproval, SignerAway, KeyUnavailable."""
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                answer = await self._exchange(request)
        except (TimeoutError, OSError, Closed) as error:
            why = str(error) or type(error).__name__
            raise SignerAway(f"the signer at {self._socket} does not answer ({why})") from None
        if refused := answer.get("refused"):
            raise SignerRefused(refused["code"], refused["detail"])
        if approvals := answer.get("approvals"):
            raise NeedsApproval(approvals["needed"], approvals["given"])
        if "done" not in answer:
            raise KeyUnavailable(str(answer.get("away")))
        return answer["done"]

    async def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        """Over a connection that is there and idle, over a new one if those have died meanwhile."""
        while self._idle:
            with suppress(Closed):
                return await self._over(self._idle.pop(), request)
        channel = Channel(*await asyncio.open_unix_connection(self._socket), is_server=False)
        await channel.greet(self._key)
        return await self._over(channel, request)

    async def _over(self, channel: Channel, request: dict[str, Any]) -> dict[str, Any]:
        """A connection that did not come to its answer is of no use any more: the next answer on
        it would be to this request."""
        try:
            await channel.send(request)
            answer: dict[str, Any] = await channel.receive()
        except BaseException:
            channel.drop()
            raise
        self._idle.append(channel)
        return answer
