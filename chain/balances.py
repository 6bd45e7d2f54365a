"""Amounts that no event tells: fee-on-transfer tokens, block rewards, networks without traces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

import structlog

from chain.decode import number
from chain.multicall import Holdings
from chain.reader import Reader
from chain.rpc import Rpc
from chain.types import BALANCE, Batch, Block, Movement
from chain.watch import Watch
from chain.wire import BLOCK_BY_HASH, CALL
from core.errors import BlockUnknown, Inconsistent
from core.keccak import selector
from core.networks import NATIVE, Network

log = structlog.get_logger(__name__)

COMPARED_PER_BLOCK = 500
ROUND_SECONDS = 600  # CHAIN 1: every unexpired address is looked at within ten minutes

_BALANCE_OF = "0x" + selector("balanceOf(address)").hex()


def measured(batch: Batch, watch: Watch) -> set[str]:
    """Whose balance or reward would have to be asked for, if they were ours."""
    miners = {block.miner for block in batch.blocks}
    if not watch.fee_tokens:
        return miners
    return miners | {m.recipient for m in batch.movements if m.token in watch.fee_tokens}


async def measure(batch: Batch, ours: Container[str], reader: Reader) -> Batch:
    """The batch with its movements as they arrived."""
    return replace(batch, movements=await arrived(batch.blocks, batch.movements, ours, reader))


async def arrived(
    blocks: Sequence[Block], told: Sequence[Movement], ours: Container[str], reader: Reader
) -> list[Movement]:
    """Movements with fee-on-transfer amounts as they arrived, and rewards, for our addresses.

    `told`: what these blocks' own contents tell.
    Fee tokens: what an address's balance grew by in the block, plus what left it, is split over
    the block's logs to it in proportion, in exact integers, the remainder to the last. Rewards:
    the priority fees of a block whose miner is ours (no block subsidy: proof of stake has none).
    Raises BlockUnknown where the node has no state of those blocks any more.
    """
    movements = list(told)
    inflows: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for i, m in enumerate(movements):
        if m.token in reader.watch.fee_tokens and m.recipient in ours:
            inflows[m.block_hash, m.token, m.recipient].append(i)
    by_hash = {b.hash: b for b in blocks}
    for (block_hash, token, holder), places in inflows.items():
        change = await _change(reader.rpc, by_hash[block_hash], token, holder)
        left = sum(
            m.amount
            for m in told
            if m.block_hash == block_hash and m.token == token and m.sender == holder
        )
        shares = split(change + left, [movements[i].amount for i in places])
        for i, share in zip(places, shares, strict=True):
            movements[i] = replace(movements[i], amount=share)
    if inflows:
        movements = [m for m in movements if m.amount]
    rewards = [await _reward(b, reader) for b in blocks if b.miner in ours]
    if rewards:
        order = {b.number: i for i, b in enumerate(blocks)}
        movements = sorted(
            movements + [r for r in rewards if r.amount], key=lambda m: order[m.block_number]
        )
    return movements


def split(units: int, amounts: Sequence[int]) -> list[int]:
    """What arrived, in proportion to what the logs say; the last takes the remainder."""
    units = max(0, units)
    total = sum(amounts)
    shares = [units * amount // total for amount in amounts]
    shares[-1] += units - sum(shares)
    return shares


async def _change(rpc: Rpc, block: Block, token: str, holder: str) -> int:
    """The balance at the block less that at its parent, both by hash (EIP-1898)."""
    call = {"to": token, "data": _BALANCE_OF + holder[2:].rjust(64, "0")}
    after, before = await rpc.many(
        CALL, [(call, {"blockHash": h}) for h in (block.hash, block.parent_hash)]
    )
    # "0x" at the parent: the token was deployed in this very block
    return number(after) - (number(before) if before != "0x" else 0)


async def _reward(block: Block, reader: Reader) -> Movement:
    """Exact: gas used times what each transaction paid above the base fee, which is burnt."""
    header = await reader.rpc.call(BLOCK_BY_HASH, block.hash, False)
    if header is None:
        raise BlockUnknown(f"no block {block.hash}")
    base_fee = number(header.baseFeePerGas or "0x0")
    amount = 0
    for receipt in await reader.receipts(header) if header.transactions else ():
        if receipt.effectiveGasPrice is None:
            raise Inconsistent(f"a receipt without effectiveGasPrice in {block.hash}")
        amount += number(receipt.gasUsed) * (number(receipt.effectiveGasPrice) - base_fee)
    return Movement(block.number, block.hash, "", "reward", NATIVE, "", block.miner, amount)


def budget(addresses: int, block_seconds: int) -> int:
    """How many of so many addresses to compare at a block, so that a round takes ten minutes."""
    blocks_in_a_round = max(1, ROUND_SECONDS // max(1, block_seconds))
    return max(COMPARED_PER_BLOCK, -(-addresses // blocks_in_a_round))


async def compare(
    block: Block, known: Mapping[str, int], network: Network, rpc: Rpc
) -> list[Movement]:
    """What reached these addresses beyond what is known of them, as `balance` movements.

    known: address -> the balance it should have at the end of this block in wei, by all that was
    found otherwise. One Multicall3 call for 500 addresses, single calls where it is not deployed.
    Raises BlockUnknown where the node has no state of this block.
    """
    addresses = sorted(known)
    holdings = Holdings(rpc, block.hash, network.multicall)
    found = []
    for first in range(0, len(addresses), COMPARED_PER_BLOCK):
        some = addresses[first : first + COMPARED_PER_BLOCK]
        balances = await holdings.batch([(address, NATIVE) for address in some])
        for holder, balance in zip(some, balances, strict=True):
            if balance is None:
                raise Inconsistent(f"{rpc.network} {rpc.name}: Multicall3 tells not all balances")
            if balance > known[holder]:
                amount = balance - known[holder]
                found.append(
                    Movement(block.number, block.hash, "", BALANCE, NATIVE, "", holder, amount)
                )
            elif balance < known[holder]:
                # Nothing of ours moves money silently: reconciliation makes it a Break.
                log.warning(
                    "balance_below_books", network=network.id, address=holder, block=block.number
                )
    return found
