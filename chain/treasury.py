"""The treasury that our factory names: which one was paid at a given log of a block.

Neither a sweep nor a payment by our router tells it in its event (it would cost gas).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chain.decode import address, number
from chain.rpc import Rpc
from chain.watch import TREASURY_CHANGED, Watch
from chain.wire import CALL, LOGS, Header, Log
from core.errors import BlockUnknown, Inconsistent
from core.keccak import selector

_TREASURY = "0x" + selector("treasury()").hex()


async def in_force(
    header: Header, logs: Sequence[Log], watch: Watch, rpc: Rpc
) -> Callable[[int], str]:
    """Log index -> the treasury in force there, lower case; `logs` are the block's, checked and in
    order. Read from the factory at this block, and from changes inside the block."""
    changes = [
        (number(one.logIndex or ""), address(one.topics[1]))
        for one in logs
        if one.address.lower() == watch.factory
        and len(one.topics) > 1
        and one.topics[0] == TREASURY_CHANGED
    ]
    at_end = await _after(header, watch, rpc)
    return lambda index: next((was for at, was in changes if at > index), at_end)


async def _after(header: Header, watch: Watch, rpc: Rpc) -> str:
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
