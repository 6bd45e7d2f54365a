"""Who is asked outside: the oracle's contract on a real Anvil, a provider over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from chain.endpoints import Endpoints
from core import ids
from core.context import RiskSettings
from risk.screener import Screener
from risk.sources import HttpProvider, Oracle, SourceAway
from risk.verdicts import Outcome
from tests.contracts.chain import Chain, Contract, anvil
from tests.integration.risk.conftest import Shop
from tests.integration.risk.test_screening import CLEAN, pay, work
from tests.unit.risk.world import CATALOG, NETWORK

BAD = "0x" + "bd" * 20


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with anvil() as chain:
        yield chain


@pytest.fixture
def contract(chain: Chain) -> Contract:
    oracle = chain.create("SanctionsOracle")
    oracle.send("addToSanctionsList", [BAD])
    return oracle


def endpoints(*urls: str) -> Endpoints:
    network = CATALOG.networks[NETWORK]
    return Endpoints(replace(network, rpc_urls=urls), timeout=2)


async def test_the_oracle_is_read(chain: Chain, contract: Contract) -> None:
    async with endpoints(chain.url) as nodes:
        oracle = Oracle(nodes, contract.address.lower())
        good, bad = await oracle.ask(NETWORK, CLEAN), await oracle.ask(NETWORK, BAD)
    assert (good.outcome, bad.outcome) == (Outcome.ACCEPT, Outcome.REJECT)
    assert bad.evidence["sanctioned"] is True


async def test_another_endpoint_is_asked_when_one_is_away(chain: Chain, contract: Contract) -> None:
    async with endpoints("http://127.0.0.1:1", chain.url) as nodes:
        opinion = await Oracle(nodes, contract.address.lower()).ask(NETWORK, BAD)
    assert opinion.outcome == Outcome.REJECT


async def test_no_endpoint_and_no_contract_are_no_answer(chain: Chain) -> None:
    async with endpoints("http://127.0.0.1:1") as nodes:
        with pytest.raises(SourceAway, match="no endpoint"):
            await Oracle(nodes, CLEAN).ask(NETWORK, BAD)
    async with endpoints(chain.url) as nodes:
        with pytest.raises(SourceAway, match="no sanctions oracle"):
            await Oracle(nodes, CLEAN).ask(NETWORK, BAD)


async def test_a_payout_waits_for_the_oracle(shop: Shop, chain: Chain, contract: Contract) -> None:
    shop.configure(sanctions_oracle=contract.address.lower(), rpc_urls=("http://127.0.0.1:1",))
    good, bad = ids.new(), ids.new()
    assert (await pay(shop, good)).outcome == Outcome.HOLD
    assert (await pay(shop, bad, BAD)).outcome == Outcome.HOLD
    assert await work(shop) == 2
    assert (await pay(shop, good)).outcome == Outcome.HOLD, "unreachable is never a yes"
    shop.configure(rpc_urls=(chain.url,))
    shop.wait(31)
    assert await work(shop) == 2
    assert (await pay(shop, good)).accepted
    assert (await pay(shop, bad, BAD)).outcome == Outcome.REJECT


@dataclass
class Desk:
    """A provider's server: answers what it is told, remembers what it was asked."""

    answer: Any = field(default_factory=lambda: {"verdict": "accept"})
    status: int = 200
    asked: list[tuple[str | None, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.headers.get("Authorization"), await request.json()))
        if isinstance(self.answer, bytes):
            return web.Response(body=self.answer, status=self.status)
        return web.json_response(self.answer, status=self.status)


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/screen", desk.handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/screen"))


async def test_the_provider_is_asked_with_its_key() -> None:
    desk = Desk({"verdict": "hold", "detail": "exposure", "case": "7"})
    async with served(desk) as url, HttpProvider(url, "secret") as provider:
        opinion = await provider.ask(NETWORK, CLEAN)
    assert desk.asked == [("Bearer secret", {"network": NETWORK, "address": CLEAN})]
    assert opinion.outcome == Outcome.HOLD
    assert opinion.evidence == desk.answer


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {"verdict": "accept"}),
        (204, b""),
        (302, {"verdict": "accept"}),
        (401, {"verdict": "accept"}),
        (200, b""),
        (200, b"<html>"),
        (200, {}),
        (200, []),
        (200, {"verdict": "fine"}),
        (200, {"verdict": None}),
        (200, {"verdict": "accept", "note": "\x00"}),
        (200, b'{"verdict": "accept"' + b" " * 70_000 + b"}"),
    ],
)
async def test_no_answer_that_can_be_used_is_none(status: int, answer: Any) -> None:
    async with served(Desk(answer, status)) as url, HttpProvider(url, None) as provider:
        with pytest.raises(SourceAway):
            await provider.ask(NETWORK, CLEAN)


async def test_a_provider_that_is_gone_or_silent_is_away() -> None:
    async with HttpProvider("http://user:key@127.0.0.1:1/k", None) as provider:
        with pytest.raises(SourceAway) as refused:
            await provider.ask(NETWORK, CLEAN)
        assert "key" not in str(refused.value)


async def test_the_configured_provider_decides(shop: Shop) -> None:
    desk = Desk({"verdict": "reject", "detail": "known thief"})
    async with served(desk) as url:
        shop.context.risk = RiskSettings(provider_url=url, provider_key="k")
        await pay(shop, payout := ids.new())
        assert Screener(shop.context).provider is None
        await work(shop)
    assert (await pay(shop, payout)).outcome == Outcome.REJECT
    assert desk.asked[0][0] == "Bearer k"
    [row] = await shop.read("select reasons from screenings")
    assert row[0][0]["detail"] == "known thief"
