"""A small catalog for tests that ask no database."""

from __future__ import annotations

from core.money import crypto
from core.networks import NATIVE, Catalog, Feed, Network, Token

NETWORK = "eip155:31337"
OTHER = "eip155:31338"
USDC = "0x" + "c0" * 20
DAI = "0x" + "da" * 20
FACTORY = "0x" + "fa" * 20
ROUTER = "0x" + "f0" * 20
MULTISEND = "0x" + "f1" * 20
FEED = "0x" + "fe" * 20
ORACLE = "0x" + "0c" * 20


def network(id_: str, *tokens: Token) -> Network:
    return Network(
        id=id_,
        chain_id=int(id_.removeprefix("eip155:")),
        name=id_,
        rpc_urls=("http://127.0.0.1:1",),
        block_seconds=1,
        poll_ms=100,
        tokens=(Token(asset=crypto("ETH", 18), address=NATIVE), *tokens),
        feeds=(
            Feed(
                base="ETH",
                quote="USD",
                address=FEED,
                decimals=8,
                heartbeat_seconds=3600,
                grace_seconds=60,
                minimum=1,
                maximum=10**14,
                largest_jump_percent=50,
                description="ETH / USD",
            ),
        ),
        factory=FACTORY,
        router=ROUTER,
        multisend=MULTISEND,
        sanctions_oracle=ORACLE,
    )


CATALOG = Catalog(
    {
        NETWORK: network(NETWORK, Token(asset=crypto("USDC", 6), address=USDC)),
        OTHER: network(OTHER, Token(asset=crypto("DAI", 18), address=DAI)),
    }
)
