"""/v1/x402: a facilitator for requests that are paid one by one.

The paths, fields and reasons of `verify`, `settle` and `supported` are the protocol's
(https://github.com/x402-foundation/x402), so its camelCase is not ours.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncSession

from api import paging, schemas
from api.auth import merchant_of, require
from api.idempotency import once
from api.paging import Page
from core import ids
from core.context import Context
from merchants.keys import Principal
from payments import x402_checks, x402_pay_to, x402_settlements, x402_terms
from payments.x402_terms import NotPaid, Payment
from wallets import hot
from wallets.addresses import checksum
from wallets.hot import WalletKind

router = APIRouter(prefix="/v1/x402", tags=["x402"])

Reader = Annotated[Principal, require("invoices:read")]
Writer = Annotated[Principal, require("invoices:write")]


class PaymentRequest(schemas.Body):
    """What a payer sent and what the resource demands, as the protocol's version has them. A later
    one may say more."""

    model_config = ConfigDict(extra="ignore")

    version: Annotated[int, Field(alias="x402Version")]
    payload: Annotated[dict[str, Any], Field(alias="paymentPayload")]
    requirements: Annotated[dict[str, Any], Field(alias="paymentRequirements")]


class RequirementsRequest(schemas.Body):
    """A price in an asset, or in a currency at the price of now."""

    amount: schemas.Amount
    asset: schemas.Symbol | None = None
    currency: schemas.Currency | None = None
    network: schemas.NetworkId | None = None
    resource: schemas.WebUrl
    description: schemas.Description | None = None
    max_timeout_seconds: Annotated[int, Field(ge=30, le=86_400)] = 300
    version: Literal[1, 2] = 2

    @model_validator(mode="after")
    def _one(self) -> RequirementsRequest:
        if (self.asset is None) == (self.currency is None):
            raise ValueError("either asset or currency is named")
        return self


class Verdict(schemas.Shown):
    """The protocol's VerifyResponse."""

    isValid: bool  # noqa: N815 - the protocol's name
    invalidReason: str | None = None  # noqa: N815
    invalidMessage: str | None = None  # noqa: N815
    payer: str | None = None


class Settled(schemas.Shown):
    """The protocol's SettleResponse. `settlement_pending` may be asked again with the same body;
    `extra.settlement` is its id here."""

    success: bool
    errorReason: str | None = None  # noqa: N815
    errorMessage: str | None = None  # noqa: N815
    payer: str | None = None
    transaction: str
    network: str
    amount: str | None = None
    extra: dict[str, Any] | None = None


class Supported(schemas.Shown):
    """The protocol's SupportedResponse."""

    kinds: list[dict[str, Any]]
    extensions: list[str]
    signers: dict[str, list[str]]


class Required(schemas.Shown):
    """The protocol's PaymentRequired: the body of a 402."""

    x402Version: int  # noqa: N815
    accepts: list[dict[str, Any]]
    resource: dict[str, Any] | None = None


class Settlement(schemas.Shown):
    """`mined` waits for the depth that its value asks for, or for screening; `done` may be taken
    back by a fork, as an invoice is."""

    id: str
    object: Literal["x402_settlement"]
    status: Literal["requested", "sending", "mined", "done", "failed", "refused"]
    reason: str | None
    detail: str | None
    network: str
    asset: str
    amount: str
    payer: str
    pay_to: str
    tx_hash: str | None
    invoice: str | None
    resource: str | None
    created_at: schemas.Time


@router.post("/verify", response_model=Verdict)
async def verify(body: PaymentRequest, request: Request, caller: Writer) -> Response:
    """Whether a payment would be taken: signature, terms, and within 3 seconds the chain's word.
    Nobody there to ask the chain: `unavailable`."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    try:
        found = await x402_checks.verify(context, merchant_id, _read(context, body))
    except NotPaid as refused:
        found = {"isValid": False, "invalidReason": refused.reason}
        found |= {"invalidMessage": refused.message or refused.reason}
        found |= {"payer": refused.payer} if refused.payer else {}
    return paging.json(found)


@router.post("/settle", response_model=Settled)
async def settle(body: PaymentRequest, request: Request, caller: Writer) -> Response:
    """Takes the payment, once. Waits until it is deep enough for its value; after 15 seconds the
    answer is `settlement_pending`, and the same request again asks how it is."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)
    try:
        found = await x402_settlements.settle(context, merchant_id, _read(context, body))
    except NotPaid as refused:
        said = body.requirements.get("network")
        found = {
            "success": False,
            "errorReason": refused.reason,
            "errorMessage": refused.message or refused.reason,
            "transaction": "",
            "network": said if isinstance(said, str) else "",
        }
        found |= {"payer": refused.payer} if refused.payer else {}
    return paging.json(found)


@router.get("/supported", response_model=Supported)
async def supported(request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        wallets = await hot.known(session)
    relayers = [checksum(w.address) for w in wallets if w.kind == WalletKind.RELAYER]
    networks = {network.id: network for network, _ in x402_terms.kinds(context.catalog)}
    kinds = [
        {
            "x402Version": version,
            "scheme": x402_terms.SCHEME,
            "network": x402_terms.name_of(network, version),
        }
        for network in networks.values()
        for version in (2, 1)
    ]
    return paging.json({"kinds": kinds, "extensions": [], "signers": {"eip155:*": relayers}})


@router.post("/requirements", response_model=Required)
async def requirements(body: RequirementsRequest, request: Request, caller: Writer) -> Response:
    """The body of a 402 for one of your resources. Your `payTo` in it stays the same for ever."""
    context: Context = request.app.state.context
    merchant_id = merchant_of(caller)

    async def do(session: AsyncSession) -> tuple[int, dict[str, Any]]:
        return 200, await x402_pay_to.requirements(
            session,
            context,
            merchant_id,
            version=body.version,
            amount=body.amount,
            asset=body.asset,
            currency=body.currency,
            network=body.network,
            resource=body.resource,
            description=body.description,
            seconds=body.max_timeout_seconds,
        )

    return await once(request, caller, do)


@router.get("/settlements", response_model=schemas.Page[Settlement])
async def list_all(
    request: Request, caller: Reader, page: Annotated[Page, Depends(paging.page)]
) -> Response:
    context: Context = request.app.state.context
    async with context.database.read() as session:
        data, more = await x402_settlements.page(
            session, context, caller.merchant_id, limit=page.limit, cursor=page.cursor
        )
    return paging.list_json(data, more)


@router.get("/settlements/{settlement}", response_model=Settlement)
async def show(settlement: str, request: Request, caller: Reader) -> Response:
    context: Context = request.app.state.context
    number = ids.read("xst", settlement)
    return paging.json(await x402_settlements.show(context, number, caller.merchant_id))


def _read(context: Context, body: PaymentRequest) -> Payment:
    return x402_terms.read(context.catalog, body.version, body.payload, body.requirements)
