"""Keys: who may ask what, and for how long."""

from __future__ import annotations

import asyncio
import hashlib

from sqlalchemy import select, text

from core import ids
from merchants.tables import ApiKey
from tests.integration.api.conftest import World
from tests.waiting import eventually

OPERATOR_PATHS = [
    ("GET", "/v1/merchants"),
    ("POST", "/v1/merchants"),
    ("GET", "/v1/merchants/mer_x"),
    ("PATCH", "/v1/merchants/mer_x"),
    ("GET", "/v1/api_keys"),
    ("POST", "/v1/api_keys"),
    ("GET", "/v1/api_keys/key_x"),
    ("DELETE", "/v1/api_keys/key_x"),
    ("GET", "/v1/networks"),
]


async def key_of(world: World, key: str) -> ApiKey:
    async with world.context.database.read() as session:
        digest = hashlib.sha256(key.encode()).digest()
        return (await session.scalars(select(ApiKey).where(ApiKey.hash == digest))).one()


async def test_without_a_valid_key_nothing_is_told(world: World) -> None:
    for header in (
        *("", "Bearer", "Bearer ", "Basic c2tfeDo=", "sk_x", "Bearer sk_wrong", "Bearer xx_wrong"),
        *("Bearer sk_" + "a" * 5000, "Bearer naïve"),
    ):
        answer = await world.stranger.get("/v1/deposits", headers={"Authorization": header})
        assert (answer.status, answer.code) == (401, "unauthorized"), header
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_without_any_header_it_is_401(world: World) -> None:
    assert (await world.stranger.get("/v1/deposits")).status == 401


async def test_the_scheme_is_read_in_any_case(world: World) -> None:
    header = {"Authorization": f"bEARER  {world.one.key}"}
    assert (await world.stranger.get("/v1/deposits", headers=header)).status == 200


async def test_a_merchants_key_on_an_operators_path_is_403(world: World) -> None:
    for method, path in OPERATOR_PATHS:
        body = {"name": "x"} if "merchants" in path else {"merchant": None, "scopes": ["*"]}
        answer = await world.one(method, path, json=body)
        assert (answer.status, answer.code) == (403, "forbidden"), (method, path)


async def test_a_key_without_the_scope_is_403_and_names_it(world: World) -> None:
    answer = await (await world.key("one", "invoices:read", "ledger:read")).get("/v1/deposits")
    assert (answer.status, answer.code) == (403, "missing_scope")
    assert "deposits:read" in answer.json["detail"]


async def test_a_key_with_the_scope_may(world: World) -> None:
    for scope in ("deposits:read", "deposits:*", "*"):
        assert (await (await world.key("one", scope)).get("/v1/deposits")).status == 200, scope


async def test_only_the_hash_is_kept(world: World) -> None:
    body = {"merchant": ids.show("mer", world.ids["one"]), "scopes": ["*"], "name": "till"}
    made = await world.operator.post("/v1/api_keys", body, headers={"Idempotency-Key": "k"})
    key = made.json["key"]
    assert made.status == 201
    assert len(key) == 46  # sk_ and 32 bytes in base64url
    again = await world.operator.post("/v1/api_keys", body, headers={"Idempotency-Key": "k"})
    assert again.body == made.body
    shown = await world.operator.get(f"/v1/api_keys/{made.json['id']}")
    assert "key" not in shown.json
    assert shown.json["prefix"] == key[:11]
    assert (await key_of(world, key)).name == "till"
    async with world.context.database.read() as session:
        tables = await session.scalars(
            text("select tablename from pg_tables where schemaname = 'public'")
        )
        for table in tables.all():
            dump = await session.scalar(text(f"select string_agg(t::text, ' ') from {table} t"))  # noqa: S608
            assert key not in (dump or ""), table
            assert key.encode().hex() not in (dump or ""), table


async def test_a_revoked_key_ends_at_once(world: World) -> None:
    client = await world.key("one", "*")
    assert (await client.get("/v1/deposits")).status == 200
    key = await key_of(world, str(client.key))
    answer = await world.operator("DELETE", f"/v1/api_keys/{ids.show('key', key.id)}")
    assert answer.json["revoked_at"] is not None
    assert (await client.get("/v1/deposits")).status == 401
    again = await world.operator("DELETE", f"/v1/api_keys/{ids.show('key', key.id)}")
    assert again.json == answer.json


