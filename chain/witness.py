"""What moved in a block, by more than one endpoint's word.

A block's hash proves its transactions, not what a node tells of calls and logs inside them: a
second endpoint that holds the same block has still not said that money moved. For large sums it
is asked for the same contents (MONEY 2: `waiting_for: second_endpoint`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from chain.decode import number
from chain.endpoints import Endpoint, Endpoints, tag
from chain.ranges import together
from chain.reader import Reader
from chain.types import Cursor, Movement
from chain.watch import Watch
from chain.wire import BLOCK_BY_NUMBER
from core.errors import ChainError

Name = tuple[str, str, str, str, str]  # block_hash, tx_hash, position, recipient, token


def name_of(movement: Movement) -> Name:
    return (
        movement.block_hash,
        movement.tx_hash,
        movement.position,
        movement.recipient,
        movement.token,
    )


async def witnessed(
    blocks: Collection[Cursor], watch: Watch, endpoints: Endpoints
) -> frozenset[Name]:
    """Movements in these blocks that at least two endpoints show with the same sender and amount.

    Never raises: an endpoint that does not answer, or on whose chain the block is not (yet),
    witnesses nothing.
    """

    async def shown(endpoint: Endpoint) -> set[Movement]:
        reader = Reader(watch, endpoint, endpoints)
        found: set[Movement] = set()
        try:
            await endpoints.check_chain(endpoint)
            head = await reader.head()
            for block in blocks:
                if block.number > number(head.number):
                    continue
                header = await endpoint.rpc.call(BLOCK_BY_NUMBER, tag(block.number), False)
                if header is not None and header.hash == block.hash:
                    movements, _, payments = await reader.contents([header], by_hash=True)
                    found |= {*movements, *(paid.movement for paid in payments)}
        except ChainError as error:
            endpoints.failed(endpoint, error)
        return found

    answers = await together(*(shown(endpoint) for endpoint in endpoints.ranked()))
    counted = Counter(movement for answer in answers for movement in answer)
    return frozenset(name_of(movement) for movement, times in counted.items() if times > 1)
