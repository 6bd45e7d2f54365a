"""Our factory's events -> Swept."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from chain.decode import address, number
from chain.rpc import Rpc
from chain.types import Swept
from chain.watch import RECEIVED, SWEPT, TREASURY_CHANGED, Watch
from chain.wire import CALL, LOGS, Header, Log
from core.errors import BlockUnknown, Inconsistent
from core.networks import NATIVE

_TREASURY = "0x" + keccak(b"treasury()")[:4].hex()
_ZERO = "0x" + "00" * 20


async def sweeps_of(header: Header, logs: Sequence[Log], watch: Watch, rpc: Rpc) -> list[Swept]:
    """The sweeps of one block; `logs` are checked and in order.

    The event does not name the treasury (it costs gas): it is the one in force at that log, read
    from the factory at this block and from changes inside the block.
    """
    ours = [one for one in logs if one.address.lower() == watch.factory and one.topics]
    swept = [one for one in ours if one.topics[0] == SWEPT and len(one.topics) == 3]
    if not swept:
        return []
    changes = [one for one in ours if one.topics[0] == TREASURY_CHANGED]
    at_end = await _treasury_after(header, watch, rpc)
    found = []
    for one in swept:
        index = number(one.logIndex or "")
        if len(one.data) != 66:
            raise Inconsistent(f"a Swept event with other data than an amount in {header.hash}")
        later = [c for c in changes if number(c.logIndex or "") > index]
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
                treasury=address(later[0].topics[1]) if later else at_end,
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


async def _treasury_after(header: Header, watch: Watch, rpc: Rpc) -> str:
    """The treasury in force at the end of the block.

    A node that dropped the block's state says what it is now; the first change since then names
    the one before it.
    """
    call = {"to": watch.factory, "data": _TREASURY}
    try:
        word = await rpc.call(CALL, call, {"blockHash": header.hash})
    except BlockUnknown:
        word = await rpc.call(CALL, call, "latest")
        since = {
            "address": watch.factory,
            "topics": [TREASURY_CHANGED],
            "fromBlock": hex(number(header.number) + 1),
            "toBlock": "latest",
        }
        later = await rpc.call(LOGS, since)
        if later:
            word = later[0].topics[1]
    if len(word) != 66:
        raise Inconsistent(f"the factory's treasury() answered {word[:80]!r} at {header.hash}")
    return address(word)
