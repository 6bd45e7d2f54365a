"""Sweeps as operators see them (API 2). Field names are binding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from core.addresses import checksum
from core.clock import show as show_time
from core.ids import show
from core.networks import NATIVE, Catalog, Network
from wallets.sweep_gas import by_deposit
from wallets.sweep_tables import Sweep, SweepItem, SweepOutcome


def sweep_json(
    row: Sweep,
    items: Sequence[SweepItem],
    outcomes: Mapping[UUID, Sequence[SweepOutcome]],
    transactions: Sequence[Any],
    catalog: Catalog,
) -> dict[str, Any]:
    """One sweep. Amounts of a token that is not configured are base units. `gas` is in the
    network's coin: of each item and each deposit its share, to the wei."""
    network = catalog.networks.get(row.network)
    moved = {i.id: sum(o.amount for o in outcomes.get(i.id, ())) for i in items}
    gas = [int(t.gas_paid) for t in transactions if t.gas_paid is not None]
    wanted = row.wanted["addresses"]
    return {
        "id": show("swp", row.id),
        "object": "sweep",
        "status": row.status,
        "reasons": list(row.reasons),
        "network": row.network,
        "trigger": row.trigger,
        "addresses": wanted and [checksum(a) for a in wanted],
        "assets": row.wanted["assets"],
        "network_fee": _coin(network, sum(gas)) if gas else None,
        "totals": _totals(network, items, moved),
        "items": [_item(network, i, outcomes.get(i.id, ())) for i in items],
        "skipped": [
            {
                **one,
                "address": checksum(one["address"]),
                "asset": _symbol(network, one["token"]),
                "token": _token(one["token"]),
            }
            for one in row.skipped
        ],
        "transactions": [_transaction(network, t) for t in transactions],
        "created_at": show_time(row.created_at),
        "finished_at": show_time(row.finished_at) if row.finished_at else None,
    }


def _item(
    network: Network | None, item: SweepItem, outcomes: Sequence[SweepOutcome]
) -> dict[str, Any]:
    by = by_deposit(item.gas, item.deposits) if item.gas is not None else {}
    return {
        "address": checksum(item.address),
        "asset": item.asset,
        "token": _token(item.token),
        "status": item.outcome or "pending",
        "amount": _units(network, item.token, item.amount),
        "swept": _units(network, item.token, sum(o.amount for o in outcomes)),
        "arrived": _units(network, item.token, sum(o.arrived for o in outcomes)),
        "tx_hashes": list(dict.fromkeys(o.tx_hash for o in outcomes)),
        "gas": None if item.gas is None else _coin(network, item.gas),
        "deposits": [
            {"id": one, "gas": _coin(network, by[one]) if one in by else None}
            for one in item.deposits
        ],
    }


def _totals(
    network: Network | None, items: Sequence[SweepItem], moved: Mapping[UUID, int]
) -> list[dict[str, Any]]:
    units: Counter[str] = Counter()
    for item in items:
        units[item.token] += moved[item.id]
    return [
        {
            "asset": _symbol(network, token),
            "token": _token(token),
            "swept": _units(network, token, amount),
            "addresses": sum(1 for i in items if i.token == token and moved[i.id]),
        }
        for token, amount in sorted(units.items())
    ]


def _transaction(network: Network | None, row: Any) -> dict[str, Any]:
    variants = list(row.variants)
    return {
        "id": show("tx", row.id),
        "nonce": row.nonce,
        "tx_hash": row.tx_hash or (variants[-1]["tx_hash"] if variants else None),
        "status": row.status,
        "reason": row.reason,
        "gas": None if row.gas_paid is None else _coin(network, int(row.gas_paid)),
        "variants": variants,
    }


def _units(network: Network | None, token: str, units: int) -> str:
    found = network.by_address().get(token) if network else None
    return found.asset.format(units) if found else str(units)


def _coin(network: Network | None, wei: int) -> str:
    return _units(network, NATIVE, wei)


def _symbol(network: Network | None, token: str) -> str | None:
    found = network.by_address().get(token) if network else None
    return found.asset.symbol if found else None


def _token(token: str) -> str | None:
    return None if token == NATIVE else checksum(token)
