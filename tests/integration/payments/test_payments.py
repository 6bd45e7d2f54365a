"""Payments of every kind on a real chain: each is credited once, at the right place."""

from __future__ import annotations

import pytest

from core import ids
from core.db import Database
from core.networks import Traces
from tests import settings
from tests.integration.payments.conftest import Chain
from tests.world import World, calldata, connect, network_of
from tests.world import world as make_world

DONE = ["invoice.created", "invoice.processing", "invoice.settled"]


async def subject_events(world: World, invoice: dict[str, object]) -> list[str]:
    return await world.events(str(invoice["id"]))


@pytest.mark.parametrize("asset", ["ETH", "USDC", "USDT", "DAI", "T24", "BLK"])
async def test_exact_payment_settles(world: World, asset: str) -> None:
    invoice = await world.invoice()
    await world.pay(invoice, asset)
    await world.follow()
    seen = await world.show(invoice)
    assert (seen["status"], seen["exception"]) == ("processing", "none")
    assert seen["deposits"][0]["confirmations"] == 1
    await world.mine(2)
    await world.follow()
    settled = await world.show(invoice)
    assert (settled["status"], settled["exception"]) == ("settled", "none")
    assert settled["amount_paid"] == settled["amount_confirmed"] == "25.00"
    assert settled["amount_due"] == "0.00"
    [deposit] = settled["deposits"]
    assert (deposit["status"], deposit["value"], deposit["inbox"]) == ("confirmed", "25.00", None)
    balances = await world.balances()
    amount = world.contracts.tokens[asset].asset.parse(deposit["amount"])
    assert balances == {
        ("available", asset): -amount,
        ("network:eip155:31337:deposits", asset): amount,
    }
    assert await subject_events(world, invoice) == DONE
    assert await world.events() == [
        "invoice.created",
        "deposit.seen",
        "invoice.processing",
        "deposit.confirmed",
        "invoice.settled",
    ]
    await world.assert_books_match_the_chain()


async def test_several_states_in_one_batch_are_all_told_in_order(world: World) -> None:
    invoice = await world.invoice()
    await world.pay(invoice)
    await world.mine(5)
    await world.follow()
    assert (await world.events())[1:] == [
        "deposit.seen",
        "invoice.processing",
        "deposit.confirmed",
        "invoice.settled",
    ]


async def test_fee_token_is_credited_with_what_arrived(world: World) -> None:
    invoice = await world.invoice()
    token = world.contracts.tokens["FEE"]
    await world.pay(invoice, "FEE", amount=25 * 10**18)
    await world.follow()
    short = await world.show(invoice)
    assert (short["status"], short["exception"]) == ("new", "paid_partial")
    assert short["deposits"][0]["amount"] == token.asset.format(2475 * 10**16)
    await world.pay(invoice, "FEE", amount=10**18)
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["status"] == "settled"
    await world.assert_books_match_the_chain()


async def test_two_fee_transfers_in_one_block(world: World) -> None:
    invoice = await world.invoice()
    async with world.node.one_block():
        await world.pay(invoice, "FEE", amount=10**18 + 1)
        await world.pay(invoice, "FEE", amount=10**18 + 7)
    await world.follow()
    await world.assert_books_match_the_chain()
    assert len((await world.show(invoice))["deposits"]) == 2


async def test_partial_then_the_rest_at_another_rate(world: World) -> None:
    """A rate that moves between two part payments changes nothing (CryptoZing #156)."""
    invoice = await world.invoice()
    await world.pay(invoice, amount=5 * 10**15)
    await world.mine(3)
    await world.follow()
    half = await world.show(invoice)
    assert (half["status"], half["exception"]) == ("new", "paid_partial")
    assert (half["amount_paid"], half["amount_due"]) == ("12.50", "12.50")
    assert world.option(half, "ETH")["amount_due"] == "0.005000000000000000"
    assert ("available", "ETH") not in await world.balances()
    async with world.context.database.statement() as connection:
        await connection.execute("update prices set price = price * 9 / 10 where base = 'ETH'")
    await world.pay(half)
    await world.mine(3)
    await world.follow()
    done = await world.show(invoice)
    assert (done["status"], done["exception"]) == ("settled", "none")
    assert (await world.balances())["available", "ETH"] == -(10**16)


