"""From movements on chain to deposits and house movements: who is meant, and what it is worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from chain.types import Batch, Movement, Swept
from core import ids
from core.errors import PriceUnavailable
from core.networks import Catalog, Network, Token
from ledger.accounts import Role
from payments import rows
from payments.depth import H
from payments.tables import Deposit
from payments.values import floor, worth
from prices.book import PriceBook


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a deposit address is."""

    merchant_id: UUID
    invoice_id: UUID | None
    wallet_id: UUID | None = None

    @property
    def holder(self) -> UUID | None:
        """What gathers the deposits of the address."""
        return self.invoice_id or self.wallet_id


# Addresses as one text: an array of thousands costs more to send than to look up.
OWNERS = """
select address, merchant_id, invoice_id, wallet_id from deposit_addresses
where address = any(string_to_array(%s, ',')) and coalesce(invoice_id, wallet_id) is not null
"""
# Treasury and hot wallets of a network. They are few.
ROLES = "select address, role from house_addresses where network = %s"


def owners_of(
    rows: Iterable[tuple[str, UUID, UUID | None, UUID | None]],
) -> dict[str, Owner]:
    """Of the rows of OWNERS: a lookup, so a block costs the same at any number of addresses
    (DESIGN 1, decision 9)."""
    return {
        address: Owner(merchant_id, invoice_id, wallet_id)
        for address, merchant_id, invoice_id, wallet_id in rows
    }


