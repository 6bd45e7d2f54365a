"""A venue and the books: what differs is named by its item, and nothing else is."""

# ruff: noqa: S608 - statements of tests

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core import ids
from core.clock import wall
from core.db import Base
from core.errors import Conflict
from exchanges.types import Side, TransferStatus, VenueDeposit, VenueWithdrawal
from tests.integration.reconciliation.rig import ONE, Rig
from treasury.conversion_tables import Conversion, Order
from treasury.move_tables import Move
from treasury.plan import Plan, PlannedLeg, dump

PLACE = "exchange:binance"


async def test_trades_that_are_booked(desk: Rig) -> None:
    for n in range(4):
        side = Side.BUY if n % 2 else Side.SELL
        await desk.book(desk.account.execute(str(n), side, ONE + n, 2500 * ONE))
    found = await desk.reconcile()
    assert (found["status"], found["differences"]) == ("clean", 0), await desk.breaks()
    [venue] = found["venues"]
    assert (venue["venue"], found["blocks"]) == ("binance", [])
    assert found["compared"] == 4 + 2


async def test_a_fill_that_nobody_booked(desk: Rig) -> None:
    fill = desk.account.execute("77", Side.SELL, ONE, 2500 * ONE)
    assert (await desk.reconcile())["status"] == "breaks"
    [one] = await desk.breaks()
    assert (one["kind"], one["place"], one["asset"]) == ("missing_in_ledger", PLACE, "ETH")
    assert (one["expected"], one["actual"]) == (f"0.{'0' * 18}", f"-1.{'0' * 18}")
    facts = one["facts"]
    assert (facts["fill"], facts["symbol"], facts["booked"]) == ("77", "ETH-EUR", False)
    assert (facts["quantity"], facts["fee_asset"]) == (str(ONE), "EUR")
    assert one["resolutions"] == ["explained", "book_trade"]
    await desk.book(fill)  # an order of ours had it after all
    with pytest.raises(Conflict, match="came into the books"):
        await desk.resolve(one["id"], "book_trade")
    again = await desk.reconcile()
    assert (again["status"], again["breaks_resolved"]) == ("clean", 1)


async def test_a_trade_made_by_hand_is_booked_by_a_word(desk: Rig) -> None:
    fill = desk.account.execute("77", Side.SELL, ONE, 2500 * ONE, fee_asset="BNB")
    desk.account.held["BNB"] += ONE
    await desk.reconcile()
    for refused in ("write_off", "book_to_suspense", "owner_funds"):
        with pytest.raises(Conflict, match="book_trade are allowed"):
            await desk.resolve((await desk.breaks())[0]["id"], refused)
    by_kind = {one["kind"]: one for one in await desk.breaks()}
    assert set(by_kind) == {"missing_in_ledger", "amount"}  # and BNB that somebody bought before
    await desk.resolve(by_kind["amount"]["id"], "owner_funds", "put in for fees")
    said = await desk.resolve(by_kind["missing_in_ledger"]["id"], "book_trade", "Ada's test")
    assert (said["status"], said["resolution"], said["resolutions"]) == (
        "resolved", "book_trade", [],
    )  # fmt: skip
    fee = fill.fee
    assert {(p["account"], p["asset"], p["amount"]) for p in said["posted"]} == {
        ("trading", "ETH", f"1.{'0' * 18}"),
        (PLACE, "ETH", f"-1.{'0' * 18}"),
        (PLACE, "EUR@18", f"2500.{'0' * 18}"),
        ("trading", "EUR@18", f"-2500.{'0' * 18}"),
        ("expense:exchange_fees", "BNB@18", str(fee)),
        (PLACE, "BNB@18", str(-fee)),
    }
    balances = await desk.world.balances()
    assert balances[PLACE, "ETH"] == 9 * ONE
    assert balances[PLACE, "EUR@18"] == 7500 * ONE
    for trigger in ("command", "schedule"):
        found = await desk.reconcile(trigger=trigger)
        assert (found["status"], found["differences"]) == ("clean", 0), await desk.breaks()
    with pytest.raises(Conflict, match="resolved already"):
        await desk.resolve(by_kind["missing_in_ledger"]["id"], "book_trade")
    assert (await desk.world.balances())[PLACE, "ETH"] == 9 * ONE


