"""The signer as everybody else sees it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from core.errors import NeedsApproval, SignerAway, SignerRefused
from wallets.encoding import plain, read
from wallets.intents import Order, RouterQuote, Signed
from wallets.signer.channel import Channel, Closed

TIMEOUT_SECONDS = 2


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
    """Every call raises SignerAway when there is no answer within its limit."""

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
    """One connection to a running signer, made anew when it breaks; calls wait for each other.

    `key` is the one it shares with the signer (BEZANT_SERVICE_KEY, 32 bytes).
    """

    def __init__(
        self, socket: Path, key: bytes, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._socket, self._key, self._timeout = socket, key, timeout_seconds
        self._channel: Channel | None = None
        self._turn = asyncio.Lock()

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
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _ask(self, request: dict[str, Any]) -> Any:
        """The answer. Raises SignerRefused, NeedsApproval, SignerAway."""
        try:
            async with asyncio.timeout(self._timeout), self._turn:
                answer = await self._exchange(request)
        except (TimeoutError, OSError, Closed) as error:
            why = str(error) or type(error).__name__
            raise SignerAway(f"the signer at {self._socket} does not answer ({why})") from None
        if refused := answer.get("refused"):
            raise SignerRefused(refused["code"], refused["detail"])
        if approvals := answer.get("approvals"):
            raise NeedsApproval(approvals["needed"], approvals["given"])
        if "done" not in answer:
            raise SignerAway(f"the signer's key does not answer ({answer.get('away')})")
        return answer["done"]

    async def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        """Over the connection that is there, once more over a new one if it has died meanwhile."""
        channel, self._channel = self._channel, None
        if channel is not None:
            try:
                return await self._over(channel, request)
            except Closed:
                pass
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
        self._channel = channel
        return answer