def parties(batch: Batch) -> set[str]:
    """Every address whose owner must be known before the batch can be applied."""
    found = {movement.recipient for movement in batch.movements}
    return found | {sweep.deposit_address for sweep in batch.sweeps}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A movement that is a deposit. `role` says whose the address is; `quote_hash` which quote of
    our router was paid."""

    movement: Movement
    owner: Owner
    role: Role = Role.DEPOSITS
    quote_hash: str | None = None


def arrivals(
    batch: Batch,
    owners: Mapping[str, Owner],
    billed: Mapping[str, Owner],
    roles: Mapping[str, str],
) -> list[Arrival]:
    """What these blocks bring to our addresses, and through our router for invoices of ours.

    `billed`: a quote's invoice word -> whose it is; `roles`: of the house's addresses.
    """
    found = [Arrival(m, owners[m.recipient]) for m in batch.movements if m.recipient in owners]
    for paid in batch.payments:
        if owner := billed.get(paid.invoice):
            role = Role(roles.get(paid.treasury, Role.TREASURY))
            found.append(Arrival(paid.movement, owner, role, paid.quote_hash))
    if batch.payments:
        found.sort(key=lambda one: one.movement.block_number)
    return found


@dataclass(frozen=True, slots=True)
class Valuer:
    """Prices of the moment a deposit is seen."""

    catalog: Catalog
    book: PriceBook
    now: datetime

    def house_value(self, token: Token, amount: int) -> int | None:
        """In minor units of the house currency, rounded down; None without a fresh price."""
        house = self.catalog.asset(self.catalog.house_currency)
        if house is None:
            return None
        try:
            rate = self.book.rate(token.asset.symbol, house.symbol, self.now)
        except PriceUnavailable:
            return None
        return floor(worth(amount, token.asset.decimals, rate.price, house.decimals))

    def when_seen(self, token: Token, currency: str | None) -> int | None:
        """The asset's price in the invoice's currency, the last known one if none is fresh."""
        if currency is None:
            return None
        try:
            return self.book.rate(token.asset.symbol, currency, self.now).price
        except PriceUnavailable:
            return self.book.last_known(token.asset.symbol, currency)


def take_in(
    network: Network,
    batch: Batch,
    arriving: Sequence[Arrival],
    holders: Mapping[UUID, H],
    valuer: Valuer,
) -> list[tuple[H, Deposit]]:
    """Makes or revives one deposit per arrival at these holders, in chain order. At most one is
    live.

    A row that the chain took back and gives again (A, B, A) is the same movement: it becomes
    pending again and its generation grows, so that its entries have keys of their own.
    """
    tokens = network.by_address()
    times = {block.hash: block.timestamp for block in batch.blocks}
    known = {
        (d.block_hash, d.tx_hash, d.position, d.address): d
        for holder in holders.values()
        for d in holder.deposits
        if d.network == network.id
    }
    arrived: list[tuple[H, Deposit]] = []
    for one in arriving:
        movement, token = one.movement, tokens.get(one.movement.token)
        holder = holders.get(one.owner.holder) if one.owner.holder else None
        if holder is None or token is None or movement.amount == 0:
            continue
        name = (movement.block_hash, movement.tx_hash, movement.position, movement.recipient)
        deposit = known.get(name)
        if deposit is None:
            block_time = datetime.fromtimestamp(times[movement.block_hash], UTC)
            deposit = _new_deposit(network, one, token, block_time)
            holder.deposits.append(deposit)
        elif deposit.status == "orphaned":
            deposit.generation += 1
            deposit.witnessed = False
        else:
            continue
        deposit.house_value = valuer.house_value(token, deposit.amount)
        deposit.price_when_seen = valuer.when_seen(token, holder.currency)
        deposit.seen_at = valuer.now
        arrived.append((holder, deposit))
    return arrived


def _new_deposit(network: Network, arrival: Arrival, token: Token, block_time: datetime) -> Deposit:
    movement = arrival.movement
    return rows.Deposit(
        id=ids.new(),
        merchant_id=arrival.owner.merchant_id,
        invoice_id=arrival.owner.invoice_id,
        wallet_id=arrival.owner.wallet_id,
        network=network.id,
        block_hash=movement.block_hash,
        block_number=movement.block_number,
        block_time=block_time,
        tx_hash=movement.tx_hash,
        position=movement.position,
        asset=token.asset.symbol,
        token=movement.token,
        amount=movement.amount,
        sender=movement.sender,
        address=movement.recipient,
        role=arrival.role.value,
        quote_hash=arrival.quote_hash,
        status="pending",
        generation=0,
        account="",
        required="",
        witnessed=False,
        held=False,
    )


def returned(
    gone: Sequence[Deposit], arrived: Sequence[tuple[object, Deposit]]
) -> tuple[set[UUID], set[UUID]]:
    """Deposits taken back and given again by the same batch: (ids gone, ids come back).

    The same transaction with the same amount to the same address for the same invoice is the same
    payment for the merchant, at whatever height or log index; only the ledger needs to know.
    """

    def name(d: Deposit) -> tuple[UUID | None, str, str, str, int]:
        return d.invoice_id, d.tx_hash, d.address, d.token, d.amount

    left: dict[tuple[UUID | None, str, str, str, int], list[Deposit]] = defaultdict(list)
    for deposit in gone:
        left[name(deposit)].append(deposit)
    quiet: set[UUID] = set()
    back: set[UUID] = set()
    for _, deposit in arrived:
        if same := left[name(deposit)]:
            was = same.pop(0)
            _inherit(deposit, was)
            quiet.add(was.id)
            back.add(deposit.id)
    return quiet, back


def _inherit(deposit: Deposit, was: Deposit) -> None:
    """The same payment keeps what it was worth when it was seen, and what was said and decided."""
    deposit.house_value, deposit.price_when_seen = was.house_value, was.price_when_seen
    deposit.seen_at, deposit.held = was.seen_at, was.held
    deposit.inbox_reason = was.inbox_reason
    deposit.resolution, deposit.resolved_at = was.resolution, was.resolved_at


def claimed_by(sweep: Swept, movement: Movement) -> bool:
    """Whether a movement to the treasury is a sweep's own transfer: evidence, not an inflow."""
    return (
        movement.tx_hash == sweep.tx_hash
        and movement.token == sweep.token
        and movement.sender == sweep.deposit_address
        and movement.recipient == sweep.treasury
    )