async def test_a_trade_of_an_order_that_nobody_watches_any_more(desk: Rig) -> None:
    """It counts for the order, and what it brought for its conversion."""
    fill = desk.account.execute("78", Side.SELL, ONE, 2500 * ONE)
    unended(desk, status="cancelled", venue_id=fill.venue_id, ended_at=wall())
    conversion(desk)
    await desk.reconcile()
    [one] = await desk.breaks()
    await desk.resolve(one["id"], "book_trade")
    async with desk.world.context.database.read() as session:
        [order] = await session.scalars(select(Order))
        [over] = await session.scalars(select(Conversion))
    assert (order.booked, order.given) == (ONE, ONE)
    assert order.got == 2500 * ONE - fill.fee
    assert over.got == order.got
    assert (await desk.reconcile())["status"] == "clean"


async def test_a_fill_removed_from_our_tables(desk: Rig) -> None:
    await desk.book(desk.account.execute("1", Side.SELL, ONE, 2500 * ONE))
    await desk.book(desk.account.execute("2", Side.SELL, ONE, 2500 * ONE))
    assert (await desk.reconcile())["status"] == "clean"
    desk.tamper("delete from fills where fill_id = '1'")
    await desk.reconcile(trigger="schedule")
    [one] = await desk.breaks()
    assert (one["kind"], one["facts"]["fill"]) == ("missing_in_ledger", "1")
    assert one["facts"]["booked"] is True  # its entry stands, and the balance agrees


@pytest.mark.parametrize("table", ["journal_entries", "postings"])
async def test_an_entry_of_a_fill_removed_from_the_ledger(desk: Rig, table: str) -> None:
    """Named by its execution, not by three balances."""
    fill = desk.account.execute("1", Side.SELL, ONE, 2500 * ONE)
    await desk.book(fill)
    entries = "(select entry_id from fills)"
    desk.tamper(f"delete from postings where entry_id in {entries}")
    if table == "journal_entries":
        desk.tamper(f"delete from journal_entries where id in {entries}")
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["kind"], one["facts"]["fill"]) == ("missing_in_ledger", "1")
    assert one["facts"]["reason"] == "its row stands, its entry is gone"
    assert (one["expected"], one["actual"]) == (f"0.{'0' * 18}", f"-1.{'0' * 18}")
    await desk.resolve(one["id"], "book_trade", "somebody was here")
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()
    again = replace(fill, fee=fill.fee * 2)
    desk.account.executed, desk.account.held["EUR"] = [again], desk.account.held["EUR"] - fill.fee
    await desk.reconcile()
    [one] = await desk.breaks()
    assert one["kind"] == "missing_in_ledger"
    await desk.resolve(one["id"], "book_trade", "corrected by the venue besides")
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()


async def test_a_fill_that_the_venue_does_not_show(desk: Rig) -> None:
    fill = desk.account.execute("5", Side.BUY, ONE, 2500 * ONE)
    await desk.book(fill)
    desk.account.executed.clear()
    desk.account.held = {"ETH": 10 * ONE, "EUR": 5000 * ONE}
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["kind"], one["facts"]["fill"]) == ("missing_at_venue", "5")
    assert (one["expected"], one["actual"]) == (f"1.{'0' * 18}", f"0.{'0' * 18}")
    await desk.resolve(one["id"], "book_trade", "the venue took it back")
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()
    balances = await desk.world.balances()
    assert balances[PLACE, "ETH"] == 10 * ONE
    assert not any(balances.get(("trading", code)) for code in ("ETH", "EUR@18"))
    assert not balances.get(("expense:exchange_fees", "EUR@18"))


