"""The logs of blocks, none of them left out: each answer is held against the header's bloom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from chain import bloom, decode
from chain.decode import number
from chain.ranges import spread
from chain.watch import Watch
from chain.wire import LOGS, Header, Log
from core.errors import BlockUnknown, ChainError, Inconsistent, RangeTooLarge
from core.metrics import BLOOM_MISMATCHES

if TYPE_CHECKING:
    from chain.reader import Reader

log = structlog.get_logger(__name__)


async def by_block(reader: Reader, busy: Sequence[Header]) -> dict[str, list[Log]]:
    """The logs of these blocks by hash, each block asked by its own hash (the tail)."""
    if not reader.watch.masks:
        return {}
    calls = [({**reader.watch.log_filter(), "blockHash": h.hash},) for h in busy]
    answers: Sequence[list[Log] | None]
    try:
        answers = await reader.each(LOGS, calls, reader.endpoint.headers, lambda _, logs: logs)
    except RangeTooLarge:
        answers = [None] * len(busy)  # receipts hold them as well
    return {h.hash: await _proved(reader, h, logs) for h, logs in zip(busy, answers, strict=True)}


async def by_range(reader: Reader, busy: Sequence[Header]) -> dict[str, list[Log]]:
    """The logs of these blocks by hash, asked by ranges of numbers that adapt (catch-up)."""
    if not busy or not reader.watch.masks:
        return {}
    at = {number(h.number): h for h in busy}
    found: dict[int, list[Log] | None] = {n: [] for n in at}

    async def fetch(a: int, b: int) -> None:
        asked = {**reader.watch.log_filter(), "fromBlock": hex(a), "toBlock": hex(b)}
        try:
            answer = await reader.rpc.call(LOGS, asked)
        except RangeTooLarge:
            if a != b:
                raise
            if a in found:
                found[a] = None
            return
        if answer is None:
            raise BlockUnknown(f"{reader.name}: no logs of {a}..{b}")
        for one in answer:
            here = found.get(number(one.blockNumber or ""))
            if here is None:
                raise Inconsistent(f"a log of block {one.blockHash}, which has no transactions")
            here.append(one)
        if answer:  # also of one block: its answer may be cut as well
            last = max(number(one.blockNumber or "") for one in answer)
            found[last] = await _whole(reader, at[last], found[last] or [])

    await spread(min(at), max(at), reader.endpoint.logs, fetch)
    return {h.hash: await _proved(reader, h, found[n]) for n, h in at.items()}


async def _whole(reader: Reader, header: Header, cut: list[Log]) -> list[Log]:
    """The logs of the last block that a range's answer reached, asked again by hash.

    Some nodes cut a long answer silently. Blocks behind the cut then lack contracts that their
    bloom names; in this one, logs of the same contract may stand on both sides of the cut.
    """
    asked = {**reader.watch.log_filter(), "blockHash": header.hash}
    try:
        whole = await reader.rpc.call(LOGS, asked)
    except RangeTooLarge:
        return await _by_receipts(reader, header)
    if whole is None:
        raise BlockUnknown(f"{reader.name}: no logs of {header.hash}")
    if len(whole) < len(cut):  # one of both is wrong
        return await _by_receipts(reader, header)
    if len(whole) > len(cut):
        _left_out(reader, header, len(whole) - len(cut))
    return whole


def _left_out(reader: Reader, header: Header, missing: int) -> None:
    BLOOM_MISMATCHES.labels(reader.watch.network, reader.endpoint.name, "missing").inc()
    reader.endpoint.blame(20)
    log.warning(
        "logs_left_out",
        network=reader.watch.network,
        endpoint=reader.endpoint.name,
        block=header.hash,
        missing=missing,
    )


def suspicious(header: Header, logs: Sequence[Log], watch: Watch) -> bool:
    """Whether the bloom speaks of a contract's logs that are not among these.

    Raises Inconsistent for a log that it denies (a bloom of zeros is no bloom: some networks fill
    none in).
    """
    filled = number(header.logsBloom)
    here = {(one.address.lower(), one.topics[0]) for one in logs if one.topics}
    doubtful = False
    for address, topic, mask in watch.masks:
        may = filled & mask == mask
        if (address, topic) not in here:
            doubtful = doubtful or may
        elif filled and not may:
            raise Inconsistent(f"a log of {address} that the bloom of {header.hash} denies")
    return doubtful


async def _proved(reader: Reader, header: Header, answer: list[Log] | None) -> list[Log]:
    """The block's logs, once nothing speaks for a contract's logs having been left out.

    `answer` None: the node refused. Otherwise, where it is suspicious, the receipts decide,
    themselves held against the bloom: a false positive costs a call and stops nothing.
    """
    if answer is None:
        return await _by_receipts(reader, header)
    logs = decode.check_logs(header, answer)
    if not suspicious(header, logs, reader.watch):
        return logs
    proof = await _by_receipts(reader, header)
    known = {(one.logIndex, one.transactionHash, one.data) for one in proof}
    if any((one.logIndex, one.transactionHash, one.data) not in known for one in logs):
        raise Inconsistent(f"logs of {header.hash} that its receipts do not have")
    if len(proof) > len(logs):
        _left_out(reader, header, len(proof) - len(logs))
    else:
        BLOOM_MISMATCHES.labels(reader.watch.network, reader.endpoint.name, "proved").inc()
    return proof


async def _by_receipts(reader: Reader, header: Header) -> list[Log]:
    """From this endpoint's receipts, else from another's: by hash they should all be the same."""
    failure: ChainError = BlockUnknown(f"{reader.name}: no receipts of {header.hash}")
    for asked in [reader, *reader.others()]:
        try:
            receipts = await asked.receipts(header)
            logs = [one for receipt in receipts for one in receipt.logs]
            held = bloom.of_logs((one.address, one.topics) for one in logs)
            if number(header.logsBloom) & ~held:
                raise Inconsistent(f"receipts of {header.hash} lack logs that its bloom shows")
            return decode.check_logs(header, [one for one in logs if reader.watch.wants(one)])
        except ChainError as error:
            failure = error if asked is reader else failure
    raise failure
