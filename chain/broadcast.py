"""Asks nodes about a transaction of ours before it is signed, hands it to them, looks for it.

Nothing here decides: what an answer means for a nonce is `wallets.judging`'s to say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from chain.calls import (
    ESTIMATE_GAS,
    FEE_HISTORY,
    SEND_RAW,
    TRANSACTION,
    TRANSACTION_COUNT,
)
from chain.decode import number
from chain.endpoints import Endpoint, Endpoints
from chain.fees import BLOCKS, PERCENTILES, Market, read_market
from chain.refusals import Refusal, classify
from chain.rpc import Rpc
from chain.wire import BALANCE, CALL, Fault
from core.errors import ChainError, EndpointFailed
from core.networks import NATIVE

T = TypeVar("T")

ENDPOINTS_AT_MOST = 3  # that are handed the same bytes
GAS_MARGIN_PERCENT = 20  # above the estimate: state moves on until it is mined
PLAIN_TRANSFER_GAS = 21_000
_BALANCE_OF = "0x70a08231" + "00" * 12

# What eth_call says of a call that fails, as opposed to a node that does; EIP-1474's code 3 where
# it is used (geth, erigon, nethermind, besu, Anvil), else the text.
_REVERTED = 3
_REVERT = re.compile(
    r"revert|invalid opcode|invalid jump|stack (under|over)flow|out of gas|vm execution error"
    r"|gas required exceeds allowance|always failing",
    re.IGNORECASE,
)


class Reverts(ChainError):
    """The call would fail now: sending it would only burn gas. `reason` is the node's text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CannotPay(ChainError):
    """The node says that the wallet has too little for gas and value."""


class Presence(StrEnum):
    """What nodes know of a transaction."""

    MINED = "mined"
    """Some node shows it in a block."""
    POOLED = "pooled"
    """Some node holds it in its pool."""
    ABSENT = "absent"
    """No node that answered knows it."""


@dataclass(frozen=True, slots=True)
class Handed:
    """What came of handing bytes to nodes. `refusal` None: some pool took them."""

    refusal: Refusal | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What the nodes that answered show of a wallet's transactions, the least of each count.

    `count` is the wallet's transaction count at the head, `final_count` the one at the block that
    was asked for; None where a node has no state for it.
    """

    presence: Mapping[str, Presence]
    count: int
    final_count: int | None


async def hand(endpoints: Endpoints, raw: str, tx_hash: str) -> Handed:
    """Gives the same bytes to the best endpoints at once. Never raises for a node's sake: what
    nobody answered is UNKNOWN, and sending the same bytes again is always safe."""
    some = endpoints.ranked()[:ENDPOINTS_AT_MOST]
    answers = await asyncio.gather(*(_hand_to(endpoints, one, raw, tx_hash) for one in some))
    for answer in answers:
        if answer.refusal is None or answer.refusal is Refusal.KNOWN:
            return answer
    telling = [a for a in answers if a.refusal is not Refusal.UNKNOWN]
    return telling[0] if telling else answers[0]


async def _hand_to(endpoints: Endpoints, endpoint: Endpoint, raw: str, tx_hash: str) -> Handed:
    try:
        await endpoints.check_chain(endpoint)
        [reply] = await endpoint.rpc.replies(SEND_RAW, [(raw,)])
    except ChainError as error:
        endpoints.failed(endpoint, error)
        return Handed(Refusal.UNKNOWN, str(error))
    if reply.error is not None:
        return Handed(classify(reply.error.message), _plain(reply.error.message))
    if reply.result != tx_hash:
        return Handed(Refusal.UNKNOWN, f"{endpoint.name} answered {str(reply.result)[:80]}")
    endpoints.succeeded(endpoint)
    return Handed(None)


async def look(endpoints: Endpoints, wallet: str, hashes: Sequence[str], final_block: int) -> Look:
    """Asks every endpoint that is not in quarantine. Raises ChainError when none answered."""
    answers: list[Look] = []
    failure: ChainError = EndpointFailed(f"{endpoints.network.id}: no endpoint")
    for endpoint in endpoints.ranked():
        try:
            await endpoints.check_chain(endpoint)
            answers.append(await _look_at(endpoint.rpc, wallet, hashes, final_block))
        except ChainError as error:
            endpoints.failed(endpoint, error)
            failure = error
        else:
            endpoints.succeeded(endpoint)
    if not answers:
        raise failure
    order = list(Presence)
    finals = [a.final_count for a in answers]
    return Look(
        {h: min((a.presence[h] for a in answers), key=order.index) for h in hashes},
        min(a.count for a in answers),
        None if None in finals else min(f for f in finals if f is not None),
    )


async def _look_at(rpc: Rpc, wallet: str, hashes: Sequence[str], final_block: int) -> Look:
    tags = ["latest", hex(max(0, final_block))]
    latest, final = await rpc.replies(TRANSACTION_COUNT, [(wallet, tag) for tag in tags])
    found = await rpc.many(TRANSACTION, [(h,) for h in hashes])
    presence = {
        h: Presence.ABSENT
        if one is None
        else (Presence.POOLED if one.blockHash is None else Presence.MINED)
        for h, one in zip(hashes, found, strict=True)
    }
    known = None if final.error is not None else number(rpc.unwrap(TRANSACTION_COUNT, final))
    return Look(presence, number(rpc.unwrap(TRANSACTION_COUNT, latest)), known)


async def first_nonce(endpoints: Endpoints, wallet: str) -> int:
    """The wallet's transaction count: the most that any endpoint shows. Raises ChainError."""
    counts, failure = [], EndpointFailed(f"{endpoints.network.id}: no endpoint")
    for endpoint in endpoints.ranked():
        try:
            await endpoints.check_chain(endpoint)
            counts.append(number(await endpoint.rpc.call(TRANSACTION_COUNT, wallet, "latest")))
        except EndpointFailed as error:
            endpoints.failed(endpoint, error)
            failure = error
    if not counts:
        raise failure
    return max(counts)