@pytest.mark.parametrize(
    ("change", "kind", "difference"),
    [
        ({"fee": ONE // 500}, "fee", f"-0.001{'0' * 15}"),
        ({"quantity": 2 * ONE, "quote_quantity": 5000 * ONE}, "amount", f"-1.{'0' * 18}"),
    ],
)
async def test_a_fill_that_is_not_the_same(
    desk: Rig, change: dict[str, Any], kind: str, difference: str
) -> None:
    fill = desk.account.execute("9", Side.SELL, ONE, 2500 * ONE)
    await desk.book(fill)
    told = replace(fill, **change)
    desk.account.executed = [told]
    desk.account.held["ETH"] -= told.quantity - fill.quantity
    desk.account.held["EUR"] += told.quote_quantity - fill.quote_quantity - told.fee + fill.fee
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["kind"], one["difference"]) == (kind, difference)
    await desk.resolve(one["id"], "book_trade", "corrected by the venue")
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()
    balances = await desk.world.balances()
    assert balances[PLACE, "EUR@18"] == desk.account.held["EUR"]
    assert balances["expense:exchange_fees", "EUR@18"] == told.fee
    assert balances["trading", "ETH"] == told.quantity
    again = replace(told, fee=told.fee * 2)  # and once more
    desk.account.executed = [again]
    desk.account.held["EUR"] -= told.fee
    await desk.reconcile()
    [one] = await desk.breaks()
    await desk.resolve(one["id"], "book_trade", "corrected by the venue again")
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()
    assert (await desk.world.balances())["expense:exchange_fees", "EUR@18"] == again.fee


async def test_a_trade_that_is_undone_is_named_and_hides_nothing(desk: Rig) -> None:
    """All else is compared, and the next run goes on from there."""
    await desk.book(desk.account.execute("1", Side.SELL, ONE, 2500 * ONE))
    desk.account.execute("2", Side.SELL, ONE, 2500 * ONE)
    undone = replace(desk.account.executed[0], id="3", amends="REVERSAL")
    desk.account.executed.append(undone)
    desk.account.held["ETH"] += ONE
    found = await desk.reconcile(trigger="schedule")
    assert (found["status"], found["unread"]) == ("breaks", [])
    by_kind = {(one["kind"], one["facts"].get("fill")): one for one in await desk.breaks()}
    assert set(by_kind) == {
        ("missing_in_ledger", "3"), ("missing_in_ledger", "2"), ("amount", None),
    }  # fmt: skip
    one = by_kind["missing_in_ledger", "3"]
    assert (one["expected"], one["actual"], one["resolutions"]) == (None, None, ["explained"])
    assert one["facts"]["reason"].startswith("REVERSAL")
    assert by_kind["amount", None]["difference"] == f"1.{'0' * 18}"
    await desk.resolve(one["id"], "explained", "the venue's letter of today")
    await desk.resolve(by_kind["amount", None]["id"], "book_to_suspense", "and what it brought")
    await desk.book(desk.account.executed[1])
    for trigger in ("schedule", "command"):
        assert (await desk.reconcile(trigger=trigger))["status"] == "clean", await desk.breaks()
    assert len(await desk.world.rows("reconciliation_marks")) == 1


async def test_a_market_that_is_not_listed_any_more(desk: Rig) -> None:
    """Binance leaves out one whose fee it does not tell; its executions are there all the same."""
    await desk.book(desk.account.execute("1", Side.SELL, ONE, 2500 * ONE))
    desk.account.listed = ("DOGE-BTC",)
    found = await desk.reconcile()
    assert (found["status"], found["unread"]) == ("clean", []), await desk.breaks()
    fill = desk.account.execute("2", Side.SELL, ONE, 2500 * ONE)
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["kind"], one["facts"]["fill"]) == ("missing_in_ledger", "2")
    desk.account.refused = ("ETH-EUR",)
    await desk.book(fill)
    found = await desk.reconcile()
    assert (found["status"], found["breaks_opened"]) == ("failed", 0), await desk.breaks()
    assert "ETH-EUR is no market any more" in found["unread"][0]["reason"]
    assert [b["id"] for b in await desk.breaks()] == [one["id"]]
    desk.account.refused = ()
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()


