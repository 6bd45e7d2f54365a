"""The JSON-RPC calls behind sending, and how their answers are decoded."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.json import Decoder

from chain.wire import Log, Method, Reply


class History(Struct, gc=False):
    """eth_feeHistory. `gasUsedRatio` only tells empty blocks from others."""

    baseFeePerGas: list[str | None]  # noqa: N815  (the node's names)
    gasUsedRatio: list[Any]  # noqa: N815
    reward: list[list[str]] | None = None


class Found(Struct, gc=False):
    """eth_getTransactionByHash; `blockHash` is null while it waits in the pool."""

    hash: str
    nonce: str
    blockHash: str | None = None  # noqa: N815


class OwnReceipt(Struct, gc=False):
    """eth_getTransactionReceipt, with what an L2 adds for its L1 (`l1Fee`, OP stack, Scroll)."""

    transactionHash: str  # noqa: N815
    blockHash: str  # noqa: N815
    gasUsed: str  # noqa: N815
    status: str
    logs: list[Log]
    effectiveGasPrice: str | None = None  # noqa: N815
    l1Fee: str | None = None  # noqa: N815


def _method(name: str, reply: Any) -> Method[Any]:
    return Method(name, Decoder(reply), Decoder(list[reply]))


SEND_RAW: Method[str] = _method("eth_sendRawTransaction", Reply[str])
FEE_HISTORY: Method[History | None] = _method("eth_feeHistory", Reply[History | None])
ESTIMATE_GAS: Method[str] = _method("eth_estimateGas", Reply[str])
TRANSACTION_COUNT: Method[str] = _method("eth_getTransactionCount", Reply[str])
TRANSACTION: Method[Found | None] = _method("eth_getTransactionByHash", Reply[Found | None])
OWN_RECEIPT: Method[OwnReceipt | None] = _method(
    "eth_getTransactionReceipt", Reply[OwnReceipt | None]
)
