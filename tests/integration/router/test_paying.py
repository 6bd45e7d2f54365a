"""Money through the router: each payment is one deposit of its invoice, in the treasury at once."""

from __future__ import annotations

from typing import Any

import pytest

from core import ids
from core.errors import Conflict
from core.keccak import keccak
from payments import decisions
from payments.claims import word_of
from sandbox import contracts
from tests.integration.payments.facts import assert_sound, breaks
from tests.integration.router.rig import QUOTE, Till, signature, units, words
from tests.world import RpcError, calldata
from wallets.intents import RouterQuote

DEPOSITS = "network:eip155:31337:deposits"
TREASURY = "network:eip155:31337:treasury"
HOT = "network:eip155:31337:hot"


async def places(till: Till) -> dict[tuple[str, str], int]:
    """Without what the relayer began with."""
    found = await till.world.balances()
    return {k: v for k, v in found.items() if k[0] not in (HOT, "equity")}


@pytest.mark.parametrize("asset", ["ETH", "USDC", "USDT", "T24", "BLK"])
async def test_one_payment_is_one_deposit(till: Till, asset: str) -> None:
    world = till.world
    invoice = await world.invoice()
    quote = await till.quote(invoice, asset)
    assert quote["status"] == "signed"
    assert quote["amount"] == world.option(invoice, asset)["amount_due"]
    before = await till.treasury(asset)
    tx_hash = await till.pay(quote)
    assert await till.treasury(asset) - before == units(quote)
    await world.follow()

    shown = await world.show(invoice)
    assert (shown["status"], shown["amount_due"]) == ("processing", "0.00")
    [deposit] = shown["deposits"]
    assert (deposit["tx_hash"], deposit["amount"]) == (tx_hash, quote["amount"])
    assert deposit["from"].lower() == world.node.accounts[1]
    assert deposit["to"].lower() == world.contracts.treasury
    assert deposit["position"].startswith("log:")
    assert deposit["via"] == "router"
    amount = units(quote)
    assert await places(till) == {(TREASURY, asset): amount, ("pending", asset): -amount}

    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["status"] == "settled"
    assert await places(till) == {(TREASURY, asset): amount, ("available", asset): -amount}
    assert await breaks(world) == []
    assert await world.rows("house_movements") == []
    assert await world.rows("address_holdings") == []
    assert await world.events() == [
        "invoice.created", "deposit.seen", "invoice.processing", "deposit.confirmed",
        "invoice.settled",
    ]  # fmt: skip
    await assert_sound(world)


async def test_several_in_one_transaction_and_what_else_it_moves(till: Till) -> None:
    """A gift of the very same amount beside two payments is not taken for one of them."""
    world, node = till.world, till.world.node
    invoices = [await world.invoice() for _ in range(2)]
    quotes = [await till.quote(invoice) for invoice in invoices]
    amount = units(quotes[0])
    calls = [
        (world.contracts.router, amount,
         contracts.call(f"pay({QUOTE},bytes)", words(q), signature(q)))
        for q in quotes
    ]  # fmt: skip
    calls.insert(1, (world.contracts.treasury, amount, "0x"))
    packed = [(to, False, value, bytes.fromhex(data[2:])) for to, value, data in calls]
    data = contracts.call("aggregate3Value((address,bool,uint256,bytes)[])", packed)
    await node.send(contracts.MULTICALL, 3 * amount, data, gas=2_000_000)
    await world.mine(3)
    await world.follow()
    for invoice in invoices:
        shown = await world.show(invoice)
        assert (shown["status"], len(shown["deposits"])) == ("settled", 1)
        assert shown["deposits"][0]["from"].lower() == contracts.MULTICALL
    [row] = await world.rows("house_movements")
    assert (row.meaning, row.amount, row.position) == ("unknown", amount, "trace:1")
    assert len(await breaks(world)) == 1
    assert (await world.balances())[TREASURY, "ETH"] == 3 * amount
    await assert_sound(world)


async def test_a_gift_from_the_payer_before_and_after(till: Till) -> None:
    world, node = till.world, till.world.node
    invoice = await world.invoice()
    quote = await till.quote(invoice, "USDC")
    amount, payer = units(quote), node.accounts[1]
    async with node.one_block():
        for _ in range(3):
            await till.give(quote, payer)
        approve = calldata("approve(address,uint256)", world.contracts.router, amount)
        await node.send(quote["token"], data=approve, sender=1, gas=100_000)
        gift = calldata("transfer(address,uint256)", world.contracts.treasury, amount)
        await node.send(quote["token"], data=gift, sender=1, gas=100_000)
        data = contracts.call(f"payToken({QUOTE},bytes)", words(quote), signature(quote))
        await node.send(world.contracts.router, data=data, sender=1, gas=300_000)
        await node.send(quote["token"], data=gift, sender=1, gas=100_000)
    await world.follow()
    assert len((await world.show(invoice))["deposits"]) == 1
    assert len(await world.rows("house_movements")) == 2
    assert (await world.balances())[TREASURY, "USDC"] == 3 * amount


