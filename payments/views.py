"""Invoices and deposits as the outside sees them (API 2). Field names are binding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from core.clock import show as show_time
from core.ids import show
from core.money import Asset
from core.networks import NATIVE, Catalog, Network
from merchants.merchants import SettleIn
from payments import settle_in
from payments.facts import InboxReason
from payments.options import due_of
from payments.tables import Deposit, Invoice
from payments.tiers import Heights, confirmations
from prices.rates import show_price
from wallets.addresses import checksum

_SUGGESTIONS = {
    InboxReason.LATE: "credit",
    InboxReason.PARTIAL: "credit",
    InboxReason.OVERPAID: "refund",
    InboxReason.UNEXPECTED_ASSET: "refund",
    InboxReason.UNEXPECTED_NETWORK: "refund",
    InboxReason.HELD: "wait",
    InboxReason.DUST: "ignore",
}


def _asset(catalog: Catalog, symbol: str) -> Asset:
    """Assets of stored rows are configured, or were: then base units are shown as they are."""
    return catalog.asset(symbol) or Asset(symbol, 0, 0)


def pay_uri(network: Network, token: str, to: str, units: int) -> str:
    """EIP-681, in base units: `value` in wei, `uint256` in the token's smallest unit."""
    if token == NATIVE:
        return f"ethereum:{checksum(to)}@{network.chain_id}?value={units}"
    return (
        f"ethereum:{checksum(token)}@{network.chain_id}/transfer"
        f"?address={checksum(to)}&uint256={units}"
    )


def currency_of(row: Invoice) -> Asset:
    """With the decimals that it was made with, configured or not any more."""
    return Asset(row.currency, row.currency_decimals, row.currency_decimals)


def deposit_json(
    row: Deposit, currency: Asset | None, catalog: Catalog, heights: Mapping[str, Heights]
) -> dict[str, Any]:
    """One deposit. `value` is in the invoice's currency; confirmations as of the cursor."""
    asset = _asset(catalog, row.asset)
    here = heights.get(row.network)
    alive = row.status != "orphaned"
    return {
        "id": show("dep", row.id),
        "object": "deposit",
        "status": row.status,
        "asset": row.asset,
        "network": row.network,
        "amount": asset.format(row.amount),
        "value": None if row.value is None or currency is None else currency.format(row.value),
        "value_currency": currency.symbol if currency else None,
        "value_at": show_time(row.block_time),
        "from": checksum(row.sender) if row.sender else None,
        "to": checksum(row.address),
        "via": "router" if row.quote_hash else "address",
        "tx_hash": row.tx_hash or None,
        "position": row.position,
        "invoice": show("inv", row.invoice_id) if row.invoice_id else None,
        "wallet": show("wal", row.wallet_id) if row.wallet_id else None,
        "waiting_for": row.waiting_for,
        "inbox": _inbox(row, asset),
        "block_number": row.block_number,
        "block_hash": row.block_hash,
        "confirmations": confirmations(row.block_number, here) if here and alive else 0,
        "confirmations_required": int(row.required) if row.required.isdigit() else row.required,
        "created_at": show_time(row.seen_at),
        "seen_at": show_time(row.seen_at),
        "confirmed_at": show_time(row.confirmed_at) if row.confirmed_at else None,
    }


def _inbox(row: Deposit, asset: Asset) -> dict[str, Any] | None:
    if row.inbox_reason is None:
        return None
    action = _SUGGESTIONS[InboxReason(row.inbox_reason)]
    suggestion: dict[str, Any] = {"action": action}
    if action == "credit" and row.invoice_id is not None:
        suggestion["invoice"] = show("inv", row.invoice_id)
    if action == "refund":
        suggestion |= {"amount": asset.format(row.amount), "asset": row.asset}
    return {
        "reason": row.inbox_reason,
        "suggestion": suggestion,
        "resolution": row.resolution,
        "resolved_at": show_time(row.resolved_at) if row.resolved_at else None,
    }


def invoice_json(
    row: Invoice,
    deposits: Sequence[Deposit],
    catalog: Catalog,
    heights: Mapping[str, Heights],
    public_url: str,
) -> dict[str, Any]:
    """The whole invoice with its options and deposits."""
    currency = currency_of(row)
    left = max(0, row.amount - row.amount_paid)
    invoice_id = show("inv", row.id)
    return {
        "id": invoice_id,
        "object": "invoice",
        "status": row.status,
        "exception": row.exception,
        "amount": currency.format(row.amount),
        "currency": row.currency,
        "amount_paid": currency.format(row.amount_paid),
        "amount_confirmed": currency.format(row.amount_confirmed),
        "amount_due": currency.format(left),
        "reference": row.reference,
        "description": row.description,
        "metadata": row.metadata_,
        "success_url": row.success_url,
        "checkout_url": f"{public_url}/pay/{invoice_id}",
        "created_at": show_time(row.created_at),
        "expires_at": show_time(row.expires_at),
        "monitored_until": show_time(row.monitored_until),
        "settled_at": _maybe(row.settled_at),
        "cancelled_at": _maybe(row.cancelled_at),
        "mark": {"status": row.mark, "reason": row.mark_reason} if row.mark else None,
        "payment_options": [
            _option_json(o, row, currency, catalog)
            for o in row.options
            if o["network"] in catalog.networks
        ],
        "deposits": [deposit_json(d, currency, catalog, heights) for d in deposits],
        "settlement": None if row.settlement is None else _settlement(row.settlement, catalog),
    }


def _settlement(stored: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """What its crypto became so far, less the spread, and what is set aside to be converted."""
    terms = settle_in.parse(stored)
    fiat = terms.net if terms.mode is SettleIn.FIAT_AT_QUOTE else sum(terms.fiat.values())
    return {
        "settle_in": terms.mode.value,
        "amount": terms.fiat_asset.format(fiat),
        "currency": terms.currency,
        "waiting": [
            {"asset": symbol, "amount": _asset(catalog, symbol).format(units)}
            for symbol, units in sorted(terms.waiting().items())
        ],
    }


def _maybe(moment: datetime | None) -> str | None:
    return show_time(moment) if moment else None


def _option_json(
    option: Mapping[str, Any], row: Invoice, currency: Asset, catalog: Catalog
) -> dict[str, Any]:
    """`amount_due` follows what is still unpaid, at the locked rate, rounded up like `amount`."""
    network = catalog.networks[option["network"]]
    asset = Asset(option["asset"], option["decimals"], option["quote_decimals"])
    rate, amount = int(option["rate"]), int(option["amount"])
    due = due_of(option, row.amount, row.amount_paid, currency)
    return {
        "asset": asset.symbol,
        "network": network.id,
        "network_name": network.name,
        "asset_id": option["asset_id"],
        "address": checksum(row.address),
        "amount": asset.format(amount),
        "amount_due": asset.format(due),
        "rate": show_price(rate),
        "price": option["price"],
        "uri": pay_uri(network, option["token"], row.address, due or amount),
    }
