"""Our factory's events -> Swept."""

from __future__ import annotations

from collections.abc import Sequence

from chain.decode import address, number
from chain.rpc import Rpc
from chain.treasury import in_force
from chain.types import Swept
from chain.watch import RECEIVED, SWEPT, Watch
from chain.wire import Header, Log
from core.errors import Inconsistent
from core.networks import NATIVE

_ZERO = "0x" + "00" * 20


async def sweeps_of(header: Header, logs: Sequence[Log], watch: Watch, rpc: Rpc) -> list[Swept]:
    """The sweeps of one block; `logs` are checked and in order."""
    ours = [one for one in logs if one.address.lower() == watch.factory and one.topics]
    swept = [one for one in ours if one.topics[0] == SWEPT and len(one.topics) == 3]
    if not swept:
        return []
    treasury = await in_force(header, logs, watch, rpc)
    found = []
    for one in swept:
        index = number(one.logIndex or "")
        if len(one.data) != 66:
            raise Inconsistent(f"a Swept event with other data than an amount in {header.hash}")
        token = address(one.topics[2])
        amount = number(one.data)
        found.append(
            Swept(
                block_number=number(header.number),
                block_hash=header.hash,
                tx_hash=one.transactionHash or "",
                log_index=index,
                salt=one.topics[1].lower(),
                deposit_address=watch.deposit_address(one.topics[1]),
                treasury=treasury(index),
                token=NATIVE if token == _ZERO else token,
                amount=amount,
                arrived=_arrived(one, index, ours, amount),
            )
        )
    return found


def _arrived(swept: Log, index: int, ours: Sequence[Log], amount: int) -> int:
    """`Received` is emitted right behind its Swept and only when another amount arrived."""
    for one in ours:
        if (
            number(one.logIndex or "") == index + 1
            and one.topics[0] == RECEIVED
            and one.topics[1:] == swept.topics[1:]
        ):
            return number(one.data)
    return amount
