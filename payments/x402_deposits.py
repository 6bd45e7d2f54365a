"""What our relayer brought to an x402 address belongs to its settlement's invoice."""

from __future__ import annotations

from dataclasses import replace

from core.db import Raw
from core.networks import Network
from payments.intake import Arrival, Owner

# Transactions that no final block carries yet: whatever a batch brings of ours is among them.
_CARRIED = """
select v.tx_hash, s.pay_to, s.merchant_id, s.invoice_id
from transactions t
join x402_settlements s on s.transaction_id = t.id
join transaction_variants v on v.transaction_id = t.id and v.kind = 'intent'
where t.network = %s and t.open and v.tx_hash = any(%s)
"""


async def assign(connection: Raw, network: Network, arriving: list[Arrival]) -> list[Arrival]:
    """Arrivals with the right owners. Asks only where a token came that x402 takes."""
    tokens = {token.address for token in network.tokens if token.eip3009 is not None}
    hashes = list({a.movement.tx_hash for a in arriving if a.movement.token in tokens})
    if not hashes:
        return arriving
    rows = await (await connection.execute(_CARRIED, (network.id, hashes))).fetchall()
    carried = {(tx_hash, pay_to): Owner(*whose) for tx_hash, pay_to, *whose in rows}
    return [
        replace(one, owner=carried.get((one.movement.tx_hash, one.movement.recipient), one.owner))
        for one in arriving
    ]
