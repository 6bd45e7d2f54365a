"""What a judgement is made from and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wallets.intents import Unsigned


class Denied(Exception):
    """`code` is stable: docs/keys-and-authority.md."""

    def __init__(self, code: str, detail: str, *, needed: int = 0, given: int = 0) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail
        self.needed, self.given = needed, given


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A signature of ours, given (then `raw` is there) or about to be.

    `content` is the hash of what it carries out (`judge.content_of`).
    """

    order_id: str
    content: bytes
    is_cancel: bool
    gas: int
    max_fee: int
    priority_fee: int
    broadcast: bool
    raw: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Of one asset on one network in rolling windows, base units."""

    hour: int = 0  # unattended payouts
    day: int = 0  # unattended payouts
    moved: int = 0  # moves of a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the signer remembers that bears on one order."""

    here: tuple[Issued, ...] = ()  # at this chain, wallet and nonce
    elsewhere: tuple[Issued, ...] = ()  # of this order at any other nonce
    spent: Mapping[str, Spent] = field(default_factory=dict)  # by token
    fees: int = 0  # of this network's day, without this nonce's
    used: frozenset[int] = frozenset()  # approval nonces that another signature has used


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What a signature counts for."""

    asset: str
    token: str
    amount: int
    attended: bool
    is_move: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """`call` will be signed. `known`: counted before, so only the fee is new."""

    call: Unsigned
    content: bytes
    known: bool
    spends: tuple[Spend, ...]
    nonces: tuple[int, ...]  # approval nonces that this uses up
    again: Issued | None = None  # the very same signature, given before
