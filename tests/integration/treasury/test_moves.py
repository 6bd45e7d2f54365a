"""Moves on a real chain, to and from a venue that loses, hides, fails and is late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from core import ids
from core.clock import wall
from core.context import MoveSettings
from core.errors import Conflict, Invalid, OrderRefused, OutcomeUnknown, VenueUnavailable
from core.networks import HotLevel
from exchanges.numbers import ONE
from exchanges.types import TransferStatus
from ledger.accounts import EQUITY, exchange, transit
from ledger.journal import Entry, Kind, Posting, post, transfer
from reconciliation import resolving
from tests.integration.treasury.moving import FEE, HELD, KEY, Moving, named, order_of
from tests.waiting import eventually
from treasury import hot_levels, moves, order_unasked

LOST = OutcomeUnknown("no answer")


def entry(key: str, kind: Kind, postings: tuple[Posting, ...]) -> Entry:
    return Entry(
        id=ids.new(), key=key, kind=kind, reference="test", merchant_id=None, evidence={},
        posted_at=wall(), postings=postings,
    )  # fmt: skip


async def sent(moving: Moving) -> UUID:
    """One ETH from the hot wallet, in a block that the books have."""
    number = await moving.ask("hot", "binance")
    await moving.until(number, "sending")
    await moving.send()
    await moving.follow()
    await moving.until(number, "in_transit")
    return number


async def withdrawn(moving: Moving) -> UUID:
    number = await moving.ask("binance", "hot")
    await moving.until(number, "in_transit")
    return number


async def test_to_a_venue_in_transit_until_it_credits(moving: Moving) -> None:
    number = await sent(moving)
    gas = (await moving.world.balances())["expense:gas", "ETH"]
    assert await moving.balances() == {
        moving.hot_place: HELD - ONE - gas,
        (transit(number), "ETH"): ONE,
        moving.venue_place: HELD,
        ("exchange:coinbase", "ETH"): HELD,
    }
    tx_hash = (await moving.show(number))["tx_hash"]
    moving.venue.credit("ETH", "0x" + "77" * 32, ONE)  # somebody else's
    await moving.work()
    assert (await moving.show(number))["status"] == "in_transit"
    moving.venue.credit("ETH", tx_hash, ONE)
    shown = await moving.until(number, "done")
    assert (shown["venue_transfer"], shown["venue_status"]) == ("d1", "done")
    assert (await moving.balances())[moving.venue_place] == HELD + ONE
    await moving.books_match()
    assert await moving.story(number) == [
        "requested", "approved", "sending", "in_transit", "done",
    ]  # fmt: skip
    assert await moving.open_breaks() == []


async def test_a_fork_takes_it_back_and_the_same_bytes_return(moving: Moving) -> None:
    await moving.world.mine(2)
    number = await sent(moving)
    await moving.world.mine(1)
    await moving.world.node.reorg(3)
    await moving.world.node.rpc("anvil_dropAllTransactions")
    await moving.follow()
    assert (await moving.balances())[moving.hot_place] == HELD
    await moving.loop.heard(named(number))
    await moving.until(number, "sending")
    await moving.send()
    await moving.follow()
    await moving.loop.heard(named(number))
    shown = await moving.until(number, "in_transit")
    moving.venue.credit("ETH", shown["tx_hash"], ONE)
    await moving.until(number, "done")
    await moving.books_match()


async def test_a_new_address_waits_for_a_person(moving: Moving) -> None:
    moving.world.context.moves = MoveSettings()
    number = await moving.ask("hot", "binance")
    shown = await moving.until(number, "requested", "address_held")
    assert shown["address"].lower() == moving.world.node.accounts[8]
    assert await moving.work() == 0
    async with moving.world.context.database.begin() as session:
        await moves.approve(session, moving.world.context, number, "key_1")
    await moving.until(number, "sending")
    # The next one goes by itself, but not to an address that the venue tells from now on.
    await moving.until(await moving.ask("hot", "binance"), "sending")
    moving.venue.moved = "0x" + "99" * 20
    await moving.until(await moving.ask("hot", "binance"), "requested", "address_held")
    assert await moving.story(number) == ["requested", "held", "approved", "sending"]


async def test_an_address_that_changed_in_between_gets_nothing(moving: Moving) -> None:
    moving.world.context.moves = MoveSettings()
    number = await moving.ask("hot", "binance")
    await moving.until(number, "requested", "address_held")
    async with moving.world.context.database.begin() as session:
        await moves.approve(session, moving.world.context, number, "key_1")
    moving.venue.moved = "0x" + "99" * 20
    await moving.until(number, "requested", "address_held")
    assert await moving.world.rows("transactions") == []


async def test_funds_are_there_once(moving: Moving) -> None:
    """Of two that fit alone the second one is refused, or waits and says why."""
    first, second = await moving.ask("hot", "binance", "6"), await moving.ask("hot", "binance", "6")
    with pytest.raises(Conflict, match="free"):
        await moving.ask("hot", "binance", "11")

    async def judged() -> bool:
        await moving.work()
        rows = [await moving.row(number) for number in (first, second)]
        return {row.reason for row in rows} == {None, "hot_wallet_short"}

    await eventually(judged)
    if (await moving.row(first)).status != "sending":
        first, second = second, first
    assert (await moving.row(second)).status == "approved"
    async with moving.world.context.database.begin() as session:
        shown = await moves.cancel(session, moving.world.context, second)
    assert (shown["status"], shown["reason"]) == ("failed", "cancelled")
    await moving.ask("binance", "hot", "6")
    with pytest.raises(Conflict, match="free"):
        await moving.ask("binance", "hot", "6")
    await moving.ask("coinbase", "hot", "6")


async def test_an_inflow_before_its_hash_is_told_waits_without_a_break(moving: Moving) -> None:
    number = await withdrawn(moving)
    mine = named(number)
    assert (await moving.balances())[transit(number), "ETH"] == ONE - FEE
    tx_hash = await moving.venue.pay(mine, tell=False)
    await moving.follow()
    assert await moving.look() == 0
    assert (await moving.balances())["suspense", "ETH"] == FEE - ONE
    assert await moving.open_breaks() == []
    moving.venue.tell(mine, tx_hash)
    await moving.work()
    assert await moving.look() == 1
    shown = await moving.until(number, "done")
    assert (shown["fee"], shown["tx_hash"]) == ("0.0004", tx_hash)
    balances = await moving.balances()
    assert balances[moving.venue_place] == HELD - ONE
    assert balances["expense:exchange_fees", "ETH"] == FEE
    await moving.books_match()
    assert await moving.open_breaks() == []


async def test_an_inflow_of_a_known_hash_arrives_at_once(moving: Moving) -> None:
    await moving.world.mine(2)
    number = await withdrawn(moving)
    await moving.venue.pay(named(number))
    await moving.until(number, "in_transit")

    async def knows_the_hash() -> bool:  # it is asked for when the next question is due
        await moving.work()
        return (await moving.show(number))["tx_hash"] is not None

    await eventually(knows_the_hash)
    await moving.follow()
    [row] = await moving.world.rows("house_movements")
    assert (row.meaning, row.reference) == ("arrived", named(number))
    await moving.until(number, "done")
    await moving.books_match()
    # A fork takes it back: it is in transit again, until the venue's bytes return.
    raw = await moving.world.node.raw(row.tx_hash)
    await moving.world.node.reorg(1)
    await moving.world.node.rpc("anvil_dropAllTransactions")
    await moving.follow()
    await moving.loop.heard(named(number))
    await moving.until(number, "in_transit")
    assert (await moving.balances())[transit(number), "ETH"] == ONE - FEE
    await moving.world.node.rpc("eth_sendRawTransaction", raw)
    await moving.world.node.mine()
    await moving.follow()
    await moving.loop.heard(named(number))
    await moving.until(number, "done")
    await moving.books_match()


async def test_a_venue_has_its_last_word_after_the_money_came(moving: Moving) -> None:
    number = await withdrawn(moving)
    mine = named(number)
    moving.venue.tell(mine, await moving.venue.pay(mine, tell=False))
    moving.venue.gone[mine] = replace(moving.venue.gone[mine], status=TransferStatus.PENDING)

    async def named_by_the_venue() -> bool:
        await moving.work()
        return (await moving.row(number)).tx_hash is not None

    await eventually(named_by_the_venue)
    await moving.follow()
    await moving.look()
    await moving.until(number, "done")
    assert (await moving.row(number)).venue_status == "pending"
    last = moving.venue.gone[mine]
    moving.venue.gone[mine] = replace(last, status=TransferStatus.DONE, fee=last.fee + 7)

    async def said() -> bool:
        await moving.work()
        row = await moving.row(number)
        return (row.venue_status, row.booked_fee) == ("done", FEE + 7)

    await eventually(said)
    assert (await moving.story(number)).count("done") == 1
    assert (await moving.show(number))["status"] == "done"
    await moving.books_match()


async def test_what_nobody_awaits_any_more_gets_its_break(moving: Moving) -> None:
    """While a withdrawal had no hash, money came that could have been it."""
    number = await withdrawn(moving)
    await moving.world.transfer("ETH", moving.hot, 5)
    await moving.follow()
    assert await moving.open_breaks() == []
    await moving.venue.pay(named(number))
    await moving.follow()
    await moving.work()
    assert await moving.look() == 2
    await moving.until(number, "done")
    assert await moving.open_breaks() == [("orphan", moving.hot_place[0])]
    assert (await moving.balances())["suspense", "ETH"] == -5


async def test_a_lost_answer_is_asked_about(moving: Moving) -> None:
    moving.venue.script.append((True, LOST))
    number = await moving.ask("binance", "hot")
    await moving.until(number, "in_transit")
    assert len(moving.venue.ordered) == 1
    await moving.venue.pay(named(number))
    await moving.follow()
    await moving.work()
    await moving.look()
    await moving.until(number, "done")
    await moving.books_match()


async def test_what_was_never_done_is_not_sent_again_and_a_person_decides(moving: Moving) -> None:
    moving.venue.script.append((False, LOST))
    number = await moving.ask("binance", "hot")
    await moving.until(number, "sending", "outcome_unknown")
    await moving.until_told()
    assert await moving.open_breaks() == [("missing_at_venue", "exchange:binance")]
    assert (await moving.row(number)).blocked == ONE
    async with moving.world.context.database.statement() as connection:
        await connection.execute("update breaks set status = 'resolved'")
    await moving.until(number, "failed", "written_off")
    assert (await moving.row(number)).blocked == 0
    assert len(moving.venue.ordered) == 1
    # It was there after all: booked when it shows.
    moving.venue.execute(moving.venue.ordered[0])
    await moving.until(number, "in_transit")
    assert (await moving.balances())[transit(number), "ETH"] == ONE - FEE


@pytest.mark.parametrize("executed", [True, False])
async def test_a_venue_that_knows_the_id_is_sent_it_again(moving: Moving, executed: bool) -> None:
    """A worker died between the intent and the answer: where the same id does nothing twice."""
    moving.venue.resend_returns_original = True
    number = await moving.ask("binance", "hot")
    await moving.until(number, "approved")
    row = await moving.row(number)
    left = await moving.loop.leave(row, wall())
    assert left is not None
    if executed:
        moving.venue.execute(order_of(left))
    await moving.forget_lease(number)
    await moving.until(number, "in_transit")
    assert len(moving.venue.ordered) == (0 if executed else 1)
    assert len(moving.venue.gone) == 1


async def test_a_move_of_a_venue_that_is_not_configured_is_told(moving: Moving) -> None:
    """Its funds stay where they are; configured again, it goes on."""
    number = await moving.ask("binance", "hot")
    context, later = moving.world.context, wall() + timedelta(minutes=3)
    assert await order_unasked.look(context, [], wall()) == 0
    assert await order_unasked.look(context, [], later) == 1
    assert await order_unasked.look(context, [], later) == 1
    assert await moving.open_breaks() == [("timing", "exchange:binance")]
    assert (await moving.row(number)).blocked == ONE
    assert await order_unasked.look(context, [moving.venue.venue], later) == 0
    assert await moving.open_breaks() == []
    await moving.until(number, "in_transit")


async def test_a_refusal_leaves_everything_as_it_was(moving: Moving) -> None:
    before = await moving.balances()
    moving.venue.script.append((False, OrderRefused("bad_address", "the test says so")))
    number = await moving.ask("binance", "hot")
    await moving.until(number, "failed", "bad_address")
    await moving.until(await moving.ask("binance", "hot", "0.005"), "failed", "below_minimum")
    await moving.until(await moving.ask("binance", "hot", "1.00000000000001"), "failed", "bad_step")
    moving.venue.script.append((False, VenueUnavailable("away", retry_after=0)))
    again = await moving.ask("binance", "hot")
    await moving.until(again, "in_transit")
    assert len(moving.venue.ordered) == 3
    moving.venue.fail(named(again))
    await moving.until(again, "failed", "refused_by_venue")
    assert await moving.balances() == before
    assert await moving.open_breaks() == []


async def test_hot_and_treasury_change_in_one_block(moving: Moving) -> None:
    number = await moving.ask("hot", "treasury")
    await moving.until(number, "sending")
    await moving.send()
    await moving.follow()
    await moving.until(number, "in_transit")
    assert (await moving.balances())[moving.treasury_place] == ONE
    await moving.deep()
    await moving.loop.heard(named(number))
    await moving.until(number, "done")
    await moving.books_match()


async def test_what_our_signer_cannot_sign_waits_for_its_owner(moving: Moving) -> None:
    await moving.until(await moving.ask("hot", "treasury", "2"), "sending")
    await moving.send()
    await moving.follow()
    moving.signer.refuse = "unknown_wallet"
    number = await moving.ask("treasury", "hot", "0.5")
    await moving.until(number, "sending")
    await moving.send()
    shown = await moving.until(number, "approved", "owner_signs")
    treasury = moving.world.contracts.treasury
    assert shown["safe"] == {
        "chain_id": 31337,
        "safe": shown["safe"]["safe"],
        "to": shown["address"],
        "value": str(ONE // 2),
        "data": "0x",
        "operation": 0,
    }
    assert shown["safe"]["safe"].lower() == treasury
    node = moving.world.node
    await node.rpc("anvil_impersonateAccount", treasury)
    made = {"from": treasury, "to": moving.hot, "value": hex(ONE // 2)}
    await node.receipt(await node.rpc("eth_sendTransaction", made))
    await moving.follow()
    await moving.until(number, "done")
    assert (await moving.balances())[moving.treasury_place] == 2 * ONE - ONE // 2
    await moving.books_match()
    assert await moving.open_breaks() == []


async def test_a_venue_that_credits_less_than_was_sent(moving: Moving) -> None:
    """What it kept is a person's to say; then the move has arrived."""
    number = await sent(moving)
    moving.venue.credit("ETH", str((await moving.show(number))["tx_hash"]), ONE - 7)
    await moving.until(number, "in_transit", "amount_differs")
    assert await moving.open_breaks() == [("amount", transit(number))]
    [found] = await moving.world.rows("breaks")
    async with moving.world.context.database.begin() as session:
        await resolving.resolve(
            session, moving.world.context, found.id, "write_off", "its fee", by=KEY
        )
    await moving.until(number, "done")
    assert (await moving.balances())["expense:exchange_fees", "ETH"] == 7
    await moving.books_match()


