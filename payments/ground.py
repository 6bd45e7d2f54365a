"""What a batch stands on: the guard row, locked, and all that is known before it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from chain.types import Batch
from core.db import Raw
from core.networks import Catalog, Network
from payments import claims
from payments import heights as heights_of
from payments.intake import OWNERS, ROLES, Owner, owners_of, parties
from payments.tiers import Heights, waits_for
from prices import book
from risk.screening import ACTIVE
from wallets.settling import UNDER_WAY

_GUARD = """
select number, hash, safe, finalized, followed_until, stalled from network_cursors
where network = %s and halted is null for update
"""
# The sums are those of each whole invoice: its deposits on other networks count as well.
_PENDING = """
select * from (
    select d.network, coalesce(invoice_id, wallet_id) as holder, invoice_id is null, required,
        block_number, waiting_for, witnessed,
        s.id is null or s.status = 'done' or s.reasons <> '[]',
        sum(d.house_value) over (partition by invoice_id, wallet_id),
        bool_or(d.house_value is null) over (partition by invoice_id, wallet_id)
    from deposits d left join screenings s on s.subject = 'deposit' and s.subject_id = d.id
    where d.status = 'pending'
) as pending where network = %s and holder is not null
"""
_GONE = """
select distinct invoice_id, wallet_id from deposits
where network = %s and block_number > %s and status <> 'orphaned'
"""
# What takes one word to say, in one statement: prices' version, whether stored settings ask for
# screening, whether transactions of ours are under way.
_WORDS = f"select ({book.VERSION}), ({ACTIVE}), ({UNDER_WAY})"
_ANCESTOR = "select hash from blocks where network = %s and number = %s"


@dataclass(slots=True)
class Guard:
    """The network's cursor as it stands: stored, and after `advance` as it will be."""

    number: int
    hash: str
    safe: int | None
    finalized: int | None
    followed_until: datetime
    stalled: bool

    @property
    def heights(self) -> Heights:
        return Heights(self.number, self.safe, self.finalized)


@dataclass(frozen=True, slots=True)
class Ground:
    """`owners` by deposit address, `billed` by the invoice's word in a payment through our router;
    `screening`: what is stored asks for sources to be screened; `sending`: transactions of ours are
    under way; `pending` are invoices and customers' wallets (those in `wallets`) whose pending
    deposits wait for something: see `ripe`.
    """

    guard: Guard
    owners: dict[str, Owner]
    billed: dict[str, Owner]
    roles: dict[str, str]
    heights: dict[str, Heights]
    followed: dict[str, datetime]
    prices: str
    screening: bool
    sending: bool
    pending: Sequence[tuple[UUID, str, int, str | None, bool, bool, int | None]]
    wallets: set[UUID]


async def read(connection: Raw, catalog: Catalog, network: Network, batch: Batch) -> Ground | None:
    """Locks the guard row and reads the rest behind it, in one round trip.

    None when the batch does not begin exactly at the stored cursor, or the network is halted.
    """
    addresses, named = ",".join(parties(batch)), claims.invoices_of(batch)
    async with connection.pipeline():
        guarding = await connection.execute(_GUARD, (network.id,))
        owning = await connection.execute(OWNERS, (addresses,))
        playing = await connection.execute(ROLES, (network.id,))
        waiting = await connection.execute(_PENDING, (network.id,))
        following = await connection.execute(heights_of.KNOWN)
        saying = await connection.execute(_WORDS, (network.id,))
        billing = await connection.execute(claims.BILLED, (named,)) if named else None
    row, words = await guarding.fetchone(), await saying.fetchone()
    assert words is not None  # noqa: S101  (a select without from always has a row)
    prices, screening, sending = words
    if row is None or row[:2] != (batch.start.number, batch.start.hash):
        return None
    heights, followed = heights_of.known(await following.fetchall(), catalog)
    merchants = dict(await billing.fetchall()) if billing else {}
    pending = await waiting.fetchall()
    return Ground(
        guard=Guard(*row),
        owners=owners_of(await owning.fetchall()),
        billed={w: Owner(*of) for w, of in claims.known(batch.payments, merchants).items()},
        roles=dict(await playing.fetchall()),
        heights=heights,
        followed=followed,
        prices=prices,
        screening=screening,
        sending=sending,
        pending=[
            (
                holder, required, block_number, waiting_for, witnessed, screened,
                None if unpriced else sum_,
            )
            for _, holder, _, required, block_number, waiting_for, witnessed, screened, sum_,
            unpriced in pending
        ],
        wallets={holder for _, holder, is_wallet, *_ in pending if is_wallet},
    )  # fmt: skip


async def advance(
    connection: Raw, network: Network, ground: Ground, batch: Batch, now: datetime
) -> None:
    """The guard moves before anything is judged: what follows reads the new height from it."""
    guard = ground.guard
    if batch.blocks:
        guard.number, guard.hash = batch.blocks[-1].number, batch.blocks[-1].hash
    elif batch.fork is not None:
        row = await (await connection.execute(_ANCESTOR, (network.id, batch.fork))).fetchone()
        assert row is not None  # noqa: S101  (the reader found it by what is stored)
        guard.number, guard.hash = batch.fork, row[0]
    # A safe or finalized number of a chain that is still ahead of us counts only as far as we are.
    guard.safe = None if batch.safe is None else min(batch.safe, guard.number)
    if batch.finalized is not None:
        guard.finalized = max(guard.finalized or 0, min(batch.finalized, guard.number))
    if batch.blocks and guard.number >= batch.head:
        stamp = datetime.fromtimestamp(batch.blocks[-1].timestamp, UTC)
        guard.followed_until = heights_of.known_until(network, stamp, now)
    ground.heights[network.id] = guard.heights
    if network.id in ground.followed:
        ground.followed[network.id] = guard.followed_until


def ripe(network: Network, ground: Ground) -> set[UUID]:
    """Invoices and wallets with a pending deposit that waits for something else by now, or for
    nothing."""
    return {
        holder
        for holder, required, block_number, waiting_for, witnessed, screened, unconfirmed
        in ground.pending
        if waiting_for != waits_for(
            network, required, unconfirmed, block_number, ground.guard.heights,
            witnessed=witnessed, screened=screened,
        )
    }  # fmt: skip


async def above(connection: Raw, network: Network, fork: int | None) -> tuple[set[UUID], set[UUID]]:
    """Invoices, and customers' wallets, with deposits that a fork takes back."""
    if fork is None:
        return set(), set()
    cursor = await connection.execute(_GONE, (network.id, fork))
    rows = await cursor.fetchall()
    return {i for i, _ in rows if i is not None}, {w for _, w in rows if w is not None}