async def test_a_listed_market_that_is_refused_is_not_compared(desk: Rig) -> None:
    await desk.book(desk.account.execute("1", Side.SELL, ONE, 2500 * ONE))
    desk.account.refused = ("ETH-EUR",)
    found = await desk.reconcile()
    assert (found["status"], found["venues"], await desk.breaks()) == ("failed", [], [])


async def test_a_balance_that_no_item_explains(desk: Rig) -> None:
    desk.account.held["EUR"] -= 7 * ONE
    desk.account.execute("3", Side.SELL, ONE, 2500 * ONE)
    await desk.reconcile()
    kinds = {one["kind"]: one for one in await desk.breaks()}
    assert set(kinds) == {"missing_in_ledger", "amount"}
    one = kinds["amount"]
    assert (one["place"], one["asset"]) == (PLACE, "EUR@18")
    assert one["difference"] == f"-7.{'0' * 18}"
    assert one["facts"]["unexplained_units"] == str(-7 * ONE)
    await desk.resolve(one["id"], "write_off", "a fee that was told by letter")
    await desk.book(desk.account.executed[0])
    assert (await desk.reconcile())["status"] == "clean"
    assert (await desk.world.balances())["expense:losses", "EUR@18"] == 7 * ONE


def withdrawal(**more: Any) -> VenueWithdrawal:
    values: dict[str, Any] = {
        "id": "w-1", "client_id": None, "asset": "ETH", "network": "eip155:31337",
        "address": "0x" + "77" * 20, "amount": ONE, "fee": ONE // 100,
        "tx_hash": "0x" + "ab" * 32, "status": TransferStatus.DONE, "at": wall(),
    }  # fmt: skip
    return VenueWithdrawal(**{**values, **more})


async def test_a_withdrawal_nobody_ordered(desk: Rig) -> None:
    desk.account.went.append(withdrawal())
    desk.account.held["ETH"] -= ONE + ONE // 100
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["kind"], one["place"], one["asset"]) == ("missing_in_ledger", PLACE, "ETH")
    assert one["difference"] == f"-1.01{'0' * 16}"
    facts = one["facts"]
    assert (facts["direction"], facts["transfer"], facts["client_id"]) == (
        "withdrawal", "w-1", None,
    )  # fmt: skip
    assert (facts["address"], facts["tx_hash"]) == ("0x" + "77" * 20, "0x" + "ab" * 32)
    said = await desk.resolve(one["id"], "book_to_suspense", "asked the venue")
    assert [(p["account"], p["amount"][:5]) for p in said["posted"]] == [
        (PLACE, "-1.00"), ("suspense", "1.000"), ("expense:exchange_fees", "0.010"),
        (PLACE, "-0.01"),
    ]  # fmt: skip
    assert (await desk.reconcile())["status"] == "clean"
    desk.account.went = [withdrawal(status=TransferStatus.FAILED)]  # and gave it all back
    desk.account.held["ETH"] += ONE + ONE // 100
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["kind"], one["difference"]) == ("amount", f"1.01{'0' * 16}")
    await desk.resolve(one["id"], "book_to_suspense", "it came back")
    assert (await desk.reconcile())["status"] == "clean"


async def test_a_deposit_nobody_sent(desk: Rig) -> None:
    came = VenueDeposit(
        id="d-1", asset="EUR", network="bank", address=None, amount=5 * ONE, tx_hash=None,
        status=TransferStatus.PENDING, at=wall(),
    )  # fmt: skip
    desk.account.came = [came]
    assert (await desk.reconcile())["status"] == "clean"  # under way
    desk.account.came = [replace(came, status=TransferStatus.DONE)]
    desk.account.held["EUR"] += 5 * ONE
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["kind"], one["facts"]["transfer"]) == ("missing_in_ledger", "d-1")
    await desk.resolve(one["id"], "owner_funds", "from the owner's bank")
    assert (await desk.reconcile())["status"] == "clean"


CONVERSION = ids.new()