async def test_ways_that_are_none(moving: Moving) -> None:
    for source, destination in (
        ("hot", "hot"), ("binance", "coinbase"), ("bank:main", "hot"), ("hot", "bank:main"),
    ):  # fmt: skip
        with pytest.raises(Invalid, match="nothing moves"):
            await moving.ask(source, destination)
    for source, destination in (("binance", "bank:main"), ("bank:main", "binance")):
        with pytest.raises(Invalid, match="is at no bank"):
            await moving.ask(source, destination)
    for wrong in ("0", "1.0000000000000000001"):
        with pytest.raises(Invalid):
            await moving.ask("hot", "binance", wrong)


async def test_fiat_is_in_transit_from_the_order_to_the_statement(moving: Moving) -> None:
    context = moving.world.context
    async with context.database.begin() as session:
        euro = transfer("EUR@18", 500 * ONE, debit=exchange("binance"), credit=EQUITY)
        await post(session, [entry("opening:euro", Kind.OPENING, euro)])
    number = await moving.ask("binance", "bank:main", "120.50", asset="EUR", network=None)
    assert (await moving.show(number))["reason"] == "order_at_venue"
    with pytest.raises(Conflict, match="free"):
        await moving.ask("binance", "bank:main", "400", asset="EUR", network=None)
    async with context.database.begin() as session:
        await moves.approve(session, context, number, "key_1")
    await moving.until(number, "in_transit")
    balances = await moving.world.balances()
    assert balances[transit(number), "EUR"] == 12_050
    assert balances["exchange:binance", "EUR@18"] == 500 * ONE - 12_050 * ONE // 100
    async with context.database.begin() as session:
        arrived = transfer("EUR", 12_050, debit="bank:main", credit=transit(number))
        await post(session, [entry("statement:1", Kind.BANK, arrived)])
    await moving.loop.heard(named(number))
    await moving.until(number, "done")


async def test_hot_wallets_are_kept_at_their_level(moving: Moving) -> None:
    """One proposal at a time; a person may turn it down, and is left alone for a while."""
    context = moving.world.context
    network = context.catalog.networks[moving.network]
    token = replace(network.tokens[0], hot=HotLevel(target=2 * ONE, most=4 * ONE))
    assert await hot_levels.look(context, network, token)
    assert not await hot_levels.look(context, network, token)
    [row] = await moving.world.rows("moves")
    assert (row.source, row.destination, row.amount) == ("hot", "treasury", HELD - 2 * ONE)
    assert (row.trigger, row.initiator) == ("policy", "")
    async with context.database.begin() as session:
        await moves.cancel(session, context, row.id)
    assert not await hot_levels.look(context, network, token)
    context.clock.set_offset(context.clock.offset + 2 * hot_levels.AGAIN)
    assert await hot_levels.look(context, network, token)