async def test_a_key_revoked_by_another_process_ends_by_notification(world: World) -> None:
    client = await world.key("one", "*")
    assert (await client.get("/v1/deposits")).status == 200
    key = await key_of(world, str(client.key))
    async with world.context.database.begin() as session:
        await session.execute(
            text("update api_keys set revoked_at = now() where id = :id"), {"id": key.id}
        )
        await session.execute(text("select pg_notify('keys', '')"))

    async def refused() -> bool:
        return (await client.get("/v1/deposits")).status == 401

    await eventually(refused, seconds=3)  # the cache alone would hold for 5 s


async def test_a_use_is_written_down_once_a_minute(world: World) -> None:
    client = await world.key("one", "*")
    key = await key_of(world, str(client.key))
    assert key.last_used_at is None
    await client.get("/v1/deposits")

    async def noted() -> bool:
        return (await key_of(world, str(client.key))).last_used_at is not None

    await eventually(noted)
    first = (await key_of(world, str(client.key))).last_used_at
    for _ in range(5):
        await client.get("/v1/deposits")
    other = await world.key("two", "*")
    await other.get("/v1/deposits")

    async def other_noted() -> bool:
        return (await key_of(world, str(other.key))).last_used_at is not None

    await eventually(other_noted)  # the writer ran again, and left the first key alone
    assert (await key_of(world, str(client.key))).last_used_at == first


async def test_a_key_can_give_out_only_what_it_has(world: World) -> None:
    limited = await world.key(None, "ledger:read")
    for scopes, status in ((["*"], 403), (["ledger:*"], 403), (["ledger:read"], 201)):
        answer = await limited.post("/v1/api_keys", {"merchant": None, "scopes": scopes})
        assert answer.status == status, scopes


async def test_an_operators_key_is_asked_for_by_name(world: World) -> None:
    answer = await world.operator.post("/v1/api_keys", {"scopes": ["*"]})
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "merchant")
    answer = await world.operator.post("/v1/api_keys", {"merchant": None, "scopes": ["*"]})
    assert answer.json["key"].startswith("ok_")
    assert (await world.client(answer.json["key"]).get("/v1/networks")).status == 200


async def test_unknown_merchants_and_scopes_are_refused(world: World) -> None:
    for body, field in (
        ({"merchant": "mer_01h455vb4pex5vsknk084sn02q", "scopes": ["*"]}, "merchant"),
        ({"merchant": "inv_01h455vb4pex5vsknk084sn02q", "scopes": ["*"]}, "merchant"),
        ({"merchant": None, "scopes": ["everything"]}, "scopes.0"),
        ({"merchant": None, "scopes": []}, "scopes"),
        ({"merchant": None, "scopes": "*"}, "scopes"),
    ):
        answer = await world.operator.post("/v1/api_keys", body)
        assert answer.status == 422, body
        assert answer.json["errors"][0]["field"] == field


async def test_keys_are_listed_by_merchant(world: World) -> None:
    mer = ids.show("mer", world.ids["one"])
    for _ in range(3):
        await world.key("one", "ledger:read")
    mine = (await world.operator.get(f"/v1/api_keys?merchant={mer}&limit=2")).json
    assert mine["has_more"] is True
    rest = (
        await world.operator.get(f"/v1/api_keys?merchant={mer}&cursor={mine['next_cursor']}")
    ).json
    assert rest["next_cursor"] is None
    assert len(mine["data"]) + len(rest["data"]) == 4
    assert {k["merchant"] for k in mine["data"] + rest["data"]} == {mer}
    everybody = (await world.operator.get("/v1/api_keys?limit=100")).json["data"]
    assert len(everybody) == 6
    assert (await world.operator.get("/v1/api_keys?merchant=mer_x")).status == 422


async def test_many_first_uses_at_once(world: World) -> None:
    client = await world.key("one", "*")
    answers = await asyncio.gather(*(client.get("/v1/deposits") for _ in range(30)))
    assert {a.status for a in answers} == {200}