async def test_overpaid(world: World) -> None:
    invoice = await world.invoice()
    await world.pay(invoice, amount=2 * 10**16)
    await world.mine(3)
    await world.follow()
    over = await world.show(invoice)
    assert (over["status"], over["exception"]) == ("settled", "paid_over")
    assert over["deposits"][0]["inbox"]["reason"] == "overpaid"
    assert (await world.balances())["available", "ETH"] == -2 * 10**16
    assert "invoice.paid_over" in await subject_events(world, invoice)


async def test_paid_twice(world: World) -> None:
    invoice = await world.invoice()
    await world.pay(invoice)
    await world.mine(3)
    await world.follow()
    await world.pay(invoice, amount=10**16)
    await world.mine(3)
    await world.follow()
    twice = await world.show(invoice)
    assert (twice["status"], twice["exception"]) == ("settled", "paid_over")
    assert [d["inbox"] and d["inbox"]["reason"] for d in twice["deposits"]] == [None, "overpaid"]


async def test_late_goes_to_the_inbox(world: World) -> None:
    invoice = await world.invoice()
    await world.advance(1000)
    await world.follow()
    assert (await world.show(invoice))["status"] == "expired"
    await world.pay(invoice)
    await world.mine(3)
    await world.follow()
    late = await world.show(invoice)
    assert (late["status"], late["exception"]) == ("expired", "paid_late")
    assert late["deposits"][0]["inbox"]["reason"] == "late"
    assert (await world.balances())["inbox", "ETH"] == -(10**16)
    assert ("available", "ETH") not in await world.balances()
    assert await world.events() == [
        "invoice.created",
        "invoice.expired",
        "deposit.seen",
        "deposit.unmatched",
        "invoice.paid_late",
        "deposit.confirmed",
    ]


async def test_seen_in_time_confirms_after_the_deadline(world: World) -> None:
    invoice = await world.invoice()
    await world.pay(invoice)
    await world.follow()
    await world.advance(1000)
    await world.follow()
    assert (await world.show(invoice))["status"] == "processing"
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["status"] == "settled"


async def test_partial_at_the_deadline_goes_to_the_inbox(world: World) -> None:
    invoice = await world.invoice()
    await world.pay(invoice, amount=5 * 10**15)
    await world.mine(3)
    await world.follow()
    await world.advance(1000)
    await world.follow()
    expired = await world.show(invoice)
    assert (expired["status"], expired["exception"]) == ("expired", "paid_partial")
    assert expired["deposits"][0]["inbox"]["reason"] == "partial"
    assert (await world.balances())["inbox", "ETH"] == -5 * 10**15


async def test_two_transfers_in_one_transaction(world: World) -> None:
    invoice = await world.invoice()
    payer, token = world.contracts.payer, world.contracts.tokens["USDC"]
    to = invoice["payment_options"][0]["address"]
    mint = calldata("mint(address,uint256)", world.node.accounts[0], 25 * 10**6)
    await world.node.send(token.address, data=mint)
    approve = calldata("approve(address,uint256)", payer, 25 * 10**6)
    await world.node.send(token.address, data=approve)
    twice = calldata(
        "payTwice(address,address,uint256,uint256)", token.address, to, 10 * 10**6, 15 * 10**6
    )
    sent = await world.node.send(payer, data=twice)
    await world.mine(3)
    await world.follow()
    paid = await world.show(invoice)
    assert paid["status"] == "settled"
    assert [d["tx_hash"] for d in paid["deposits"]] == [sent, sent]
    assert len({d["position"] for d in paid["deposits"]}) == 2


async def test_eth_sent_by_a_contract(world: World) -> None:
    invoice = await world.invoice()
    to = invoice["payment_options"][0]["address"]
    await world.node.send(world.contracts.payer, 10**16, calldata("pay(address)", to))
    await world.mine(3)
    await world.follow()
    paid = await world.show(invoice)
    assert paid["status"] == "settled"
    assert paid["deposits"][0]["position"].startswith("trace:")
    await world.assert_books_match_the_chain()


