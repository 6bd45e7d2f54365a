"""Which chain a network is: its first block, and where it stands when we first look."""

from __future__ import annotations

from chain import decode
from chain.endpoints import Endpoints
from chain.types import Block
from chain.wire import BLOCK_BY_NUMBER
from core.errors import ChainError, EndpointFailed


async def origin(endpoints: Endpoints) -> tuple[Block, str]:
    """The head, and the hash of block 0. Raises a ChainError when no endpoint answers."""
    refusal: ChainError = EndpointFailed("no endpoint is configured")
    for endpoint in endpoints.ranked():
        try:
            await endpoints.check_chain(endpoint)
            head = await endpoint.rpc.call(BLOCK_BY_NUMBER, "latest", False)
            first = await endpoint.rpc.call(BLOCK_BY_NUMBER, "0x0", False)
        except ChainError as error:
            endpoints.failed(endpoint, error)
            refusal = error
            continue
        if head is not None and first is not None:
            return decode.block(head), first.hash
    raise refusal
