"""/v1/merchants and /v1/networks."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, text

from core import clock, ids
from merchants.tables import Merchant
from tests.integration.api.conftest import NETWORK, USDC, World
from wallets.addresses import checksum

PATH = "/v1/merchants"


async def test_a_merchant_is_made_shown_changed_listed(world: World) -> None:
    made = await world.operator.post(
        PATH,
        {
            "name": "Lamps",
            "settle_in": "fiat_at_quote",
            "settle_currency": "USD",
            "spread_percent": "0.5",
            "payout_fee": "house",
            "accepts": [{"network": NETWORK, "asset": "ETH"}, {"network": NETWORK, "asset": "ETH"}],
        },
    )
    assert made.status == 201
    assert made.json["webhook_secret"].startswith("whsec_")
    shown = await world.operator.get(f"{PATH}/{made.json['id']}")
    assert shown.json == {k: v for k, v in made.json.items() if k != "webhook_secret"}
    assert shown.json["object"] == "merchant"
    assert shown.json["accepts"] == [{"network": NETWORK, "asset": "ETH"}]
    changed = await world.operator(
        "PATCH", f"{PATH}/{made.json['id']}", json={"accepts": None, "name": "Lamps & co"}
    )
    assert changed.json == {**shown.json, "accepts": None, "name": "Lamps & co"}
    listed = (await world.operator.get(PATH)).json
    assert listed["object"] == "list"
    assert listed["data"][0] == changed.json


async def test_defaults(world: World) -> None:
    made = (await world.operator.post(PATH, {"name": "Plain"})).json
    del made["id"], made["created_at"], made["webhook_secret"]
    assert made == {
        "object": "merchant",
        "name": "Plain",
        "settle_in": "crypto",
        "settle_currency": None,
        "spread_percent": "0",
        "payout_fee": "merchant",
        "accepts": None,
    }


async def test_a_change_that_leaves_nonsense_is_refused_whole(world: World) -> None:
    merchant = f"{PATH}/{ids.show('mer', world.ids['one'])}"
    answer = await world.operator(
        "PATCH", merchant, json={"name": "y", "settle_in": "fiat_at_fill"}
    )
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "settle_currency")
    assert (await world.operator.get(merchant)).json["name"] == "Shop one"
    for body in ({"name": None}, {"webhook_secret": "x"}, {"spread_percent": ""}):
        answer = await world.operator("PATCH", merchant, json=body)
        assert (answer.status, answer.json["errors"][0]["field"]) == (422, next(iter(body)))


async def test_the_webhook_secret_is_sealed_to_its_row(world: World) -> None:
    made = (await world.operator.post(PATH, {"name": "x"})).json
    async with world.context.database.read() as session:
        row = (await session.scalars(select(Merchant).order_by(Merchant.id.desc()))).first()
    assert row is not None
    opened = world.context.secrets.open(row.webhook_secret, f"merchants.webhook_secret:{row.id}")
    assert opened.decode() == made["webhook_secret"]
    assert made["webhook_secret"].encode() not in row.webhook_secret


async def test_pages_walk_through_all_newest_first(world: World) -> None:
    for n in range(5):
        await world.operator.post(PATH, {"name": f"m{n}"})
    names: list[str] = []
    cursor = ""
    while True:
        page = (await world.operator.get(f"{PATH}?limit=3{cursor}")).json
        names += [m["name"] for m in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert names == ["m4", "m3", "m2", "m1", "m0", "Shop two", "Shop one"]


async def test_networks_tell_how_far_they_are_followed(world: World) -> None:
    page = (await world.operator.get("/v1/networks")).json
    assert (page["data"][0]["height"], page["data"][0]["created_at"]) == (None, None)
    followed = world.context.clock.now() - timedelta(seconds=42)
    async with world.context.database.begin() as session:
        await session.execute(
            text(
                "insert into network_cursors values (:network, 90, '0xaa', 7, '0x00', 100, 68, 36,"
                " :followed, false, null, cast(:endpoints as jsonb), :followed)"
            ),
            {
                "network": NETWORK,
                "followed": followed,
                "endpoints": '[{"url_host": "node.example:8545", "score": 88}]',
            },
        )
        await session.execute(
            text(
                "insert into blocks select :network, n, '0x', '0x',"
                " cast(:first as timestamptz) + (n - 89) * interval '1 hour', 'none'"
                " from unnest(array[90, 89]) n"
            ),
            {"network": NETWORK, "first": followed},
        )
    network = (await world.operator.get("/v1/networks")).json["data"][0]
    assert 42 <= network.pop("lag_seconds") <= 47
    assert network == {
        "id": NETWORK,
        "object": "network",
        "name": "Anvil",
        "height": 90,
        "head": 100,
        "lag_blocks": 10,
        "followed_until": clock.show(followed),
        "safe": 68,
        "finalized": 36,
        "stalled": False,
        "halted": None,
        "endpoints": [{"url_host": "node.example:8545", "score": 88}],
        "assets": [
            {
                "asset": "ETH",
                "asset_id": f"{NETWORK}/slip44:60",
                "address": None,
                "decimals": 18,
            },
            {
                "asset": "USDC",
                "asset_id": f"{NETWORK}/erc20:{USDC}",
                "address": checksum(USDC),
                "decimals": 6,
            },
        ],
        "created_at": clock.show(followed),
    }
