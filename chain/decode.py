"""From what nodes answer to movements: pure, exact, and suspicious.

A frame counts only when neither it nor any ancestor has an error, and only CALL, CREATE, CREATE2
and SELFDESTRUCT move value (CHAIN 1). Left out: zero amounts, and movements from an address to
itself, which change no balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chain.types import Block, Movement
from chain.watch import TRANSFER, Watch
from chain.wire import Frame, FullBlock, Header, Log, Receipt, Traced, TraceItem
from core.errors import BlockUnknown, Inconsistent
from core.networks import NATIVE

MOVING = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})
GWEI = 10**9


def number(text: str) -> int:
    """A quantity (0x hex) -> int. Raises Inconsistent."""
    try:
        return int(text, 16)
    except ValueError:
        raise Inconsistent(f"not a number: {text[:80]!r}") from None


def block(header: Header) -> Block:
    return Block(
        number=number(header.number),
        hash=header.hash,
        parent_hash=header.parentHash,
        timestamp=number(header.timestamp),
        miner=header.miner.lower(),
    )


class Found:
    """Collects the movements of one block."""

    __slots__ = ("_hash", "_number", "movements")

    def __init__(self, block_number: int, block_hash: str) -> None:
        self._number = block_number
        self._hash = block_hash
        self.movements: list[Movement] = []

    def add(
        self, tx_hash: str, position: str, token: str, sender: str, recipient: str, amount: int
    ) -> None:
        sender, recipient = sender.lower(), recipient.lower()
        if amount and sender != recipient:
            self.movements.append(
                Movement(
                    self._number, self._hash, tx_hash, position, token, sender, recipient, amount
                )
            )


def traces(header: Header, answer: Sequence[Traced]) -> list[Movement]:
    """debug_traceBlockByHash with the callTracer: transactions and the calls inside them.

    Raises Inconsistent unless there is one whole trace for each transaction, in order.
    """
    if len(answer) != len(header.transactions):
        raise Inconsistent(
            f"{len(answer)} traces for {len(header.transactions)} transactions in {header.hash}"
        )
    found = Found(number(header.number), header.hash)
    for tx_hash, traced in zip(header.transactions, answer, strict=True):
        if traced.txHash is not None and traced.txHash != tx_hash:
            raise Inconsistent(f"a trace of {traced.txHash} where {tx_hash} stands")
        if traced.result is None or traced.error is not None:
            # what a node says of a block whose state it dropped (128 blocks at geth's default)
            raise BlockUnknown(f"no trace of {tx_hash}: {(traced.error or '')[:200]}")
        _frames(found, tx_hash, traced.result)
    return found.movements


def _frames(found: Found, tx_hash: str, root: Frame) -> None:
    """Depth first, in order, with a stack of our own: calls nest up to 1,024 deep."""
    stack: list[tuple[Frame, str]] = [(root, "")]
    while stack:
        frame, path = stack.pop()
        if frame.error is not None:
            continue  # neither it nor anything inside it happened
        if frame.type in MOVING and frame.value is not None and frame.value != "0x0":
            if frame.to is None:
                raise Inconsistent(f"a {frame.type} without a destination in {tx_hash}")
            position = f"trace:{path}" if path else "tx"
            found.add(tx_hash, position, NATIVE, frame.from_, frame.to, number(frame.value))
        if frame.calls:
            prefix = f"{path}." if path else ""
            inner = [(call, f"{prefix}{i}") for i, call in enumerate(frame.calls)]
            stack += reversed(inner)


def trace_items(header: Header, answer: Sequence[TraceItem]) -> list[Movement]:
    """trace_block, which answers by number: every item must be of this very block.

    Raises Inconsistent for an item of another block, and unless every transaction has its root.
    """
    found = Found(number(header.number), header.hash)
    roots: list[str] = []
    failed: set[tuple[int, ...]] = set()
    for item in answer:
        if item.blockHash != header.hash:
            raise Inconsistent(f"a trace of block {item.blockHash} where {header.hash} was asked")
        tx_hash = item.transactionHash
        if tx_hash is None or item.type == "reward":
            continue
        path = tuple(item.traceAddress)
        if not path:
            roots.append(tx_hash)
            failed = set()
        elif not roots or roots[-1] != tx_hash:
            raise Inconsistent(f"a call of {tx_hash} before its transaction in {header.hash}")
        # parents come before their children, so looking at the direct parent is enough
        if item.error is not None or (path and path[:-1] in failed):
            failed.add(path)
            continue
        position = "trace:" + ".".join(map(str, path)) if path else "tx"
        _item(found, tx_hash, position, item)
    if roots != header.transactions:
        raise Inconsistent(f"traces of other transactions than those of {header.hash}")
    return found.movements


def _item(found: Found, tx_hash: str, position: str, item: TraceItem) -> None:
    action = item.action
    if item.type == "call":
        if action.callType in (None, "call"):
            sender, recipient, value = action.from_, action.to, action.value
        else:
            return
    elif item.type == "create":
        sender, value = action.from_, action.value
        recipient = None if item.result is None else item.result.address
    elif item.type in ("suicide", "selfdestruct"):
        sender, recipient, value = action.address or "", action.refundAddress, action.balance
    else:
        raise Inconsistent(f"a trace of unknown type {item.type[:40]!r} in {tx_hash}")
    amount = number(value or "0x0")
    if amount == 0:
        return
    if recipient is None:
        raise Inconsistent(f"a {item.type} without a destination in {tx_hash}")
    found.add(tx_hash, position, NATIVE, sender, recipient, amount)


def transactions(header: Header, full: FullBlock, receipts: Sequence[Receipt]) -> list[Movement]:
    """Where there are no traces: the value of each transaction whose receipt has status 1.

    `receipts` must have passed `check_receipts`. Raises Inconsistent.
    """
    if full.hash != header.hash or [t.hash for t in full.transactions] != header.transactions:
        raise Inconsistent(f"other transactions than those of {header.hash}")
    found = Found(number(header.number), header.hash)
    for sent, receipt in zip(full.transactions, receipts, strict=True):
        recipient = sent.to or receipt.contractAddress
        amount = number(sent.value)
        if amount and receipt.status is None:
            raise Inconsistent(f"a receipt without status: {sent.hash}")
        if amount and recipient is not None and number(receipt.status or "0x0") == 1:
            found.add(sent.hash, "tx", NATIVE, sent.from_, recipient, amount)
    return found.movements


def check_receipts(header: Header, receipts: Sequence[Receipt]) -> None:
    """Raises Inconsistent unless these are the receipts of all of the block's transactions."""
    if [r.transactionHash for r in receipts] != header.transactions:
        raise Inconsistent(f"receipts of other transactions than those of {header.hash}")
    for receipt in receipts:
        if receipt.blockHash != header.hash:
            raise Inconsistent(f"a receipt of block {receipt.blockHash}, not {header.hash}")


