"""What requests about customers' wallets may hold, and what their answers look like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from api import schemas

Id = Annotated[str, Field(max_length=64)]


class CustomerRequest(schemas.Body):
    """`reference`: how you name the customer; one customer for each."""

    reference: schemas.Reference
    metadata: schemas.Metadata = Field(default_factory=dict)


class Customer(schemas.Shown):
    id: str
    object: Literal["customer"]
    merchant: str
    reference: str
    metadata: dict[str, str]
    created_at: schemas.Time


class WalletRequest(schemas.Body):
    """Left out, `networks` are all that take deposits under one address."""

    customer: Id
    networks: Annotated[list[schemas.NetworkId], Field(min_length=1, max_length=50)] | None = None


class Address(schemas.Shown):
    """Where the customer pays in. It stays; each network has the same."""

    network: str
    address: str


class Balance(schemas.Shown):
    """`available` is below zero while the chain has taken back what was spent already."""

    asset: str
    available: str
    pending: str
    reserved: str


class Wallet(schemas.Shown):
    id: str
    object: Literal["wallet"]
    merchant: str
    customer: str
    addresses: list[Address]
    balances: list[Balance]
    created_at: schemas.Time


class TransferRequest(schemas.Body):
    """Between two wallets of one merchant."""

    from_wallet: Id
    to_wallet: Id
    amount: schemas.Amount
    asset: schemas.Symbol
    reference: schemas.Reference | None = None


class Transfer(schemas.Shown):
    """Done as it is made: no chain, no fee."""

    id: str
    object: Literal["transfer"]
    merchant: str
    from_wallet: str
    to_wallet: str
    amount: str
    asset: str
    reference: str | None
    created_at: schemas.Time


class Limit(schemas.Body):
    """How much of an asset may leave, by transfers and payouts; null: as much as there is."""

    asset: schemas.Symbol
    per_transfer: schemas.Amount | None = None
    per_day: Annotated[schemas.Amount | None, Field(description="In any 24 hours.")] = None


class LimitsRequest(schemas.Body):
    """These, and no others."""

    limits: Annotated[list[Limit], Field(max_length=100)]


class Limits(schemas.Shown):
    id: str = Field(description="The wallet's.")
    object: Literal["wallet_limits"]
    limits: list[Limit]
