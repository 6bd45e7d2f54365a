"""Fiat that banks bring to a simulated venue: announced first, in the balance a moment later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from core.money import FIAT
from exchanges.numbers import ONE
from sandbox.exchanges.accounts import OURS, OUTSIDE, Accounts
from sandbox.exchanges.store import Store
from sandbox.exchanges.types import Reason, Rejected, SimFiatDeposit, TransferStatus

CLEARING_MS = 1_000  # from the announcement to the credit; at real venues hours or days


class Banks:
    """Reads what `store` kept at the start; a transfer under way goes on after it."""

    def __init__(self, accounts: Accounts, store: Store, *, now: Callable[[], int]) -> None:
        self._accounts = accounts
        self._store = store
        self._now = now
        self._deposits = {deposit.id: deposit for deposit in store.load(SimFiatDeposit)}

    @property
    def deposits(self) -> list[SimFiatDeposit]:
        """Oldest first; of one millisecond in the same order before a restart and after it."""
        return sorted(self._deposits.values(), key=lambda deposit: (deposit.at, deposit.id))

    @property
    def assets(self) -> list[str]:
        return [asset for asset in self._accounts.balances() if asset in FIAT]

    def send(self, asset: str, amount: int, fee: int) -> SimFiatDeposit:
        """A transfer that its bank has announced; the venue keeps `fee` of it. Raises Rejected."""
        if asset not in self.assets:
            raise Rejected(Reason.UNKNOWN_NETWORK)
        cent = ONE // 10 ** FIAT[asset].decimals
        if amount % cent or fee % cent or not 0 <= fee < amount:
            raise Rejected(Reason.MINIMUM)
        now = self._now()
        deposit = SimFiatDeposit(
            id=uuid4().hex,
            asset=asset,
            amount=amount,
            fee=fee,
            status=TransferStatus.PENDING,
            at=now,
            changed_at=now,
        )
        self._deposits[deposit.id] = deposit
        self._store.keep([deposit])
        return deposit

    def clear(self, after_ms: int = CLEARING_MS) -> bool:
        """Credits what was announced so long ago; whether there was anything."""
        now = self._now()
        ready = [
            replace(deposit, status=TransferStatus.CREDITED, changed_at=now)
            for deposit in self._deposits.values()
            if deposit.status is TransferStatus.PENDING and now - deposit.at >= after_ms
        ]
        with self._store.together():
            for deposit in ready:
                self._deposits[deposit.id] = deposit
                self._accounts.move(deposit.asset, deposit.credited, OUTSIDE, OURS)
            self._store.keep(ready)
            if ready:
                self._store.keep_balances(self._accounts.rows())
        return bool(ready)
