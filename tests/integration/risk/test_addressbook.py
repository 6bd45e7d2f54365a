"""The address book over the real database: cooling, history, whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from core import ids
from core.context import RiskSettings
from core.errors import Conflict, Invalid, NotFound
from risk import addressbook, requests
from risk.rules import Decision, Effect, Request
from risk.tables import AddressBookEntry
from tests.integration.risk.conftest import Shop
from tests.unit.risk.world import DAI, NETWORK, OTHER, USDC

BOB = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


async def add(shop: Shop, address: str = BOB, **more: Any) -> AddressBookEntry:
    given: dict[str, Any] = {
        "address": address,
        "network": None,
        "label": "Bob",
        "group": None,
        "own": (),
        "author": shop.key,
        "now": shop.now,
    }
    async with shop.database.begin() as session:
        return await addressbook.add(session, shop.context, shop.one, **(given | more))


async def known(shop: Shop, network: str = NETWORK, merchant: UUID | None = None) -> str | None:
    async with shop.database.read() as session:
        entry = await addressbook.lookup(
            session, merchant or shop.one, network, BOB.lower(), shop.now
        )
    return entry.label if entry else None


async def test_a_new_entry_cools_down_by_the_domains_clock(shop: Shop) -> None:
    await add(shop)
    assert await known(shop) is None
    shop.wait(86_399)
    assert await known(shop) is None
    shop.wait(1)
    assert await known(shop) == "Bob"
    assert await known(shop, merchant=shop.two) is None


async def test_without_cooling_it_is_known_at_once(shop: Shop) -> None:
    shop.context.risk = RiskSettings(cooling=0)
    await add(shop)
    assert await known(shop) == "Bob"


async def test_removed_it_is_unknown_at_once_and_stays_as_history(shop: Shop) -> None:
    shop.context.risk = RiskSettings(cooling=60)
    entry = await add(shop)
    shop.wait(60)
    for _ in range(2):
        async with shop.database.begin() as session:
            await addressbook.remove(session, entry.id, shop.key, shop.now)
    assert await known(shop) is None
    await add(shop)
    assert await known(shop) is None, "added again, it cools again"
    async with shop.database.read() as session:
        rows, _ = await addressbook.page(
            session, shop.one, address=BOB, removed=True, limit=9, cursor=None
        )
        live, _ = await addressbook.page(
            session, shop.one, address=BOB, removed=False, limit=9, cursor=None
        )
    assert [row.removed_by for row in rows] == [None, shop.key]
    assert len(live) == 1
    assert addressbook.show(rows[1], shop.now)["status"] == "removed"


async def test_an_entry_of_the_network_comes_before_a_general_one(shop: Shop) -> None:
    shop.context.risk = RiskSettings(cooling=0)
    await add(shop, label="here", network=NETWORK)
    assert await known(shop, OTHER) is None
    await add(shop, label="everywhere")
    assert (await known(shop), await known(shop, OTHER)) == ("here", "everywhere")


async def test_an_address_is_in_it_once(shop: Shop) -> None:
    await add(shop)
    with pytest.raises(Conflict) as refused:
        await add(shop, BOB.lower(), group="staff")
    assert refused.value.code == "already_known"
    await add(shop, network=NETWORK)


@pytest.mark.parametrize(
    ("address", "more", "code"),
    [
        (BOB[:-1] + "8", {}, "wrong_checksum"),
        ("0x" + "0" * 40, {}, "zero_address"),
        (USDC, {}, "token_contract"),
        (DAI, {}, "token_contract"),  # of one of the networks it would be good for
        (BOB, {"own": {BOB.lower()}}, "own_address"),
        (BOB, {"network": "eip155:9"}, "invalid_request"),
    ],
)
async def test_what_is_no_destination_is_refused(
    shop: Shop, address: str, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await add(shop, address, **more)
    assert refused.value.code == code


async def test_a_tokens_contract_is_refused_on_its_network_only(shop: Shop) -> None:
    await add(shop, DAI, network=NETWORK)


async def test_a_look_alike_of_a_recent_destination_is_refused(shop: Shop) -> None:
    paid = BOB.lower()
    asked = Request(
        reference="pay",
        merchant_id=shop.one,
        network=NETWORK,
        asset="ETH",
        address=paid,
        amount=1,
        house_value=1,
        at=shop.now,
    )
    async with shop.database.begin() as session:
        await requests.record(session, asked, Decision(effect=Effect.ALLOW))
        await requests.record(
            session,
            replace(asked, reference="other", address="0x" + "ab" * 20),
            Decision(effect=Effect.ALLOW),
        )
    planted = paid[:6] + "9" * 32 + paid[-4:]
    with pytest.raises(Invalid) as refused:
        await add(shop, planted)
    assert refused.value.code == "looks_like_recent"
    await add(shop, paid)


async def test_an_entry_by_its_id(shop: Shop) -> None:
    entry = await add(shop)
    async with shop.database.read() as session:
        for entry_id in (ids.new(), None):
            with pytest.raises(NotFound):
                await addressbook.find(session, entry_id)
        assert (await addressbook.find(session, entry.id)).label == "Bob"
