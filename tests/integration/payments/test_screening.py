"""Deposits that screening looks at, on a real chain: what waits, what is held, who decides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from core.context import RiskSettings
from core.db import Database
from core.errors import Conflict
from core.networks import Tier
from payments import decisions, refunds, screening_work
from risk import lists, screenings
from risk.lists import Kind
from risk.screener import Screener
from risk.verdicts import Outcome
from tests.integration.payments.conftest import Chain
from tests.integration.payments.facts import assert_sound, first_deposit, status_of
from tests.integration.payments.leaving import KEY, PAYEE, Leaving, make_leaving
from tests.integration.risk.test_screening import Desk
from tests.world import World, calldata, connect, network_of
from tests.world import world as make_world

PRICE = 10**16  # 25 USD in ETH


@pytest.fixture
async def shop(database: Database, one_chain: Chain) -> AsyncIterator[Leaving]:
    url, deployed = one_chain
    async with connect(url) as node, make_leaving(database, node, deployed) as leaving:
        yield leaving


async def ban(world: World, folder: Path, address: str, kind: Kind = Kind.SANCTIONS) -> None:
    """A list is loaded that names this address."""
    path = folder / "list.txt"
    path.write_text(f"{address}\n")
    async with world.context.database.begin() as session:
        await lists.load(session, path, name="local", kind=kind, now=world.context.clock.now())


async def screen(world: World, desk: Desk | None = None) -> int:
    """The worker's part: asks about all that is due, then applies what was said."""
    screener = Screener(world.context, provider=desk)
    async with AsyncExitStack() as stack:
        await screener.open(stack)
        await screener.ask(await screener.claim(100))
    return await screening_work.step(world.context)


async def pay(world: World, invoice: dict[str, Any], **more: Any) -> str:
    sent = await world.pay(invoice, **more)
    await world.follow()
    return sent


async def deepen(world: World) -> None:
    await world.mine(3)
    await world.follow()


async def decide(world: World, verdict: Outcome) -> None:
    [row] = await world.rows("screenings", subject="deposit")
    context = world.context
    async with context.database.begin() as session:
        await screenings.decide(
            session, row.id, verdict.value, "looked at it", None, context.clock.now()
        )
    await screening_work.step(context)


async def stands(world: World, invoice: dict[str, Any]) -> tuple[str, str | None, str, str | None]:
    """The deposit's status, what it waits for, its account, and its reason in the inbox."""
    row = await first_deposit(world, invoice)
    return row.status, row.waiting_for, row.account, row.inbox_reason


def desk(world: World, says: Outcome | None) -> Desk:
    """A provider is demanded; this one stands in its place. None: it does not answer."""
    world.context.risk = RiskSettings(provider_url="http://127.0.0.1:1", retry=1)
    return Desk(says)


async def test_without_screening_nothing_waits_or_is_written(world: World) -> None:
    invoice = await world.invoice()
    await pay(world, invoice)
    await deepen(world)
    assert await status_of(world, invoice) == ("settled", "none")
    assert await world.rows("screenings") == []


async def test_an_accepted_source_settles_at_its_depth(world: World, tmp_path: Path) -> None:
    await ban(world, tmp_path, "0x" + "66" * 20)
    invoice = await world.invoice()
    await pay(world, invoice)
    assert await screen(world) == 0, "not deep enough yet"
    await deepen(world)
    assert await status_of(world, invoice) == ("settled", "none")
    await assert_sound(world)


async def test_a_deep_deposit_waits_for_the_word(world: World, tmp_path: Path) -> None:
    await ban(world, tmp_path, "0x" + "66" * 20)
    invoice = await world.invoice()
    await pay(world, invoice)
    await deepen(world)
    assert await stands(world, invoice) == ("pending", "screening", "pending", None)
    assert (await world.show(invoice))["deposits"][0]["waiting_for"] == "screening"
    assert await status_of(world, invoice) == ("processing", "none")
    assert await screen(world) == 1
    assert await status_of(world, invoice) == ("settled", "none")
    assert await screen(world) == 0
    told = await world.events()
    assert told[-2:] == ["deposit.confirmed", "invoice.settled"]
    await assert_sound(world)


async def test_one_confirmation_is_not_faster_than_screening(
    database: Database, one_chain: Chain
) -> None:
    """The block that brings it would confirm it: it is asked about first."""
    url, deployed = one_chain
    async with connect(url) as node:
        tiers = (Tier(up_to=None, required=1),)
        network = network_of(node, deployed, tiers=tiers)
        async with make_world(database, {network: (node, deployed)}) as world:
            source = desk(world, Outcome.ACCEPT)
            invoice = await world.invoice()
            await pay(world, invoice)
            assert await stands(world, invoice) == ("pending", "screening", "pending", None)
            assert await screen(world, source) == 1
            assert await status_of(world, invoice) == ("settled", "none")


