"""What an exchange can be asked (VENUES 2, 3). Every difference between venues stays behind this.

Every call has a timeout. Errors are three (`core.errors`): `VenueUnavailable` (nothing was done,
asking again is safe), `OrderRefused` (final, nothing was done), `OutcomeUnknown` (only from `place`
and `withdraw`: it may have been done; ask, never repeat blindly). What cannot be read of an answer
to `place` or `withdraw` is unknown too; elsewhere it is VenueUnavailable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import datetime
from typing import Protocol

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


class Exchange(Protocol):
    """One account at one venue. Use as an async context manager; safe for concurrent calls."""

    @property
    def venue(self) -> Venue: ...

    @property
    def resend_returns_original(self) -> bool:
        """Whether sending the same client id again creates nothing and answers with the first
        order (Coinbase), or may buy twice (Binance)."""
        ...

    async def __aenter__(self) -> Exchange: ...

    async def __aexit__(self, *error: object) -> None: ...

    async def markets(self) -> Mapping[str, Market]:
        """By our symbol, with this account's fees."""
        ...

    async def book(self, symbol: str, depth: int = 500) -> Book: ...

    async def balances(self) -> Mapping[str, Balance]:
        """By asset; nothing held may be left out."""
        ...

    async def place(self, order: LimitOrder) -> VenueOrder:
        """Sends it once. The answer may be older than its fills: read them by `fills`."""
        ...

    async def order(self, symbol: str, client_id: str, since: datetime) -> VenueOrder | None:
        """The order by our id; None: the venue shows none (yet). `since`: when it was intended."""
        ...

    async def fills(self, symbol: str, venue_id: str) -> list[Fill]:
        """All executions of one order, oldest first."""
        ...

    async def fills_since(self, symbol: str, since: datetime) -> list[Fill]:
        """All executions of the account in a market, oldest first, to the end of all pages; some
        may be from before: `since` is by our clock. Also what undoes one (`Fill.amends`)."""
        ...

    async def deposit_address(self, asset: str, network: str) -> str:
        """Where the venue takes this asset on this network. Raises OrderRefused where it takes
        none."""
        ...

    async def deposits(self, since: datetime) -> list[VenueDeposit]:
        """Coins that came by a network, oldest first."""
        ...

    async def fiat_deposits(self, since: datetime) -> list[VenueDeposit]:
        """Fiat that came from a bank, oldest first, by when each last changed where the venue tells
        that. Not for often: one question takes a fourth of what Binance answers in a minute."""
        ...

    async def withdrawal_rule(self, asset: str, network: str) -> WithdrawalRule: ...

    async def withdraw(self, order: WithdrawalOrder) -> str:
        """Sends it once; the venue's id."""
        ...

    async def withdrawal(self, client_id: str, since: datetime) -> VenueWithdrawal | None: ...

    async def withdrawals(self, since: datetime) -> list[VenueWithdrawal]: ...

    async def health(self) -> Health: ...

    def books(self, symbols: Collection[str]) -> AsyncIterator[BookUpdate]:
        """The public stream: a snapshot of each symbol first, then news, and a heartbeat at least
        each second. Ends with VenueUnavailable; whoever listens begins again."""
        ...

    def account(self) -> AsyncIterator[AccountUpdate]:
        """The private stream. Ends with VenueUnavailable."""
        ...
