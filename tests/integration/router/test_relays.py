"""Payments that are only signed: carried by our relayer, once, within limits, or refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from core.errors import Conflict, Invalid, TooMany
from core.networks import RelayPolicy
from payments.relaying import Relaying, intent_of
from payments.router_tables import Authorization, Quote
from sandbox import contracts
from tests.integration.payments.facts import assert_sound, breaks
from tests.integration.router.rig import Till, units
from wallets.intents import Order, transaction

TREASURY = "network:eip155:31337:treasury"
HOT = "network:eip155:31337:hot"


async def payer_of(till: Till, quote: dict[str, Any]) -> Any:
    """Somebody with the token and without any ETH."""
    payer = Account.create()
    await till.give(quote, payer.address)
    return payer


async def test_a_payer_without_ether(till: Till) -> None:
    world, node = till.world, till.world.node
    invoice = await world.invoice()
    quote = await till.quote(invoice, "USDC")
    payer = await payer_of(till, quote)
    number = await till.relay(quote, till.authorize(quote, payer))
    assert (await till.relayed(number))["status"] == "requested"
    await till.work()
    await node.mine()
    await world.follow()
    shown = await till.relayed(number)
    [deposit] = (await world.show(invoice))["deposits"]
    assert (shown["status"], shown["tx_hash"]) == ("done", deposit["tx_hash"])
    assert deposit["from"] == payer.address
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["status"] == "settled"
    balances, amount = await world.balances(), units(quote)
    assert balances[TREASURY, "USDC"] == amount == -balances["available", "USDC"]
    assert balances[HOT, "ETH"] == await node.balance(till.relayer)
    assert balances["expense:gas", "ETH"] == 10**18 - balances[HOT, "ETH"] > 0
    assert await node.balance(payer.address) == 0
    assert await breaks(world) == []
    assert await world.rows("house_movements") == []
    await assert_sound(world)


async def test_a_fork_takes_it_and_it_is_sent_again(till: Till) -> None:
    world, node = till.world, till.world.node
    invoice = await world.invoice()
    quote = await till.quote(invoice, "USDC")
    payer = await payer_of(till, quote)
    number = await till.relay(quote, till.authorize(quote, payer))
    await till.work()
    await node.mine()
    await world.follow()
    height = (await world.show(invoice))["deposits"][0]["block_number"]
    await node.reorg(await node.head() - height + 1)
    await world.follow()
    assert (await world.show(invoice))["status"] == "new"
    assert (await till.relayed(number))["status"] == "sending"
    await till.work()
    await world.mine(4)
    await world.follow()
    assert (await till.relayed(number))["status"] == "done"
    assert (await world.show(invoice))["status"] == "settled"
    assert (await world.balances())[HOT, "ETH"] == await node.balance(till.relayer)
    await assert_sound(world)


async def test_somebody_else_sends_it_first(till: Till) -> None:
    """The same call by another account: paid all the same, and not paid for by us."""
    world = till.world
    invoice = await world.invoice()
    quote = await till.quote(invoice, "USDC")
    payer = await payer_of(till, quote)
    number = await till.relay(quote, till.authorize(quote, payer))
    await send_it(till, number)
    await till.work()
    shown = await till.relayed(number)
    assert (shown["status"], shown["reason"]) == ("refused", "quote_paid")
    await world.mine(3)
    await world.follow()
    assert (await world.show(invoice))["status"] == "settled"
    assert (await world.balances()).get(("expense:gas", "ETH")) is None


async def test_sent_first_by_another_after_ours_was_prepared(till: Till) -> None:
    world = till.world
    invoice = await world.invoice()
    quote = await till.quote(invoice, "USDC")
    payer = await payer_of(till, quote)
    number = await till.relay(quote, till.authorize(quote, payer))
    [mine] = await till.relaying["eip155:31337"].claim(5)
    await till.relaying["eip155:31337"].step(mine)
    await send_it(till, number)
    await till.work()
    assert (await till.relayed(number))["status"] == "failed"
    await world.mine(3)
    await world.follow()
    shown = await world.show(invoice)
    assert (shown["status"], len(shown["deposits"])) == ("settled", 1)


async def test_a_payer_who_takes_it_back_gets_another_quote(till: Till) -> None:
    world, node = till.world, till.world.node
    invoice = await world.invoice()
    quote = await till.quote(invoice, "USDC")
    payer = await payer_of(till, quote)
    number = await till.relay(quote, till.authorize(quote, payer))
    nonce = bytes.fromhex(quote["quote_hash"][2:])
    types = {
        "CancelAuthorization": [
            {"name": "authorizer", "type": "address"},
            {"name": "nonce", "type": "bytes32"},
        ]
    }
    domain = {
        **quote["domain"], "chainId": quote["chain_id"], "verifyingContract": quote["token"],
    }  # fmt: skip
    signed = Account.sign_typed_data(
        payer.key, domain, types, {"authorizer": payer.address, "nonce": nonce}
    )
    r, s = signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
    data = contracts.call(
        "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)",
        payer.address, nonce, signed.v, r, s,
    )  # fmt: skip
    await node.send(quote["token"], data=data, gas=200_000)
    await till.work()
    shown = await till.relayed(number)
    assert (shown["status"], shown["reason"]) == ("refused", "authorization_used")
    assert (await till.quote(invoice, "USDC"))["id"] != quote["id"]


async def test_what_is_signed_otherwise_is_refused(till: Till) -> None:
    world = till.world
    quote = await till.quote(await world.invoice(), "USDC")
    other = await till.quote(await world.invoice(), "USDC")
    payer, stranger = Account.create(), Account.create()
    good = till.authorize(quote, payer)
    now = int(world.context.clock.now().timestamp())
    for wrong in (
        till.authorize(other, payer),
        till.authorize(quote, payer, value=units(quote) + 1),
        till.authorize(quote, payer, to=stranger.address),
        replace(good, payer=stranger.address),
        replace(good, valid_before=good.valid_before + 1),
        replace(good, signature=good.signature[:-2]),
        replace(good, signature=good.signature[:-2] + "1d"),
        replace(good, signature=_twin(good.signature)),
        till.authorize(quote, payer, validBefore=now + 5),
        till.authorize(quote, payer, validAfter=now + 60),
        replace(good, valid_before=1 << 256),
    ):
        with pytest.raises(Invalid):
            await till.relay(quote, wrong)
    eth = await till.quote(await world.invoice(), "ETH")
    with pytest.raises(Invalid) as refused:
        await till.relay(eth, good)
    assert refused.value.code == "authorization_unsupported"
    assert await world.rows("router_authorizations") == []


async def test_one_at_a_time_and_the_same_again(till: Till) -> None:
    quote = await till.quote(await till.world.invoice(), "USDC")
    payer, other = Account.create(), Account.create()
    given = till.authorize(quote, payer)
    number = await till.relay(quote, given)
    v0 = given.signature[:-2] + f"{int(given.signature[-2:], 16) - 27:02x}"
    assert await till.relay(quote, replace(given, signature=v0)) == number
    with pytest.raises(Conflict) as refused:
        await till.relay(quote, till.authorize(quote, other))
    assert refused.value.code == "authorization_exists"


async def test_a_payer_without_the_money(till: Till) -> None:
    quote = await till.quote(await till.world.invoice(), "USDC")
    number = await till.relay(quote, till.authorize(quote, Account.create()))
    await till.work()
    shown = await till.relayed(number)
    assert (shown["status"], shown["reason"]) == ("refused", "reverts")
    assert await till.world.rows("transactions") == []
    # he may try again: an authorization that was refused is none
    assert await till.relay(quote, till.authorize(quote, Account.create())) != number


@pytest.mark.parametrize(
    ("policy", "amount", "code"),
    [
        (RelayPolicy(max_fee=1), "25.00", "gas_too_expensive"),
        (RelayPolicy(), "0.01", "gas_too_expensive"),
        (None, "25.00", "authorization_unsupported"),
    ],
)
async def test_what_is_not_worth_its_gas(
    till: Till, policy: RelayPolicy | None, amount: str, code: str
) -> None:
    world = till.world
    network = replace(world.context.catalog.networks["eip155:31337"], relay=policy)
    world.context.catalog.networks[network.id] = network
    endpoints = world.endpoints[network.id]
    till.relaying[network.id] = Relaying(world.context, network, endpoints)
    quote = await till.quote(await world.invoice(amount), "USDC")
    payer = await payer_of(till, quote)
    if policy is None:
        assert "authorization" not in quote["methods"]
        with pytest.raises(Invalid) as refused:
            await till.relay(quote, till.authorize(quote, payer))
        assert refused.value.code == code
        return
    number = await till.relay(quote, till.authorize(quote, payer))
    await till.work()
    assert (await till.relayed(number))["reason"] == code


@pytest.mark.parametrize("limit", ["per_invoice", "per_payer", "per_hour"])
async def test_limits(till: Till, limit: str) -> None:
    world = till.world
    policy = replace(RelayPolicy(per_invoice=9, per_payer=9, per_hour=9), **{limit: 1})
    network = replace(world.context.catalog.networks["eip155:31337"], relay=policy)
    world.context.catalog.networks[network.id] = network
    payer, other = Account.create(), Account.create()
    first = await till.quote(await world.invoice(), "USDC")
    again = first if limit == "per_invoice" else await till.quote(await world.invoice(), "USDC")
    await till.relay(first, till.authorize(first, payer))
    if limit == "per_invoice":
        await till.work()  # refused, for he has nothing: it counts all the same
    who = payer if limit == "per_payer" else other
    with pytest.raises(TooMany) as refused:
        await till.relay(again, till.authorize(again, who))
    assert refused.value.code == "relay_limit"


async def test_expired_and_paid_meanwhile(till: Till) -> None:
    world = till.world
    invoice = await world.invoice()
    quote = await till.quote(invoice, "USDC")
    payer = await payer_of(till, quote)
    number = await till.relay(quote, till.authorize(quote, payer))
    await world.pay(invoice, "ETH")
    await world.follow()
    await till.work()
    assert (await till.relayed(number))["reason"] == "amount_changed"
    quote = await till.quote(await world.invoice(), "USDC")
    await world.advance(590)
    with pytest.raises(Conflict) as refused:
        await till.relay(quote, till.authorize(quote, payer))
    assert refused.value.code == "quote_expired"


async def send_it(till: Till, authorization_id: Any) -> None:
    """As somebody who has seen it would."""
    world = till.world
    network = world.context.catalog.networks["eip155:31337"]
    async with world.context.database.read() as session:
        row = await session.get_one(Authorization, authorization_id)
        quote = await session.get_one(Quote, row.quote_id)
    order = Order(
        id="tx_x", network=network.id, chain_id=network.chain_id, wallet=world.node.accounts[3],
        nonce=0, gas=1, max_fee=1, priority_fee=0, intent=intent_of(row, quote, network),
    )  # fmt: skip
    call = transaction(order)
    await till.send(call.to, "0x" + call.data.hex(), sender=3)


def _twin(signature: str) -> str:
    """The other signature that proves the same (EIP-2)."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    raw = bytes.fromhex(signature[2:])
    s = (order - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    return "0x" + (raw[:32] + s + bytes([55 - raw[64]])).hex()


async def test_two_workers_at_once(till: Till) -> None:
    """Whoever comes second finds it done: one quote, one transaction."""
    world = till.world
    network = "eip155:31337"
    number = await till.ask(await world.invoice(), "USDC")
    assert await till.quoting[network].claim(5) == [number]
    assert await till.quoting[network].claim(5) == []  # leased
    await asyncio.gather(*(till.quoting[network].step(number) for _ in range(3)))
    quote = await till.show(number)
    payer = await payer_of(till, quote)
    relay = await till.relay(quote, till.authorize(quote, payer))
    assert await till.relaying[network].claim(5) == [relay]
    assert await till.relaying[network].claim(5) == []
    await asyncio.gather(*(till.relaying[network].step(relay) for _ in range(3)))
    assert len(await world.rows("transactions")) == 1
    await till.work()
    await world.mine(3)
    await world.follow()
    assert len(await world.rows("deposits")) == 1


async def test_no_relayer_and_one_without_ether(till: Till) -> None:
    world = till.world
    quote = await till.quote(await world.invoice(), "USDC")
    payer = await payer_of(till, quote)
    async with world.context.database.statement() as connection:
        await connection.execute("update hot_wallets set retired_at = now() where kind = 'relayer'")
    number = await till.relay(quote, till.authorize(quote, payer))
    await till.work()
    assert (await till.relayed(number))["reason"] == "relayer_unavailable"
    async with world.context.database.statement() as connection:
        await connection.execute("update hot_wallets set retired_at = null")
    await world.node.rpc("anvil_setBalance", till.relayer, "0x0")
    number = await till.relay(quote, till.authorize(quote, payer))
    await till.work()
    assert (await till.relayed(number))["reason"] == "relayer_unavailable"
    assert await world.rows("transactions") == []
