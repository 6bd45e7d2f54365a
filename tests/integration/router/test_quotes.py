"""What is quoted, to whom it is given again, and what is refused with a reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from eth_account import Account

from core import ids
from core.errors import Conflict, Invalid, NotFound, TooMany
from payments import decisions, router_quotes
from payments.router_quotes import Wish
from tests.integration.router.rig import Till, units
from tests.world import RpcError, calldata


async def test_nobody_asks_twice_for_the_same(till: Till) -> None:
    world = till.world
    invoice = await world.invoice()
    numbers = {await till.ask(invoice) for _ in range(3)}
    await till.work()
    numbers |= {await till.ask(invoice) for _ in range(3)}
    assert len(numbers) == 1
    assert till.signer.quoted == 1
    assert await till.ask(invoice, "USDC") not in numbers
    await world.advance(530)  # good for 70 s more
    assert await till.ask(invoice) not in numbers
    rows = await world.rows("router_quotes")
    assert sum(row.live for row in rows) == 2
    assert len({row.quote_hash for row in rows}) == 3


async def test_the_deadline_is_ten_minutes_and_never_after_the_invoice(till: Till) -> None:
    world = till.world
    long, short = await world.invoice(expires_in=3600), await world.invoice(expires_in=120)
    now = world.context.clock.now()
    deadline = int((await till.quote(long))["quote"]["deadline"])
    assert deadline <= int(now.timestamp()) + 601
    quote = await till.quote(short)
    [row] = await world.rows("invoices", id=ids.read("inv", short["id"]))
    assert int(quote["quote"]["deadline"]) == int(row.expires_at.timestamp())
    assert (await till.quote(short))["id"] == quote["id"]
    await world.advance(110)
    with pytest.raises(Conflict) as refused:
        await till.ask(short)
    assert refused.value.code == "invoice_not_payable"
    shown = await till.show(_number(quote))
    assert shown["status"] == "signed"
    await world.advance(20)
    assert (await till.show(_number(quote)))["status"] == "expired"


@pytest.mark.parametrize(
    ("asset", "changes", "code"),
    [
        ("FEE", {}, "fee_on_transfer"),
        ("ETH", {"router": None}, "no_router"),
        ("BTC", {}, "invalid_request"),
    ],
)
async def test_what_gets_no_quote(
    till: Till, asset: str, changes: dict[str, Any], code: str
) -> None:
    world = till.world
    invoice = await world.invoice()
    network = world.context.catalog.networks["eip155:31337"]
    if changes:
        from dataclasses import replace

        world.context.catalog.networks["eip155:31337"] = replace(network, **changes)
    with pytest.raises(Invalid) as refused:
        await till.ask(invoice, asset)
    assert refused.value.code == code
    assert await world.rows("router_quotes") == []


async def test_unknown_wrong_and_closed(till: Till) -> None:
    world = till.world
    context = world.context
    invoice = await world.invoice()
    wish = Wish(asset="ETH", network="eip155:31337", payer="0x12")
    number = ids.read("inv", invoice["id"])
    assert number is not None
    async with context.database.begin() as session:
        with pytest.raises(Invalid, match="payer"):
            await router_quotes.ask(session, context, number, wish)
        with pytest.raises(NotFound):
            await router_quotes.ask(session, context, ids.new(), wish)
    async with context.database.begin() as session:
        await decisions.cancel(session, context, world.merchant_id, number)
    with pytest.raises(Conflict):
        await till.ask(invoice)


async def test_a_payment_between_asking_and_signing(till: Till) -> None:
    world = till.world
    invoice = await world.invoice()
    number = await till.ask(invoice)
    await world.pay(invoice, "USDC", amount=5_000_000)
    await world.follow()
    await till.work()
    shown = await till.show(number)
    assert (shown["status"], shown["reason"], shown["signature"]) == (
        "refused", "amount_changed", None,
    )  # fmt: skip
    again = await till.quote(invoice)
    assert again["status"] == "signed"
    assert units(again) == 8 * 10**15


async def test_the_signer_is_away_or_refuses(till: Till) -> None:
    world = till.world
    invoice = await world.invoice()
    till.signer.away = True
    number = await till.ask(invoice)
    await till.work()
    assert (await till.show(number))["status"] == "requested"
    till.signer.away = False
    clock = world.context.clock
    clock.set_offset(clock.offset + timedelta(seconds=3))
    await till.work()
    assert (await till.show(number))["status"] == "signed"
    till.signer.refuse_quotes = "unknown_asset"
    number = await till.ask(invoice, "USDC")
    await till.work()
    assert (await till.show(number))["reason"] == "unknown_asset"


async def test_a_rotated_key(till: Till) -> None:
    """A quote of the key before is good until the router says so, and not given out beyond."""
    world, node = till.world, till.world.node
    router, before = world.contracts.router, till.signer.quote_key
    old = [await till.quote(await world.invoice()) for _ in range(2)]
    new = Account.create()
    now = int(world.context.clock.now().timestamp())
    await change_key(till, new.address, now + 300)
    shown = await till.quote(await world.invoice())  # the signer has the old key still
    assert (shown["status"], shown["reason"]) == ("refused", "quote_key_unknown")
    till.signer.quote_key = new
    fresh = await till.quote(await world.invoice())
    assert fresh["status"] == "signed"
    await till.pay(old[0])
    await world.advance(310)
    with pytest.raises(RpcError):
        await till.pay(old[1])
    await till.pay(fresh)
    await world.follow()
    assert len(await world.rows("deposits")) == 2
    await change_key(till, before.address, 0)
    assert await node.rpc("eth_getCode", router, "latest") != "0x"


async def test_an_invoice_has_so_many(till: Till) -> None:
    invoice = await till.world.invoice()
    for asset in ("ETH", "USDC"):
        await till.ask(invoice, asset, most=2)
    with pytest.raises(TooMany):
        await till.ask(invoice, "DAI", most=2)


@pytest.mark.parametrize(
    ("asset", "methods", "domain"),
    [
        ("ETH", ["pay"], None),
        ("USDC", ["authorization", "permit", "approve"], {"name": "USDC", "version": "2"}),
        ("USDT", ["approve"], None),
        ("DAI", ["approve"], None),
    ],
)
async def test_the_ways_to_pay(
    till: Till, asset: str, methods: list[str], domain: dict[str, str] | None
) -> None:
    quote = await till.quote(await till.world.invoice(), asset)
    assert (quote["methods"], quote["domain"]) == (methods, domain)


async def change_key(till: Till, key: str, until: int) -> None:
    node, router = till.world.node, till.world.contracts.router
    owner = Account.from_key("0x" + "11" * 32).address
    data = calldata("setQuoteKey(address,uint256)", key, until)
    call = {"from": owner, "to": router, "data": data}
    await node.receipt(await node.rpc("eth_sendTransaction", call))


def _number(quote: dict[str, Any]) -> Any:
    return ids.read("qte", quote["id"])
