"""Payments that a payer only signs: his EIP-3009 authorization, carried to the router by our
relayer at the house's expense, within limits. Stored here; `relaying` sends them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from chain.domains import domain_separator
from core import ids
from core.clock import show as show_time
from core.context import Context
from core.errors import Conflict, Invalid, NotFound, TooMany
from core.keccak import keccak
from core.listen import notify
from core.networks import Network, RelayPolicy
from core.singleton import lock_number
from payments import router_quotes as quotes
from payments.router_tables import Authorization, Quote
from wallets.abi import encode
from wallets.addresses import checksum
from wallets.signer.approvals import recover
from wallets.tables import Transaction

WINDOW = timedelta(hours=1)  # of the limits
LEAST_SECONDS = 15  # that quote and authorization must still be good for
U256 = 1 << 256
# USDC's FiatTokenV2: https://eips.ethereum.org/EIPS/eip-3009
_RECEIVE = keccak(
    b"ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
    b"uint256 validBefore,bytes32 nonce)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What a payer's wallet signed: seconds of unix time, and 65 bytes (r, s, v) as 0x hex."""

    payer: str
    valid_after: int
    valid_before: int
    signature: str


async def ask(
    session: AsyncSession, context: Context, invoice_id: UUID, quote_id: UUID | None, given: Signed
) -> Authorization:
    """Takes an authorization over a quote; the same one again is the one that is there.

    Raises NotFound, Invalid (`authorization_unsupported`, `signature_invalid`, ...), Conflict
    `quote_expired`, `quote_spent` or `authorization_exists`, TooMany `relay_limit`.
    """
    await quotes.lock(session, invoice_id)
    quote = await quotes.find(session, invoice_id, quote_id)
    network = context.catalog.networks.get(quote.network)
    if network is None or network.relay is None or not (quote.domain or {}).get("authorization"):
        said = "this payment cannot be relayed: send it from the wallet itself"
        raise Invalid.of("quote", said, code="authorization_unsupported")
    now = context.clock.now()
    soon = now + timedelta(seconds=LEAST_SECONDS)
    if quote.status != "signed" or quote.deadline < soon:
        raise Conflict("the quote is not good any more: ask for another", code="quote_expired")
    payer = quotes.address_of("payer", given.payer)
    signature = _checked(quote, network, payer, given, int(soon.timestamp()))
    standing = await _standing(session, quote)
    if standing is not None:
        if (standing.payer, standing.signature) == (payer, signature):
            return standing
        raise Conflict("an authorization for it is on its way", code="authorization_exists")
    if await quotes.spent(session, quote):
        raise Conflict("the quote was paid: ask for another", code="quote_spent")
    await _limit(session, network, network.relay, quote, payer, now)
    row = Authorization(
        id=ids.new(),
        quote_id=quote.id,
        invoice_id=invoice_id,
        network=quote.network,
        payer=payer,
        valid_after=given.valid_after,
        valid_before=given.valid_before,
        signature=signature,
        status="requested",
        attempts=0,
        created_at=now,
        due_at=now,
    )
    session.add(row)
    await session.flush()
    await notify(session, quotes.CHANNEL)
    return row


def digest(quote: Quote, network: Network, payer: str, given: Signed) -> bytes:
    """What the payer signs (EIP-712), in the token's own domain: only our router can use it, and
    only for this quote. Raises ValueError for what no field holds."""
    domain = quote.domain or {}
    separator = domain_separator(domain["name"], domain["version"], network.chain_id, quote.token)
    message = encode(
        ["bytes32", "address", "address", "uint256", "uint256", "uint256", "bytes32"],
        [
            _RECEIVE,
            payer,
            quote.router,
            quote.amount,
            given.valid_after,
            given.valid_before,
            bytes.fromhex(quote.quote_hash[2:]),
        ],
    )
    return keccak(b"\x19\x01" + separator + keccak(message))


