"""What we look for in a network's logs: made once from its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chain import bloom
from chain.wire import Log
from core.errors import Misconfigured
from core.keccak import keccak
from core.networks import Network, Traces

TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
SWEPT = "0x" + keccak(b"Swept(bytes32,address,uint256)").hex()
RECEIVED = "0x" + keccak(b"Received(bytes32,address,uint256)").hex()
PAID = "0x" + keccak(b"Paid(bytes32,address,address,uint256,bytes32)").hex()
TREASURY_CHANGED = "0x" + keccak(b"TreasuryChanged(address,address)").hex()


@dataclass(frozen=True, slots=True)
class Watch:
    """`masks` holds, for each contract and topic, the bloom bits of such a log."""

    network: str
    traces: Traces
    tokens: frozenset[str]
    fee_tokens: frozenset[str]
    factory: str | None
    router: str | None
    init_code_hash: bytes
    contracts: frozenset[str]
    topics: tuple[str, ...]
    masks: tuple[tuple[str, str, int], ...]

    @classmethod
    def of(cls, network: Network) -> Watch:
        """Raises Misconfigured when a factory has no hash to compute its addresses from."""
        tokens = [t for t in network.tokens if not t.is_native]
        pairs = [(t.address, TRANSFER) for t in tokens]
        topics = [TRANSFER]
        code_hash = network.deposit_init_code_hash
        if network.factory is not None:
            if code_hash is None:
                raise Misconfigured(
                    f"networks.{network.id}.deposit_init_code_hash is missing beside factory"
                )
            # Received follows a Swept; treasury changes are looked up where a Swept asks for it.
            pairs.append((network.factory, SWEPT))
            topics += [SWEPT, RECEIVED, TREASURY_CHANGED]
        router = network.router if network.factory is not None else None
        if router is not None:
            pairs.append((router, PAID))
            topics.append(PAID)
        return cls(
            network=network.id,
            traces=network.traces,
            tokens=frozenset(t.address for t in tokens),
            fee_tokens=frozenset(t.address for t in tokens if t.fee_on_transfer),
            factory=network.factory,
            router=router,
            init_code_hash=bytes.fromhex((code_hash or "0x")[2:]),
            contracts=frozenset(contract for contract, _ in pairs),
            topics=tuple(topics),
            masks=tuple((a, topic, bloom.mask(a, topic)) for a, topic in pairs),
        )

    def log_filter(self) -> dict[str, Any]:
        """The filter of eth_getLogs, without its blocks."""
        return {"address": sorted(self.contracts), "topics": [list(self.topics)]}

    def wants(self, one: Log) -> bool:
        """Whether the filter lets this log through."""
        return (
            one.address.lower() in self.contracts
            and bool(one.topics)
            and one.topics[0] in self.topics
        )

    def deposit_address(self, salt: str) -> str:
        """CREATE2 (EIP-1014): where the factory puts, or will put, this salt's contract."""
        factory, raw_salt = bytes.fromhex((self.factory or "0x")[2:]), bytes.fromhex(salt[2:])
        return "0x" + keccak(b"\xff" + factory + raw_salt + self.init_code_hash)[12:].hex()
