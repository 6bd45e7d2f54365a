"""Mistakes on a chain, in the blocks and in the books: each is named, nothing else is."""

# ruff: noqa: S608 - statements of tests

from __future__ import annotations

from typing import Any

import pytest

from core.networks import NATIVE
from tests.integration.reconciliation.rig import HOT, ONE, WEI, Rig


def said(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["kind"], found["place"], found["asset"], found["difference"]


async def paid(rig: Rig, asset: str = "ETH", **more: Any) -> tuple[dict[str, Any], str]:
    """An invoice that is paid and confirmed, and its address."""
    invoice = await rig.world.invoice()
    await rig.world.pay(invoice, asset, **more)
    await rig.world.mine(3)
    await rig.world.follow()
    return invoice, invoice["payment_options"][0]["address"].lower()


async def test_nothing_is_wrong_and_it_is_said_up_to_where(rig: Rig) -> None:
    _, address = await paid(rig)
    await rig.world.invoice()  # an address that holds nothing
    await paid(rig, "USDC")
    found = await rig.reconcile()
    assert await rig.breaks(None) == []
    assert (found["status"], found["unread"], found["differences"]) == ("clean", [], 0)
    head = await rig.world.node.rpc("eth_getBlockByNumber", "latest", False)
    assert found["blocks"] == [
        {"network": rig.network, "number": int(head["number"], 16), "hash": head["hash"]}
    ]
    assert [venue["venue"] for venue in found["venues"]] == ["binance"]
    assert found["compared"] > 3 * len(rig.world.contracts.tokens)
    assert await rig.breaks(None) == []
    assert "reconciliation.completed" in await rig.world.events()
    assert await rig.world.rows("reconciliation_addresses") == []
    assert address


async def test_a_coin_taken_from_an_address(rig: Rig) -> None:
    invoice, address = await paid(rig)
    held = await rig.world.node.balance(address)
    await rig.world.node.rpc("anvil_setBalance", address, hex(held - 1))
    await rig.follow()
    found = await rig.reconcile("chain")
    assert (found["status"], found["breaks_opened"], found["differences"]) == ("breaks", 1, 1)
    [one] = await rig.breaks()
    assert said(one) == (
        "missing_on_chain", f"network:{rig.network}:deposits", "ETH", "-0.000000000000000001",
    )  # fmt: skip
    facts = one["facts"]
    assert (facts["address"], facts["token"]) == (address, NATIVE)
    assert (facts["expected_units"], facts["actual_units"]) == (str(held), str(held - 1))
    assert facts["block_number"] == found["blocks"][0]["number"]
    deposits = (await rig.world.show(invoice))["deposits"]
    assert facts["deposits"] == [deposit["id"] for deposit in deposits]
    assert one["reconciliation"] == found["id"]
    assert (await rig.world.events())[-2:] == ["break.opened", "reconciliation.completed"]
    # The same difference does not open twice; it goes when the coin is back.
    again = await rig.reconcile("chain")
    assert (again["status"], again["breaks_opened"]) == ("breaks", 0)
    assert [b["id"] for b in await rig.breaks()] == [one["id"]]
    await rig.world.node.rpc("anvil_setBalance", address, hex(held))
    await rig.follow()
    last = await rig.reconcile("chain")
    assert (last["status"], last["breaks_resolved"]) == ("clean", 1)
    [gone] = await rig.breaks("resolved")
    assert (gone["resolution"], gone["resolved_by"]) == ("gone", last["id"])
    assert "break.resolved" in await rig.world.events()


async def test_a_token_more_than_the_books_know(rig: Rig) -> None:
    _, address = await paid(rig, "USDC")
    rig.tamper(f"update address_holdings set amount = amount - 5 where address = '{address}'")
    found = await rig.reconcile("chain")
    assert found["differences"] == 2  # the address, and the sum of all addresses in the books
    at_address, inside = await rig.breaks()
    assert said(at_address)[::3] == ("missing_in_ledger", "0.000005")
    assert said(inside)[::3] == ("amount", "-0.000005")


async def test_a_deposit_credited_twice(rig: Rig) -> None:
    invoice, address = await paid(rig)
    [deposit] = (await rig.world.show(invoice))["deposits"]
    units = await rig.world.node.balance(address)
    rig.tamper(
        "insert into deposits select (jsonb_populate_record(d, jsonb_build_object("
        "'id', gen_random_uuid(), 'position', 'trace:0'))).* from deposits d",
        f"update address_holdings set amount = 2 * amount where address = '{address}'",
    )
    await rig.reconcile("chain")
    first = (await rig.breaks())[0]
    assert first["kind"] == "duplicate"
    assert (first["facts"]["address"], first["difference"][0]) == (address, "-")
    assert first["facts"]["expected_units"] == str(2 * units)
    assert deposit["id"] in first["facts"]["deposits"]


@pytest.mark.parametrize(("wei", "kind"), [(1, "missing_in_ledger"), (-1, "missing_on_chain")])
async def test_the_hot_wallet_differs(rig: Rig, wei: int, kind: str) -> None:
    await rig.world.node.rpc("anvil_setBalance", HOT, hex(WEI + wei))
    await rig.follow()
    await rig.reconcile()
    [one] = await rig.breaks()
    assert (one["kind"], one["place"]) == (kind, f"network:{rig.network}:hot")
    assert one["facts"]["addresses"] == {HOT: str(WEI + wei)}


async def test_a_coin_sent_to_the_hot_wallet_is_booked_and_clean(rig: Rig) -> None:
    """The chain loop has told a person already; the amounts agree."""
    await rig.world.node.send(HOT, ONE)
    await rig.world.follow()
    assert (await rig.reconcile())["status"] == "clean"
    [one] = await rig.breaks()
    assert (one["kind"], one["reconciliation"]) == ("orphan", None)
    resolved = await rig.resolve(one["id"], "owner_funds", "sent by the owner")
    assert resolved["entry"] is not None
    balances = await rig.world.balances()
    assert ("suspense", "ETH") not in balances


async def test_a_gap_in_the_blocks(rig: Rig) -> None:
    await rig.world.mine(10)
    await rig.world.follow()
    top = (await rig.world.rows("network_cursors"))[0].number
    rig.tamper(f"delete from blocks where number in ({top - 3}, {top - 4})")
    found = await rig.reconcile("chain", trigger="schedule")
    [one] = await rig.breaks()
    assert (one["kind"], one["place"]) == ("missing_in_ledger", f"network:{rig.network}")
    assert (one["facts"]["first"], one["facts"]["last"]) == (top - 4, top - 3)
    assert found["status"] == "breaks"
    rig.tamper(f"update blocks set hash = '0x{'ee' * 32}' where number = {top - 7}")
    await rig.reconcile("chain", trigger="schedule")
    assert [b["kind"] for b in await rig.breaks()] == ["missing_in_ledger", "orphan"]


@pytest.mark.parametrize("all_of_them", [False, True])
async def test_blocks_that_are_gone_from_the_beginning(rig: Rig, all_of_them: bool) -> None:
    await rig.world.mine(10)
    await rig.world.follow()
    assert (await rig.reconcile("chain", trigger="schedule"))["status"] == "clean"
    numbers = [row.number for row in await rig.world.rows("blocks")]
    first, top = min(numbers), max(numbers)
    kept = top + 1 if all_of_them else top - 5
    rig.tamper(f"delete from blocks where number < {kept}")
    found = await rig.reconcile("chain", trigger="schedule")
    assert found["status"] == "breaks"
    one = (await rig.breaks())[0]
    assert (one["kind"], one["facts"]["first"], one["facts"]["last"]) == (
        "missing_in_ledger", first, kept - 1,
    )  # fmt: skip
    if all_of_them:
        return
    await rig.resolve(one["id"], "explained", "a disk that was lost")
    assert (await rig.reconcile("chain"))["status"] == "clean"
    rig.tamper(f"delete from blocks where number = {kept}")
    assert (await rig.reconcile("chain"))["breaks_opened"] == 1
    [one] = await rig.breaks()
    assert (one["facts"]["first"], one["facts"]["last"]) == (first, kept)


async def test_an_entry_deleted_behind_the_triggers_back(rig: Rig) -> None:
    invoice, _ = await paid(rig)
    assert (await rig.reconcile())["status"] == "clean"
    [deposit] = (await rig.world.show(invoice))["deposits"]
    seen = f"(select id from journal_entries where key like 'deposit:{deposit['id']}:%:seen')"
    rig.tamper(
        f"delete from postings where entry_id = {seen}",
        f"delete from journal_entries where id = {seen}",
    )
    found = await rig.reconcile(trigger="schedule")
    assert found["status"] == "breaks"
    by_kind: dict[str, list[Any]] = {}
    for one in await rig.breaks():
        by_kind.setdefault(one["kind"], []).append(one)
    gone = [b["facts"].get("problem") for b in by_kind["missing_in_ledger"]]
    assert "missing_entry" in gone
    named = [b["facts"].get("deposit") for b in by_kind["missing_in_ledger"]]
    assert deposit["id"] in named
    sums = {b["facts"]["account"] for b in by_kind["amount"]}
    assert f"network:{rig.network}:deposits" in sums


async def test_a_balance_changed(rig: Rig) -> None:
    await paid(rig)
    rig.tamper("update account_balances set balance = balance + 1 where account like '%:available'")
    await rig.reconcile()
    [one] = await rig.breaks()
    assert (one["kind"], one["difference"]) == ("amount", "0.000000000000000001")
    assert one["place"].endswith(":available")
    assert one["resolutions"] == ["explained"]


async def test_an_old_entry_is_found_by_who_walks_all_of_it(rig: Rig) -> None:
    await paid(rig)
    assert (await rig.reconcile())["status"] == "clean"
    rig.tamper("update journal_entries set evidence = '{\"forged\": 1}' where key like '%:seen'")
    assert (await rig.reconcile("chain", trigger="schedule"))["status"] == "clean"
    assert (await rig.reconcile("chain"))["status"] == "breaks"
    [one] = await rig.breaks()
    assert (one["kind"], one["facts"]["problem"]) == ("amount", "hash")


async def test_an_invoice_that_was_never_paid(rig: Rig) -> None:
    invoice = await rig.world.invoice()
    await paid(rig)
    rig.tamper("update invoices set status = 'settled', amount_confirmed = amount"
               " where status = 'new'")  # fmt: skip
    await rig.reconcile("invoices")
    [one] = await rig.breaks()
    assert (one["kind"], one["facts"]["invoice"]) == ("amount", invoice["id"])
    assert (one["expected"], one["actual"]) == ("0.00", "25.00")


async def test_a_deposit_deleted(rig: Rig) -> None:
    invoice, _ = await paid(rig)
    [deposit] = (await rig.world.show(invoice))["deposits"]
    rig.tamper("delete from deposits")
    await rig.reconcile("invoices")
    assert {(b["kind"], b["facts"].get("deposit")) for b in await rig.breaks()} == {
        ("orphan", deposit["id"]),
        ("amount", None),  # and its invoice is settled by nothing
    }


async def test_without_multicall(rig: Rig) -> None:
    _, address = await paid(rig)
    contract = rig.world.context.catalog.networks[rig.network].multicall
    await rig.world.node.rpc("anvil_setCode", contract, "0x")
    await rig.follow()
    assert (await rig.reconcile("chain"))["status"] == "clean"
    await rig.world.node.rpc("anvil_setBalance", address, "0x0")
    await rig.follow()
    await rig.reconcile("chain")
    assert [b["facts"]["address"] for b in await rig.breaks()] == [address]


async def test_a_difference_is_written_off(rig: Rig) -> None:
    _, address = await paid(rig)
    held = await rig.world.node.balance(address)
    await rig.world.node.rpc("anvil_setBalance", address, hex(held - 3))
    await rig.follow()
    await rig.reconcile()
    [one] = await rig.breaks()
    assert one["resolutions"] == ["explained", "write_off", "book_to_suspense", "owner_funds"]
    await rig.resolve(one["id"], "write_off", "stolen")
    [entry] = await rig.world.rows("journal_entries", kind="break_resolved")
    assert (entry.key, entry.reference) == (f"break:{one['id']}", one["id"])
    assert (await rig.world.balances())["expense:losses", "ETH"] == 3
    assert (await rig.reconcile())["status"] == "clean"


async def test_an_explained_difference_stays_closed_until_it_changes(rig: Rig) -> None:
    await rig.world.node.rpc("anvil_setBalance", HOT, hex(WEI + 5))
    await rig.follow()
    await rig.reconcile()
    [one] = await rig.breaks()
    await rig.resolve(one["id"], "explained", "a gift")
    found = await rig.reconcile()
    assert (found["status"], found["breaks_opened"]) == ("clean", 0)
    await rig.world.node.rpc("anvil_setBalance", HOT, hex(WEI + 6))
    await rig.follow()
    assert (await rig.reconcile())["breaks_opened"] == 1
