"""What nodes answer, in their own names and hex strings: only the fields we read.

Execution JSON-RPC (ethereum/execution-apis), geth's callTracer, OpenEthereum's trace_block.
gc=False: none of these can be part of a cycle, and traces are many small objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType, field
from msgspec.json import Decoder

T = TypeVar("T")


class Fault(Struct, frozen=True):
    """The `error` member of a JSON-RPC answer."""

    code: int = 0
    message: str = ""


class Reply(Struct, Generic[T], gc=False):
    """One JSON-RPC answer. A `result` of null is kept apart from one that is missing."""

    id: int | str | None = None
    result: T | UnsetType = UNSET
    error: Fault | None = None


class Answered(Struct, gc=False):
    """Which call an answer belongs to."""

    id: int | str | None = None


class Withdrawal(Struct, gc=False):
    """EIP-4895; `amount` in gwei."""

    index: str
    address: str
    amount: str


class Header(Struct, gc=False):
    """eth_getBlockByNumber and eth_getBlockByHash, transactions as hashes."""

    number: str
    hash: str
    parentHash: str  # noqa: N815  (the node's name)
    timestamp: str
    miner: str
    logsBloom: str  # noqa: N815
    transactions: list[str]
    transactionsRoot: str | None = None  # noqa: N815
    withdrawals: list[Withdrawal] | None = None
    baseFeePerGas: str | None = None  # noqa: N815


class Sent(Struct, gc=False):
    """A transaction inside a full block."""

    hash: str
    value: str
    from_: str = field(name="from")
    to: str | None = None


class FullBlock(Struct, gc=False):
    """eth_getBlockByHash with full transactions."""

    hash: str
    transactions: list[Sent]


class Frame(Struct, gc=False):
    """A call as geth's callTracer shows it, with the calls made inside."""

    type: str
    from_: str = field(name="from", default="")
    to: str | None = None
    value: str | None = None
    error: str | None = None
    calls: list[Frame] | None = None


class Traced(Struct, gc=False):
    """An item of debug_traceBlockByHash: one transaction. Older nodes leave `txHash` out."""

    result: Frame | None = None
    txHash: str | None = None  # noqa: N815
    error: str | None = None


class Action(Struct, gc=False):
    """What a trace_block item did; which fields are there depends on its type."""

    from_: str = field(name="from", default="")
    to: str | None = None
    value: str | None = None
    callType: str | None = None  # noqa: N815
    address: str | None = None  # suicide: who died
    refundAddress: str | None = None  # noqa: N815
    balance: str | None = None


class Made(Struct, gc=False):
    """The result of a trace_block item; `address` for a creation."""

    address: str | None = None


class TraceItem(Struct, gc=False):
    """An item of trace_block."""

    action: Action
    type: str
    blockHash: str  # noqa: N815
    traceAddress: list[int]  # noqa: N815
    transactionHash: str | None = None  # noqa: N815
    error: str | None = None
    result: Made | None = None


class Log(Struct, gc=False):
    """An item of eth_getLogs, or of a receipt's `logs`."""

    address: str
    topics: list[str]
    data: str
    blockHash: str | None = None  # noqa: N815
    blockNumber: str | None = None  # noqa: N815
    transactionHash: str | None = None  # noqa: N815
    logIndex: str | None = None  # noqa: N815
    removed: bool = False


class Receipt(Struct, gc=False):
    """eth_getBlockReceipts, eth_getTransactionReceipt."""

    transactionHash: str  # noqa: N815
    blockHash: str  # noqa: N815
    gasUsed: str  # noqa: N815
    logs: list[Log]
    status: str | None = None
    effectiveGasPrice: str | None = None  # noqa: N815
    contractAddress: str | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class Method(Generic[T]):
    """A JSON-RPC method and how its answers are decoded, alone and in a batch."""

    name: str
    one: Decoder[Reply[T]]
    batch: Decoder[list[Reply[T]]]


# A batch of calls to several methods: the answers' ids, and each answer's own text.
ANSWERED = Decoder(list[Answered])
TEXTS = Decoder(list[Raw])


def _method(name: str, reply: Any) -> Method[Any]:
    return Method(name, Decoder(reply), Decoder(list[reply]))


CHAIN_ID: Method[str] = _method("eth_chainId", Reply[str])
BLOCK_BY_NUMBER: Method[Header | None] = _method("eth_getBlockByNumber", Reply[Header | None])
BLOCK_BY_HASH: Method[Header | None] = _method("eth_getBlockByHash", Reply[Header | None])
FULL_BLOCK: Method[FullBlock | None] = _method("eth_getBlockByHash", Reply[FullBlock | None])
TRACE_BY_HASH: Method[list[Traced] | None] = _method(
    "debug_traceBlockByHash", Reply[list[Traced] | None]
)
TRACE_BLOCK: Method[list[TraceItem] | None] = _method("trace_block", Reply[list[TraceItem] | None])
LOGS: Method[list[Log] | None] = _method("eth_getLogs", Reply[list[Log] | None])
BLOCK_RECEIPTS: Method[list[Receipt] | None] = _method(
    "eth_getBlockReceipts", Reply[list[Receipt] | None]
)
RECEIPT: Method[Receipt | None] = _method("eth_getTransactionReceipt", Reply[Receipt | None])
CALL: Method[str] = _method("eth_call", Reply[str])
BALANCE: Method[str] = _method("eth_getBalance", Reply[str])
