"""Receipts of our own transactions, held against the block that is said to carry them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from chain.calls import OWN_RECEIPT, OwnReceipt
from chain.decode import number
from chain.rpc import Rpc
from chain.wire import Header, Log
from core.errors import BlockUnknown, Inconsistent

AT_ONCE = 50
TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()


@dataclass(frozen=True, slots=True)
class Transfer:
    """An ERC-20 `Transfer` log of a receipt; addresses in lower case."""

    token: str
    sender: str
    recipient: str
    amount: int
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A transaction of ours in a block. `gas_paid` in wei, what an L2 takes for its L1 included."""

    tx_hash: str
    block_hash: str
    block_number: int
    succeeded: bool
    gas_paid: int
    transfers: tuple[Transfer, ...]


async def read_receipts(
    rpc: Rpc, headers: Sequence[Header], hashes: Collection[str]
) -> list[Receipt]:
    """The receipts of those of `hashes` that these blocks carry, in chain order.

    Raises BlockUnknown for a receipt that is missing, Inconsistent for one of another block (a
    fork came between the calls): then the blocks must be read again.
    """
    if not hashes:
        return []
    wanted = [(header, tx) for header in headers for tx in header.transactions if tx in hashes]
    found: list[Receipt] = []
    for at in range(0, len(wanted), AT_ONCE):
        some = wanted[at : at + AT_ONCE]
        answers = await rpc.many(OWN_RECEIPT, [(tx,) for _, tx in some])
        found += [_checked(h, tx, a) for (h, tx), a in zip(some, answers, strict=True)]
    return found


def _checked(header: Header, tx_hash: str, answer: OwnReceipt | None) -> Receipt:
    if answer is None:
        raise BlockUnknown(f"no receipt of {tx_hash}, which {header.hash} carries")
    if answer.transactionHash != tx_hash or answer.blockHash != header.hash:
        raise Inconsistent(f"a receipt of {answer.blockHash} where {header.hash} carries {tx_hash}")
    if answer.effectiveGasPrice is None:
        raise Inconsistent(f"the receipt of {tx_hash} does not say what its gas cost")
    gas = number(answer.gasUsed) * number(answer.effectiveGasPrice)
    return Receipt(
        tx_hash=tx_hash,
        block_hash=header.hash,
        block_number=number(header.number),
        succeeded=number(answer.status) == 1,
        gas_paid=gas + (number(answer.l1Fee) if answer.l1Fee else 0),
        transfers=tuple(t for log in answer.logs if (t := _transfer(log)) is not None),
    )


def _transfer(log: Log) -> Transfer | None:
    if len(log.topics) != 3 or log.topics[0] != TRANSFER or len(log.data) != 66:
        return None
    return Transfer(
        token=log.address.lower(),
        sender="0x" + log.topics[1][-40:].lower(),
        recipient="0x" + log.topics[2][-40:].lower(),
        amount=int(log.data, 16),
        log_index=number(log.logIndex or "0x0"),
    )
