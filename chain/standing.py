"""What stands on addresses at the head: code, balances; and what gas cost of late."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.json import Decoder

from chain.broadcast import from_any
from chain.calls import FEE_HISTORY
from chain.decode import number
from chain.endpoints import Endpoints
from chain.fees import Urgency, read_market
from chain.rpc import Rpc
from chain.wire import BALANCE, CALL, Method, Reply
from core.errors import EndpointFailed
from core.networks import NATIVE

AT_ONCE = 100  # calls of a batch: providers refuse more
HISTORY = 1024  # blocks: what geth tells at most
_TIPS = 20  # of these, the newest
_BALANCE_OF = "0x70a08231" + "00" * 12
_CODE: Method[str] = Method("eth_getCode", Decoder(Reply[str]), Decoder(list[Reply[str]]))


async def deployed(endpoints: Endpoints, addresses: Sequence[str]) -> set[str]:
    """Those that have code. Raises ChainError."""
    return {a for a, code in (await codes(endpoints, addresses)).items() if code != "0x"}


async def codes(endpoints: Endpoints, addresses: Sequence[str]) -> dict[str, str]:
    """Address -> its code, 0x hex. Raises ChainError."""

    async def ask(rpc: Rpc) -> dict[str, str]:
        found: dict[str, str] = {}
        for at in range(0, len(addresses), AT_ONCE):
            some = addresses[at : at + AT_ONCE]
            answers = await rpc.many(_CODE, [(address, "latest") for address in some])
            found |= dict(zip(some, answers, strict=True))
        return found

    return await from_any(endpoints, ask)


async def balances(
    endpoints: Endpoints, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int | None]:
    """(address, token or NATIVE) -> base units; None where a contract does not tell one.

    Raises ChainError.
    """

    async def ask(rpc: Rpc) -> dict[tuple[str, str], int | None]:
        found: dict[tuple[str, str], int | None] = {}
        coins = [p for p in pairs if p[1] == NATIVE]
        tokens = [p for p in pairs if p[1] != NATIVE]
        for at in range(0, len(coins), AT_ONCE):
            some = coins[at : at + AT_ONCE]
            held = await rpc.many(BALANCE, [(address, "latest") for address, _ in some])
            found |= {pair: number(one) for pair, one in zip(some, held, strict=True)}
        for at in range(0, len(tokens), AT_ONCE):
            some = tokens[at : at + AT_ONCE]
            calls = [({"to": t, "data": _BALANCE_OF + a[2:]}, "latest") for a, t in some]
            replies = await rpc.replies(CALL, calls)
            found |= {p: _word(rpc, one) for p, one in zip(some, replies, strict=True)}
        return found

    return await from_any(endpoints, ask)


def _word(rpc: Rpc, reply: Reply[str]) -> int | None:
    """A contract may refuse or answer with anything; what is no word is no balance."""
    if reply.error is not None and "revert" in reply.error.message.lower():
        return None
    answer: Any = rpc.unwrap(CALL, reply)
    return int(answer[:66], 16) if len(answer) >= 66 else None


async def base_fees(endpoints: Endpoints) -> tuple[list[int], int]:
    """Base fees of recent blocks, the next one's last, and a slow tip: wei. Raises ChainError."""

    async def ask(rpc: Rpc) -> tuple[list[int], int]:
        long = await rpc.call(FEE_HISTORY, hex(HISTORY), "latest", [])
        short = await rpc.call(FEE_HISTORY, hex(_TIPS), "latest", [10, 50, 90])
        fees = [] if long is None else [number(f) for f in long.baseFeePerGas if f is not None]
        if not fees or short is None:
            raise EndpointFailed(f"{rpc.network} {rpc.name}: no base fees")
        rewards = [[number(r) for r in row] for row in short.reward or []]
        market = read_market(fees, list(map(bool, short.gasUsedRatio)), rewards)
        return fees, market.tips[Urgency.SLOW]

    return await from_any(endpoints, ask)
