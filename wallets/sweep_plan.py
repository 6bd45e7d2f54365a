"""What a sweep empties now, and why it leaves the rest: one pure function.

A policy sweeps what is worth its gas while gas is cheap; a command sweeps whatever can be swept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from core.networks import NATIVE, SweepPolicy
from wallets import sweep_packing
from wallets.sweep_packing import Load

PRICE_SCALE = 10**18
LONGEST_PAUSE = timedelta(days=7)
MAX_GAS = SweepPolicy().max_gas
FEE_ROOM = 2  # times the fees of the moment: dearer than that, it waits until they fall


class Reason(StrEnum):
    """Why something stays where it is."""

    BUSY = "in_another_sweep"
    """Another sweep that is under way takes it."""
    EMPTY = "empty"
    """Nothing is there."""
    NO_TOKEN = "not_a_token"  # noqa: S105
    """The contract named does not tell a balance."""
    UNCONFIRMED = "unconfirmed"
    """All of it, or some of what would go along, may still be taken back by the chain."""
    HELD = "held"
    """Screening holds a deposit in it; a command that names the address takes it."""
    FAILING = "failing"
    """The token refused the last time; a command that names the address tries at once."""
    NO_PRICE = "no_price"
    """Nobody knows what it is worth."""
    SMALL = "below_minimum"
    """Worth less than the policy's minimum."""
    DEAR = "not_worth_its_gas"
    """Gas would take more of it than the policy allows."""
    WAITS = "waits_for_cheaper_gas"
    """The base fee is higher than mostly of late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One asset at one deposit address. `amount` is confirmed, `pending` may be taken back.

    `asset` None: a token that is not configured. `since`: its oldest deposit was seen.
    `deployed`: the address has its code. `contested`: another sweep under way may deploy it.
    `busy`: another sweep under way takes this very asset. `exact`: the token moves what it says,
    so that amounts can be named. `failures` in a row, the last at `failed_at`.
    """

    address: str
    salt: str
    token: str
    asset: str | None
    decimals: int
    amount: int
    since: datetime
    pending: int = 0
    deployed: bool = False
    contested: bool = False
    busy: bool = False
    held: bool = False
    exact: bool = True
    readable: bool = True
    failures: int = 0
    failed_at: datetime | None = None
    deposits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prices:
    """House currency per whole coin or asset, times 10^18; what is not in it has no price."""

    coin: int | None
    assets: Mapping[str, int]
    coin_decimals: int = 18
    house_decimals: int = 2

    def value(self, holding: Holding) -> int | None:
        """In minor units of the house currency, rounded down."""
        price = self.assets.get(holding.asset or "")
        return None if price is None else self._worth(holding.amount, holding.decimals, price)

    def gas(self, wei: int) -> int | None:
        """What gas costs, in the same, rounded up."""
        if self.coin is None:
            return None
        return -self._worth(-wei, self.coin_decimals, self.coin)

    def _worth(self, units: int, decimals: int, price: int) -> int:
        scaled: int = units * price * 10**self.house_decimals
        whole: int = PRICE_SCALE * 10**decimals
        return scaled // whole


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei per gas: the next block's base fee, a tip, and base fees of recent blocks."""

    base_fee: int
    tip: int = 0
    recent: Sequence[int] = ()

    @property
    def per_gas(self) -> int:
        return self.base_fee + self.tip

    def cheap(self, percent: int) -> bool:
        """Whether the base fee is no higher than the lowest `percent` of recent ones."""
        if not self.recent:
            return True
        ranked = sorted(self.recent)
        return self.base_fee <= ranked[(len(ranked) - 1) * percent // 100]


@dataclass(frozen=True, slots=True)
class Skipped:
    """`retry_at`: not before then, where time alone changes it."""

    holding: Holding
    reason: Reason
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Every holding is in exactly one of `loads` and `skipped`.

    `per_gas`: what it may pay, in wei, so that what was worth it stays so; None: on command.
    """

    loads: tuple[Load[Holding], ...]
    skipped: tuple[Skipped, ...]
    per_gas: int | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was chosen, what the chosen may cost by the policy, and what was not."""

    chosen: list[Holding]
    skipped: list[Skipped]
    budget: int = 0


def plan(
    holdings: Sequence[Holding],
    prices: Prices,
    fees: Fees,
    policy: SweepPolicy | None,
    now: datetime,
    *,
    insist: bool = False,
    max_gas: int = MAX_GAS,
) -> Plan:
    """policy None: a command, economics aside. insist: a command that names the addresses."""
    judged = _Judged([], [])
    for holding in holdings:
        against = _against(holding, now, insist=insist)
        if against is None:
            judged.chosen.append(holding)
        else:
            judged.skipped.append(against)
    if policy is not None:
        judged = _economic(judged, prices, fees, policy, now)
        max_gas = policy.max_gas
    loads = sweep_packing.pack(judged.chosen, max_gas)
    if policy is not None and loads:
        cost = prices.gas(sum(load.gas for load in loads) * fees.per_gas)
        if cost is None or cost > judged.budget:  # too few to share a transaction's own gas
            dear = [Skipped(h, Reason.DEAR) for h in judged.chosen]
            return Plan((), (*judged.skipped, *dear))
    per_gas = FEE_ROOM * fees.per_gas if policy is not None else None
    return Plan(tuple(loads), tuple(judged.skipped), per_gas)


def retry_at(failures: int, failed_at: datetime) -> datetime:
    """An hour after the first failure in a row, twice as long after each more, a week at most."""
    pause = timedelta(hours=1 << min(failures - 1, 20))
    return failed_at + min(pause, LONGEST_PAUSE)


def _against(holding: Holding, now: datetime, *, insist: bool) -> Skipped | None:
    """What forbids it whatever it is worth."""
    if not holding.readable:
        return Skipped(holding, Reason.NO_TOKEN)
    if holding.busy:
        return Skipped(holding, Reason.BUSY)
    if holding.amount + holding.pending <= 0:
        return Skipped(holding, Reason.EMPTY)
    # What is not named goes whole: what is unconfirmed would go along.
    whole = holding.token == NATIVE or not holding.exact
    if holding.amount <= 0 or (whole and holding.pending > 0):
        return Skipped(holding, Reason.UNCONFIRMED)
    if insist:
        return None
    if holding.held:
        return Skipped(holding, Reason.HELD)
    if holding.failures and holding.failed_at is not None:
        again = retry_at(holding.failures, holding.failed_at)
        if again > now:
            return Skipped(holding, Reason.FAILING, again)
    return None


def _economic(
    judged: _Judged, prices: Prices, fees: Fees, policy: SweepPolicy, now: datetime
) -> _Judged:
    found = replace(judged, chosen=[])
    for holding in judged.chosen:
        value = prices.value(holding)
        cost = prices.gas(sweep_packing.gas_of(holding) * fees.per_gas)
        aged = now - holding.since >= timedelta(seconds=policy.max_age_seconds)
        if value is None or cost is None:
            found.skipped.append(Skipped(holding, Reason.NO_PRICE))
            continue
        budget = value if aged else value * policy.max_gas_percent // 100
        if value < policy.minimum:
            found.skipped.append(Skipped(holding, Reason.SMALL))
        elif cost > budget:
            found.skipped.append(Skipped(holding, Reason.DEAR))
        elif not aged and not fees.cheap(policy.cheap_percent):
            found.skipped.append(Skipped(holding, Reason.WAITS))
        else:
            found.chosen.append(holding)
            found = replace(found, budget=found.budget + budget)
    return found