async def test_many_invoices_paid_by_one_call(world: World) -> None:
    made = [await world.invoice() for _ in range(5)]
    targets = [i["payment_options"][0]["address"] for i in made]
    data = calldata("payMany(address[],uint256[])", targets, [10**16] * 5)
    await world.node.send(world.contracts.payer, 5 * 10**16, data, gas=1_000_000)
    await world.mine(3)
    await world.follow()
    assert [(await world.show(i))["status"] for i in made] == ["settled"] * 5


async def test_inner_call_that_reverts_credits_nothing(world: World) -> None:
    invoice = await world.invoice()
    to = invoice["payment_options"][0]["address"]
    data = calldata("tryPayAndRevert(address)", to)
    sent = await world.node.send(world.contracts.payer, 10**16, data)
    assert (await world.node.receipt(sent))["status"] == "0x1"
    await world.mine(3)
    await world.follow()
    unpaid = await world.show(invoice)
    assert (unpaid["status"], unpaid["deposits"]) == ("new", [])


async def test_a_failed_transaction_credits_nothing(world: World) -> None:
    invoice = await world.invoice()
    to = invoice["payment_options"][0]["address"]
    data = calldata("payThenRevert(address)", to)
    sent = await world.node.send(world.contracts.payer, 10**16, data, gas=200_000)
    assert (await world.node.receipt(sent))["status"] == "0x0"
    await world.follow()
    assert (await world.show(invoice))["deposits"] == []


async def test_zero_value_transfers_are_nothing(world: World) -> None:
    invoice = await world.invoice()
    to = invoice["payment_options"][0]["address"]
    await world.node.send(to, 0)
    zero = calldata("transfer(address,uint256)", to, 0)
    await world.node.send(world.contracts.tokens["USDC"].address, data=zero)
    await world.follow()
    assert (await world.show(invoice))["deposits"] == []


async def test_dust_is_kept_without_a_word(world: World) -> None:
    invoice = await world.invoice()
    await world.pay(invoice, amount=1000)
    await world.mine(3)
    await world.follow()
    [dust] = (await world.show(invoice))["deposits"]
    assert dust["inbox"]["reason"] == "dust"
    assert await world.events() == ["invoice.created"]
    assert (await world.balances())["inbox", "ETH"] == -1000
    await world.assert_books_match_the_chain()


async def test_an_asset_that_was_not_offered(world: World) -> None:
    invoice = await world.invoice(assets=["ETH"])
    await world.pay(invoice, "USDC", amount=25 * 10**6)
    await world.mine(3)
    await world.follow()
    odd = await world.show(invoice)
    assert (odd["status"], odd["amount_paid"]) == ("new", "0.00")
    assert odd["deposits"][0]["inbox"]["reason"] == "unexpected_asset"
    assert (await world.balances())["inbox", "USDC"] == -25 * 10**6


async def test_an_unlisted_token_is_no_money(world: World) -> None:
    """A fake token with a real one's name: only configured contracts count."""
    invoice = await world.invoice()
    to = invoice["payment_options"][0]["address"]
    fake = await world.node.deploy(
        "SandboxToken", ("string", "USDC"), ("string", "USDC"), ("uint8", 6)
    )
    await world.node.send(fake, data=calldata("mint(address,uint256)", to, 25 * 10**6))
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["deposits"] == []


async def test_an_address_of_another_network(two_networks: World) -> None:
    world = two_networks
    second = list(world.nodes)[1]
    invoice = await world.invoice(networks=[next(iter(world.nodes))])
    await world.transfer("ETH", invoice["payment_options"][0]["address"], 10**16, network=1)
    await world.mine(3)
    await world.follow()
    odd = await world.show(invoice)
    assert odd["status"] == "new"
    assert odd["deposits"][0]["network"] == second
    assert odd["deposits"][0]["inbox"]["reason"] == "unexpected_network"
    await world.assert_books_match_the_chain()


async def test_paid_on_two_networks(two_networks: World) -> None:
    world = two_networks
    invoice = await world.invoice()
    await world.pay(invoice, amount=5 * 10**15, network=0)
    await world.pay(invoice, "USDC", amount=12_500_000, network=1)
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["status"] == "settled"
    await world.assert_books_match_the_chain()


