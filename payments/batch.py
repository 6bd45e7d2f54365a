"""`apply_batch`, the centre of the product: one transaction takes a run of blocks into the books.

Deposits, confirmations, ledger, invoices, events and deliveries change together or not at all
(DESIGN 1, decision 5); after it only outside calls remain.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from chain.types import Batch
from core.context import Context
from core.db import raw
from core.errors import ForkBelowFinalized
from core.networks import Network
from ledger.journal import send, settle
from payments import ground as grounds
from payments import house, overdraft, payouts, screened, surplus, wallet_deposits, x402_deposits
from payments.cases import Case, Outcome, appraise, credit_pending, judge, lock, save, take_back
from payments.depth import confirm, confirmed_above, release, set_policy
from payments.ground import Ground
from payments.intake import Arrival, Valuer, arrivals, returned, take_in
from payments.tables import Deposit, HouseMovement
from payments.write import move_cursor, record_blocks, record_holdings, wake
from prices import book
from wallets import move_settling, sweep_settling
from wallets.settling import observe
from wallets.transactions import Observed
from webhooks.desk import Lease
from webhooks.events import emit_on
from webhooks.queue import Due


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch did: the cursor as it is now, and the invoices it touched. `sending`:
    transactions of ours are under way, so the next one is read with their receipts."""

    number: int
    hash: str
    finalized: int | None
    stalled: bool
    sending: bool
    invoices: frozenset[UUID]
    deposits: int
    orphaned: int
    leased: Sequence[Due]


async def apply_batch(
    session: AsyncSession,
    context: Context,
    network: Network,
    batch: Batch,
    lease: Lease | None = None,
) -> Applied | None:
    """Applies a batch that begins exactly at the stored cursor; None when it does not (any more),
    or was read without the receipts of our own transactions although some are under way.

    The caller commits, and then sends what `lease` has covered. Whatever fails rolls all of it
    back, and the same blocks are read again.
    """
    now, connection = context.clock.now(), await raw(session)
    ground = await grounds.read(connection, context.catalog, network, batch)
    if ground is None or (ground.sending and batch.receipts is None):
        return None
    # Read before this block was final: the row that is locked here has the last word.
    finalized = ground.guard.finalized
    if batch.fork is not None and finalized is not None and batch.fork < finalized:
        raise ForkBelowFinalized(network.id, finalized)
    await grounds.advance(connection, network, ground, batch, now)
    shaken, of_wallets = await grounds.above(connection, network, batch.fork)
    arriving = arrivals(batch, ground.owners, ground.billed, ground.roles)
    arriving = await x402_deposits.assign(connection, network, arriving, now)
    ripe = grounds.ripe(network, ground)
    receiving = {one.owner.invoice_id for one in arriving if one.owner.invoice_id}
    cases = await lock(connection, shaken | (ripe - ground.wallets) | receiving)
    of_wallets |= ripe & ground.wallets
    purses = await wallet_deposits.lock(connection, network, of_wallets, arriving, batch.fork)

    outcome = Outcome(context, ground.heights, now)
    prices = await book.current(context.database, connection, ground.prices)
    valuer = Valuer(context.catalog, prices, now)
    gone, arrived, asking = _decide(network, batch, ground, arriving, cases, valuer, outcome)
    in_wallets = wallet_deposits.receive(network, batch, ground, arriving, purses, valuer, outcome)
    observed = await _sent(session, network, batch, ground, outcome)
    changed = [*gone, *in_wallets.gone], [*(d for _, d in arrived), *in_wallets.arrived]
    lost, moved = await _house(session, network, batch, ground, observed.hashes, changed, outcome)
    async with connection.pipeline():
        await move_cursor(connection, network, ground.guard, batch, now)
        await record_blocks(connection, network, batch)
        await save(connection, cases.values())
        await record_holdings(connection, *changed, lost, moved)
        await wallet_deposits.save(connection, purses.values())
        await screened.record(connection, context, asking + in_wallets.screening, now)
        posting = await send(connection, outcome.entries)
        standing = await overdraft.ask(connection, outcome.entries)
        emitted = await emit_on(connection, outcome.events, now, lease)
        await wake(connection, network.id, cases)
    told = len(outcome.events)
    balances = (await settle(posting, outcome.entries)).balances
    await overdraft.review(session, balances, outcome, standing)
    await emit_on(connection, outcome.events[told:], now)
    return Applied(
        ground.guard.number,
        ground.guard.hash,
        ground.guard.finalized,
        ground.guard.stalled,
        ground.sending,
        frozenset(cases),
        len(changed[1]),
        len(changed[0]),
        await emitted.leased() if emitted else [],
    )


