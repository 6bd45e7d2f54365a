"""/v1/sweeps and /v1/treasury/wallets over HTTP: what is made, who may, and every refusal."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api.sweeps import Sweep
from api.treasury import Wallet
from core import ids
from core.addresses import checksum
from ledger.accounts import EQUITY, Role, place
from ledger.journal import Entry, Kind, post, transfer
from tests.integration.api.conftest import NETWORK, USDC, Answer, Client, World
from wallets import hot
from wallets.hot import WalletKind

PATH = "/v1/sweeps"
MINE = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
FOREIGN = "0x" + "dd" * 20

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"network": "eip155:5"}, "network", "unknown_network"),
    ({"network": None}, "network", "invalid_request"),
    ({"network": 5}, "network", "invalid_request"),
    ({"addresses": []}, "addresses", "invalid_request"),
    ({"addresses": MINE}, "addresses", "invalid_request"),
    ({"addresses": [MINE] * 501}, "addresses", "invalid_request"),
    ({"addresses": ["0x12"]}, "addresses.0", "not_an_address"),
    ({"addresses": [MINE, checksum(MINE).replace("5aAe", "5AAe")]}, "addresses.1",
     "wrong_checksum"),
    ({"addresses": [MINE, "0x" + "ab" * 20]}, "addresses.1", "unknown_address"),
    ({"assets": []}, "assets", "invalid_request"),
    ({"assets": ["DOGE"]}, "assets.0", "unknown_asset"),
    ({"assets": ["USDC", FOREIGN]}, "assets.1", "unknown_asset"),
    ({"assets": [""]}, "assets.0", "invalid_request"),
    ({"addresses": [MINE], "assets": ["0x12"]}, "assets.0", "not_an_address"),
    ({"surprise": 1}, "surprise", "invalid_request"),
]  # fmt: skip


@pytest.fixture
async def house(world: World) -> World:
    """One deposit address, and wallets with money in the books."""
    now = world.context.clock.now()
    async with world.context.database.begin() as session:
        await session.execute(
            text(
                "insert into deposit_addresses (address, id, merchant_id, watch_until, created_at)"
                " values (:address, :id, :merchant, now(), now())"
            ),
            {"address": MINE, "id": ids.new(), "merchant": world.ids["one"]},
        )
        for number, kind in enumerate(WalletKind):
            await hot.add(
                session, address=f"0x{number + 1:040x}", label=f"the {kind}", kind=kind,
                networks=[NETWORK], now=now,
            )  # fmt: skip
        await session.execute(
            text("insert into house_addresses (network, address, role) values (:n, :a, :r)"),
            {"n": NETWORK, "a": "0x" + "5a" * 20, "r": "treasury"},
        )
        entry = Entry(
            id=ids.new(), key="opening:test", kind=Kind.OPENING, reference="test", merchant_id=None,
            evidence={}, posted_at=now,
            postings=transfer("USDC", 5, debit=place(NETWORK, Role.HOT), credit=EQUITY)
            + transfer("ETH", 7, debit=place(NETWORK, Role.TREASURY), credit=EQUITY),
        )  # fmt: skip
        await post(session, [entry])
    return world


async def ask(client: Client, body: dict[str, Any], key: str = "") -> Answer:
    headers = {"Idempotency-Key": key or ids.new().hex}
    return await client.post(PATH, {"network": NETWORK, **body}, headers=headers)


async def test_a_sweep_is_asked_for_once(house: World) -> None:
    answer = await ask(house.operator, {"addresses": [MINE], "assets": ["ETH", FOREIGN]}, "one")
    assert answer.status == 201, answer.body
    made = answer.json
    Sweep.model_validate(made)
    assert (made["status"], made["trigger"], made["network_fee"]) == ("requested", "command", None)
    assert (made["addresses"], made["assets"]) == ([checksum(MINE)], ["ETH", FOREIGN])
    again = await ask(house.operator, {"addresses": [MINE], "assets": ["ETH", FOREIGN]}, "one")
    assert again.body == answer.body
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await ask(house.operator, {}, "one")
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert (await house.operator.get(f"{PATH}/{made['id']}")).json == made
    async with house.context.database.read() as session:
        told = (await session.execute(text("select type, subject from events"))).all()
    assert [tuple(row) for row in told] == [("sweep.requested", made["id"])]


async def test_lists(house: World) -> None:
    made = [(await ask(house.operator, {"assets": [a]})).json["id"] for a in ("ETH", "USDC", USDC)]
    listed = (await house.operator.get(PATH)).json
    assert [one["id"] for one in listed["data"]] == made[::-1]
    assert listed["data"][0]["assets"] == ["USDC"]  # a configured contract by its name
    first = (await house.operator.get(f"{PATH}?limit=2")).json
    assert first["has_more"]
    rest = (await house.operator.get(f"{PATH}?limit=2&cursor={first['next_cursor']}")).json
    assert [one["id"] for one in rest["data"]] == made[:1]
    for query, count in (
        ("status=requested", 3), ("status=done", 0), (f"network={NETWORK}", 3),
        ("network=eip155:5", 0),
    ):  # fmt: skip
        assert len((await house.operator.get(f"{PATH}?{query}")).json["data"]) == count
    assert (await house.operator.get(f"{PATH}?status=lost")).status == 422


@pytest.mark.parametrize(("body", "field", "code"), BAD)
async def test_what_is_refused(house: World, body: dict[str, Any], field: str, code: str) -> None:
    answer = await ask(house.operator, body)
    assert (answer.status, answer.code) == (422, code)
    assert answer.json["errors"][0]["field"].startswith(field)
    async with house.context.database.read() as session:
        assert await session.scalar(text("select count(*) from sweeps")) == 0


async def test_who_may(house: World) -> None:
    number = (await ask(house.operator, {})).json["id"]
    reader = await house.key(None, "treasury:read")
    for client, status, code in (
        (house.one, 403, "forbidden"),
        (await house.key("one", "treasury:write"), 403, "forbidden"),
        (await house.key(None, "ledger:read"), 403, "missing_scope"),
        (house.stranger, 401, "unauthorized"),
    ):
        for answer in (
            await ask(client, {}),
            await client.get(PATH),
            await client.get(f"{PATH}/{number}"),
            await client.get("/v1/treasury/wallets"),
        ):
            assert (answer.status, answer.code) == (status, code)
    assert (await reader.get(PATH)).status == 200
    assert (await ask(reader, {})).code == "missing_scope"
    without = await house.operator.post(PATH, {"network": NETWORK})
    assert (without.status, without.code) == (422, "idempotency_key_required")
    for unknown in ("swp_nothing", ids.show("swp", UUID(int=5)), ids.show("pay", UUID(int=5))):
        assert (await house.operator.get(f"{PATH}/{unknown}")).status == 404


async def test_the_houses_wallets_and_what_the_books_hold(house: World) -> None:
    listed = (await house.operator.get("/v1/treasury/wallets")).json["data"]
    for one in listed:
        Wallet.model_validate(one)
    assert [(w["kind"], w["label"], w["signable"]) for w in listed] == [
        ("hot", "the hot", True),
        ("relayer", "the relayer", True),
        ("treasury", "the treasury", True),
        ("watch", "the watch", False),
        ("treasury", "treasury", False),
    ]
    by_label = {w["label"]: w["places"] for w in listed}
    at_hot = {
        "network": NETWORK,
        "place": f"network:{NETWORK}:hot",
        "balances": [{"asset": "USDC", "amount": "0.000005"}],
    }
    assert by_label["the hot"] == by_label["the relayer"] == [at_hot]
    [at_treasury] = by_label["treasury"]
    assert at_treasury["balances"] == [{"asset": "ETH", "amount": "0.000000000000000007"}]
    assert by_label["the treasury"] == [at_treasury]
    assert by_label["the watch"] == []
    assert listed[-1]["id"] == listed[-1]["address"] == checksum("0x" + "5a" * 20)
