"""Receipts of our own transactions, held against the block that is said to carry them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chain.calls import OWN_RECEIPT, OwnReceipt
from chain.decode import number
from chain.rpc import Rpc
from chain.types import Receipt, TokenLog
from chain.wire import Header, Log
from core.errors import BlockUnknown, Inconsistent
from core.keccak import keccak

AT_ONCE = 50
TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
SENT = "0x" + keccak(b"Sent(address,uint256,address,address,uint256)").hex()


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
        logs=tuple(t for log in answer.logs if (t := _transfer(log) or _sent(log)) is not None),
    )


def _transfer(log: Log) -> TokenLog | None:
    if len(log.topics) != 3 or log.topics[0] != TRANSFER or len(log.data) != 66:
        return None
    return TokenLog(
        token=log.address.lower(),
        sender="0x" + log.topics[1][-40:].lower(),
        recipient="0x" + log.topics[2][-40:].lower(),
        amount=int(log.data, 16),
        log_index=number(log.logIndex or "0x0"),
    )


def _sent(log: Log) -> TokenLog | None:
    """ETH that a Multisend paid (`Sent` with the token zero): `token` is then that contract, so
    that whoever reads it can ask for the one that was called."""
    if len(log.topics) != 4 or log.topics[0] != SENT or len(log.data) != 130:
        return None
    if int(log.data[:66], 16) != 0:
        return None  # a token's own Transfer tells it
    return TokenLog(
        token=log.address.lower(),
        sender="0x" + log.topics[1][-40:].lower(),
        recipient="0x" + log.topics[3][-40:].lower(),
        amount=int(log.data[66:], 16),
        log_index=number(log.logIndex or "0x0"),
    )