async def test_a_stalled_network_delays_the_expiry(two_networks: World) -> None:
    world = two_networks
    both = await world.invoice()
    one = await world.invoice(networks=[next(iter(world.nodes))])
    await world.advance(1000)
    await world.followings[next(iter(world.nodes))].catch_up()
    assert (await world.show(both))["status"] == "new"
    assert (await world.show(one))["status"] == "expired"
    await world.follow()
    assert (await world.show(both))["status"] == "expired"


async def test_two_invoices_with_the_same_amount_never_mix(world: World) -> None:
    first, second = await world.invoice(), await world.invoice()
    await world.pay(second)
    await world.mine(3)
    await world.follow()
    assert (await world.show(first))["status"] == "new"
    assert (await world.show(second))["status"] == "settled"


async def test_a_day_without_the_worker(database: Database, own_chain: Chain) -> None:
    """1,000 blocks with payments in them: all credited, in order (Bitcart skips beyond 300).

    On an Anvil of its own: a long chain forgets its contracts in a later anvil_reorg.
    """
    url, deployed = own_chain
    async with connect(url) as node:
        networks = {network_of(node, deployed): (node, deployed)}
        async with make_world(database, networks) as world:
            await _pay_a_day_without_the_worker(world)


async def _pay_a_day_without_the_worker(world: World) -> None:
    made = []
    payments = settings.numbers(10, 50)
    for number in range(payments):
        made.append(await world.invoice())
        await world.pay(made[-1], ["ETH", "USDC"][number % 2])
        await world.mine(1000 // payments)
    await world.follow()
    assert [(await world.show(i))["status"] for i in made] == ["settled"] * payments
    deposits = sorted(await world.rows("deposits"), key=lambda row: row.id)
    assert [ids.show("inv", row.invoice_id) for row in deposits] == [i["id"] for i in made]
    numbers = [row.number for row in await world.rows("blocks")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    await world.assert_books_match_the_chain()


@pytest.mark.parametrize("way", [Traces.DEBUG, Traces.NONE])
async def test_inner_eth_in_the_other_ways(
    database: Database, one_chain: Chain, way: Traces
) -> None:
    """By debug_traceBlockByHash, and by comparing balances where a node has no traces at all."""
    url, deployed = one_chain
    async with connect(url) as node:
        networks = {network_of(node, deployed, traces=way): (node, deployed)}
        async with make_world(database, networks) as world:
            inner, plain = await world.invoice(), await world.invoice()
            to = inner["payment_options"][0]["address"]
            await node.send(deployed.payer, 4 * 10**15, calldata("pay(address)", to))
            await world.follow()
            await node.send(to, 6 * 10**15)
            await world.pay(plain)
            await world.mine(5)
            await world.follow()
            paid = await world.show(inner)
            assert paid["status"] == "settled"
            positions = [d["position"].split(":")[0] for d in paid["deposits"]]
            assert positions == ["balance" if way is Traces.NONE else "trace", "tx"]
            assert (await world.show(plain))["status"] == "settled"
            await world.assert_books_match_the_chain()


async def test_a_sweep_of_what_only_its_balance_shows(database: Database, one_chain: Chain) -> None:
    """It came unseen and was swept before anybody looked: one deposit, and no unknown inflow."""
    url, deployed = one_chain
    async with connect(url) as node:
        networks = {network_of(node, deployed, traces=Traces.NONE): (node, deployed)}
        async with make_world(database, networks) as world:
            invoice = await world.invoice()
            pay = calldata("pay(address)", invoice["payment_options"][0]["address"])
            await node.send(deployed.payer, 4 * 10**15, pay)
            await world.follow()
            await node.send(deployed.payer, 6 * 10**15, pay)
            await world.sweep("ETH", invoice)
            await world.follow()
            await world.mine(3)
            await world.follow()
            assert (await world.show(invoice))["status"] == "settled"
            assert [row.meaning for row in await world.rows("house_movements")] == ["swept"]
            assert await world.rows("breaks") == []
            await world.assert_books_match_the_chain()