async def test_the_rest_of_a_part_and_the_exact_due(till: Till) -> None:
    world = till.world
    invoice = await world.invoice()
    await world.pay(invoice, "USDC", amount=10_000_001)
    await world.follow()
    quote = await till.quote(invoice, "ETH")
    due = world.option(await world.show(invoice), "ETH")["amount_due"]
    assert quote["amount"] == due
    await till.pay(quote)
    await world.mine(3)
    await world.follow()
    shown = await world.show(invoice)
    assert (shown["status"], shown["exception"], shown["amount_due"]) == (
        "settled", "none", "0.00",
    )  # fmt: skip
    with pytest.raises(Conflict) as refused:
        await till.ask(invoice)
    assert refused.value.code == "invoice_not_payable"


async def test_paid_twice_is_paid_over_and_after_a_cancel_late(till: Till) -> None:
    """Beside a transfer of the whole amount, and for an invoice that was closed meanwhile."""
    world = till.world
    invoice = await world.invoice()
    quote = await till.quote(invoice)
    await world.pay(invoice, "ETH")
    await till.pay(quote)
    await world.mine(3)
    await world.follow()
    shown = await world.show(invoice)
    assert (shown["status"], shown["exception"]) == ("settled", "paid_over")

    late = await world.invoice()
    quote = await till.quote(late)
    async with world.context.database.begin() as session:
        await decisions.cancel(
            session, world.context, world.merchant_id, ids.read("inv", late["id"])
        )
    await world.advance(5)
    await till.pay(quote)
    await world.mine(3)
    await world.follow()
    shown = await world.show(late)
    assert shown["deposits"][0]["inbox"]["reason"] == "late"
    balances = await world.balances()
    assert balances["inbox", "ETH"] == -units(quote)
    await assert_sound(world)


async def test_replays_late_ones_and_other_networks_are_refused(two_tills: Till) -> None:
    till, world = two_tills, two_tills.world
    invoice = await world.invoice()
    quote = await till.quote(invoice)
    with pytest.raises(RpcError):  # the same router, another chain
        await till.pay(quote, network=1)
    await till.pay(quote)
    with pytest.raises(RpcError):
        await till.pay(quote, sender=2)
    await world.follow()
    assert len((await world.show(invoice))["deposits"]) == 1

    other = await world.invoice()
    quote = await till.quote(other, "USDC")
    await world.advance(601)
    with pytest.raises(RpcError):
        await till.pay(quote)
    await world.follow()
    assert (await world.show(other))["deposits"] == []


async def test_an_invoice_of_ours_that_offers_no_such_network(two_tills: Till) -> None:
    """Signed by our key all the same: the money is the merchant's, in his inbox."""
    till, world = two_tills, two_tills.world
    invoice = await world.invoice(networks=["eip155:31337"])
    number = ids.read("inv", invoice["id"])
    assert number is not None
    await pay_word(till, word_of(number), 10**15, network=1)
    await world.mine(3)
    await world.follow()
    [deposit] = (await world.show(invoice))["deposits"]
    assert deposit["inbox"]["reason"] == "unexpected_network"
    assert (await world.balances())["network:eip155:31338:treasury", "ETH"] == 10**15


@pytest.mark.parametrize("word", ["0x" + "00" * 15 + "77" * 17, "0x" + "ff" * 32])
async def test_no_invoice_of_ours_is_an_unknown_inflow(till: Till, word: str) -> None:
    world = till.world
    await pay_word(till, word, 10**15)
    await world.follow()
    [row] = await world.rows("house_movements")
    assert (row.meaning, row.amount, row.place) == ("unknown", 10**15, TREASURY)
    assert row.position.startswith("log:")
    assert len(await breaks(world)) == 1
    assert await places(till) == {(TREASURY, "ETH"): 10**15, ("suspense", "ETH"): -(10**15)}


async def test_only_the_configured_router_is_believed(till: Till) -> None:
    """A stranger's contract that tells the same event says nothing."""
    world, node = till.world, till.world.node
    invoice = await world.invoice()
    quote = await till.quote(invoice)
    await till.pay(quote)
    code = _tells("Paid(bytes32,address,address,uint256,bytes32)", word_of_invoice(invoice))
    await node.rpc("anvil_setCode", "0x" + "ac" * 20, code)
    await node.send("0x" + "ac" * 20, gas=200_000)
    await world.follow()
    assert len((await world.show(invoice))["deposits"]) == 1


def word_of_invoice(invoice: dict[str, Any]) -> str:
    number = ids.read("inv", invoice["id"])
    assert number is not None
    return word_of(number)


def _tells(event: str, invoice: str) -> str:
    """Code that emits this event with three words of data whatever it is called with."""
    # PUSH1 payer, PUSH32 invoice, PUSH32 topic, PUSH1 length, PUSH1 offset, LOG3, STOP
    return f"0x60017f{invoice[2:]}7f{keccak(event.encode()).hex()}60606000a300"


async def pay_word(till: Till, word: str, amount: int, network: int = 0) -> None:
    """A quote that our key signs for any word at all."""
    deployed = till.world.at(network)[1]
    deadline = int(till.world.context.clock.now().timestamp()) + 600
    quote = RouterQuote(
        id="qte_x", network="", chain_id=31337 + network, router=deployed.router, invoice=word,
        asset="native", amount=amount, deadline=deadline, nonce=1,
    )  # fmt: skip
    signed = bytes.fromhex((await till.signer.quote(quote))[2:])
    struct = (bytes.fromhex(word[2:]), "0x" + "00" * 20, amount, deadline, 1)
    data = contracts.call(f"pay({QUOTE},bytes)", struct, signed)
    await till.send(deployed.router, data, value=amount, network=network)
