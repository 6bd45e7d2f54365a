"""Asking for payouts: everything checked first, then set aside and written by one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.db import Raw, raw
from core.errors import FieldError, Invalid, InvalidAmount, NotFound, PriceUnavailable
from core.money import Asset
from core.networks import Catalog, Network, Token
from ledger.accounts import Debt, merchant
from ledger.journal import post
from payments import bank_accounts, payout_entries, payout_fees
from payments.payout_fees import Figures
from payments.payout_tables import MerchantBankAccount, Payout, PayoutBatch
from payments.payout_views import payout_json
from payments.payout_wanted import BankWanted, Wanted, payout
from payments.values import floor, worth
from prices import book
from prices.book import PriceBook
from risk import addresses
from risk.requests import recent
from webhooks.events import NewEvent, emit

LARGEST_BATCH = 500
UNKNOWN = UUID(int=0)

_OURS = """
select address from deposit_addresses where address = any(%(asked)s)
union select address from house_addresses where address = any(%(asked)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayout:
    """A request as it came in: `amount` is text in major units (API 2)."""

    amount: str
    asset: str
    network: str | None = None
    address: str | None = None
    bank_account: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What a request is judged against. `accounts`: of this merchant, among those that are named,
    locked until the commit: none is removed meanwhile."""

    catalog: Catalog
    payout_fee: str
    prices: PriceBook
    fees: dict[str, Figures]
    ours: frozenset[str]
    recent: frozenset[str]
    accounts: Mapping[UUID, MerchantBankAccount]
    now: datetime


async def ground(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    asked: Sequence[str | None],
    accounts: Sequence[str | None] = (),
) -> Ground:
    """Reads it. asked: addresses; accounts: `bnk_...`. Raises NotFound without such a merchant."""
    connection, now = await raw(session), context.clock.now()
    lower = [address.lower() for address in asked if address]
    async with connection.pipeline():
        paying = await connection.execute(
            "select payout_fee from merchants where id = %s", (merchant_id,)
        )
        owning = await connection.execute(_OURS, {"asked": lower})
    row = await paying.fetchone()
    if row is None:
        raise NotFound("no such merchant")
    return Ground(
        catalog=context.catalog,
        payout_fee=row[0],
        prices=await book.load(connection),
        fees=await payout_fees.load(connection),
        ours=frozenset(found[0] for found in await owning.fetchall()),
        recent=frozenset(
            one for one in await recent(session, merchant_id, now) if one.startswith("0x")
        ),
        accounts=await bank_accounts.named(session, merchant_id, accounts),
        now=now,
    )


def read(on: Ground, request: NewPayout, together: int = 1) -> Wanted | BankWanted:
    """A request, checked. Raises Invalid naming the field, PriceUnavailable."""
    asset = on.catalog.asset(request.asset)
    if request.bank_account is None and (asset is None or not asset.is_fiat):
        return read_on_chain(on, request, together)
    if request.network is not None or request.address is not None:
        raise Invalid.of("bank_account", "stands alone: fiat has no network and no address")
    if asset is None or not asset.is_fiat:
        raise Invalid.of("asset", f"{request.asset!r} is no fiat currency", code="unknown_asset")
    if request.bank_account is None:
        raise Invalid.of("bank_account", "is required: fiat leaves to a bank account")
    account = on.accounts.get(ids.read("bnk", request.bank_account) or UNKNOWN)
    if account is None:
        raise Invalid.of("bank_account", "is none of yours", code="unknown_bank_account")
    if account.asset != asset.symbol:
        raise Invalid.of("asset", f"the account is in {account.asset}", code="wrong_currency")
    amount = _amount(asset, request.amount)
    return BankWanted(
        asset=asset,
        amount=amount,
        account=account,
        reference=request.reference,
        house_value=_house_value(on, asset, amount),
    )


def read_on_chain(on: Ground, request: NewPayout, together: int = 1) -> Wanted:
    """As `read`, where nothing but crypto may leave."""
    if request.bank_account is not None:
        raise Invalid.of("bank_account", "is for fiat of a merchant")
    network, token = _pair(on.catalog, request)
    return wanted(
        on,
        network,
        token,
        _amount(token.asset, request.amount),
        address_of(on, network, request.address or ""),
        reference=request.reference,
        together=together,
    )


def wanted(
    on: Ground,
    network: Network,
    token: Token,
    amount: int,
    address: str,
    *,
    reference: str | None = None,
    fee_paid_by: str | None = None,
    together: int = 1,
) -> Wanted:
    """With the fee that is quoted for it. `amount` is what the payee gets. Raises
    PriceUnavailable."""
    return Wanted(
        network=network,
        token=token,
        amount=amount,
        address=address,
        reference=reference,
        quote=payout_fees.quote(network, token, on.fees, on.prices, on.now, together=together),
        fee_paid_by=fee_paid_by or on.payout_fee,
        house_value=_house_value(on, token.asset, amount),
    )


def address_of(on: Ground, network: Network, address: str) -> str:
    """A destination that money may go to, in lower case. Raises Invalid."""
    return addresses.check(network, address, own=on.ours, recent=on.recent)


def read_all(on: Ground, requests: Sequence[NewPayout]) -> list[Wanted | BankWanted]:
    """A batch: every refusal names its payout, and one refusal refuses all. Raises Invalid."""
    found: list[Wanted | BankWanted] = []
    errors: list[FieldError] = []
    codes: set[str] = set()
    together = Counter((request.network, request.asset) for request in requests)
    for n, request in enumerate(requests):
        try:
            found.append(read(on, request, together[request.network, request.asset]))
        except Invalid as error:
            codes.add(error.code)
            errors += [FieldError(f"payouts.{n}.{one.field}", one.message) for one in error.errors]
    if errors:
        detail = f"{len(errors)} of {len(requests)} payouts are refused, so none was made"
        raise Invalid(detail, code=codes.pop() if len(codes) == 1 else None, errors=errors)
    return found


async def store(
    session: AsyncSession,
    context: Context,
    merchant_id: UUID,
    asked: Sequence[Wanted | BankWanted],
    *,
    initiator: str,
    source: str | None = None,
    batch: PayoutBatch | None = None,
) -> list[Payout]:
    """Sets the money aside, writes the rows and tells of them; the worker goes on at commit.

    `source` is the ledger account that pays, the merchant's `available` unless given. Raises
    Conflict `insufficient_funds`: then the caller's transaction must roll back.
    """
    now = context.clock.now()
    account = source or merchant(merchant_id, Debt.AVAILABLE)
    rows = [payout(one, merchant_id, account, initiator, now) for one in asked]
    if batch is not None:
        session.add(batch)
        await session.flush()
        for row in rows:
            row.batch_id = batch.id
    await post(session, [payout_entries.reserved(row, now) for row in rows], guarded=[account])
    session.add_all(rows)
    await session.flush()
    told = [
        NewEvent(merchant_id, "payout.requested", shown["id"], shown)
        for shown in (payout_json(row, context.catalog) for row in rows)
    ]
    await emit(session, told, now)
    await wake(await raw(session))
    return rows


async def wake(connection: Raw) -> None:
    """The worker looks for due payouts at commit."""
    await connection.execute("select pg_notify('payouts', '')")


def _pair(catalog: Catalog, request: NewPayout) -> tuple[Network, Token]:
    symbol = request.asset
    if symbol not in catalog.assets:
        raise Invalid.of("asset", f"{symbol!r} is not configured here", code="unknown_asset")
    if request.network is None:
        raise Invalid.of("network", "is required: which network it should be paid on")
    network = catalog.networks.get(request.network)
    if network is None:
        raise Invalid.of("network", "is not a configured network", code="unknown_network")
    token = network.token(symbol)
    if token is None:
        raise Invalid.of("asset", f"{symbol} is not on {network.id}", code="unknown_asset")
    if request.address is None:
        raise Invalid.of("address", "is required")
    return network, token


def _amount(asset: Asset, text: str) -> int:
    try:
        units = asset.parse(text)
    except InvalidAmount as error:
        raise Invalid.of("amount", error.detail, code="invalid_amount") from None
    if units == 0:
        raise Invalid.of("amount", "must be more than zero", code="invalid_amount")
    return units


def _house_value(on: Ground, asset: Asset, amount: int) -> int | None:
    """In minor units of the house currency, for policies; None without a fresh price."""
    house = on.catalog.asset(on.catalog.house_currency)
    if house is None:
        return None
    try:
        rate = on.prices.rate(asset.symbol, house.symbol, on.now)
    except PriceUnavailable:
        return None
    return floor(worth(amount, asset.decimals, rate.price, house.decimals))
