"""The chart of accounts (MONEY 1): names are paths, and the first word says what kind it is.

Places are assets (debit positive). Debts are what we owe (credits), shown to people negated.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from core.ids import show


class Debt(StrEnum):
    """What a merchant may do with money we owe it."""

    AVAILABLE = "available"
    """Confirmed and his to spend."""
    PENDING = "pending"
    """Seen on chain, or confirmed for an invoice that is not paid in full yet."""
    RESERVED = "reserved"
    """Set aside for a payout or refund under way."""
    INBOX = "inbox"
    """Arrived, but fits nothing: waits for a decision."""


class Role(StrEnum):
    """Addresses of ours on a network."""

    DEPOSITS = "deposits"
    """All deposit addresses together."""
    TREASURY = "treasury"
    """Where sweeps go."""
    HOT = "hot"
    """What payouts leave from."""


EQUITY = "equity"
SUSPENSE = "suspense"
LOSSES = "expense:losses"
GAS = "expense:gas"
EXCHANGE_FEES = "expense:exchange_fees"
FEES = "income:fees"
SPREAD = "income:spread"
SLIPPAGE = "income:slippage"  # conversions against their quotes: better is a credit, worse a debit
TRADING = "trading"  # what was given and got in conversions; its value is the gain or loss
ROUNDING = "rounding"
UNITS = "units"  # between an asset and the same one as venues count it: always worth nothing


def place(network: str, role: Role) -> str:
    return f"network:{network}:{role}"


def exchange(venue: str) -> str:
    """What we hold at a venue, in the venue's units (`Asset.at_venue`)."""
    return f"exchange:{venue}"


def bank(account: str) -> str:
    return f"bank:{account}"


def transit(move_id: UUID) -> str:
    """Left one place of ours and not yet at the other; in the asset's own units."""
    return under_way(show("mov", move_id))


def under_way(reference: str) -> str:
    """As `transit`, by a TypeID: of a move, or of a payout that a bank's statement shows."""
    return f"transit:{reference}"


def merchant(merchant_id: UUID, debt: Debt) -> str:
    return f"merchant:{show('mer', merchant_id)}:{debt}"


def wallet(wallet_id: UUID, debt: Debt) -> str:
    """What we owe a merchant's customer: available, pending or reserved."""
    return f"wallet:{show('wal', wallet_id)}:{debt}"


def is_place(account: str) -> bool:
    """Whether it says where something of ours is: an asset, normally a debit."""
    return account.startswith(("network:", "exchange:", "bank:", "transit:"))


def is_debt(account: str) -> bool:
    """Whether its balance is normally a credit (shown negated)."""
    return account.startswith(("merchant:", "wallet:"))
