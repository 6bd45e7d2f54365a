"""What a sandbox contains: networks, tokens and feeds, and the bezant.toml that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CONFIRMATIONS = 3
STUCK_SECONDS = 15
CHAIN_IDS = (31337, 31338)
NAMES = {31337: "Anvil", 31338: "Second Anvil"}


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """A token of the sandbox, on every network at the same address."""

    symbol: str
    name: str
    decimals: int
    contract: str
    fee_on_transfer: bool = False
    signs: bool = False  # EIP-3009, in a domain of its name and version "2"


@dataclass(frozen=True, slots=True)
class FeedSpec:
    """A mock aggregator with 8 decimals. `price` is where it starts."""

    base: str
    quote: str
    price: str
    heartbeat_seconds: int
    minimum: str
    maximum: str
    largest_jump_percent: int

    @property
    def pair(self) -> str:
        return f"{self.base}/{self.quote}"


TOKENS = (
    TokenSpec("USDC", "USD Coin", 6, "PermitToken", signs=True),
    TokenSpec("USDT", "Tether (returns nothing)", 6, "SilentToken"),
    TokenSpec("DAI", "Dai", 18, "SandboxToken"),
    TokenSpec("T24", "24 decimals", 24, "SandboxToken"),
    TokenSpec("FEE", "Keeps 1 % of a transfer", 18, "FeeToken", fee_on_transfer=True),
    TokenSpec("BLK", "Can block an address", 18, "BlocklistToken"),
)
FEEDS = (
    FeedSpec("ETH", "USD", "2500", 3600, "10", "1000000", 100),
    FeedSpec("EUR", "USD", "1.10", 86400, "0.2", "5", 50),
    *(FeedSpec(t.symbol, "USD", "1.00", 86400, "0.2", "5", 50) for t in TOKENS),
)
FEED_DECIMALS = 8
# Addresses that OFAC has published: a payout to one is refused, and one from them is held.
SANCTIONED = Path(__file__).resolve().parent.parent / "risk" / "data" / "ofac_sample.xml"


@dataclass(frozen=True, slots=True)
class Chain:
    """A network of this sandbox as it runs now. Addresses in lower case."""

    chain_id: int
    url: str
    factory: str
    router: str
    multisend: str
    sanctions_oracle: str
    treasury: str
    tokens: Mapping[str, str]  # symbol -> address
    feeds: Mapping[str, str]  # pair -> address

    @property
    def id(self) -> str:
        return f"eip155:{self.chain_id}"

    @property
    def push_url(self) -> str:
        return self.url.replace("http://", "ws://")


def _domain(token: TokenSpec) -> str:
    if not token.signs:
        return ""
    return f', eip3009 = {{ name = {json.dumps(token.name)}, version = "2" }}'


def configuration(chains: Sequence[Chain], more: Sequence[str] = ()) -> str:
    """bezant.toml. JSON's strings, numbers and lists are TOML's too. `more`: further lines."""
    lines = [
        "# Written by `bezant sandbox` at each start.",
        "sandbox = true",
        'house_currency = "USD"',
        "",
        "[limits]",
        "key_per_second = 2000",
        "key_burst = 10000",
        "public_per_second = 2000",
        "public_burst = 10000",
        "",
        "[moves]",
        "hold_new_addresses = false",
        "",
        "[banks.main]",
        'currency = "EUR"',
        'name = "House bank"',
        'iban = "DE89370400440532013000"  # the example of ISO 13616',
        'csv = { date = "Date", amount = "Amount", balance = "Balance", text = ["Text"] }',
        "",
        "[reconciliation]",
        "every_seconds = 3600",
        "",
        "[screening]",
        f"lists = {json.dumps([str(SANCTIONED)])}",
        "retry_seconds = 2",
    ]
    for chain in chains:
        lines += [
            "",
            f'[networks."{chain.id}"]',
            f"name = {json.dumps(NAMES[chain.chain_id])}",
            f"rpc_urls = {json.dumps([chain.url])}",
            f"public_rpc_url = {json.dumps(chain.url)}",
            f"push_url = {json.dumps(chain.push_url)}",
            "block_seconds = 0  # mines on demand",
            "poll_ms = 1000",
            'traces = "trace"  # Anvil takes seconds to debug_trace a block of 200 transactions',
            f"factory = {json.dumps(chain.factory)}",
            f"router = {json.dumps(chain.router)}",
            f"multisend = {json.dumps(chain.multisend)}",
            f"sanctions_oracle = {json.dumps(chain.sanctions_oracle)}",
            f"fees = {{ stuck_after_seconds = {STUCK_SECONDS} }}",
            f"confirmations = [{{ required = {CONFIRMATIONS} }}]",
            "tokens = [",
            *(
                f'    {{ symbol = "{t.symbol}", decimals = {t.decimals},'
                f' address = "{chain.tokens[t.symbol]}",'
                f" fee_on_transfer = {json.dumps(t.fee_on_transfer)}{_domain(t)} }},"
                for t in TOKENS
            ),
            "]",
            "feeds = [",
            *(
                f'    {{ pair = "{f.pair}", address = "{chain.feeds[f.pair]}",'
                f" decimals = {FEED_DECIMALS}, heartbeat_seconds = {f.heartbeat_seconds},"
                f' minimum = "{f.minimum}", maximum = "{f.maximum}",'
                f" largest_jump_percent = {f.largest_jump_percent} }},"
                for f in FEEDS
            ),
            "]",
        ]
    return "\n".join([*lines, *more]) + "\n"
