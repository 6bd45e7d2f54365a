"""Binance spot as an `Exchange` (VENUES 2-4).

A client id is unique only among open orders: an order is sent once and then only asked for.
Unproved on the real venue, documented only: withdrawals (the account gives `amount`, the fee comes
out of it), deposit addresses and their histories.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from core.clock import wall
from core.errors import OrderRefused, VenueUnavailable
from exchanges.binance import fiat, streams, transfers
from exchanges.binance.client import Client
from exchanges.binance.errors import NotShown, reading
from exchanges.binance.markets import native, parse_balances, parse_book, parse_markets
from exchanges.binance.orders import milliseconds, parse_fill, parse_order, request
from exchanges.numbers import show
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
    VenueOrderStatus,
    VenueWithdrawal,
    WithdrawalOrder,
    WithdrawalRule,
)

_PAGE = 1000
_DAY_MS = 86_400_000
# Whoever says since when goes by our clock, and that may be ahead of the venue's.
_CLOCKS_MS = 60_000
_NONE: Mapping[str, str] = MappingProxyType({})
_CLIENT_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}", re.ASCII)


class Binance:
    """One account at Binance. `secret`: an HMAC secret or an Ed25519 key as PEM. `networks`: CAIP-2
    to the venue's word. `timeout`: seconds for each call."""

    venue = Venue.BINANCE
    resend_returns_original = False

    def __init__(
        self,
        *,
        key: str,
        secret: str,
        url: str,
        ws_api_url: str,
        stream_url: str,
        networks: Mapping[str, str],
        timeout: float,
    ) -> None:
        # not a value of its own anywhere: a repr of this object tells nothing
        self._connect = partial(
            Client,
            key=key,
            secret=secret,
            url=url,
            ws_api_url=ws_api_url,
            timeout_seconds=timeout,
        )
        self._ws_api_url = ws_api_url
        self._stream_url = stream_url
        self._networks = transfers.Networks(networks)
        self._entered: Client | None = None

    async def __aenter__(self) -> Binance:
        self._entered = self._connect()
        return self

    async def __aexit__(self, *error: object) -> None:
        client, self._entered = self._entered, None
        if client is not None:
            await client.close_connection()

    @property
    def _client(self) -> Client:
        if self._entered is None:
            raise VenueUnavailable("binance: not connected")
        return self._entered

    # -- markets ---------------------------------------------------------------------------------

    async def markets(self) -> Mapping[str, Market]:
        info = await self._client.get_exchange_info()
        fees = await self._client.get_trade_fee()
        with reading("exchangeInfo"):
            self._client.limits.configure(info["rateLimits"])
            return parse_markets(info, fees)

    async def book(self, symbol: str, depth: int = 500) -> Book:
        raw = await self._client.get_order_book(symbol=native(symbol), limit=depth)
        with reading("a book"):
            return parse_book(symbol, raw, wall())

    async def balances(self) -> Mapping[str, Balance]:
        raw = await self._client.get_account(omitZeroBalances="true")
        with reading("the account"):
            return parse_balances(raw)

    # -- orders ----------------------------------------------------------------------------------

    async def place(self, order: LimitOrder) -> VenueOrder:
        if _CLIENT_ID.fullmatch(order.client_id) is None:
            # without one the SDK would invent it, and nobody could ask for the order
            raise OrderRefused(
                "no_client_id", "an order needs an id of ours, of 1 to 36 characters"
            )
        raw = await self._client.create_order(**request(order))
        with reading("an order's answer", executes=True):
            placed = parse_order(order.symbol, raw)
            if placed.client_id != order.client_id or placed.status is VenueOrderStatus.REFUSED:
                # refusals come as errors: 200 that rejects, or another's answer, proves nothing
                raise ValueError(f"{placed.client_id} is {placed.status}")
            return placed

    async def order(self, symbol: str, client_id: str, since: datetime) -> VenueOrder | None:
        try:
            raw = await self._client.get_order(symbol=native(symbol), origClientOrderId=client_id)
        except NotShown:
            return None
        with reading("an order"):
            return parse_order(symbol, raw)

    async def fills(self, symbol: str, venue_id: str) -> list[Fill]:
        return await self._trades(symbol, orderId=venue_id)

    async def fills_since(self, symbol: str, since: datetime) -> list[Fill]:
        # Binance looks a day at a time; from the first trade found its ids lead on
        await self._client.keep_time()
        now = self._client.clock.now_ms() + 1000
        begin = milliseconds(since) + min(0, self._client.clock.offset_ms) - _CLOCKS_MS
        for start, end in transfers.windows(begin, now, _DAY_MS):
            page = await self._page(symbol, startTime=start, endTime=end)
            if page:
                return await self._trades(symbol, fromId=page[0].id)
        return []

    async def _trades(self, symbol: str, **query: str) -> list[Fill]:
        """All from the first page on; what is new meanwhile comes with it."""
        found = await self._page(symbol, **query)
        size = len(found)
        while size == _PAGE:
            page = await self._page(symbol, **{**query, "fromId": int(found[-1].id) + 1})
            found += page
            size = len(page)
        return found

    async def _page(self, symbol: str, **query: Any) -> list[Fill]:
        raw = await self._client.get_my_trades(symbol=native(symbol), limit=_PAGE, **query)
        with reading("trades"):
            page = [parse_fill(symbol, trade) for trade in raw]
            return sorted(page, key=lambda fill: int(fill.id))

    # -- deposits and withdrawals ----------------------------------------------------------------

    async def deposit_address(self, asset: str, network: str) -> str:
        word = self._networks.word(network)
        entry = await self._entry(asset, word)
        with reading("an asset's networks"):
            if not entry["depositEnable"]:
                raise OrderRefused("deposits_closed", f"{asset} on {network} at binance")
        raw = await self._client.get_deposit_address(coin=asset, network=word)
        with reading("a deposit address"):
            if raw["coin"] != asset:
                raise ValueError(f"it is for {raw['coin']}")
            if raw.get("tag"):
                raise OrderRefused("needs_tag", f"{asset} on {network} at binance")
            return str(raw["address"])

    async def deposits(self, since: datetime) -> list[VenueDeposit]:
        found: dict[str, VenueDeposit] = {}
        async for rows in self._history("capital/deposit/hisrec", since, transfers.WINDOW_MS):
            with reading("deposits"):
                each = [transfers.parse_deposit(row, self._networks) for row in rows]
                found |= {deposit.id: deposit for deposit in each}
        return sorted(found.values(), key=lambda deposit: (deposit.at, deposit.id))

    async def fiat_deposits(self, since: datetime) -> list[VenueDeposit]:
        return await fiat.deposits(self._client, since)

    async def withdrawal_rule(self, asset: str, network: str) -> WithdrawalRule:
        entry = await self._entry(asset, self._networks.word(network))
        with reading("an asset's networks"):
            return transfers.parse_rule(entry, asset, network)

    async def withdraw(self, order: WithdrawalOrder) -> str:
        if not order.client_id:
            raise OrderRefused("no_client_id", "a withdrawal needs an id of ours")
        word = self._networks.word(order.network)
        entry = await self._entry(order.asset, word)
        with reading("an asset's networks"):
            rule = transfers.parse_rule(entry, order.asset, order.network)
            transfers.check(order, rule, entry)
        # not the SDK's `withdraw`: it names the address, and each name is kept in the venue's
        # address book, which is full at 200
        raw = await self._client._request_margin_api(
            "post",
            "capital/withdraw/apply",
            True,
            data={
                "coin": order.asset,
                "network": word,
                "address": order.address,
                "amount": show(order.amount),
                "withdrawOrderId": order.client_id,
                "walletType": 0,
            },
        )
        with reading("a withdrawal's answer", executes=True):
            return str(raw["id"])

    async def withdrawal(self, client_id: str, since: datetime) -> VenueWithdrawal | None:
        own = {"withdrawOrderId": client_id}
        async for page in self._withdrawals(since, transfers.OWN_ID_WINDOW_MS, own):
            for found in page:
                if found.client_id == client_id:
                    return found
        return None

    async def withdrawals(self, since: datetime) -> list[VenueWithdrawal]:
        found: dict[str, VenueWithdrawal] = {}
        async for page in self._withdrawals(since, transfers.WINDOW_MS, {}):
            found |= {withdrawal.id: withdrawal for withdrawal in page}
        return sorted(found.values(), key=lambda withdrawal: (withdrawal.at, withdrawal.id))

    async def _withdrawals(
        self, since: datetime, window_ms: int, query: Mapping[str, str]
    ) -> AsyncIterator[list[VenueWithdrawal]]:
        async for rows in self._history("capital/withdraw/history", since, window_ms, query):
            with reading("withdrawals"):
                page = [transfers.parse_withdrawal(row, self._networks) for row in rows]
            yield page

    async def _entry(self, asset: str, word: str) -> Mapping[str, Any]:
        coins = await self._client.get_all_coins_info()
        with reading("the assets"):
            return transfers.find_network(coins, asset, word)

    async def _history(
        self, path: str, since: datetime, window_ms: int, query: Mapping[str, str] = _NONE
    ) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """Page after page through all windows, oldest first; rows that come meanwhile may show one
        twice."""
        now = self._client.clock.now_ms() + 1000
        for start, end in transfers.windows(milliseconds(since), now, window_ms):
            span = {**query, "startTime": start, "endTime": end, "limit": _PAGE}
            size, offset = _PAGE, 0
            while size == _PAGE:
                page = await self._client._request_margin_api(
                    "get", path, True, data={**span, "offset": offset}
                )
                with reading("a history"):
                    if not isinstance(page, list):
                        raise TypeError("no list")
                size, offset = len(page), offset + len(page)
                yield page

    # -- health and streams ----------------------------------------------------------------------

    async def health(self) -> Health:
        """Its clock, and whether it and this account trade. A clock that differs is no problem:
        every timestamp is the venue's own."""
        await self._client.measure()
        status = await self._client.get_system_status()
        account = await self._client.get_account(omitZeroBalances="true")
        problem = None
        with reading("the venue's status"):
            if status["status"] != 0:
                problem = "Binance is under maintenance"
            elif account["canTrade"] is not True:
                problem = "the account at Binance may not trade"
        return Health(
            clock_offset_ms=self._client.clock.offset_ms,
            used_weight_percent=self._client.limits.used_percent,
            problem=problem,
        )

    def books(self, symbols: Collection[str]) -> AsyncIterator[BookUpdate]:
        return streams.books(self._client, self._stream_url, symbols)

    def account(self) -> AsyncIterator[AccountUpdate]:
        return streams.account(self._client, self._ws_api_url)
