"""What requests for money to leave may hold, and what their answers look like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from api import schemas

Status = Literal["requested", "held", "approved", "sending", "paid", "failed", "rejected"]
Address = Annotated[
    str, Field(max_length=64, examples=["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"])
]
Reason = Annotated[str, Field(min_length=1, max_length=500)]
Signature = Annotated[
    str, Field(max_length=200, description="EIP-712, over the approval's digest: 65 bytes, 0x.")
]
FeePayer = Literal["merchant", "house", "customer"]


class PayoutRequest(schemas.Body):
    """Crypto to an address on a network, or fiat to one of the merchant's bank accounts."""

    amount: schemas.Amount
    asset: schemas.Symbol
    network: schemas.NetworkId | None = None
    address: Address | None = None
    bank_account: (
        Annotated[str, Field(max_length=64, description="`bnk_...`, for fiat.")] | None
    ) = None
    reference: schemas.Reference | None = None


class ExplainRequest(PayoutRequest):
    """`wallet`: a customer's that is to pay, as in `POST /v1/wallets/{id}/payouts`."""

    wallet: Annotated[str, Field(max_length=64)] | None = None


class BatchRequest(schemas.Body):
    """All of them, or none."""

    payouts: Annotated[list[PayoutRequest], Field(min_length=1, max_length=500)]


class Approving(schemas.Body):
    """Both for a payout on a chain, none for one to a bank."""

    approver: Address | None = None
    signature: Signature | None = None


class Rejecting(schemas.Body):
    reason: Reason


class RefundRequest(schemas.Body):
    """`full`: all that was confirmed; `overpaid`: what was too much; `custom`: `amount`.

    `asset` and `network` are needed where an invoice was paid in several. `fee`: who pays the
    network fee; `customer` takes it out of what goes back. Left out, the merchant's setting holds.
    """

    variant: Literal["full", "overpaid", "custom"]
    address: Address
    amount: schemas.Amount | None = None
    asset: schemas.Symbol | None = None
    network: schemas.NetworkId | None = None
    fee: FeePayer | None = None


class Confirming(schemas.Body):
    """`fee` as in a refund that the merchant asks for."""

    fee: FeePayer | None = None


AddressKind = Annotated[
    Literal["account", "delegated", "contract", "unknown"],
    Field(
        description="What stands at the address, by the chain: delegated is an account that runs a"
        " contract's code (EIP-7702), unknown before the chain has said."
    ),
]


class Transaction(schemas.Shown):
    """What carries it; `variants` are the same with other fees."""

    id: str
    nonce: int | None
    tx_hash: str | None
    status: str
    variants: list[dict[str, Any]]


class Payout(schemas.Shown):
    """Money that leaves. `network_fee` is in the same asset, as quoted at the request. To a bank:
    without network, address and fee."""

    id: str
    object: Literal["payout"]
    status: Status
    reasons: list[str]
    amount: str
    asset: str
    network: str | None
    network_fee: str
    fee_paid_by: Literal["merchant", "house"]
    address: str | None
    address_kind: AddressKind | None
    bank_account: str | None
    reference: str | None
    merchant: str
    bank_export: str | None = Field(description="The file for the bank that orders it.")
    wallet: str | None = Field(description="Whose money it is, where it is a customer's.")
    batch: str | None
    refund: str | None
    approval: str | None = Field(description="Who may approve is in GET /v1/approvals/{id}.")
    transactions: list[Transaction]
    created_at: schemas.Time
    finished_at: schemas.Time | None


class PayoutBatch(schemas.Shown):
    id: str
    object: Literal["payout_batch"]
    status: Literal["requested", "working", "done"]
    count: int
    summary: dict[str, int] = Field(description="How many payouts have each status.")
    totals: list[dict[str, str]]
    payouts: list[Payout]
    created_at: schemas.Time


class Refund(schemas.Shown):
    """An invoice's money, back; without an invoice, a deposit to a customer's wallet that a person
    rejected. `payout` carries it once the merchant has said so."""

    id: str
    object: Literal["refund"]
    status: Status
    reasons: list[str]
    invoice: str | None
    deposit: str | None
    payout: str | None
    variant: Literal["full", "overpaid", "custom"]
    amount: str
    asset: str
    network: str
    network_fee: str | None
    address: str
    asked_by: Literal["merchant", "customer"]
    transactions: list[Transaction]
    created_at: schemas.Time
    finished_at: schemas.Time | None


class Explanation(schemas.Shown):
    """A dry run: which rule would fire, what it would cost, whether there is enough, and whether
    the limits of a customer's wallet allow it."""

    object: Literal["payout_explanation"]
    status: Status
    reasons: list[str]
    network_fee: str
    funds: dict[str, Any]
    address_kind: AddressKind | None = Field(
        description="As the chain said of the last payout there: a dry run asks no node."
    )
    wallet: str | None
    limits: dict[str, Any] | None = Field(description="Of that wallet; null without one.")
    policy: dict[str, Any]
    screening: dict[str, Any]
    signer: Literal["not_asked"] | None = Field(
        description="Its limits are its own: it may still want approvals for what is `approved` "
        "here, or refuse it. Null at a bank, where it has no say."
    )