def plant(desk: Rig, table: type[Base], known: dict[str, Any]) -> None:
    """A row, blank but for what is known of it."""
    empty: dict[type, Any] = {str: "", dict: {}, bool: False, int: 0}
    rest = {
        c.name: empty.get(c.type.python_type, 0)
        for c in table.__table__.columns
        if not c.nullable and c.name not in known
    }
    row, name = json.dumps({**known, **rest}, default=str), table.__tablename__
    desk.tamper(f"insert into {name} select (jsonb_populate_record(null::{name}, '{row}')).*")


def conversion(desk: Rig) -> None:
    """What `unended` is an order of, as it was when it ended."""
    leg = PlannedLeg(
        path=0, step=0, venue="binance", symbol="ETH-EUR", side=Side.SELL, quantity=ONE,
        limit_price=2500 * ONE, expected_price=2500 * ONE, expected_in=ONE,
        expected_out=2500 * ONE, fee=0, fee_asset="EUR", from_asset="ETH", to_asset="EUR",
    )  # fmt: skip
    plan = dump(Plan("ETH", "EUR", ONE, 2500 * ONE, (leg,)))
    known = {
        "id": CONVERSION, "quote_id": ids.new(), "status": "failed", "from_asset": "ETH",
        "to_asset": "EUR", "against_quote": {}, "plan": plan,
        "valid_until": wall(), "created_at": wall(),
    }  # fmt: skip
    plant(desk, Conversion, known)


def unended(desk: Rig, **more: Any) -> None:
    """An order of ours that the venue has, and that is not in the books yet."""
    now = wall()
    known = {
        "id": ids.new(), "conversion_id": CONVERSION, "venue": "binance", "symbol": "ETH-EUR",
        "side": "sell", "from_asset": "ETH", "to_asset": "EUR", "client_id": "ours-1",
        "created_at": now, "send_until": now, "status": "unknown", "quantity": ONE, **more,
    }  # fmt: skip
    plant(desk, Order, known)


async def test_an_order_under_way_is_a_timing_difference(desk: Rig) -> None:
    unended(desk)
    fill = desk.account.execute("21", Side.SELL, ONE, 2500 * ONE)
    found = await desk.reconcile(patience=timedelta(hours=1))
    assert (found["status"], found["parts"]["venue:binance"]["under_way"]) == ("clean", 1)
    await desk.reconcile()  # it has lasted for too long
    [one] = await desk.breaks()
    assert (one["kind"], one["facts"]["fill"]) == ("timing", "21")
    await desk.book(fill)
    desk.tamper("update orders set status = 'filled'")
    assert (await desk.reconcile())["status"] == "clean"
    [closed] = await desk.breaks("resolved")
    assert closed["resolution"] == "arrived"


async def test_amounts_beyond_what_a_float_holds(desk: Rig) -> None:
    huge = 10**40 + 1
    desk.account.held["ETH"] += huge
    await desk.reconcile()
    [one] = await desk.breaks()
    assert one["facts"]["unexplained_units"] == str(huge)
    assert one["difference"] == f"1{'0' * 22}.{'0' * 17}1"


def move(desk: Rig, **known: Any) -> str:
    """A move of ours with a venue; its id."""
    number, now = ids.new(), wall()
    values = {
        "id": number, "venue": "binance", "asset": "ETH", "created_at": now, "sent_at": now,
        "status": "in_transit", **known,
    }  # fmt: skip
    plant(desk, Move, values)
    return ids.show("mov", number)


