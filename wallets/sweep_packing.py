"""From what is to be emptied to transactions: which together, in which order, for what gas. Pure.

Gas by measure (contracts/gas-report.md): an upper line through batches of 20 and 100. Tokens behind
proxies cost more; a node's own estimate has the last word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Protocol, TypeVar

from core.networks import NATIVE
from wallets.intents import Intent, Known, Sweep, SweepBatch, SweepKnown

BASE_GAS = 36_000  # of a transaction, with its first token
FIRST = {True: 54_200, False: 48_400}  # by whether it is the coin: deploys the address
AGAIN = {True: 12_500, False: 11_300}
# Named amounts save this each, a transaction that is shared this once.
NAMED_SAVES = 560
SHARED_SAVES = 23_000
CALL_GAS = 300_000  # for one inner call: IDepositFactory.sweep
LARGEST_NAMED = 2**128


class Swept(Protocol):
    """What packing needs to know of a holding."""

    @property
    def address(self) -> str: ...
    @property
    def salt(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def asset(self) -> str | None: ...
    @property
    def amount(self) -> int: ...
    @property
    def deployed(self) -> bool: ...
    @property
    def contested(self) -> bool: ...
    @property
    def exact(self) -> bool: ...


H = TypeVar("H", bound=Swept)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group(Generic[H]):
    """One token; the first `fresh` addresses are believed not to be deployed."""

    token: str
    fresh: int
    holdings: tuple[H, ...]
    gas: tuple[int, ...]  # of each, by the model


@dataclass(frozen=True, slots=True)
class Load(Generic[H]):
    """One transaction. `named`: its one token's amounts are told to the factory."""

    named: bool
    groups: tuple[Group[H], ...]

    @property
    def gas(self) -> int:
        """By the model."""
        return BASE_GAS + sum(sum(group.gas) for group in self.groups)

    @property
    def holdings(self) -> tuple[H, ...]:
        return tuple(h for group in self.groups for h in group.holdings)

    @property
    def least_gas(self) -> int:
        """What it is sent with at least: a token that begins to fail in between takes a whole
        `callGas`, and the factory reverts where it could not have had that (README)."""
        return self.gas + CALL_GAS * 64 // 63 + 2_300

    def intent(self, sweep: str, factory: str) -> Intent:
        if self.named:
            [group] = self.groups
            return SweepKnown(
                id=sweep,
                factory=factory,
                token=group.token,
                fresh=group.fresh,
                known=tuple(Known(salt=h.salt, amount=h.amount) for h in group.holdings),
                call_gas=CALL_GAS,
            )
        batches = tuple(
            SweepBatch(token=g.token, fresh=g.fresh, salts=tuple(h.salt for h in g.holdings))
            for g in self.groups
        )
        return Sweep(id=sweep, factory=factory, batches=batches, call_gas=CALL_GAS)


def gas_of(holding: Swept, *, deployed: bool | None = None) -> int:
    """Beside others in a transaction."""
    there = holding.deployed if deployed is None else deployed
    return (AGAIN if there else FIRST)[holding.token == NATIVE]


def pack(holdings: Sequence[H], max_gas: int) -> list[Load[H]]:
    """Transactions of at most `max_gas` each, unless a single address needs more.

    Tokens that are not configured go apart: the signer's policy may refuse those.
    """
    loads: list[list[H]] = []
    for _, some in _grouped(holdings, key=lambda h: h.asset is None):
        alone, together = _apart(some)
        for part in (*alone, together):
            loads += _chunks(part, max_gas)
    # Which of several transactions comes first is not known, so none of them can rely on it.
    appears = Counter(address for load in loads for address in {h.address for h in load})
    return [_load(load, {a for a, n in appears.items() if n == 1}) for load in loads]


def _apart(holdings: Sequence[H]) -> tuple[list[list[H]], list[H]]:
    """Tokens for a transaction of their own, and the rest."""
    by_token = [some for _, some in _grouped(holdings, key=lambda h: h.token)]
    own = [
        some
        for some in by_token
        if _nameable(some) and (len(some) * NAMED_SAVES > SHARED_SAVES or len(by_token) == 1)
    ]
    rest = [some for some in by_token if some not in own]
    if len(rest) == 1 and _nameable(rest[0]):
        own, rest = [*own, rest[0]], []
    return own, [h for some in rest for h in some]


def _nameable(holdings: Sequence[Swept]) -> bool:
    return all(
        h.token != NATIVE and h.asset is not None and h.exact and 0 < h.amount < LARGEST_NAMED
        for h in holdings
    )


def _chunks(holdings: Sequence[H], max_gas: int) -> list[list[H]]:
    """In order, the next one begins where the next address would be too much."""
    found: list[list[H]] = []
    used = 0
    for holding in holdings:
        needs = gas_of(holding)
        if not found or used + needs > max_gas:
            found.append([])
            used = BASE_GAS
        found[-1].append(holding)
        used += needs
    return found


def _load(holdings: Sequence[H], alone: set[str]) -> Load[H]:
    """`alone`: addresses that no other transaction of these touches."""
    groups: list[Group[H]] = []
    touched: set[str] = set()
    for token, some in _grouped(holdings, key=lambda h: h.token):
        fresh = {
            h.address
            for h in some
            if token != NATIVE
            and not (h.deployed or h.contested or h.address in touched)
            and h.address in alone
        }
        ordered = sorted(some, key=lambda h: h.address not in fresh)
        gas = [gas_of(h, deployed=h.deployed or h.address in touched) for h in ordered]
        groups.append(Group(token, len(fresh), tuple(ordered), tuple(gas)))
        touched |= {h.address for h in some}
    return Load(len(groups) == 1 and _nameable(holdings), tuple(groups))


def _grouped(items: Sequence[H], key: Callable[[H], T]) -> list[tuple[T, list[H]]]:
    """By key in a fixed order, whatever order they come in; the coin comes after all tokens, whose
    contracts' addresses begin with a digit."""

    def order(holding: H) -> tuple[str, str, str]:
        return (str(key(holding)), holding.address, holding.token)

    return [(k, list(some)) for k, some in groupby(sorted(items, key=order), key=key)]
