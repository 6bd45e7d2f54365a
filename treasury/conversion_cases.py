"""A conversion and its orders under lock: what an order's new facts mean for all of it.

Called in the transaction that stores an outcome, so that the order's end, its fills, the next order
and the conversion's state stand together or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.context import Context
from core.db import raw
from core.listen import notify
from exchanges.types import Market
from ledger.accounts import SLIPPAGE, TRADING
from ledger.journal import Entry, Kind, post, transfer
from prices import markets
from treasury import plan
from treasury.conversion_machine import OVER, ConversionStatus, judge
from treasury.conversion_orders import Limits, Made, Next
from treasury.conversion_tables import Conversion, Order
from treasury.conversion_views import conversion_json
from treasury.order_machine import OrderStatus
from treasury.units import ledger_code
from webhooks.events import NewEvent, emit

CHANNEL = "orders"


@dataclass(slots=True)
class Case:
    """A conversion and all its orders, locked by the caller's transaction."""

    conversion: Conversion
    orders: list[Order]

    def order(self, order_id: UUID) -> Order:
        return next(order for order in self.orders if order.id == order_id)


async def lock(session: AsyncSession, conversion_id: UUID) -> Case:
    """Always the conversion first: two steps of one conversion wait here for each other."""
    conversion = await session.get_one(Conversion, conversion_id, with_for_update=True)
    query = select(Order).where(Order.conversion_id == conversion_id).order_by(Order.id)
    fresh = query.with_for_update().execution_options(populate_existing=True)
    return Case(conversion, list(await session.scalars(fresh)))


async def advance(
    session: AsyncSession, context: Context, case: Case, now: datetime, limits: Limits
) -> None:
    """Judges the conversion anew and stores what follows: orders, its state, its result in the
    books, its events. `now` is wall time."""
    row = case.conversion
    planned = plan.parse(row.plan)
    before = ConversionStatus(row.status)
    found = judge(
        planned,
        [made(order) for order in case.orders],
        await load_markets(session),
        valid_until=row.valid_until,
        now=now,
        limits=limits,
        over=before in OVER,
    )
    for one in found.orders:
        case.orders.append(order_row(row.id, one, now))
        session.add(case.orders[-1])
    two_steps = {leg.path for leg in planned.legs if leg.step == 1}
    _hold(case.orders, two_steps, over=found.status in OVER)
    changed = (row.given, row.got) != (found.given, found.got)
    row.status, row.reason = found.status.value, found.reason
    row.given, row.got = found.given, found.got
    over = found.status in OVER
    if over:
        row.finished_at = row.finished_at or context.clock.now()
        await _weigh(session, context, row, found.against_quote)
    await session.flush()
    if found.status is not before:
        await tell(session, context, case, found.status.value)
    elif over and changed:
        await tell(session, context, case, "updated")
    if found.orders:
        await wake(session)


def made(order: Order) -> Made:
    """An order as the conversion's machine sees it."""
    return Made(
        path=order.path,
        step=order.step,
        attempt=order.attempt,
        status=OrderStatus(order.status),
        sent=order.sends > 0,
        lost=order.status == OrderStatus.REFUSED
        and not (order.refused or order.written_off or order.venue_status),
        dead=order.dead,
        reason=order.reason,
        booked=order.booked,
        given=order.given,
        got=order.got,
    )


def order_row(conversion_id: UUID, wanted: Next, now: datetime) -> Order:
    """An order that nobody has sent. Its client id follows from its place in the conversion: made
    twice, it is the same. A UUID, which both venues take."""
    place = f"{wanted.path}.{wanted.step}.{wanted.attempt}"
    return Order(
        id=ids.new(),
        conversion_id=conversion_id,
        path=wanted.path,
        step=wanted.step,
        attempt=wanted.attempt,
        venue=wanted.venue,
        symbol=wanted.symbol,
        side=wanted.side.value,
        quantity=wanted.quantity,
        limit_price=wanted.limit_price,
        from_asset=wanted.from_asset,
        to_asset=wanted.to_asset,
        client_id=str(uuid5(conversion_id, place)),
        created_at=now,
        send_until=wanted.send_until,
        status=OrderStatus.PREPARED.value,
        sends=0,
        refused=False,
        absent=0,
        written_off=False,
        dead=False,
        venue_filled=0,
        booked=0,
        given=0,
        got=0,
        booked_quote=0,
        fees={},
        blocked=wanted.blocks,
        held=0,
        version=0,
        due_at=wanted.due_at,
    )


async def load_markets(session: AsyncSession) -> Mapping[tuple[str, str], Market]:
    """As the venues' rules were read last."""
    return await markets.load(await raw(session))


async def tell(session: AsyncSession, context: Context, case: Case, what: str) -> None:
    """The house's own event `conversion.<what>`."""
    shown = conversion_json(case.conversion, case.orders)
    event = NewEvent(None, f"conversion.{what}", shown["id"], shown)
    await emit(session, [event], context.clock.now())


async def wake(session: AsyncSession) -> None:
    """Whoever sends orders looks at once, at the commit."""
    await notify(session, CHANNEL)


def _hold(orders: Sequence[Order], two_steps: set[int], *, over: bool) -> None:
    """What a first step brought is held until it is ordered on."""
    handed = {order.path for order in orders if order.step > 0}
    for order in orders:
        holds = order.step == 0 and order.path in two_steps - handed and not over
        order.held = max(0, order.got) if holds else 0


async def _weigh(
    session: AsyncSession, context: Context, row: Conversion, against: Mapping[str, int]
) -> None:
    """Brings `income:slippage` to what the conversion came to: the trade at the quote's rate stays
    in `trading`, what went better or worse has an account of its own. A late fill corrects it."""
    stands = {asset: int(units) for asset, units in row.against_quote.items()}
    changes = {
        asset: against.get(asset, 0) - stands.get(asset, 0) for asset in sorted({*against, *stands})
    }
    lines = [
        line
        for asset, units in changes.items()
        if units
        for line in transfer(
            ledger_code(context.catalog, asset), units, debit=TRADING, credit=SLIPPAGE
        )
    ]
    if not lines:
        return
    cnv = ids.show("cnv", row.id)
    result = {asset: str(units) for asset, units in sorted(against.items())}
    entry = Entry(
        id=ids.new(),
        # Each correction follows from the sums before it: the same one cannot be made twice.
        key=f"slippage:{cnv}:{row.given}:{row.got}:{_stamp(result)}",
        kind=Kind.SLIPPAGE,
        reference=cnv,
        merchant_id=None,
        evidence={"conversion": cnv, "quote": ids.show("qte", row.quote_id), "result": result},
        posted_at=context.clock.now(),
        postings=tuple(lines),
    )
    await post(session, [entry])
    row.against_quote = result


def _stamp(result: Mapping[str, str]) -> str:
    return ",".join(f"{asset}={units}" for asset, units in result.items())
