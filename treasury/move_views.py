"""Moves as operators see them (API 2). Field names are binding; amounts are exact."""

from __future__ import annotations

from typing import Any

from core.addresses import checksum
from core.clock import show as show_time
from core.ids import show
from core.networks import NATIVE, Catalog
from exchanges.numbers import show as show_units
from treasury.move_machine import MoveStatus, Way
from treasury.move_tables import Move, VenueAddress
from wallets.intents import Move as Intent
from wallets.intents import call_of


def move_json(row: Move, catalog: Catalog) -> dict[str, Any]:
    """One move. `fee` is the venue's, in the asset; `safe` the transaction that the source's owner
    is to make, where its key is not our signer's."""
    asset = catalog.asset(row.asset)
    assert asset is not None  # noqa: S101  (it was configured when the move was asked for)
    number = show("mov", row.id)
    return {
        "id": number,
        "object": "move",
        "status": row.status,
        "reason": row.reason,
        "asset": row.asset,
        "amount": asset.format(row.amount),
        "network": row.network,
        "from": row.source,
        "to": row.destination,
        "trigger": row.trigger,
        "address": checksum(row.address) if row.address else None,
        "fee": show_units(row.booked_fee) if row.booked_fee else None,
        "tx_hash": row.tx_hash,
        "transaction": show("tx", row.transaction_id) if row.transaction_id else None,
        "venue_transfer": row.venue_id,
        "venue_status": row.venue_status,
        "safe": _safe(row, catalog),
        "created_at": show_time(row.created_at),
        "finished_at": show_time(row.finished_at) if row.finished_at else None,
    }


def _safe(row: Move, catalog: Catalog) -> dict[str, Any] | None:
    """As the Safe's transaction builder takes it: a plain call, no delegate call."""
    waits = row.status == MoveStatus.APPROVED and not row.signs and row.way != Way.REMIT
    if not waits or row.address is None or row.network is None or row.sender is None:
        return None
    network = catalog.networks[row.network]
    token = network.token(row.asset)
    assert token is not None  # noqa: S101  (it was configured when the move was asked for)
    call = call_of(
        Intent(id=show("mov", row.id), token=token.address, to=row.address, amount=row.amount)
    )
    return {
        "chain_id": network.chain_id,
        "safe": checksum(row.sender),
        "to": checksum(row.address if token.address == NATIVE else token.address),
        "value": str(call.value),
        "data": "0x" + call.data.hex(),
        "operation": 0,
    }


def address_json(row: VenueAddress) -> dict[str, Any]:
    return {
        "id": show("vad", row.id),
        "object": "venue_address",
        "venue": row.venue,
        "asset": row.asset,
        "network": row.network,
        "address": checksum(row.address),
        "status": row.status,
        "seen_at": show_time(row.seen_at),
        "decided_at": show_time(row.decided_at) if row.decided_at else None,
        "decided_by": row.decided_by,
    }