async def simulate(endpoints: Endpoints, *, sender: str, to: str, value: int, data: bytes) -> int:
    """What must revert is not sent: the gas that a call needs now, with a margin.

    Raises Reverts, CannotPay, or ChainError when no endpoint could tell.
    """
    call = {"from": sender, "to": to, "value": hex(value), "data": "0x" + data.hex()}

    async def ask(rpc: Rpc) -> int:
        [called] = await rpc.replies(CALL, [(call, "latest")])
        _judge(called.error)
        rpc.unwrap(CALL, called)
        [estimated] = await rpc.replies(ESTIMATE_GAS, [(call,)])
        _judge(estimated.error)
        return number(rpc.unwrap(ESTIMATE_GAS, estimated))

    gas = await from_any(endpoints, ask)
    return gas if gas == PLAIN_TRANSFER_GAS else gas + gas * GAS_MARGIN_PERCENT // 100


def _judge(fault: Fault | None) -> None:
    if fault is None:
        return
    if classify(fault.message) is Refusal.NO_FUNDS and fault.code != _REVERTED:
        raise CannotPay(_plain(fault.message))
    if fault.code == _REVERTED or _REVERT.search(fault.message):
        raise Reverts(_plain(fault.message))


def _plain(said: str) -> str:
    """A node's text as a line of at most 200 characters: what a contract reverts with is written
    into it as it is, NUL and lone surrogates too, which no database column holds."""
    return " ".join("".join(c if c.isprintable() else " " for c in said[:1000]).split())[:200]


async def market(endpoints: Endpoints) -> Market:
    """Fees as they are now. Raises ChainError, also for a chain without EIP-1559."""

    async def ask(rpc: Rpc) -> Market:
        shares = list(PERCENTILES.values())
        history = await rpc.call(FEE_HISTORY, hex(BLOCKS), "latest", shares)
        bases = [] if history is None else [b for b in history.baseFeePerGas if b is not None]
        if history is None or not bases:
            raise EndpointFailed(f"{rpc.network} {rpc.name}: no base fees")
        rewards = [[number(r) for r in row] for row in history.reward or []]
        return read_market(
            [number(b) for b in bases], list(map(bool, history.gasUsedRatio)), rewards
        )

    return await from_any(endpoints, ask)


async def balances(endpoints: Endpoints, wallet: str, tokens: Sequence[str]) -> dict[str, int]:
    """What the wallet holds of these (addresses or NATIVE) at the head. Raises ChainError."""

    async def ask(rpc: Rpc) -> dict[str, int]:
        found = {}
        for token in tokens:
            if token == NATIVE:
                found[token] = number(await rpc.call(BALANCE, wallet, "latest"))
            else:
                call: dict[str, Any] = {"to": token, "data": _BALANCE_OF + wallet[2:]}
                found[token] = number((await rpc.call(CALL, call, "latest"))[:66])
        return found

    return await from_any(endpoints, ask)


async def from_any(endpoints: Endpoints, ask: Callable[[Rpc], Awaitable[T]]) -> T:
    """The best endpoint's answer; a refusal that speaks of the call itself is raised at once."""
    failure: ChainError = EndpointFailed(f"{endpoints.network.id}: no endpoint")
    for endpoint in endpoints.ranked():
        try:
            await endpoints.check_chain(endpoint)
            answer = await ask(endpoint.rpc)
        except (Reverts, CannotPay):
            raise
        except ChainError as error:
            endpoints.failed(endpoint, error)
            failure = error
        else:
            endpoints.succeeded(endpoint)
            return answer
    raise failure
