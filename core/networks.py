"""Networks, tokens and feeds as configured: plain values, handed down from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from core.money import FIAT, Asset

MULTICALL = "0xca11bde05977b3631167028862be2a173976ca11"  # Multicall3, on every known network
GWEI = 10**9
NATIVE = "native"  # stands where a token's contract address stands, for the network's own coin


class Traces(StrEnum):
    """How inner ETH is found; fixed per network so that no movement has two names (CHAIN 1)."""

    DEBUG = "debug"
    """`debug_traceBlockByHash` with the callTracer."""
    TRACE = "trace"
    """`trace_block`, which answers by number."""
    NONE = "none"
    """The node has no traces: balances of unexpired addresses are compared instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eip3009:
    """The EIP-712 domain in which holders of a token sign transfers for others to send."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HotLevel:
    """How much of an asset the hot wallets of a network hold, in base units (MONEY 5).

    Below half of `target` a move from the treasury fills them up to it; above `most` (None: no
    limit) a move to the treasury leaves `target`.
    """

    target: int
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An asset on one network. `address` is lower-case 0x hex, or NATIVE."""

    asset: Asset
    address: str
    fee_on_transfer: bool = False
    eip3009: Eip3009 | None = None  # None: x402 does not take it
    asset_id: str = ""  # CAIP-19
    hot: HotLevel | None = None  # None: nothing is moved without a command

    @property
    def is_native(self) -> bool:
        return self.address == NATIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A Chainlink feed (MONEY 4). `minimum` and `maximum` are in the feed's own decimals."""

    base: str
    quote: str
    address: str
    decimals: int
    heartbeat_seconds: int
    grace_seconds: int
    minimum: int
    maximum: int
    largest_jump_percent: int
    description: str

    @property
    def pair(self) -> str:
        return f"{self.base}/{self.quote}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Confirmations for unconfirmed sums up to `up_to` (house currency, minor units; None: any).

    `required` is a number of blocks (1: the block itself), or "safe" or "finalized".
    """

    up_to: int | None
    required: int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeePolicy:
    """What a transaction of ours may offer (CHAIN 3), in wei per gas.

    `max_fee` and `max_priority_fee` are never exceeded, by a replacement neither. One that is not
    mined `stuck_after_seconds` after it was offered is replaced by one that offers more.
    """

    max_fee: int = 300 * GWEI
    max_priority_fee: int = 20 * GWEI
    stuck_after_seconds: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPolicy:
    """When deposit addresses are emptied without a command, looked at `every_seconds`.

    What is worth less than `minimum` (house currency, minor units) stays. Gas may take
    `max_gas_percent` of what is swept, while the base fee is among the `cheap_percent` lowest of
    recent blocks. What lies for `max_age_seconds` goes at any fee that it is worth. `max_gas` is
    for one transaction.
    """

    every_seconds: int = 600
    minimum: int = 0
    max_gas_percent: int = 2
    cheap_percent: int = 25
    max_age_seconds: int = 7 * 86_400
    max_gas: int = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPolicy:
    """What the house gives for payers who sign a payment and hold no coin for its gas.

    `per_invoice`: tries for one invoice. `per_payer`, `per_hour`: relayed within an hour for one
    payer, and for all together. Gas may cost `max_gas_percent` of what is paid, and `max_fee` wei
    per gas.
    """

    per_invoice: int = 3
    per_payer: int = 5
    per_hour: int = 200
    max_gas_percent: int = 10
    max_fee: int = 100 * GWEI


@dataclass(frozen=True, slots=True, kw_only=True)
class X402Policy:
    """What the house gives for requests that are paid by x402 (`docs/x402.md`).

    For one merchant within an hour `per_hour` settlements and `gas_per_hour` wei, reckoned as the
    most that each may cost. Gas may cost `max_gas_percent` of what is paid, and `max_fee` wei per
    gas.
    """

    per_hour: int = 1_000
    gas_per_hour: int = 50_000_000 * GWEI
    max_gas_percent: int = 20
    max_fee: int = 100 * GWEI


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One chain, named by CAIP-2."""

    id: str
    chain_id: int
    name: str
    rpc_urls: tuple[str, ...]
    public_rpc_url: str | None = None  # for payers' wallets; ours may carry a secret
    push_url: str | None = None  # ws://, wss:// or the path of an IPC socket; None: polling only
    block_seconds: int
    poll_ms: int
    traces: Traces = Traces.DEBUG
    tokens: tuple[Token, ...]  # the native coin first
    feeds: tuple[Feed, ...] = ()
    sequencer_feed: str | None = None  # Chainlink's L2 uptime feed
    sequencer_grace_seconds: int = 3600
    factory: str | None = None
    deposit_init_code_hash: str | None = None  # what makes an address of the factory's (CHAIN 2)
    multicall: str = MULTICALL
    router: str | None = None  # PaymentRouter (CHAIN 2)
    multisend: str | None = None  # pays many payouts at once
    sanctions_oracle: str | None = None  # Chainalysis' contract, or one that answers like it
    fees: FeePolicy = FeePolicy()
    sweeps: SweepPolicy | None = None  # None: only on command
    relay: RelayPolicy | None = RelayPolicy()  # None: every payer sends his payment himself
    x402: X402Policy | None = X402Policy()  # None: nothing is settled here
    tiers: tuple[Tier, ...] = field(default=(Tier(up_to=None, required="finalized"),))
    second_endpoint_above: int | None = None  # house currency, minor units
    stalled_after_seconds: int = 120

    def token(self, symbol: str) -> Token | None:
        return next((t for t in self.tokens if t.asset.symbol == symbol), None)

    def by_address(self) -> dict[str, Token]:
        return {t.address: t for t in self.tokens}


@dataclass(frozen=True)
class Catalog:
    """All that is configured, by name. One symbol has one meaning on every network."""

    networks: dict[str, Network]
    house_currency: str = "USD"

    @cached_property
    def assets(self) -> dict[str, Asset]:
        return {t.asset.symbol: t.asset for n in self.networks.values() for t in n.tokens}

    @cached_property
    def currencies(self) -> frozenset[str]:
        """What an invoice can be written in: everything that some feed prices, and our assets."""
        feeds = [feed for n in self.networks.values() for feed in n.feeds]
        return frozenset(self.assets) | {f.base for f in feeds} | {f.quote for f in feeds}

    def asset(self, code: str) -> Asset | None:
        """By symbol, or by its code in the ledger where that is a venue's (`EUR@18`)."""
        symbol, at, _ = code.partition("@")
        asset = self.assets.get(symbol) or FIAT.get(symbol)
        return asset.at_venue() if asset and at else asset

    def pairs(self) -> Iterator[tuple[Network, Token]]:
        for network in self.networks.values():
            for token in network.tokens:
                yield network, token
