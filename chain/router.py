"""Our router: its events -> Paid, and what it says of keys and quotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.decode import address, number
from chain.endpoints import Endpoints
from chain.rpc import Rpc
from chain.tokens import words
from chain.treasury import in_force
from chain.types import Paid
from chain.watch import PAID, Watch
from chain.wire import Header, Log
from core.errors import Inconsistent
from core.keccak import selector
from core.networks import NATIVE

_ZERO = "0x" + "00" * 20
_KEYS = ("quoteKey()", "previousQuoteKey()", "previousUntil()")
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


@dataclass(frozen=True, slots=True)
class QuoteKeys:
    """Whose quotes the router takes; `until`: unix seconds up to which the previous key's are."""

    current: str
    previous: str
    until: int

    def accept(self, signer: str, deadline: int) -> bool:
        """Whether a quote of this signer can be paid up to its deadline."""
        return signer == self.current or (signer == self.previous and deadline <= self.until)


async def quote_keys(endpoints: Endpoints, router: str) -> QuoteKeys:
    """Raises ChainError."""
    current, previous, until = await words(endpoints, router, *map(selector, _KEYS))
    return QuoteKeys(address(f"{current:064x}"), address(f"{previous:064x}"), until)


async def spent(
    endpoints: Endpoints, router: str, token: str, payer: str, quote_hash: str
) -> tuple[bool, bool]:
    """Whether the quote was paid, and whether the payer's authorization for it (whose nonce is the
    quote's hash) was used or cancelled. Raises ChainError."""
    word = bytes.fromhex(quote_hash[2:])
    state = selector("authorizationState(address,bytes32)")
    holder = bytes.fromhex(payer[2:]).rjust(32, b"\0")
    [paid] = await words(endpoints, router, selector("isPaid(bytes32)") + word)
    [used] = await words(endpoints, token, state + holder + word)
    return bool(paid), bool(used)
