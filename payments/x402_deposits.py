"""What a settlement brought to an x402 address belongs to the settlement's invoice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from chain.types import Movement
from core.db import Raw
from core.networks import Network
from payments.intake import Arrival, Owner

LONGEST = timedelta(days=1)  # that a settlement's invoice waits (`x402_settling`)

# Transactions that no final block carries yet: whatever a batch brings of ours is among them.
_CARRIED = """
select v.tx_hash, s.pay_to, s.merchant_id, s.invoice_id
from transactions t
join x402_settlements s on s.transaction_id = t.id
join transaction_variants v on v.transaction_id = t.id and v.kind = 'intent'
where t.network = %s and t.open and v.tx_hash = any(%s)
"""
# An authorization that was given to us can be sent by anybody who has seen it.
_AWAITED = """
select s.token, s.payer, s.pay_to, s.amount, s.merchant_id, s.invoice_id
from x402_settlements s join invoices i on i.id = s.invoice_id
where s.network = %s and s.merchant_id = any(%s) and s.payer = any(%s) and s.created_at > %s
    and s.status = 'sending' and i.status = 'new' and i.amount_paid = 0
order by s.id
"""


async def assign(
    connection: Raw, network: Network, arriving: list[Arrival], now: datetime
) -> list[Arrival]:
    """Arrivals with the right owners: by our transaction, else by token, payer, recipient and
    amount. Asks only where a token came that x402 takes."""
    tokens = {token.address for token in network.tokens if token.eip3009 is not None}
    of_tokens = [a for a in arriving if a.movement.token in tokens]
    if not of_tokens:
        return arriving
    hashes = list({a.movement.tx_hash for a in of_tokens})
    merchants = list({a.owner.merchant_id for a in of_tokens})
    asked = (network.id, merchants, list({a.movement.sender for a in of_tokens}), now - LONGEST)
    async with connection.pipeline():
        carrying = await connection.execute(_CARRIED, (network.id, hashes))
        awaiting = await connection.execute(_AWAITED, asked)
    carried = {(tx, pay_to): Owner(*whose) for tx, pay_to, *whose in await carrying.fetchall()}
    taken = {owner.invoice_id for owner in carried.values()}
    awaited: dict[tuple[str, str, str, int], list[Owner]] = {}
    for token, payer, pay_to, amount, merchant_id, invoice_id in await awaiting.fetchall():
        if invoice_id not in taken:
            same = awaited.setdefault((token, payer, pay_to, amount), [])
            same.append(Owner(merchant_id, invoice_id))

    def owner(one: Arrival) -> Owner:
        movement: Movement = one.movement
        if (movement.tx_hash, movement.recipient) in carried:
            return carried[movement.tx_hash, movement.recipient]
        name = (movement.token, movement.sender, movement.recipient, movement.amount)
        same = awaited.get(name)
        return same.pop(0) if same else one.owner

    return [replace(one, owner=owner(one)) for one in arriving]
