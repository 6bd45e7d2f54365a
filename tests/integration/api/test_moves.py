"""/v1/treasury/moves over HTTP: what is made, who may, and every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from api.moves import Move, VenueAddress
from core import ids
from core.addresses import checksum
from core.banks import BankAccount
from core.money import FIAT
from ledger.accounts import EQUITY, Role, exchange, place
from ledger.journal import Entry, Kind, Posting, post, transfer
from tests.integration.api.conftest import NETWORK, Answer, World
from wallets import hot
from wallets.hot import WalletKind

PATH = "/v1/treasury/moves"
HOT = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
THERE = "0x" + "dd" * 20
BODY = {"asset": "USDC", "amount": "25", "network": NETWORK, "from": "hot", "to": "binance"}

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"asset": "DOGE"}, "asset", "unknown_asset"),
    ({"asset": None}, "asset", "invalid_request"),
    ({"amount": 25}, "amount", "invalid_request"),
    ({"amount": "-1"}, "amount", "invalid_request"),
    ({"amount": "0"}, "amount", "invalid_amount"),
    ({"amount": "0.0000001"}, "amount", "invalid_amount"),
    ({"network": "eip155:5"}, "network", "unknown_network"),
    ({"from": "kraken"}, "from", "invalid_request"),
    ({"from": "hot", "to": "hot"}, "to", "no_such_way"),
    ({"to": "bank:main"}, "to", "no_such_way"),
    ({"from": "binance", "to": "coinbase"}, "to", "no_such_way"),
    ({"from": "binance", "to": "bank:main"}, "asset", "no_such_way"),
    ({"from": "bank:main"}, "asset", "no_such_way"),
    ({"from": "bank:main", "to": "hot"}, "to", "no_such_way"),
    ({"to": "bank:"}, "to", "invalid_request"),
    ({"from": "treasury"}, "from", "no_wallet"),
    ({"surprise": 1}, "surprise", "invalid_request"),
]


def entry(key: str, postings: tuple[Posting, ...], world: World) -> Entry:
    return Entry(
        id=ids.new(), key=key, kind=Kind.OPENING, reference="test", merchant_id=None, evidence={},
        posted_at=world.context.clock.now(), postings=postings,
    )  # fmt: skip


@pytest.fixture
async def house(world: World) -> World:
    """A hot wallet with 100 USDC, and as much at Binance, in the books."""
    now = world.context.clock.now()
    world.context.banks = {"main": BankAccount(id="main", name="Main", asset=FIAT["EUR"])}
    here, there = place(NETWORK, Role.HOT), exchange("binance")
    async with world.context.database.begin() as session:
        await hot.add(
            session, address=HOT, label="hot", kind=WalletKind.HOT, networks=[NETWORK], now=now
        )
        ours = transfer("USDC", 100 * 10**6, debit=here, credit=EQUITY)
        theirs = transfer("USDC@18", 100 * 10**18, debit=there, credit=EQUITY)
        euro = transfer("EUR@18", 100 * 10**18, debit=there, credit=EQUITY)
        await post(
            session,
            [entry("a", ours, world), entry("b", theirs, world), entry("c", euro, world)],
        )
    return world


async def ask(world: World, key: str = "k", **changes: Any) -> Answer:
    body = {k: v for k, v in (BODY | changes).items() if v is not ...}
    return await world.operator.post(PATH, json=body, headers={"Idempotency-Key": key})


async def test_a_move_is_asked_for_once(house: World) -> None:
    answer = await ask(house)
    assert answer.status == 201, answer.body
    made = Move.model_validate(answer.json)
    assert (made.status, made.source, made.destination) == ("requested", "hot", "binance")
    assert (made.amount, made.safe, made.address) == ("25.000000", None, None)
    assert (await ask(house)).json["id"] == made.id
    assert (await ask(house, amount="26")).code == "idempotency_mismatch"
    assert (await house.operator.get(f"{PATH}/{made.id}")).json == answer.json
    listed = await house.operator.get(PATH, params={"status": "requested"})
    assert listed.json["data"] == [answer.json]
    told = await house.operator.get("/v1/events", params={"type": "move.requested"})
    assert told.status == 200


@pytest.mark.parametrize(("changes", "field", "code"), BAD)
async def test_what_cannot_be_is_refused(
    house: World, changes: dict[str, Any], field: str, code: str
) -> None:
    answer = await ask(house, **changes)
    assert (answer.status, answer.code) == (422, code), answer.body
    assert [e["field"] for e in answer.json["errors"]] == [field]


async def test_only_operators_with_the_scope_and_a_key(house: World) -> None:
    refused = await house.one.post(PATH, json=BODY, headers={"Idempotency-Key": "x"})
    assert (refused.status, refused.code) == (403, "forbidden")
    without = await house.operator.post(PATH, json=BODY)
    assert without.status in (400, 422)
    for path in (f"{PATH}/mov_x", "/v1/treasury/venue_addresses"):
        assert (await house.one.get(path)).code == "forbidden"
    assert (await house.operator.get(f"{PATH}/mov_x")).code == "not_found"
    assert (await house.operator.post(f"{PATH}/mov_x/approve")).code == "not_found"
    assert (await house.operator.post(f"{PATH}/mov_x/cancel")).code == "not_found"


async def test_funds_are_blocked_and_freed_by_a_no(house: World) -> None:
    assert (await ask(house, "1", **{"from": "hot", "amount": "101"})).code == "insufficient_funds"
    out = {"from": "binance", "to": "hot"}
    first = await ask(house, "2", amount="60", **out)
    assert (first.status, first.json["address"]) == (201, checksum(HOT))
    assert (await ask(house, "3", amount="60", **out)).code == "insufficient_funds"
    path = f"{PATH}/{first.json['id']}"
    assert (await house.operator.post(f"{path}/approve")).code == "move_not_held"
    ended = await house.operator.post(f"{path}/cancel")
    assert (ended.json["status"], ended.json["reason"]) == ("failed", "cancelled")
    assert ended.json["finished_at"] is not None
    assert (await house.operator.post(f"{path}/cancel")).json == ended.json
    assert (await ask(house, "4", amount="60", **out)).status == 201


async def test_fiat_is_ordered_by_a_person(house: World) -> None:
    fiat = {"asset": "EUR", "network": ..., "from": "binance", "to": "bank:main", "amount": "80"}
    made = await ask(house, "1", **fiat)
    assert made.status == 201, made.body
    assert (made.json["status"], made.json["reason"]) == ("approved", "order_at_venue")
    path = f"{PATH}/{made.json['id']}"
    ordered = await house.operator.post(f"{path}/approve")
    assert (ordered.json["status"], ordered.json["amount"]) == ("in_transit", "80.00")
    assert (await house.operator.post(f"{path}/cancel")).code == "move_not_open"
    assert (await house.operator.post(f"{path}/approve")).json == ordered.json


async def test_fiat_from_a_bank_is_ordered_there_by_a_person(house: World) -> None:
    fiat = {"asset": "EUR", "network": ..., "from": "bank:main", "to": "coinbase", "amount": "80"}
    made = await ask(house, "1", **fiat)
    assert made.status == 201, made.body
    Move.model_validate(made.json)
    assert (made.json["status"], made.json["reason"]) == ("approved", "order_at_bank")
    assert (made.json["from"], made.json["to"], made.json["network"]) == (
        "bank:main", "coinbase", None,
    )  # fmt: skip
    path = f"{PATH}/{made.json['id']}"
    ordered = await house.operator.post(f"{path}/approve")
    assert (ordered.json["status"], ordered.json["reason"]) == ("sending", None)
    assert (await house.operator.post(f"{path}/approve")).json == ordered.json
    ended = await house.operator.post(f"{path}/cancel")
    assert (ended.json["status"], ended.json["reason"]) == ("failed", "cancelled")
    assert (await house.operator.post(f"{path}/approve")).json["status"] == "failed"
    for change, code in (
        ({"from": "bank:other"}, "unknown_account"),
        ({"asset": "USD"}, "unknown_account"),
        ({"network": NETWORK}, "no_such_way"),
    ):
        refused = await ask(house, "2", **(fiat | change))
        assert (refused.status, refused.code) == (422, code), refused.body


async def test_addresses_of_venues_are_listed(house: World) -> None:
    async with house.context.database.begin() as session:
        await session.execute(
            text(
                "insert into venue_addresses (id, venue, asset, network, address, status, seen_at)"
                " values (:id, 'binance', 'USDC', :network, :address, 'held', now())"
            ),
            {"id": ids.new(), "network": NETWORK, "address": THERE},
        )
    answer = await house.operator.get("/v1/treasury/venue_addresses")
    [found] = [VenueAddress.model_validate(one) for one in answer.json["data"]]
    assert (found.status, found.address) == ("held", checksum(THERE))