def withdrawals(header: Header) -> list[Movement]:
    """EIP-4895: credited without a transaction; amounts come in gwei."""
    found = Found(number(header.number), header.hash)
    for w in header.withdrawals or ():
        position = f"withdrawal:{number(w.index)}"
        found.add("", position, NATIVE, "", w.address, number(w.amount) * GWEI)
    return found.movements


def transfers(header: Header, logs: Iterable[Log], watch: Watch) -> list[Movement]:
    """Transfer logs of configured tokens. The logs must have passed `check_logs`."""
    found = Found(number(header.number), header.hash)
    for log in logs:
        token = log.address.lower()
        if token not in watch.tokens or len(log.topics) != 3 or log.topics[0] != TRANSFER:
            continue
        if len(log.data) != 66:
            continue
        found.add(
            log.transactionHash or "",
            f"log:{number(log.logIndex or '')}",
            token,
            address(log.topics[1]),
            address(log.topics[2]),
            number(log.data),
        )
    return found.movements


def address(word: str) -> str:
    """The address in a 32-byte word."""
    return "0x" + word[-40:].lower()


def check_logs(header: Header, logs: Sequence[Log]) -> list[Log]:
    """The block's logs in order. Raises Inconsistent for one of another block, one that a fork
    removed, one of a transaction that the block does not have, or two with the same index."""
    known = set(header.transactions)
    seen: dict[int, Log] = {}
    for log in logs:
        if log.removed or log.blockHash != header.hash:
            raise Inconsistent(f"a log of block {log.blockHash} where {header.hash} stands")
        if log.transactionHash not in known or log.logIndex is None:
            raise Inconsistent(f"a log of {log.transactionHash}, which {header.hash} has not")
        index = number(log.logIndex)
        if index in seen:
            raise Inconsistent(f"two logs with index {index} in {header.hash}")
        seen[index] = log
    return [seen[index] for index in sorted(seen)]


def in_order(header: Header, movements: list[Movement]) -> list[Movement]:
    """By transaction as they stand in the block; what has no transaction comes last."""
    order = {tx_hash: i for i, tx_hash in enumerate(header.transactions)}
    return sorted(movements, key=lambda m: order.get(m.tx_hash, len(order)))