async def test_a_withdrawal_that_is_a_move_of_ours(desk: Rig) -> None:
    number = move(desk, way="withdraw", amount=ONE)
    desk.account.went = [withdrawal(client_id=number, status=TransferStatus.PENDING)]
    desk.account.held["ETH"] -= ONE + ONE // 100
    assert (await desk.reconcile(patience=timedelta(hours=1)))["status"] == "clean"
    await desk.reconcile()  # the books should have it by now
    [one] = await desk.breaks()
    assert (one["kind"], one["facts"]["client_id"]) == ("timing", number)
    await desk.post("exchange:binance", -(ONE + ONE // 100))
    done = f"booked = {ONE}, booked_fee = {ONE // 100}, status = 'done'"
    desk.tamper("update moves set " + done)
    desk.account.went = [replace(desk.account.went[0], status=TransferStatus.DONE)]
    assert (await desk.reconcile())["status"] == "clean"
    [closed] = await desk.breaks("resolved")
    assert closed["resolution"] == "arrived"


@pytest.mark.parametrize("count", [3, 15])
async def test_withdrawals_under_way_of_which_the_venue_has_taken_some(
    desk: Rig, count: int
) -> None:
    units = ONE // 10 + ONE // 100
    for n in range(count):
        number = move(desk, way="withdraw", amount=units, booked=ONE // 10, booked_fee=ONE // 100)
        one = withdrawal(id=f"w-{n}", client_id=number, amount=ONE // 10)
        desk.account.went.append(replace(one, status=TransferStatus.PENDING))
    await desk.post(PLACE, -count * units)
    desk.account.held["ETH"] -= units  # of the first; the others when they leave
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()
    desk.account.held["ETH"] -= count * units
    await desk.reconcile()
    [found] = await desk.breaks()
    assert (found["kind"], found["asset"]) == ("amount", "ETH")


async def test_a_move_that_the_venue_does_not_show(desk: Rig) -> None:
    move(desk, way="send", amount=ONE, booked=ONE, venue_id="d-9")
    await desk.post("exchange:binance", ONE)
    await desk.reconcile()
    [one] = await desk.breaks()
    assert (one["kind"], one["facts"]["transfer"]) == ("missing_at_venue", "deposit:d-9")
    assert (one["expected"], one["actual"]) == (f"1.{'0' * 18}", f"0.{'0' * 18}")
    await desk.resolve(one["id"], "book_to_suspense", "the venue knows nothing of it")
    assert (await desk.reconcile())["status"] == "clean", await desk.breaks()
    assert (await desk.world.balances())[PLACE, "ETH"] == 10 * ONE


async def test_an_explained_balance_stays_explained_while_business_goes_on(desk: Rig) -> None:
    desk.account.held["EUR"] -= 7 * ONE
    await desk.reconcile()
    [one] = await desk.breaks()
    await desk.resolve(one["id"], "explained", "lent to the owner until March")
    for n in range(3):
        await desk.book(desk.account.execute(str(n), Side.SELL, ONE, 2500 * ONE))
        found = await desk.reconcile()
        assert (found["status"], found["breaks_opened"]) == ("clean", 0), await desk.breaks()
    desk.account.held["EUR"] -= ONE // 100
    found = await desk.reconcile()
    assert found["breaks_opened"] == 1
    [one] = await desk.breaks()
    assert one["difference"] == f"-7.01{'0' * 16}"
    desk.account.held["EUR"] += ONE // 100
    assert (await desk.reconcile())["status"] == "clean"
    desk.account.held["EUR"] += 7 * ONE  # it came back: the next time it is another one
    assert (await desk.reconcile())["status"] == "clean"
    desk.account.held["EUR"] -= 7 * ONE
    assert (await desk.reconcile())["breaks_opened"] == 1


async def test_an_explained_balance_while_a_withdrawal_is_under_way(desk: Rig) -> None:
    desk.account.held["ETH"] += ONE
    await desk.reconcile()
    [one] = await desk.breaks()
    await desk.resolve(one["id"], "explained", "an airdrop that nobody wants")
    number = move(desk, way="withdraw", amount=ONE, booked=ONE, booked_fee=ONE // 100)
    await desk.post(PLACE, -(ONE + ONE // 100))
    desk.account.went = [withdrawal(client_id=number, status=TransferStatus.PENDING)]
    for taken in (0, ONE + ONE // 100):  # a venue shows it in its balance still, or not any more
        desk.account.held["ETH"] -= taken
        assert (await desk.reconcile())["status"] == "clean", await desk.breaks()
