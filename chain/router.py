"""Our router's events -> Paid."""

from __future__ import annotations

from collections.abc import Sequence

from chain.decode import address, number
from chain.rpc import Rpc
from chain.treasury import in_force
from chain.types import Paid
from chain.watch import PAID, Watch
from chain.wire import Header, Log
from core.errors import Inconsistent
from core.networks import NATIVE

_ZERO = "0x" + "00" * 20
_DATA = 2 + 3 * 64  # asset, amount, quote hash


async def payments_of(header: Header, logs: Sequence[Log], watch: Watch, rpc: Rpc) -> list[Paid]:
    """The router's payments of one block; `logs` are checked and in order.

    Only the configured router is believed: whoever else emits such an event says nothing.
    """
    told = [
        one
        for one in logs
        if one.address.lower() == watch.router and len(one.topics) == 3 and one.topics[0] == PAID
    ]
    if not told:
        return []
    treasury = await in_force(header, logs, watch, rpc)
    found = []
    for one in told:
        if len(one.data) != _DATA:
            raise Inconsistent(f"a Paid event with other data than it has in {header.hash}")
        asset, amount, quote_hash = (one.data[at : at + 64] for at in (2, 66, 130))
        index, token = number(one.logIndex or ""), address(asset)
        found.append(
            Paid(
                block_number=number(header.number),
                block_hash=header.hash,
                tx_hash=one.transactionHash or "",
                log_index=index,
                invoice=one.topics[1].lower(),
                payer=address(one.topics[2]),
                treasury=treasury(index),
                token=NATIVE if token == _ZERO else token,
                amount=number(amount),
                quote_hash="0x" + quote_hash.lower(),
            )
        )
    return found
