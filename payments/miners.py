"""Which addresses of a batch are ours, where only then there is something to measure."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet

from chain.types import Batch
from core.db import Database

STRANGERS_SECONDS = 60
_OURS = """
select address from deposit_addresses
where address = any(string_to_array(%(addresses)s, ','))
    and coalesce(invoice_id, wallet_id) is not null
union all
select address from house_addresses
where network = %(network)s and address = any(string_to_array(%(addresses)s, ','))
"""


class Miners:
    """Asks the database, once a minute for each miner: the same few mine block after block.

    A stranger stays one: nobody can have mined for a deposit address before it was made. The
    house's own addresses are configured, so those are looked at again.
    """

    def __init__(self, network: str) -> None:
        self._network = network
        self._strangers: set[str] = set()
        self._forget_at = 0.0

    async def ours(self, database: Database, batch: Batch, asked: AbstractSet[str]) -> set[str]:
        """Deposit addresses and the house's own among `asked`; none of it is asked for nothing."""
        if time.monotonic() > self._forget_at:
            self._strangers = set()
            self._forget_at = time.monotonic() + STRANGERS_SECONDS
        unknown = asked - self._strangers
        if not unknown:
            return set()
        values = {"addresses": ",".join(unknown), "network": self._network}
        async with database.statement() as connection:
            found = await (await connection.execute(_OURS, values)).fetchall()
        mine = {row[0] for row in found}
        self._strangers |= {block.miner for block in batch.blocks} - mine
        return mine
