"""Ids, refusals and documents: what holds for every path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import psycopg
import pytest
from fastapi import APIRouter, Request, Response
from sqlalchemy import text

from api import paging
from api.auth import Caller
from api.limits import MAX_BODY
from core.errors import LedgerError
from tests.integration.api.conftest import Answer, World
from tests.waiting import eventually

MERCHANTS = "/v1/merchants"


@pytest.fixture
def extra_routers() -> list[APIRouter]:
    """Paths that fail in ways no real one is known to."""
    router = APIRouter(prefix="/v1/broken", include_in_schema=False)

    @router.get("/ledger")
    async def ledger(caller: Caller) -> None:
        raise LedgerError("postings do not balance: merchant:secret:available")

    @router.get("/statement")
    async def statement(request: Request, caller: Caller) -> None:
        async with request.app.state.context.database.begin() as session:
            await session.execute(text("select * from no_such_table"))

    @router.get("/one-statement")
    async def one_statement(request: Request, caller: Caller) -> Response:
        async with request.app.state.context.database.statement() as connection:
            await connection.execute("select pg_sleep(0.05)")
        return paging.json({"ok": True})

    return [router]


async def test_an_unknown_path_is_a_problem(world: World) -> None:
    for path in ("/v1/nothing", "/", "/v1/merchants/", "/oauth/token", "/v1"):
        answer = await world.stranger.get(path)
        assert (answer.status, answer.code) == (404, "not_found"), path
        assert answer.json["request_id"] == answer.headers["X-Request-Id"]
        assert set(answer.json) == {"type", "title", "status", "detail", "code", "request_id"}


async def test_another_method_is_a_problem_that_names_those_allowed(world: World) -> None:
    answer = await world.operator("PUT", MERCHANTS)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, POST"


async def test_the_callers_request_id_comes_back_and_a_bad_one_is_replaced(world: World) -> None:
    sent = "order 1001 / try ~2"
    answer = await world.stranger.get("/v1/x", headers={"X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] == answer.json["request_id"] == sent
    for bad in ("", "x" * 129, "naïve", "tab\there"):
        answer = await world.stranger.get("/v1/x", headers={"X-Request-Id": bad})
        assert answer.headers["X-Request-Id"].startswith("req_")


async def test_request_ids_differ(world: World) -> None:
    answers = [await world.stranger.get("/healthz") for _ in range(3)]
    assert len({a.headers["X-Request-Id"] for a in answers}) == 3


async def test_a_failure_of_ours_is_a_problem_without_detail(world: World) -> None:
    for path in ("/v1/broken/ledger", "/v1/broken/statement"):
        answer = await world.one.get(path)
        assert (answer.status, answer.code) == (500, "internal_error"), path
        assert b"secret" not in answer.body
        assert b"no_such_table" not in answer.body
        assert answer.json["request_id"] == answer.headers["X-Request-Id"]


async def test_a_database_that_went_away_is_503_and_then_well_again(
    world: World, database_url: str
) -> None:
    async def ask(path: str) -> Answer:
        return await world.operator.get(path)

    async def well() -> bool:  # and leaves eight connections waiting
        answers = await asyncio.gather(*(ask(path) for _ in range(8)))
        return {answer.status for answer in answers} == {200}

    for path in (MERCHANTS, "/v1/broken/one-statement"):
        await eventually(well)
        async with await psycopg.AsyncConnection.connect(database_url) as owner:
            await owner.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        answers = [await ask(path) for _ in range(12)]
        assert 503 in {answer.status for answer in answers}, path
        for answer in answers:
            if answer.status != 200:
                assert answer.code == "unavailable"
                assert answer.headers["Retry-After"] == "1"
        assert answers[-1].status == 200, path


async def test_bodies_above_the_limit_are_413_however_they_come(world: World) -> None:
    body = json.dumps({"name": "x" * MAX_BODY}).encode()
    answer = await world.operator(
        "POST", MERCHANTS, data=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.code) == (413, "too_large")

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    answer = await world.operator(
        "POST", MERCHANTS, data=chunks(), headers={"Content-Type": "application/json"}
    )
    assert (answer.status, answer.code) == (413, "too_large")


async def test_a_body_at_the_limit_is_read(world: World) -> None:
    body = b'{"name": "Shop"' + b" " * (MAX_BODY - 16) + b"}"
    assert len(body) == MAX_BODY
    answer = await world.operator(
        "POST", MERCHANTS, data=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status == 201


async def test_an_endless_body_is_cut_off(world: World) -> None:
    host, port = world.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/merchants HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def flood() -> None:
        for _ in range(2_000):  # 128 MB, far above what is drained
            writer.write(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")
            await writer.drain()

    with pytest.raises(ConnectionError):
        await flood()
    writer.close()


async def test_metrics_know_routes_by_template_only(world: World) -> None:
    await world.operator.get("/v1/merchants/mer_secretpath")
    await world.operator.get("/v1/never/heard/of")
    page = (await world.stranger.get("/metrics")).body.decode()
    assert 'route="/v1/merchants/{merchant}",status="404"' in page
    assert 'route="unmatched"' in page
    assert "secretpath" not in page
    assert "heard" not in page


async def test_the_docs_come_from_here_alone(world: World) -> None:
    page = await world.stranger.get("/docs")
    assert page.status == 200
    assert b"http" not in page.body.replace(b"http-equiv", b"")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for asset in ("start.js", "swagger-ui.css", "swagger-ui-bundle.js"):
        assert f"/docs/{asset}".encode() in page.body
        answer = await world.stranger.get(f"/docs/{asset}")
        assert answer.status == 200, asset
        assert len(answer.body) > 100
    assert (await world.stranger.get("/docs/other.js")).code == "not_found"


async def test_every_operation_documents_its_refusals(world: World) -> None:
    document = (await world.stranger.get("/openapi.json")).json
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in document["components"]["schemas"]
    operations = [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    assert len({o["operationId"] for _, _, o in operations}) == len(operations)
    for path, method, operation in operations:
        assert path.startswith("/v1/"), path
        wanted = {"401", "403", "422", "429"}
        if "{" in path:
            wanted.add("404")
        if method == "post":
            wanted |= {"400", "409", "413"}
        assert wanted <= set(operation["responses"]), (method, path)
        assert operation["security"]
        media = {kind for a in operation["responses"].values() for kind in a.get("content", ())}
        assert ("text/event-stream" in media) is (path == "/v1/events/stream"), path