async def test_a_listed_source_is_held_and_accepted_by_a_person(
    world: World, tmp_path: Path
) -> None:
    await ban(world, tmp_path, world.node.accounts[1])
    invoice = await world.invoice()
    await pay(world, invoice)
    await screen(world)
    await deepen(world)
    assert await stands(world, invoice) == ("confirmed", None, "inbox", "held")
    assert await status_of(world, invoice) == ("new", "none")
    assert (await world.balances()).get(("available", "ETH"), 0) == 0
    assert (await world.events())[-2:] == ["deposit.confirmed", "deposit.unmatched"]
    deposit = await first_deposit(world, invoice)
    for action in ("credit", "ignore"):
        with pytest.raises(Conflict, match="screening holds") as caught:
            async with world.context.database.begin() as session:
                await decisions.resolve(
                    session, world.context, world.merchant_id, deposit.id, action
                )
        assert caught.value.code == "held"
    await assert_sound(world)
    await decide(world, Outcome.ACCEPT)
    assert await stands(world, invoice) == ("confirmed", None, "available", None)
    assert await status_of(world, invoice) == ("settled", "none")
    assert (await world.events())[-1] == "invoice.settled"
    await assert_sound(world)


async def test_a_rejected_deposit_stays_in_the_inbox_and_may_go_back(
    shop: Leaving, tmp_path: Path
) -> None:
    world = shop.world
    await shop.fund("ETH", "1")
    await ban(world, tmp_path, world.node.accounts[1])
    invoice = await world.invoice()
    await pay(world, invoice)
    await screen(world)
    await deepen(world)
    deposit = await first_deposit(world, invoice)

    async def give_back() -> Any:
        async with world.context.database.begin() as session:
            return await refunds.resolve(
                session, world.context, world.merchant_id, deposit.id, PAYEE, KEY
            )

    with pytest.raises(Conflict, match="screening holds"):
        await give_back()
    await decide(world, Outcome.REJECT)
    assert await stands(world, invoice) == ("confirmed", None, "inbox", "held")
    assert await status_of(world, invoice) == ("new", "none")
    before = await world.node.balance(PAYEE)
    refund = await give_back()
    assert (await first_deposit(world, invoice)).account == "available"
    with pytest.raises(Conflict, match="resolved already"):
        await give_back()
    await shop.judge()
    await screen(world)
    await shop.finish()
    assert (await shop.show_refund(refund))["status"] == "paid"
    assert await world.node.balance(PAYEE) == before + PRICE
    await shop.assert_sound()


async def test_the_oracle_contract_is_asked(database: Database, one_chain: Chain) -> None:
    url, deployed = one_chain
    async with connect(url) as node:
        oracle = deployed.sanctions_oracle
        bad = calldata("addToSanctionsList(address[])", [node.accounts[2]])
        await node.send(oracle, data=bad, gas=200_000)
        network = network_of(node, deployed, sanctions_oracle=oracle)
        async with make_world(database, {network: (node, deployed)}) as world:
            good, held = await world.invoice(), await world.invoice()
            await pay(world, good)
            await pay(world, held, sender=2)
            await screen(world)
            await deepen(world)
            assert await status_of(world, good) == ("settled", "none")
            assert await stands(world, held) == ("confirmed", None, "inbox", "held")
            await assert_sound(world)


async def test_a_source_that_is_away_holds_until_it_answers(world: World) -> None:
    source = desk(world, None)
    invoice = await world.invoice()
    await pay(world, invoice)
    await deepen(world)
    assert (await stands(world, invoice))[:2] == ("pending", "screening")
    assert await screen(world, source) == 1, "it was asked, and no answer is a word"
    assert await stands(world, invoice) == ("confirmed", None, "inbox", "held")
    source.says = Outcome.ACCEPT
    await world.advance(2)
    assert await screen(world, source) == 1
    assert await status_of(world, invoice) == ("settled", "none")
    await assert_sound(world)


async def test_a_reorg_keeps_what_a_person_said(world: World, tmp_path: Path) -> None:
    await ban(world, tmp_path, world.node.accounts[1])
    invoice = await world.invoice()
    sent = await pay(world, invoice)
    signed = await world.node.raw(sent)
    await screen(world)
    await deepen(world)
    await world.node.reorg(4, (signed, 1))
    await world.follow()
    live = [row for row in await world.rows("deposits") if row.status != "orphaned"]
    assert [(row.status, row.held, row.account) for row in live] == [("confirmed", True, "inbox")]
    await assert_sound(world)
    await decide(world, Outcome.ACCEPT)
    assert await status_of(world, invoice) == ("settled", "none")
    await world.node.reorg(4, (signed, 0))
    await world.follow()
    assert len(await world.rows("screenings")) == 1, "nobody is asked twice"
    assert await status_of(world, invoice) == ("settled", "none")
    await assert_sound(world)


async def test_a_held_deposit_that_the_chain_takes_back(world: World, tmp_path: Path) -> None:
    await ban(world, tmp_path, world.node.accounts[1])
    invoice = await world.invoice()
    signed = await world.node.raw(await pay(world, invoice))
    await screen(world)
    await deepen(world)
    await world.node.reorg(4)
    await world.follow()
    assert (await first_deposit(world, invoice)).status == "orphaned"
    assert (await world.balances()).get(("inbox", "ETH"), 0) == 0
    await decide(world, Outcome.ACCEPT)  # about nothing, for now
    await assert_sound(world)
    await world.node.rpc("eth_sendRawTransaction", signed)
    await world.node.mine(3)
    await world.follow()
    assert await status_of(world, invoice) == ("settled", "none")
    await assert_sound(world)
