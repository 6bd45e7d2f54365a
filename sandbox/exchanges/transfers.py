"""Deposits and withdrawals as the venue's books see them; `chain` brings and takes the money."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

from sandbox.exchanges.accounts import OURS, OUTSIDE, Accounts
from sandbox.exchanges.markets import Dialect
from sandbox.exchanges.store import Store
from sandbox.exchanges.types import (
    Reason,
    Rejected,
    SimDeposit,
    SimNetworkRule,
    SimWithdrawal,
    TransferStatus,
)

_ADDRESS = re.compile("0x[0-9a-fA-F]{40}", re.ASCII)


class Transfers:
    """Reads what `store` kept at the start; deposits without enough confirmations are not kept."""

    def __init__(
        self,
        dialect: Dialect,
        accounts: Accounts,
        store: Store,
        rules: Mapping[tuple[str, str], SimNetworkRule],
        *,
        now: Callable[[], int],
    ) -> None:
        self._dialect = dialect
        self._accounts = accounts
        self._store = store
        self._rules = rules
        self._now = now
        self.credited = {deposit.id: deposit for deposit in store.load(SimDeposit)}
        self._pending: dict[str, list[SimDeposit]] = {}
        found = sorted(store.load(SimWithdrawal), key=lambda withdrawal: withdrawal.at)
        self.withdrawals = {withdrawal.id: withdrawal for withdrawal in found}

    def rule(self, asset: str, network: str) -> SimNetworkRule:
        rule = self._rules.get((asset, network))
        if rule is None:
            raise Rejected(Reason.UNKNOWN_NETWORK)
        return rule

    def deposits(self) -> list[SimDeposit]:
        """Oldest first, those without enough confirmations last."""
        waiting = [deposit for several in self._pending.values() for deposit in several]
        return sorted(self.credited.values(), key=lambda deposit: deposit.at) + waiting

    def follow(
        self,
        network: str,
        cursor: str,
        deep: Sequence[SimDeposit],
        waiting: Sequence[SimDeposit],
    ) -> None:
        """What the chain shows now: `deep` are credited once, `waiting` replace all that waited
        there. `cursor` is what the follower wants to know at its next start."""
        seen = {deposit.id: deposit.at for deposit in self._pending.get(network, ())}
        new = [deposit for deposit in deep if deposit.id not in self.credited]
        self._pending[network] = [
            replace(deposit, at=seen.get(deposit.id, deposit.at))
            for deposit in waiting
            if deposit.id not in self.credited
        ]
        with self._store.together():
            for deposit in new:
                deposit = replace(
                    deposit,
                    at=seen.get(deposit.id, deposit.at),
                    status=TransferStatus.CREDITED,
                )
                self.credited[deposit.id] = deposit
                self._accounts.move(deposit.asset, deposit.amount, OUTSIDE, OURS)
                self._store.keep([deposit])
            if new:
                self._store.keep_balances(self._accounts.rows())
            self._store.set_fact(f"cursor {network}", cursor)

    def withdraw(
        self, *, client_id: str | None, asset: str, network: str, address: str, amount: int
    ) -> SimWithdrawal:
        """See `Simulator.withdraw`."""
        known = next(
            (w for w in self.withdrawals.values() if client_id and w.client_id == client_id), None
        )
        if known is not None:
            if self._dialect.unique_ever:
                return known
            raise Rejected(Reason.DUPLICATE_CLIENT_ID)
        rule = self.rule(asset, network)
        if not _ADDRESS.fullmatch(address):
            raise Rejected(Reason.BAD_ADDRESS)
        arrives = amount - rule.fee if self._dialect.withdrawal_fee_within else amount
        if amount < rule.minimum or arrives <= 0 or arrives % rule.step:
            raise Rejected(Reason.MINIMUM)
        if self._accounts.ours(asset).free < arrives + rule.fee:
            raise Rejected(Reason.INSUFFICIENT)
        self._accounts.move(asset, arrives + rule.fee, OURS, OUTSIDE)
        withdrawal = SimWithdrawal(
            id=uuid4().hex,
            client_id=client_id,
            asset=asset,
            network=network,
            address=address.lower(),
            amount=arrives,
            fee=rule.fee,
            tx_hash=None,
            status=TransferStatus.PENDING,
            at=self._now(),
        )
        self.update(withdrawal)
        return withdrawal

    def update(self, withdrawal: SimWithdrawal, *, give_back: bool = False) -> None:
        """Keeps its new state."""
        self.withdrawals[withdrawal.id] = withdrawal
        if give_back:
            whole = withdrawal.amount + withdrawal.fee
            self._accounts.move(withdrawal.asset, whole, OUTSIDE, OURS)
        with self._store.together():
            self._store.keep([withdrawal])
            self._store.keep_balances(self._accounts.rows())
