"""What following a chain brings home: plain values, exact, in chain order.

Hashes and addresses are lower-case 0x hex text; amounts are int base units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

BALANCE = "balance"  # the position of what only a comparison of balances shows


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header, as far as we need it. `timestamp` is in unix seconds."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    miner: str


@dataclass(frozen=True, slots=True)
class Movement:
    """A transfer seen on chain, named by (block_hash, tx_hash, position) (MONEY 2).

    position: `tx`, `log:<n>`, `trace:<path>` (never the root call), `withdrawal:<n>`, `reward`,
    `balance`. `tx_hash` is "" where no transaction stands behind it. `token` is a contract
    address or NATIVE. `amount` of a fee-on-transfer token is what the log says until `measure`
    replaced it by what arrived.
    """

    block_number: int
    block_hash: str
    tx_hash: str
    position: str
    token: str
    sender: str
    recipient: str
    amount: int


@dataclass(frozen=True, slots=True)
class Swept:
    """A `Swept(salt, token, amount)` event of our factory. `token` is NATIVE for ETH.

    `amount` left the deposit address; `arrived` reached the treasury (less, by the `Received`
    event that follows, for a token with a transfer fee).
    """

    block_number: int
    block_hash: str
    tx_hash: str
    log_index: int
    salt: str
    deposit_address: str
    treasury: str
    token: str
    amount: int
    arrived: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A `Paid(invoice, payer, asset, amount, quoteHash)` event of our router: exactly `amount` went
    from `payer` to `treasury`. `invoice` is the quote's word (0x, 32 bytes), `token` a contract
    address or NATIVE."""

    block_number: int
    block_hash: str
    tx_hash: str
    log_index: int
    invoice: str
    payer: str
    treasury: str
    token: str
    amount: int
    quote_hash: str

    @property
    def movement(self) -> Movement:
        """As a movement of its own name: the transfers in the same call are its evidence."""
        return Movement(
            self.block_number, self.block_hash, self.tx_hash, f"log:{self.log_index}", self.token,
            self.payer, self.treasury, self.amount,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TokenLog:
    """An ERC-20 `Transfer` log in a receipt."""

    token: str
    sender: str
    recipient: str
    amount: int
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A transaction of ours in a block. `gas_paid` in wei, what an L2 takes for its L1 included;
    `logs` are the transfers in it, empty for one that failed."""

    tx_hash: str
    block_hash: str
    block_number: int
    succeeded: bool
    gas_paid: int
    logs: tuple[TokenLog, ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a network is followed: the last block that was applied."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """A new head as a node announced it: a hint what to ask for, in the node's own hex."""

    number: str
    hash: str
    empty: bool  # no transaction used gas in it


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of canonical blocks after `start`, and all that moved in them.

    `fork` is the common ancestor's number when `start` is no longer canonical: everything above
    it is taken back, then `blocks` (which begin at fork + 1, up to the new head) are applied.
    Without a fork `blocks` begin at start.number + 1. Blocks are parent-linked and ascending.
    `safe` and `finalized` are numbers of blocks on the same chain, None where the node has none.
    `agreed` names, for blocks near the head, the endpoints (host and port, the source among
    them) that hold the same hash at that height. It also holds blocks of earlier batches that
    another endpoint has agreed to since: add to what is stored, never replace.
    `receipts` are those of our own outstanding transactions that these blocks carry, None where
    none were asked for, because nothing of ours was known to be under way; `payments` those that
    came through our router.
    """

    network: str
    start: Cursor
    fork: int | None
    blocks: Sequence[Block]
    movements: Sequence[Movement]
    sweeps: Sequence[Swept]
    head: int
    safe: int | None
    finalized: int | None
    agreed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    receipts: Sequence[Receipt] | None = ()
    payments: Sequence[Paid] = ()
