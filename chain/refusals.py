"""What a node's refusal of `eth_sendRawTransaction` means for the bytes that were sent.

Nodes agree on no code: "nonce too low" comes as -32000 (geth, reth, erigon), -32001 (Besu), -32003
(Anvil), -32010 (Nethermind, OpenEthereum) and -32603 (several providers in front of them), so only
the text counts. The texts are in tests/unit/chain/test_refusals.py, each with who says it.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Refusal(StrEnum):
    """What to do with the bytes. None of these frees the nonce: only a receipt ends it."""

    KNOWN = "known"
    """The pool holds these very bytes: as good as accepted."""
    NONCE_USED = "nonce_used"
    """A transaction with this nonce is in the chain: ask which one."""
    UNDERPRICED = "underpriced"
    """Another one with this nonce is in the pool, and these bytes do not outbid it."""
    NO_FUNDS = "no_funds"
    """The wallet cannot pay for gas and value now: the same bytes again when it can."""
    FEE_TOO_LOW = "fee_too_low"
    """Below the pool's minimum or the block's base fee: the same bytes later, or a bump."""
    LATER = "later"
    """The node cannot take it now (pool full, syncing, a gap before this nonce): the same bytes."""
    FINAL = "final"
    """These bytes can never be mined through this node: the nonce needs another transaction."""
    UNKNOWN = "unknown"
    """A text that nobody listed, or no answer at all: ask the chain, never guess."""


# First match wins, so a longer text stands before the shorter one that it holds. Matched without
# regard to case. UNDERPRICED before KNOWN: OpenEthereum's text for a replacement speaks of the
# queue, and before FEE_TOO_LOW: "replacement transaction underpriced" holds "underpriced".
_TABLE: tuple[tuple[Refusal, str], ...] = (
    (
        Refusal.UNDERPRICED,
        (
            r"replacement (transaction|tx|fee)? ?(is )?(underpriced|too low|not allowed)"
            r"|replacementnotallowed|insufficient gas price to replace|could not replace existing"
            r"|another (transaction|tx) (with|which has) (the )?same nonce|ownnoncealreadyused"
            r"|priority is too low|replacement_underpriced|bump required"
        ),
    ),
    (
        Refusal.KNOWN,
        (
            r"already ?known|known transaction|already ?imported"
            r"|already exists? in (the )?(tx)?pool"
            r"|existing tx with same hash|already in the (mem)?pool|tx already exists in cache"
            r"|transaction is already in (the )?(pool|system)|already in the system"
            r"|already been added|already_exists"
        ),
    ),
    # Fees first: their texts speak of gas as well.
    (
        Refusal.FINAL,
        (
            r"exceeds the configured cap|fee cap exceeded|priority fee per gas higher than max"
            r"|higher than 2\^|priority fee .*(above|exceeds|greater than) .*fee|tip above fee cap"
            r"|maxpriorityfeepergas .*maxfeepergas"
        ),
    ),
    (
        Refusal.FEE_TOO_LOW,
        (
            r"(less|lower) than (the )?(current )?(block )?base ?fee"
            r"|below (the )?(current )?base ?fee"
            r"|fee ?too ?low|underpriced|gas price (is )?(too low|below)|max fee .*too low"
            r"|gas price supplied is too low|minimal gas price|minimum gas price"
            r"|below the minimum|unacceptable gas price|tip .*(below|too low)"
            r"|fee cap less than block"
            r"|try increasing the (gas price|fee)|fee below"
        ),
    ),
    (
        Refusal.NONCE_USED,
        (
            r"nonce ?(is )?too ?low|old ?nonce|invalid transaction nonce|pool\(stale\)"
            r"|nonce has already been used|already (mined|finalized)|nonce_expired|nonce expired"
            r"|lower than the current nonce|nonce is lower|nonce .*already used"
        ),
    ),
    (
        Refusal.LATER,
        (
            r"nonce ?(is )?too ?high|nonce ?gap|gapped.nonce|nonce ?too ?(far|distant)|future nonce"
            r"|incorrect nonce|nonce .*in (the )?future|with a lower nonce exists"
            r"|(tx|transaction) ?pool (is )?(full|not enabled|overflow)|txpool is full|pool is full"
            r"|queue (is )?full|too many transactions|account limit exceeded|limit reached for"
            r"|in-flight transaction limit|exceeds? the number of slots|discarded"
            r"|congestion|sync(ing)? (is )?(still )?in progress|node is (not synced|syncing)"
            r"|syncing|rate.?limit|too many requests|request limit|compute units|capacity exceeded"
            r"|temporarily (banned|unavailable)|try again|pending tx pool full|future transaction"
            r"|address already reserved|conflicting ?type|haspendingtx|delegation"
        ),
    ),
    (
        Refusal.NO_FUNDS,
        (
            r"insufficient ?(funds|balance|eth)|not enough (funds|balance)|cost exceeds account"
            r"|exceeds (the )?(account )?balance|would cause overdraft|overshot|lack of funds"
            r"|insufficient_funds|failed to pay the fee"
        ),
    ),
    (
        Refusal.FINAL,
        (
            r"intrinsic gas|gas limit (reached|exceed)|exceeds block gas|block gas limit"
            r"|gaslimitexceeded"
            r"|gas limit .*(too high|above|greater)|beyond limit|gas is too low|not enough gas"
            r"|cost exceeds current gas limit|gas uint64|overflow|floor data gas"
            r"|(wrong|invalid|incorrect|unsupported|mismatched|bad) chain ?-?id|chain ?-?id"
            r"|eip-?155|replay.protect|invalid sender|failedtoresolve|failed to recover"
            r"|invalid signature"
            r"|negative value|oversized|too (big|large)|too much data|size ?(exceed|limit)"
            r"|(type|types?) not (supported|valid)|(unsupported|invalid) transaction type"
            r"|invalid rlp|\brlp\b|could not decode|failed to decode|decoding"
            r"|typed transaction too short"
            r"|sender(is| is )contract|not an? (eoa|externally)|sender not an eoa|bytecode"
            r"|initcode|init code|blacklist|is banned|not permitted|not authorized|forbidden"
            r"|execution reverted|always failing|validation revert|invalid (opcode|message format)"
            r"|out of gas|gas required exceeds"
        ),
    ),
    (Refusal.FINAL, r"^(call failed: )?invalid(,|$)"),
)
_COMPILED = tuple((refusal, re.compile(text, re.IGNORECASE)) for refusal, text in _TABLE)


def classify(message: str) -> Refusal:
    """A node's error message -> what it means for the bytes."""
    text = " ".join(message.split())
    for refusal, pattern in _COMPILED:
        if pattern.search(text):
            return refusal
    return Refusal.UNKNOWN