def _decide(
    network: Network,
    batch: Batch,
    ground: Ground,
    arriving: Sequence[Arrival],
    cases: Mapping[UUID, Case],
    valuer: Valuer,
    outcome: Outcome,
) -> tuple[list[Deposit], list[tuple[Case, Deposit]], screened.Asking]:
    """Each invoice from its deposits as these blocks leave them: which are gone, which arrived, and
    what screening is to be told of these."""
    sure = confirmed_above(cases.values(), network, batch.fork)
    gone = [d for _, d in take_back(cases.values(), network, batch.fork, outcome)]
    arrived = take_in(network, batch, arriving, cases, valuer)
    quiet, back = returned(gone, arrived)
    for _, deposit in arrived:
        credit_pending(deposit, outcome)
    for case in {case.invoice.id: case for case, _ in arrived}.values():
        appraise(case, outcome.context)
    asking = screened.ask(outcome.context, network, ground.screening, arrived)
    set_policy(network, cases.values())
    _tell_facts(cases, gone, arrived, quiet, back, outcome)
    here = ground.guard.heights
    # Confirmed before, and deep enough in the other block: it never stopped being confirmed.
    unshaken = {d.id for _, d in arrived if d.id in back and d.tx_hash in sure}
    confirm(network, cases.values(), here, outcome.now, only=unshaken)
    release(cases.values())
    for case in cases.values():
        judge(case, ground.followed, outcome)
    confirmed = confirm(network, cases.values(), here, outcome.now)
    for case, deposit in confirmed:
        outcome.tell_deposit("confirmed", case, deposit)
    for case in {case.invoice.id: case for case, _ in confirmed}.values():
        judge(case, ground.followed, outcome)
    return gone, arrived, asking


async def _sent(
    session: AsyncSession, network: Network, batch: Batch, ground: Ground, outcome: Outcome
) -> Observed:
    """What became of transactions of ours, and of the sweeps, moves and payouts that they carry."""
    observed, now = Observed(), outcome.now
    if ground.sending:
        connection, final = await raw(session), ground.guard.finalized
        observed = await observe(connection, network, batch, finalized=final, now=now)
    gas, news = await sweep_settling.settle(session, outcome.context, network, batch, observed, now)
    outcome.entries.extend(gas)
    outcome.events.extend(news)
    outcome.entries.extend(
        await move_settling.settle(session, network, observed, ground.roles, now)
    )
    await payouts.settle(session, observed, outcome)
    return observed


def _tell_facts(
    cases: Mapping[UUID, Case],
    gone: Sequence[Deposit],
    arrived: Sequence[tuple[Case, Deposit]],
    quiet: Collection[UUID],
    back: Collection[UUID],
    outcome: Outcome,
) -> None:
    for deposit in gone:
        if deposit.id not in quiet and deposit.status == "orphaned" and deposit.invoice_id:
            outcome.tell_deposit("orphaned", cases[deposit.invoice_id], deposit)
    for case, deposit in arrived:
        if deposit.id not in back:
            outcome.tell_deposit("seen", case, deposit)


async def _house(
    session: AsyncSession,
    network: Network,
    batch: Batch,
    ground: Ground,
    explained: frozenset[str],
    deposits: tuple[Sequence[Deposit], Sequence[Deposit]],
    outcome: Outcome,
) -> tuple[list[HouseMovement], list[HouseMovement]]:
    """Sweeps and unknown inflows: taken back above a fork, or recorded; the unknown get a Break.

    `deposits`: those that these blocks take back, and those that they bring.
    """
    gone: list[HouseMovement] = []
    if batch.fork is not None:
        gone, reversals = await house.take_back(session, network.id, batch.fork, outcome.now)
        outcome.entries.extend(reversals)
    await house.mark(session, gone, arrived=False)
    expected = await house.expected(session, network, batch, ground)
    found = house.meanings(network, batch, ground, explained, expected)
    found = await surplus.part(session, found, *deposits, gone)
    live, made = await house.record(session, found, outcome.now)
    outcome.entries.extend(made)
    await house.mark(session, live, arrived=True)
    for row in live:
        if row.meaning == "unknown":
            await overdraft.open_and_tell(session, house.unknown_inflow(row), outcome)
    standing = {house.unknown_inflow(row).key for row in live if row.meaning == "unknown"}
    for row in gone:
        key = house.unknown_inflow(row).key
        if row.meaning == "unknown" and key not in standing:  # else it only changed its block
            await overdraft.close_and_tell(session, key, "the chain took it back", outcome)
    await session.flush()
    return gone, live
