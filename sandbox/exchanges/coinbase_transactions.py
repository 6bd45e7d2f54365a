"""What Coinbase App writes of a wallet's transactions.

Source: docs.cdp.coinbase.com, "Transactions", and answers recorded by ccxt and rotki. `amount` is
what the wallet lost or got, the fee included; a deposit is a `send` with a positive one, and has no
`idem`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exchanges.numbers import show
from sandbox.exchanges import coinbase_shapes as shapes
from sandbox.exchanges.types import (
    SimDeposit,
    SimFiatDeposit,
    SimFill,
    SimWithdrawal,
    TransferStatus,
)


def deposit(deposit: SimDeposit, words: Mapping[str, str]) -> dict[str, Any]:
    credited = deposit.status is TransferStatus.CREDITED
    return {
        **_transaction("deposit", deposit.id, deposit.asset, "send", deposit.at),
        "status": "completed" if credited else "pending",
        "amount": {"amount": show(deposit.amount), "currency": deposit.asset},
        "network": {
            "status": "confirmed" if credited else "unconfirmed",
            "hash": deposit.tx_hash,
            "network_name": words[deposit.network],
        },
        "from": {
            "resource": f"{words[deposit.network]}_network",
            "currency": deposit.asset,
        },
    }


def fiat_deposit(deposit: SimFiatDeposit) -> dict[str, Any]:
    """What the wallet got; a fee that the venue kept is told nowhere."""
    credited = deposit.status is TransferStatus.CREDITED
    return {
        **_transaction("fiat", deposit.id, deposit.asset, "fiat_deposit", deposit.at),
        "status": "completed" if credited else "pending",
        "amount": {"amount": show(deposit.credited), "currency": deposit.asset},
    }


def withdrawal(sent: SimWithdrawal, words: Mapping[str, str]) -> dict[str, Any]:
    said_of = {
        TransferStatus.PENDING: ("pending", "pending"),
        TransferStatus.SENT: ("pending", "unconfirmed"),
        TransferStatus.DONE: ("completed", "confirmed"),
        TransferStatus.FAILED: ("failed", "unconfirmed"),
    }
    status, on_chain = said_of[sent.status]
    network: dict[str, Any] = {
        "status": on_chain,
        "network_name": words[sent.network],
        "transaction_fee": {"amount": show(sent.fee), "currency": sent.asset},
        "transaction_amount": {"amount": show(sent.amount), "currency": sent.asset},
    }
    if sent.tx_hash is not None:
        network["hash"] = sent.tx_hash
    said = {
        **_transaction("send", sent.id, sent.asset, "send", sent.at),
        "status": status,
        "amount": {"amount": show(-sent.amount - sent.fee), "currency": sent.asset},
        "network": network,
        "to": {"resource": "address", "address": sent.address},
        "cancelable": False,
    }
    return said if sent.client_id is None else {**said, "idem": sent.client_id}


def fill(fill: SimFill, asset: str) -> dict[str, Any]:
    """What an execution changed in this wallet."""
    base, _, _ = fill.symbol.partition("-")
    in_base, buys = asset == base, fill.side == "buy"
    change = fill.quantity if in_base else fill.quote_quantity
    change = change if in_base is buys else -change
    if asset == fill.fee_asset:
        change -= fill.fee
    return {
        **_transaction("fill", fill.id, asset, "advanced_trade_fill", fill.at),
        "status": "completed",
        "amount": {"amount": show(change), "currency": asset},
        "advanced_trade_fill": {
            "fill_price": show(fill.price),
            "product_id": fill.symbol,
            "order_id": shapes.order_uuid(fill.order_id),
            "commission": show(fill.fee),
            "order_side": fill.side,
        },
    }


def _transaction(kind: str, id_: object, asset: str, type_: str, at: int) -> dict[str, Any]:
    """What all kinds have; `native_amount` is for people only, and nothing here knows a price."""
    number = shapes.stable_uuid(kind, asset, id_)
    return {
        "id": number,
        "type": type_,
        "native_amount": {"amount": "0.00", "currency": "EUR"},
        "description": None,
        "created_at": shapes.second(at),
        "resource": "transaction",
        "resource_path": f"/v2/accounts/{shapes.account_uuid(asset)}/transactions/{number}",
    }
