"""A settlement that takes its time, is asked again, and is taken back by a fork."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.db import Database
from core.networks import Tier
from payments import x402_settlements, x402_terms
from tests.integration.x402.shop import UNITS, Shop, open_shop
from tests.waiting import eventually
from tests.world import Deployed


@pytest.fixture
async def deep(database: Database, one_chain: tuple[str, Deployed]) -> AsyncIterator[Shop]:
    """Three blocks are asked for."""
    tiers = (Tier(up_to=None, required=3),)
    async with open_shop(database, one_chain, tiers=tiers) as made:
        yield made


async def settle(shop: Shop, body: dict[str, Any], seconds: float) -> dict[str, Any]:
    """As the route does, with less patience."""
    context = shop.world.context
    payment = x402_terms.read(
        context.catalog, 2, body["paymentPayload"], body["paymentRequirements"]
    )
    return await x402_settlements.settle(context, shop.world.merchant_id, payment, seconds)


async def becomes(shop: Shop, number: str, status: str) -> None:
    async def there() -> bool:
        shown = await shop.get(f"x402/settlements/{number}")
        return bool(shown["status"] == status)

    await eventually(there, 20)


async def test_it_is_pending_until_it_is_deep_enough(deep: Shop) -> None:
    body = deep.sign(await deep.payer())
    first = await settle(deep, body, 0)
    assert (first["success"], first["errorReason"]) == (False, "settlement_pending")
    number = first["extra"]["settlement"]
    await becomes(deep, number, "mined")
    again = await settle(deep, body, 0)
    assert again["errorReason"] == "settlement_pending"
    assert again["extra"] == {"settlement": number, "status": "mined"}
    assert again["transaction"].startswith("0x")
    assert ("available", "USDC") not in await deep.world.balances()
    await deep.world.mine(2)
    done = await settle(deep, body, 20)
    assert (done["success"], done["transaction"]) == (True, again["transaction"])
    assert (await deep.world.balances())["available", "USDC"] == -UNITS


async def test_a_signer_that_is_away_makes_it_wait(shop: Shop) -> None:
    shop.signer.away = True
    body = shop.sign(await shop.payer())
    first = await settle(shop, body, 0.5)
    assert first["errorReason"] == "settlement_pending"
    shop.signer.away = False
    assert (await shop.post("settle", body))["success"] is True
    assert len(await shop.world.rows("transactions")) == 1


async def test_somebody_else_sends_the_authorization_first(shop: Shop) -> None:
    shop.signer.away = True
    body = shop.sign(await shop.payer())
    first = await settle(shop, body, 0)
    number = first["extra"]["settlement"]
    await becomes(shop, number, "sending")
    sent = await shop.send(body)
    done = await settle(shop, body, 20)
    assert (done["success"], done["transaction"]) == (True, sent)
    shop.signer.away = False
    assert (await shop.get(f"x402/settlements/{number}"))["tx_hash"] == sent

    async def given_up() -> bool:
        [row] = await shop.world.rows("transactions")
        return bool(row.status == "failed")

    await eventually(given_up, 20)
    assert (await settle(shop, body, 0)) == done
    balances = await shop.world.balances()
    assert balances["available", "USDC"] == -UNITS
    assert ("inbox", "USDC") not in balances
    await shop.world.assert_books_match_the_chain()


async def test_ours_fails_before_the_block_that_pays_it_is_read(shop: Shop) -> None:
    shop.signer.away = True
    body = shop.sign(await shop.payer())
    first = await settle(shop, body, 0)
    number = first["extra"]["settlement"]
    await becomes(shop, number, "sending")
    shop.followed.clear()
    sent = await shop.send(body)

    async def given_up() -> bool:
        [row] = await shop.world.rows("transactions")
        return bool(row.status == "failed")

    await eventually(given_up, 20)
    again = await settle(shop, body, 0)
    assert (again["success"], again["errorReason"]) == (False, "settlement_pending")
    shop.followed.set()
    done = await settle(shop, body, 20)
    assert (done["success"], done["transaction"]) == (True, sent)


async def test_a_fork_takes_it_back_and_gives_it_again(shop: Shop) -> None:
    body = shop.sign(await shop.payer())
    done = await shop.post("settle", body)
    assert done["success"] is True
    number = done["extra"]["settlement"]
    shop.followed.clear()
    await shop.world.node.reorg(1)
    shop.followed.set()

    async def taken_back() -> bool:
        return any(row.status == "orphaned" for row in await shop.world.rows("deposits"))

    await eventually(taken_back, 20)
    # The same bytes are sent again by the worker, and mined as soon as they are.
    await becomes(shop, number, "done")
    again = await shop.post("settle", body)
    assert (again["success"], again["transaction"]) == (True, done["transaction"])
    balances = await shop.world.balances()
    assert balances["available", "USDC"] == -UNITS
    await shop.world.assert_books_match_the_chain()
    assert len(await shop.world.rows("transactions")) == 1
