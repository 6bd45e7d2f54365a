"""An order of a venue that is not configured any more: told, kept, and gone on with."""

from __future__ import annotations

from datetime import timedelta

from core.clock import wall
from exchanges.numbers import ONE
from exchanges.types import Venue
from ledger.breaks import close_break
from tests.integration.treasury.converting import Converting, sell_eth
from tests.integration.treasury.scripted import lost
from treasury import order_unasked

LATER = timedelta(minutes=3)


async def breaks(desk: Converting) -> list[tuple[str, str]]:
    rows = await desk.rows("select kind, status, key from breaks order by id")
    assert all(row.key.startswith("unasked:ord_") for row in rows)
    return [(row.kind, row.status) for row in rows]


async def sent(desk: Converting) -> None:
    """An order whose answer was lost, and which the venue has."""
    desk.exchange.script.append(lost(executed=True))
    desk.exchange.hidden = 1
    await desk.start(sell_eth())
    await desk.work()


async def test_it_is_told_once_and_keeps_its_funds(desk: Converting) -> None:
    await sent(desk)
    others = [Venue.COINBASE]
    assert await order_unasked.look(desk.context, others, wall()) == 0  # it may be a restart
    for _ in range(2):
        assert await order_unasked.look(desk.context, others, wall() + LATER) == 1
    assert await breaks(desk) == [("timing", "open")]
    assert (await desk.told()).count("break.opened") == 1
    [row] = await desk.rows("select status, blocked from orders")
    assert (row.status, int(row.blocked)) == ("unknown", 2 * ONE)


async def test_it_goes_on_when_the_venue_is_configured_again(desk: Converting) -> None:
    await sent(desk)
    await order_unasked.look(desk.context, [], wall() + LATER)
    assert await order_unasked.look(desk.context, list(Venue), wall() + LATER) == 0
    assert await breaks(desk) == [("timing", "resolved")]
    [row] = await desk.rows("select conversion_id from orders")
    await desk.until(row.conversion_id, "filled")
    assert len(desk.exchange.placed) == 1
    await desk.agree()


async def test_what_a_person_has_explained_frees_nothing_and_is_not_told_again(
    desk: Converting,
) -> None:
    await sent(desk)
    await order_unasked.look(desk.context, [], wall() + LATER)
    async with desk.context.database.begin() as session:
        [row] = await desk.rows("select key from breaks")
        await close_break(session, row.key, "explained", wall(), by="key_person")
    assert await order_unasked.look(desk.context, [], wall() + LATER) == 1
    assert await breaks(desk) == [("timing", "resolved")]
    [order] = await desk.rows("select status, blocked, written_off from orders")
    assert (order.status, int(order.blocked), order.written_off) == ("unknown", 2 * ONE, False)


async def test_what_has_ended_strands_nobody(desk: Converting) -> None:
    number = await desk.start(sell_eth())
    await desk.until(number, "filled")
    assert await order_unasked.look(desk.context, [], wall() + LATER) == 0
