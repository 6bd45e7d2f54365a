"""An invoice as the API prints it (API 2), to be changed by each test."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from core.money import crypto
from core.networks import NATIVE, Catalog, Network, Token

NOW = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
CATALOG = Catalog(
    {
        "eip155:1": Network(
            id="eip155:1",
            chain_id=1,
            name="Ethereum",
            rpc_urls=(),
            block_seconds=12,
            poll_ms=1000,
            tokens=(Token(asset=crypto("ETH", 18), address=NATIVE),),
        )
    }
)


def invoice(**changes: Any) -> dict[str, Any]:
    """Open, 25.00 USD, ten minutes left at NOW, payable in ETH."""
    return {
        "id": "inv_01h455vb4pex5vsknk084sn02q",
        "status": "new",
        "exception": "none",
        "amount": "25.00",
        "currency": "USD",
        "amount_paid": "0.00",
        "amount_confirmed": "0.00",
        "amount_due": "25.00",
        "reference": None,
        "description": None,
        "metadata": {},
        "success_url": None,
        "created_at": "2026-11-22T10:00:00Z",
        "expires_at": "2026-11-22T10:15:00Z",
        "monitored_until": "2026-11-23T10:15:00Z",
        "settled_at": None,
        "payment_options": [option()],
        "deposits": [],
    } | changes


def option(**changes: Any) -> dict[str, Any]:
    return {
        "asset": "ETH",
        "network": "eip155:1",
        "asset_id": "eip155:1/slip44:60",
        "address": ADDRESS,
        "amount": "0.010000000000000000",
        "amount_due": "0.010000000000000000",
        "rate": "2500.00000000",
        "price": {"source": "chainlink", "age_seconds": 4},
        "uri": f"ethereum:{ADDRESS}@1?value=10000000000000000",
    } | changes


def deposit(**changes: Any) -> dict[str, Any]:
    return {
        "id": "dep_01h455vb4pex5vsknk084sn02q",
        "status": "pending",
        "asset": "ETH",
        "network": "eip155:1",
        "amount": "0.010000000000000000",
        "value": "25.00",
        "tx_hash": "0x" + "ab" * 32,
        "waiting_for": "confirmations",
        "inbox": None,
        "confirmations": 1,
        "confirmations_required": 3,
    } | changes
