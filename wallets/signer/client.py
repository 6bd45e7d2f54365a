"""The signer as everybody else sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wallets.intents import Order, RouterQuote, Signed


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
