"""What must hold in every world once it was followed, read from the tables themselves."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import select

from core import ids
from core.db import raw
from ledger.accounts import Debt, merchant
from ledger.journal import Entry, Kind, post, transfer
from payments import heights, settle_in
from payments.assess import assess
from payments.cases import Case
from payments.cases import facts as facts_of
from payments.tables import Deposit, Invoice
from tests.world import World

PAYOUT = "a test's payout"  # as an entry's reference


async def status_of(world: World, invoice: dict[str, Any]) -> tuple[str, str]:
    shown = await world.show(invoice)
    return shown["status"], shown["exception"]


async def news_since(world: World, told: int) -> list[str]:
    return (await world.events())[told:]


async def first_deposit(world: World, invoice: dict[str, Any]) -> Any:
    return (await world.rows("deposits", invoice_id=ids.read("inv", invoice["id"])))[0]


async def breaks(world: World, status: str = "open") -> Sequence[Any]:
    return await world.rows("breaks", status=status)


async def spend(world: World, asset: str, amount: int) -> None:
    """A payout is asked for: available -> reserved. Raises Conflict when there is not enough."""
    number = ids.new()
    available = merchant(world.merchant_id, Debt.AVAILABLE)
    reserved = merchant(world.merchant_id, Debt.RESERVED)
    entry = Entry(
        id=number,
        key=f"test:{number}",
        kind=Kind.OPENING,
        reference=PAYOUT,
        merchant_id=world.merchant_id,
        evidence={},
        posted_at=world.context.clock.now(),
        postings=transfer(asset, amount, debit=available, credit=reserved),
    )
    async with world.context.database.begin() as session:
        await post(session, [entry], guarded=[available])


async def assert_sound(world: World) -> None:
    """Books, deposits, invoices, Breaks and events agree with the chain and with each other."""
    await world.assert_books_match_the_chain()
    await assert_deposits_are_booked_once(world)
    await assert_overdrafts_have_breaks(world)
    await assert_invoices_are_what_the_facts_say(world)
    await assert_told_in_order(world)


async def assert_deposits_are_booked_once(world: World) -> None:
    """A live deposit has one seen entry that is not reversed, and its debt stands at one place."""
    standing: Counter[str] = Counter()
    for entry in await world.rows("journal_entries"):
        standing[entry.reference] += {"deposit_seen": 1, "deposit_reversed": -1}.get(entry.kind, 0)
    owed: dict[tuple[str, str], int] = defaultdict(int)
    payments: Counter[tuple[str, ...]] = Counter()
    for row in await world.rows("deposits"):
        live = row.status != "orphaned"
        assert standing[ids.show("dep", row.id)] == int(live), row
        assert (row.account != "") == live, row
        if live:
            owed[row.account, row.asset] += int(row.amount)
            # What has no transaction is told apart by block and address.
            which = (row.tx_hash,) if row.tx_hash else (row.block_hash, row.address)
            payments[(row.network, row.position, *which)] += 1
    assert set(payments.values()) <= {1}, "a payment is credited in two blocks"
    balances = await world.balances()
    exchanged = await assert_settlements_are_booked(world, balances)
    for asset in {key[1] for key in balances} | {key[1] for key in owed}:
        for account in ("pending", "inbox"):
            assert -balances.get((account, asset), 0) == owed[account, asset], (account, asset)
        ours = balances.get(("available", asset), 0) + balances.get(("reserved", asset), 0)
        if asset not in ("EUR", "EUR@18"):
            assert -ours + exchanged[asset] == owed["available", asset], asset


async def assert_settlements_are_booked(
    world: World, balances: dict[tuple[str, str], int]
) -> Counter[str]:
    """What invoices say of their merchant's fiat is in the books, and is what their deposits come
    to; returns the crypto that was given for it."""
    sums: Counter[tuple[str, str]] = Counter()
    exchanged: Counter[str] = Counter()
    owed = 0
    async with world.context.database.read() as session:
        _, followed = await heights.load_all(await raw(session), world.context.catalog)
        deposits = (await session.scalars(select(Deposit).order_by(Deposit.id))).all()
        for invoice in await session.scalars(select(Invoice)):
            if invoice.settlement is None:
                continue
            terms = settle_in.parse(invoice.settlement)
            fact = facts_of(
                Case(invoice, [d for d in deposits if d.invoice_id == invoice.id]), world.context
            )
            what = settle_in.taken(fact, assess(fact, followed))
            if terms.mode == "fiat_at_quote":
                wanted = settle_in.at_quote(terms, what, fact.currency_decimals)
                exchanged.update(terms.units)
                owed += terms.net
                sums["income:spread", "EUR"] -= terms.gross - terms.net
                sums["trading", "EUR@18"] += terms.gross * 10**16
            else:
                wanted, _ = settle_in.at_fill(terms, what)
            assert wanted == terms, invoice.id
    decimals = {s: t.asset.decimals for d in world.deployed.values() for s, t in d.tokens.items()}
    for asset, units in exchanged.items():
        fine = 10 ** max(0, 18 - decimals[asset])
        sums["trading", asset if fine == 1 else f"{asset}@18"] -= units * fine
    made = {row.id for row in await world.rows("journal_entries", kind="settled_in_fiat")}
    booked: Counter[tuple[str, str]] = Counter()  # apart from what is traded at venues
    for line in await world.rows("postings"):
        if line.entry_id in made and not line.account.startswith("merchant:"):
            booked[line.account, line.asset] += int(line.amount)
    for key, units in sums.items():
        assert booked[key] == units, key
    held = [balances.get((account, "EUR"), 0) for account in ("available", "reserved")]
    assert -sum(held) == owed
    return exchanged


async def assert_overdrafts_have_breaks(world: World) -> None:
    """While `available` is below zero, and only then, a Break says so; nothing that somebody asked
    for took it there."""
    account = merchant(world.merchant_id, Debt.AVAILABLE)
    overdrawn = {
        f"overdrawn:{account}:{asset}"
        for (name, asset), balance in (await world.balances()).items()
        if name == "available" and balance > 0
    }
    found = await breaks(world)
    assert {b.key for b in found if b.kind == "missing_on_chain"} == overdrawn
    asked = {e.id for e in await world.rows("journal_entries") if e.reference == PAYOUT}
    balances: Counter[str] = Counter()
    for line in sorted(await world.rows("postings"), key=lambda line: (line.entry_id, line.n)):
        if line.account == account:
            balances[line.asset] += int(line.amount)
            assert line.entry_id not in asked or balances[line.asset] <= 0, line.asset


async def assert_invoices_are_what_the_facts_say(world: World) -> None:
    async with world.context.database.read() as session:
        _, followed = await heights.load_all(await raw(session), world.context.catalog)
        deposits = (await session.scalars(select(Deposit).order_by(Deposit.id))).all()
        for invoice in await session.scalars(select(Invoice)):
            case = Case(invoice, [d for d in deposits if d.invoice_id == invoice.id])
            answer = assess(facts_of(case, world.context), followed)
            stored = (invoice.status, invoice.exception, invoice.amount_paid)
            assert stored == (answer.status, answer.irregularity, answer.paid), invoice.id
            assert invoice.amount_confirmed == answer.confirmed
            for deposit in case.deposits:
                verdict = answer.verdicts[deposit.id]
                assert deposit.account == (verdict.account or ""), deposit.id
                assert deposit.inbox_reason == verdict.inbox, deposit.id


async def assert_told_in_order(world: World) -> None:
    """Of each payment: seen, then perhaps orphaned, then perhaps seen again. Of each invoice:
    settled twice only with something between."""
    deposits: dict[tuple[str, ...], list[str]] = defaultdict(list)
    invoices: dict[str, list[str]] = defaultdict(list)
    rows = await world.rows("events")
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        subject, _, what = row.type.partition(".")
        told = json.loads(row.body)["data"]["object"]
        if subject == "deposit" and what != "unmatched":
            parts = ("invoice", "network", "tx_hash", "to", "asset", "amount")
            name = tuple(told[part] for part in (parts if told["tx_hash"] else ("id",)))
            deposits[name].append(what)
        elif subject == "invoice":
            invoices[row.subject].append(what)
    for payment, sequence in deposits.items():
        known = False
        for what in sequence:
            assert known == (what != "seen"), (payment, sequence)
            known = what != "orphaned"
    for subject, sequence in invoices.items():
        assert sequence[0] == "created", subject
        statuses = [s for s in sequence if not s.startswith("paid_")]
        assert ("settled", "settled") not in pairwise(statuses), (subject, sequence)
