"""Networks without traces: what inner calls bring shows only in a balance (CHAIN 1)."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from chain.balances import budget
from chain.types import Batch
from core.db import Raw
from core.networks import NATIVE, Network

_COUNT = "select count(*) from deposit_addresses where watch_until > %s"
_NEXT = """
select d.address, coalesce(h.amount, 0) from deposit_addresses d
left join address_holdings h
    on h.network = %(network)s and h.address = d.address and h.asset = %(asset)s
where d.watch_until > %(now)s and d.address > %(after)s
order by d.address limit %(limit)s
"""


class Rotation:
    """Walks the unexpired addresses, some with every batch, all of them in ten minutes."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._after = ""
        self._asset = network.tokens[0].asset.symbol

    async def due(self, connection: Raw, batch: Batch, now: datetime) -> dict[str, int]:
        """Address -> the wei it should have at the batch's last block by all that is known.

        Empty after a fork: what the books say of those blocks is taken back first.
        """
        if batch.fork is not None or not batch.blocks:
            return {}
        counted = await (await connection.execute(_COUNT, (now,))).fetchone()
        limit = budget(counted[0] if counted else 0, self._network.block_seconds)
        values = {
            "network": self._network.id,
            "asset": self._asset,
            "now": now,
            "after": self._after,
            "limit": limit,
        }
        rows = await (await connection.execute(_NEXT, values)).fetchall()
        self._after = rows[-1][0] if len(rows) == limit else ""
        change: dict[str, int] = defaultdict(int)
        for movement in batch.movements:
            if movement.token == NATIVE:
                change[movement.recipient] += movement.amount
        for sweep in batch.sweeps:
            if sweep.token == NATIVE:
                change[sweep.deposit_address] -= sweep.amount
        return {address: amount + change[address] for address, amount in rows}
