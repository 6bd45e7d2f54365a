"""Deposits to customers' wallets, as the chain brings, confirms and takes them back (MONEY 1, 2).

No invoice is judged here: what is confirmed and not held is the customer's, in whatever asset and
on whatever network of ours it came. Dust is credited like the rest, and nobody is told of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from chain.types import Batch
from core.context import Context
from core.db import Raw
from core.ids import show
from core.networks import Network
from ledger.accounts import Debt
from payments import entries, rows, screened
from payments.cases import Outcome, credit_pending, take_back
from payments.depth import Word, confirm, confirmed_above, release, set_policy
from payments.facts import InboxReason
from payments.ground import Ground
from payments.intake import Arrival, Valuer, returned, take_in
from payments.tables import Deposit
from payments.views import deposit_json
from webhooks.events import NewEvent

_NO_FORK = 2**62


@dataclass(slots=True)
class Purse:
    """A customer's wallet, locked, and those of its deposits that may change yet."""

    id: UUID
    merchant_id: UUID
    deposits: list[Deposit] = field(default_factory=list)
    words: dict[UUID, Word] = field(default_factory=dict)
    as_read: rows.AsRead = field(default_factory=dict)

    @property
    def currency(self) -> None:
        """Nothing is to be paid, so nothing is valued in a currency."""
        return


@dataclass(frozen=True, slots=True)
class Received:
    """What a batch did to wallets."""

    gone: list[Deposit]
    arrived: list[Deposit]
    screening: screened.Asking


async def lock(
    connection: Raw,
    network: Network | None,
    wallets: Collection[UUID],
    arriving: Sequence[Arrival] = (),
    fork: int | None = None,
) -> dict[UUID, Purse]:
    """These wallets and those that something arrives at, in sorted order; none costs nothing."""
    coming = [one for one in arriving if one.owner.wallet_id is not None]
    wanted = {*wallets, *(one.owner.wallet_id for one in coming if one.owner.wallet_id)}
    if not wanted:
        return {}
    found, deposits, as_read, words = await rows.lock_of_wallets(
        connection,
        sorted(wanted),
        network.id if network else "",
        _NO_FORK if fork is None else fork,
        sorted({one.movement.tx_hash for one in coming}),
    )
    purses = {number: Purse(number, merchant_id, as_read=as_read) for number, merchant_id in found}
    for deposit in deposits:
        assert deposit.wallet_id is not None  # noqa: S101  (asked for by it)
        purse = purses[deposit.wallet_id]
        purse.deposits.append(deposit)
        if deposit.id in words:
            purse.words[deposit.id] = words[deposit.id]
    return purses


def receive(
    network: Network,
    batch: Batch,
    ground: Ground,
    arriving: Sequence[Arrival],
    purses: Mapping[UUID, Purse],
    valuer: Valuer,
    outcome: Outcome,
) -> Received:
    """What these blocks do to deposits of wallets: taken back, arrived, confirmed."""
    everybody, here, now = purses.values(), ground.guard.heights, outcome.now
    sure = confirmed_above(everybody, network, batch.fork)
    gone = [d for _, d in take_back(everybody, network, batch.fork, outcome)]
    arrived = take_in(network, batch, arriving, purses, valuer)
    quiet, back = returned(gone, arrived)
    for _, deposit in arrived:
        credit_pending(deposit, outcome)
    screening = screened.ask(outcome.context, network, ground.screening, arrived)
    set_policy(network, everybody)
    for deposit in gone:
        if deposit.id not in quiet and deposit.status == "orphaned":
            tell("orphaned", deposit, outcome)
    for _, deposit in arrived:
        if deposit.id not in back:
            tell("seen", deposit, outcome)
    # Confirmed before, and deep enough in the other block: it never stopped being confirmed.
    unshaken = {d.id for _, d in arrived if d.id in back and d.tx_hash in sure}
    confirm(network, everybody, here, now, only=unshaken)
    for _, deposit in confirm(network, everybody, here, now):
        tell("confirmed", deposit, outcome)
    settle(everybody, outcome)
    return Received(gone, [d for _, d in arrived], screening)


def settle(purses: Iterable[Purse], outcome: Outcome) -> None:
    """Where each debt belongs, and what is told of it."""
    release(purses)
    for purse, deposit in [(p, d) for p in purses for d in p.deposits if d.status == "confirmed"]:
        before = deposit.inbox_reason
        deposit.inbox_reason = InboxReason.HELD.value if deposit.held else None
        if deposit.held and before is None:
            tell("unmatched", deposit, outcome)
        belongs = _belongs(purse, deposit)
        if deposit.account != belongs:
            outcome.entries.append(entries.moved(deposit, belongs, outcome.now))
            deposit.account = belongs.value


def _belongs(purse: Purse, deposit: Deposit) -> Debt:
    """The customer has what is not held. What a person rejected is not his, and no longer among
    his money: it lies apart, with a Break, until it goes back to its payer (wallet_refunds)."""
    if not deposit.held or deposit.resolution == "refund":
        return Debt.AVAILABLE
    return Debt.INBOX if screened.rejected(purse, deposit) else Debt.PENDING


def tell(what: str, deposit: Deposit, outcome: Outcome) -> None:
    """`deposit.<what>`; dust is recorded without a word."""
    if deposit.house_value == 0:
        return
    data = deposit_json(deposit, None, outcome.context.catalog, outcome.heights)
    named = show("dep", deposit.id)
    outcome.events.append(NewEvent(deposit.merchant_id, f"deposit.{what}", named, data))


def rejudge(context: Context, purses: Collection[Purse], outcome: Outcome) -> None:
    """Screening has said something: applied without a block."""
    for network in context.catalog.networks.values():
        if network.id in outcome.heights:
            heights = outcome.heights[network.id]
            for _, deposit in confirm(network, purses, heights, outcome.now):
                tell("confirmed", deposit, outcome)
    settle(purses, outcome)


async def save(connection: Raw, purses: Collection[Purse]) -> None:
    """What became of their deposits: one statement at most, fit for a pipeline."""
    as_read = next((purse.as_read for purse in purses), {})
    await rows.save(connection, as_read, [], [d for purse in purses for d in purse.deposits])