async def find(
    session: AsyncSession, invoice_id: UUID | None, authorization_id: UUID | None
) -> Authorization:
    """Raises NotFound, also for another invoice's."""
    row = await session.get(Authorization, authorization_id) if authorization_id else None
    if row is None or row.invoice_id != invoice_id:
        raise NotFound("no such authorization")
    return row


async def shown(session: AsyncSession, row: Authorization) -> dict[str, Any]:
    found = await session.get(Transaction, row.transaction_id) if row.transaction_id else None
    return authorization_json(row, found)


async def of_invoice(session: AsyncSession, invoice_id: UUID) -> list[dict[str, Any]]:
    """As a payer's page reads them, oldest first."""
    query = (
        select(Authorization, Transaction)
        .outerjoin(Transaction, Transaction.id == Authorization.transaction_id)
        .where(Authorization.invoice_id == invoice_id)
        .order_by(Authorization.id)
    )
    return [authorization_json(*row) for row in (await session.execute(query)).all()]


def authorization_json(row: Authorization, transaction: Transaction | None) -> dict[str, Any]:
    """`status`: requested, sending, done, failed, refused. From `sending` on it is what its
    transaction says, so a fork needs no step of its own."""
    status, reason = row.status, row.reason
    if transaction is not None:
        status, reason = _status(transaction), transaction.reason
    return {
        "id": ids.show("rel", row.id),
        "object": "router_authorization",
        "status": status,
        "reason": reason if status in ("failed", "refused") else None,
        "quote": ids.show("qte", row.quote_id),
        "invoice": ids.show("inv", row.invoice_id),
        "network": row.network,
        "payer": checksum(row.payer),
        "tx_hash": transaction.tx_hash if transaction else None,
        "created_at": show_time(row.created_at),
    }


def _status(transaction: Transaction) -> str:
    if transaction.status in ("failed", "cancelled") or transaction.succeeded is False:
        return "failed"
    return "done" if transaction.status in ("mined", "confirmed") else "sending"


def _checked(quote: Quote, network: Network, payer: str, given: Signed, soon: int) -> str:
    """The signature as it is stored: v is 27 or 28. Raises Invalid."""
    if not 0 <= given.valid_after < soon - LEAST_SECONDS:
        raise Invalid.of("valid_after", "is a time in the past, in unix seconds")
    if not soon < given.valid_before < U256:
        raise Invalid.of("valid_before", f"is later than {soon}, in unix seconds")
    signature = given.signature.lower()
    try:
        signer = recover(digest(quote, network, payer, given), signature)
    except ValueError as error:
        raise Invalid.of("signature", str(error), code="signature_invalid") from None
    if signer != payer:
        said = "is not the payer's over this quote (a contract's wallet cannot sign it)"
        raise Invalid.of("signature", said, code="signature_invalid")
    v = int(signature[130:], 16)
    return signature[:130] + f"{v + 27 if v < 27 else v:02x}"


async def _standing(session: AsyncSession, quote: Quote) -> Authorization | None:
    query = select(Authorization).where(
        Authorization.quote_id == quote.id, Authorization.status != "refused"
    )
    return (await session.scalars(query)).one_or_none()


async def _limit(
    session: AsyncSession,
    network: Network,
    policy: RelayPolicy,
    quote: Quote,
    payer: str,
    now: datetime,
) -> None:
    """Raises TooMany. What was refused cost nothing, but counts for its invoice. Whoever counts
    holds a lock until the commit, so that two do not take the same last place."""
    number = lock_number(f"relays:{network.id}")
    await session.execute(text("select pg_advisory_xact_lock(:n)"), {"n": number})
    counted = select(func.count()).select_from(Authorization)
    sent = counted.where(
        Authorization.network == network.id,
        Authorization.created_at > now - WINDOW,
        Authorization.status != "refused",
    )
    for query, most in (
        (counted.where(Authorization.invoice_id == quote.invoice_id), policy.per_invoice),
        (sent.where(Authorization.payer == payer), policy.per_payer),
        (sent, policy.per_hour),
    ):
        if (await session.scalar(query) or 0) >= most:
            said = "no more payments are relayed now: send it from the wallet itself"
            raise TooMany(said, code="relay_limit")
