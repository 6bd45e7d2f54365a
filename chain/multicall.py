"""What many addresses hold at one block, through Multicall3 (multicall3.com) in batches.

Calldata and answers are written and read by hand: every call has the same shape, and a general
encoder takes longer over a batch than the node does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chain.decode import number
from chain.ranges import Range
from chain.rpc import Rpc
from chain.wire import BALANCE, CALL
from core.errors import Inconsistent, RangeTooLarge, TimedOut
from core.keccak import selector
from core.networks import NATIVE

CALLS = 1000  # in one request: some 5 M gas, 0.4 MB
_LEAST = 20
_ALONE = 100  # single calls of a batch, where Multicall3 is not deployed
_AGGREGATE3 = "0x" + selector("aggregate3((address,bool,bytes)[])").hex()
_ETH_BALANCE = selector("getEthBalance(address)").hex()
_BALANCE_OF = selector("balanceOf(address)").hex()
_WORD = 32
_PAIR = 6 * _WORD  # an encoded call: target, flag, offset, length, and two words of calldata

Asked = tuple[str, str]  # an address, and a token's contract or NATIVE


class Holdings:
    """Balances at the block of this hash (EIP-1898), from one endpoint."""

    def __init__(
        self, rpc: Rpc, block_hash: str, multicall: str, size: Range | None = None
    ) -> None:
        self._rpc = rpc
        self._at = {"blockHash": block_hash}
        self._contract = multicall
        self._size = size or Range(CALLS, largest=CALLS)
        self._deployed = True

    async def read(self, asked: Sequence[Asked]) -> list[int | None]:
        """Base units, in the order asked; None where a contract tells no balance.

        Asks for less at once where the node cannot answer that much. Raises BlockUnknown where it
        has no such block or its state no more, and every other ChainError.
        """
        found: list[int | None] = []
        while len(found) < len(asked):
            some = asked[len(found) : len(found) + self._size.size]
            began = time.monotonic()
            try:
                found += await self.batch(some)
            except (RangeTooLarge, TimedOut):
                if len(some) <= _LEAST:
                    raise
                self._size.refused(len(some))
            else:
                self._size.answered(len(some), time.monotonic() - began)
        return found

    async def batch(self, asked: Sequence[Asked]) -> list[int | None]:
        """As `read`, all in one request, which is not tried again with less."""
        if self._deployed:
            call = {"to": self._contract, "data": encode(asked, self._contract)}
            answer = await self._rpc.call(CALL, call, self._at)
            if answer != "0x":
                return decode(answer, len(asked), f"{self._rpc.network} {self._rpc.name}")
            self._deployed = False
        return await self._one_by_one(asked)

    async def _one_by_one(self, asked: Sequence[Asked]) -> list[int | None]:
        found: dict[Asked, int | None] = {}
        coins = [one for one in asked if one[1] == NATIVE]
        tokens = [one for one in asked if one[1] != NATIVE]
        for first in range(0, len(coins), _ALONE):
            some = coins[first : first + _ALONE]
            held = await self._rpc.many(BALANCE, [(address, self._at) for address, _ in some])
            found |= {one: number(units) for one, units in zip(some, held, strict=True)}
        for first in range(0, len(tokens), _ALONE):
            some = tokens[first : first + _ALONE]
            calls = [
                ({"to": token, "data": f"0x{_BALANCE_OF}{address[2:]:0>64}"}, self._at)
                for address, token in some
            ]
            for one, reply in zip(some, await self._rpc.replies(CALL, calls), strict=True):
                if reply.error is not None and "revert" in reply.error.message.lower():
                    found[one] = None
                    continue
                answer = self._rpc.unwrap(CALL, reply)
                found[one] = int(answer[:66], 16) if len(answer) >= 66 else None
        return [found[one] for one in asked]


def encode(asked: Sequence[Asked], multicall: str) -> str:
    """Calldata of aggregate3, where every call may fail by itself."""
    offsets = [f"{len(asked) * _WORD + i * _PAIR:064x}" for i in range(len(asked))]
    head = f"{_WORD:064x}{len(asked):064x}"
    return _AGGREGATE3 + head + "".join(offsets) + "".join([_call(a, multicall) for a in asked])


def _call(asked: Asked, multicall: str) -> str:
    holder, token = asked
    target, function = (multicall, _ETH_BALANCE) if token == NATIVE else (token, _BALANCE_OF)
    # target, allowFailure, where the calldata begins, its length (4 + 32), itself, padded
    return f"{target[2:]:0>64}{1:064x}{96:064x}{36:064x}{function}{holder[2:]:0>64}{'0' * 56}"


def decode(answer: str, count: int, who: str) -> list[int | None]:
    """Each (success, bytes) of aggregate3's answer as a number. Raises Inconsistent."""
    try:
        data = bytes.fromhex(answer[2:])
    except ValueError as error:
        raise Inconsistent(f"{who}: Multicall3 answered {answer[:80]!r}") from error

    def word(at: int) -> int:
        return int.from_bytes(data[at : at + _WORD], "big")

    if word(_WORD) != count:
        raise Inconsistent(f"{who}: Multicall3 answered {answer[:80]!r}")
    base = 2 * _WORD
    found: list[int | None] = []
    for i in range(count):
        at = base + word(base + i * _WORD)
        if at + 3 * _WORD > len(data):
            raise Inconsistent(f"{who}: Multicall3's answer ends early")
        told = word(at) == 1 and word(at + 2 * _WORD) >= _WORD and at + 4 * _WORD <= len(data)
        found.append(word(at + 3 * _WORD) if told else None)
    return found
