"""Coinbase Advanced Trade as an `Exchange` (VENUES 2-4)."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from datetime import datetime
from pathlib import Path

from coinbase import jwt_generator

from core.clock import wall
from core.errors import Misconfigured, UnreadableAnswer
from exchanges.coinbase import accounts, fills, markets, orders
from exchanges.coinbase.client import plain_secret, trusted
from exchanges.coinbase.pace import Lane
from exchanges.coinbase.rest import Rest
from exchanges.coinbase.stream import Streams
from exchanges.coinbase.transfers import Transfers
from exchanges.types import (
    AccountUpdate,
    Balance,
    Book,
    BookUpdate,
    Fill,
    Health,
    LimitOrder,
    Market,
    Venue,
    VenueDeposit,
    VenueOrder,
    VenueWithdrawal,
    WithdrawalOrder,
    WithdrawalRule,
)

TIME = "/api/v3/brokerage/time"
PERMISSIONS = "/api/v3/brokerage/key_permissions"
# A token is valid for two minutes from our time on: ahead of the venue it is not valid yet, behind
# it is over early. The SDK signs with our clock, so the machine's has to be right.
_WORST_OFFSET_MS = 5_000


class Coinbase:
    """One account at Coinbase. `key` is the key's name, `secret` its private key (EC P-256 or
    Ed25519, PEM or base64); `url` is https only; `ca_file` None: the public authorities.
    `networks`: CAIP-2 -> Coinbase's word. `timeout` in seconds, for each call.

    Raises Misconfigured for a key or an address that cannot be used.
    """

    def __init__(
        self,
        *,
        key: str,
        secret: str,
        url: str,
        stream_url: str,
        ca_file: Path | None,
        networks: Mapping[str, str],
        timeout: float,
    ) -> None:
        if not stream_url.startswith("wss://"):
            raise Misconfigured(
                f"exchanges.coinbase.stream_url is {stream_url!r}; it must begin with wss://"
            )
        self._rest = Rest(key=key, secret=secret, url=url, ca_file=ca_file, timeout=timeout)
        self._transfers = Transfers(self._rest, networks)
        context = ssl.create_default_context(cafile=trusted(ca_file))
        self._streams = Streams(
            stream_url,
            context,
            lambda: str(jwt_generator.build_ws_jwt(key, plain_secret(secret))),
            timeout,
        )

    @property
    def venue(self) -> Venue:
        return Venue.COINBASE

    @property
    def resend_returns_original(self) -> bool:
        """Documented: a client id that is not new creates nothing and gives the first order."""
        return True

    async def __aenter__(self) -> Coinbase:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._rest.close()

    async def markets(self) -> Mapping[str, Market]:
        return await markets.fetch(self._rest)

    async def book(self, symbol: str, depth: int = 500) -> Book:
        return await markets.fetch_book(self._rest, symbol, depth, wall())

    async def balances(self) -> Mapping[str, Balance]:
        return await accounts.balances(self._rest)

    async def place(self, order: LimitOrder) -> VenueOrder:
        return await orders.place(self._rest, order, wall())

    async def order(self, symbol: str, client_id: str, since: datetime) -> VenueOrder | None:
        return await orders.find(self._rest, symbol, client_id, since)

    async def fills(self, symbol: str, venue_id: str) -> list[Fill]:
        return await fills.of_order(self._rest, symbol, venue_id)

    async def fills_since(self, symbol: str, since: datetime) -> list[Fill]:
        return await fills.since(self._rest, symbol, since)

    async def deposit_address(self, asset: str, network: str) -> str:
        return await self._transfers.deposit_address(asset, network)

    async def deposits(self, since: datetime) -> list[VenueDeposit]:
        return await self._transfers.deposits(since)

    async def fiat_deposits(self, since: datetime) -> list[VenueDeposit]:
        return await self._transfers.fiat_deposits(since)

    async def withdrawal_rule(self, asset: str, network: str) -> WithdrawalRule:
        return await self._transfers.rule(asset, network)

    async def withdraw(self, order: WithdrawalOrder) -> str:
        return await self._transfers.withdraw(order)

    async def withdrawal(self, client_id: str, since: datetime) -> VenueWithdrawal | None:
        return await self._transfers.withdrawal(client_id, since)

    async def withdrawals(self, since: datetime) -> list[VenueWithdrawal]:
        return await self._transfers.withdrawals(since)

    async def health(self) -> Health:
        """Its clock against ours, and what the key may do."""
        before = time.time_ns()
        answer = await self._rest.get(TIME, lane=Lane.PUBLIC)
        after = time.time_ns()
        told = answer.get("epochMillis")
        if not isinstance(told, str) or not told.isascii() or not told.isdigit():
            raise UnreadableAnswer("Coinbase does not tell its time")
        offset = int(told) - (before + after) // 2_000_000
        may = await self._rest.get(PERMISSIONS)
        problem = None
        if abs(offset) > _WORST_OFFSET_MS:
            problem = f"Coinbase's clock is {offset} ms from ours: set this machine's clock"
        elif may.get("can_view") is not True or may.get("can_trade") is not True:
            problem = "the key at Coinbase needs the permissions view and trade"
        return Health(
            clock_offset_ms=offset,
            used_weight_percent=self._rest.pace.used_percent,
            problem=problem,
        )

    def books(self, symbols: Collection[str]) -> AsyncGenerator[BookUpdate, None]:
        return self._streams.books(symbols)

    def account(self) -> AsyncGenerator[AccountUpdate, None]:
        return self._streams.account()
