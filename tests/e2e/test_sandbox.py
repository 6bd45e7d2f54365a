"""`bezant sandbox` itself: how it starts, survives, stops and remembers; and what it can do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from aiohttp import web
from rich.console import Console
from standardwebhooks.webhooks import Webhook

from core.errors import Unavailable
from sandbox.demo_treasury import Treasury
from sandbox.scenarios import SCENARIOS
from sandbox.shop import enter
from tests.e2e.town import Client, Refusal, Town
from tests.folders import folder
from tests.waiting import eventually

GONE_SECONDS = 20  # the machine may be busy; it aims at 5
PATIENCE = 60


@pytest.fixture
def own() -> Iterator[Town]:
    """A sandbox that a test may break; not started yet."""
    with folder("bz-") as directory:
        town = Town(directory)
        try:
            yield town
        finally:
            town.stop()


@pytest.fixture
async def client(sandbox: Town) -> AsyncIterator[Client]:
    """The ready-made merchant."""
    async with aiohttp.ClientSession() as session:
        yield Client(sandbox.ready["api_url"], sandbox.ready["api_key"], session)


def pids(ready: dict[str, Any]) -> list[int]:
    """Of every process it names."""
    found: list[int] = []
    for value in ready["pids"].values():
        found += value if isinstance(value, list) else [value] if value else []
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def all_gone(numbers: list[int]) -> None:
    async def gone() -> bool:
        return not any(lives(pid) for pid in numbers)

    await eventually(gone, GONE_SECONDS)


def run(town: Town, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command, with the environment of that sandbox's installation."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BEZANT_")} | more
    return subprocess.run(
        [sys.executable, "-m", "bezant.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=town.directory,
    )


# -- the file ------------------------------------------------------------------------------------


def test_the_ready_file_says_it_all(sandbox: Town) -> None:
    ready = sandbox.ready
    assert {
        "api_url", "api_key", "operator_key", "approver_key", "database_url", "networks",
        "exchanges", "pids",
    } <= ready.keys()  # fmt: skip
    assert re.fullmatch("0x[0-9a-f]{64}", ready["approver_key"])
    assert ready["exchanges"].keys() == {"binance", "coinbase"}
    assert ready["exchanges"]["binance"]["url"].startswith("http://127.0.0.1:")
    assert ready["exchanges"]["coinbase"]["url"].startswith("https://127.0.0.1:")
    assert Path(ready["exchanges"]["coinbase"]["ca_file"]).is_file()
    assert [n["network"] for n in ready["networks"]] == ["eip155:31337", "eip155:31338"]
    for network in ready["networks"]:
        assert {"ETH/USD", "EUR/USD", "USDC/USD"} <= network["feeds"].keys()
        assert network["tokens"].keys() == {"USDC", "USDT", "DAI", "T24", "FEE", "BLK"}
        assert network["factory"].startswith("0x")
        assert network["router"].startswith("0x")
    for name in ("factory", "router", "multisend", "treasury"):
        assert len({n[name] for n in ready["networks"]}) == 1
    assert all(lives(pid) for pid in pids(ready))
    named = {name: name for name in ("api", "worker", "signer", "postgres")}
    for name, word in (named | {"simulators": "sandbox.exchanges.main"}).items():
        command = Path(f"/proc/{ready['pids'][name]}/cmdline").read_bytes().split(b"\0")
        assert any(word.encode() in part for part in command[:4])
    with psycopg.connect(ready["database_url"]) as connection:
        assert connection.execute("select count(*) from merchants").fetchone() is not None


def test_its_keys_are_for_its_user_only(sandbox: Town) -> None:
    exchanges = sandbox.data / "exchanges"
    told = [exchanges / "simulators.json", exchanges / "control.json"]
    files = [sandbox.data / "ready.json", *(sandbox.data / "keys").iterdir(), *told]
    for directory in (sandbox.data / "keys", sandbox.data / "signer", exchanges):
        assert directory.stat().st_mode & 0o077 == 0, directory
    for file in files:
        assert file.stat().st_mode & 0o077 == 0, file


# -- its life ------------------------------------------------------------------------------------


async def test_the_dead_are_started_again_the_stopped_are_not_and_all_end_together(
    own: Town,
) -> None:
    own.start("--fresh", "--networks", "1")
    first = own.ready
    assert [n["network"] for n in first["networks"]] == ["eip155:31337"]
    for name in ("worker", "api", "signer", "postgres", "simulators"):
        await own.reborn(name, own.kill(name))
    anvil = own.ready["pids"]["anvil"][0]
    os.kill(anvil, signal.SIGKILL)

    async def another() -> bool:
        return bool(own.ready["pids"]["anvil"][0] != anvil)

    await eventually(another, PATIENCE)
    again = own.ready
    assert {k: v for k, v in again.items() if k != "pids"} == {
        k: v for k, v in first.items() if k != "pids"
    }
    async with aiohttp.ClientSession() as session:
        client = Client(again["api_url"], again["api_key"], session, patient=True)
        invoice = await client.invoice(assets=["USDC"])
        await client.post("/v1/sandbox/pay", {"invoice": invoice["id"]})
        await client.post("/v1/sandbox/mine", {"blocks": 3})
        await client.becomes(invoice, "settled")

    worker = again["pids"]["worker"]
    os.kill(worker, signal.SIGSTOP)
    before = time.monotonic()
    everybody = pids(own.ready)
    assert own.ready["pids"]["worker"] == worker
    own.stop()
    assert time.monotonic() - before < GONE_SECONDS
    await all_gone(everybody)
    assert not (own.data / "ready.json").exists()

    own.start()
    kept = own.ready
    for name in ("api_key", "operator_key", "merchant", "webhook_secret"):
        assert kept[name] == first[name]
    assert kept["networks"][0]["factory"] == first["networks"][0]["factory"]
    async with aiohttp.ClientSession() as session:
        client = Client(kept["api_url"], kept["api_key"], session)
        found = await client.get(f"/v1/invoices/{invoice['id']}")
        assert (found["status"], len(found["deposits"])) == ("settled", 1)
        verdict = await Client(kept["api_url"], kept["operator_key"], session).get(
            "/v1/ledger/verify"
        )
        assert verdict["ok"]


async def test_a_killed_supervisor_takes_its_children_along_and_the_next_one_recovers(
    own: Town,
) -> None:
    own.start("--fresh", "--networks", "1")
    before = own.ready
    os.kill(before["pids"]["sandbox"], signal.SIGKILL)
    await all_gone(pids(before))
    assert own.ready == before, "nobody was there to take it away"
    own.stop()
    own.start()
    assert own.ready["api_key"] == before["api_key"]

    second = run(own, "sandbox", "--port", "0", "--data-dir", str(own.data))
    assert second.returncode == 1
    assert "another sandbox runs in" in second.stderr
    assert own.ready["pids"] == json.loads((own.data / "ready.json").read_text())["pids"]

    own.stop()
    (own.data / "anvil" / "31337.json").unlink()
    other = run(own, "sandbox", "--port", "0", "--data-dir", str(own.data))
    assert other.returncode == 1
    assert "eip155:31337" in other.stderr
    assert "--fresh" in other.stderr


# -- what it can do ------------------------------------------------------------------------------


@pytest.mark.parametrize("asset", ["ETH", "USDC", "USDT", "DAI", "T24", "BLK"])
async def test_a_payment_of_each_asset_settles(client: Client, asset: str) -> None:
    invoice = await client.invoice("12.34", assets=[asset], networks=["eip155:31338"])
    paid = await client.post("/v1/sandbox/pay", {"invoice": invoice["id"]})
    assert paid["network"] == "eip155:31338"
    await client.post("/v1/sandbox/mine", {"blocks": 3})
    settled = await client.becomes(invoice, "settled")
    assert [d["tx_hash"] for d in settled["deposits"]] == [paid["tx_hash"]]


async def test_paying_names_what_it_cannot_do(client: Client) -> None:
    invoice = await client.invoice(assets=["USDC"])
    path = "/v1/sandbox/pay"
    for body, status, code in (
        ({"via": "router", "amount": "1"}, 422, "invalid_request"),
        ({"via": "contract"}, 422, "invalid_request"),
        ({"asset": "DOGE"}, 422, "invalid_request"),
        ({"asset": "DAI"}, 422, "invalid_request"),
        ({"network": "eip155:1", "amount": "1"}, 422, "invalid_request"),
        ({"invoice": "inv_00000000000000000000000000"}, 404, "not_found"),
    ):
        with pytest.raises(Refusal) as caught:
            await client.post(path, {"invoice": invoice["id"], **body})
        assert (caught.value.status, caught.value.code) == (status, code), body
    assert (await client.get(f"/v1/invoices/{invoice['id']}"))["deposits"] == []


async def test_a_repeated_payment_is_sent_once(client: Client) -> None:
    invoice = await client.invoice(assets=["USDC"])
    first = await client.post(
        "/v1/sandbox/pay", {"invoice": invoice["id"]}, once="pay-" + invoice["id"]
    )
    again = await client.post(
        "/v1/sandbox/pay", {"invoice": invoice["id"]}, once="pay-" + invoice["id"]
    )
    assert first == again
    found = await client.becomes(invoice, "processing")
    assert len(found["deposits"]) == 1


@pytest.mark.parametrize("keep", [True, False])
async def test_a_reorg_brings_transactions_back_or_not(client: Client, keep: bool) -> None:
    invoice = await client.invoice(assets=["ETH", "USDC"])
    eth = await client.post("/v1/sandbox/pay", {"invoice": invoice["id"], "amount": "0.001"})
    usdc = await client.post(
        "/v1/sandbox/pay", {"invoice": invoice["id"], "asset": "USDC", "amount": "5"}
    )

    def live(shown: dict[str, Any]) -> dict[str, str]:
        return {
            d["tx_hash"]: d["block_hash"] for d in shown["deposits"] if d["status"] != "orphaned"
        }

    before = await client.shows(f"/v1/invoices/{invoice['id']}", lambda i: len(live(i)) == 2)
    answer = await client.post("/v1/sandbox/reorg", {"depth": 4, "keep_transactions": keep})
    assert answer["network"] == "eip155:31337"
    if keep:
        after = await client.shows(
            f"/v1/invoices/{invoice['id']}",
            lambda i: (
                live(i).keys() == {eth["tx_hash"], usdc["tx_hash"]}
                and not set(live(i).values()) & set(live(before).values())
            ),
        )
        assert after["amount_paid"] == before["amount_paid"]
    else:
        after = await client.shows(f"/v1/invoices/{invoice['id']}", lambda i: not live(i))
        assert (after["status"], after["amount_paid"]) == ("new", "0.00")


async def test_a_price_counts_for_the_next_invoice(client: Client) -> None:
    set_ = {"pair": "ETH/USD", "price": "2000.5"}
    try:
        await client.post("/v1/sandbox/prices", set_)
        invoice = await client.invoice("20.01", assets=["ETH"])
        option = invoice["payment_options"][0]
        assert (option["rate"], option["amount"]) == ("2000.50000000", "0.010003000000000000")
        await client.post("/v1/sandbox/prices", {**set_, "age_seconds": 7200})
        with pytest.raises(Refusal) as caught:
            await client.invoice(assets=["ETH"])
        assert (caught.value.status, caught.value.code) == (503, "price_unavailable")
    finally:
        await client.post("/v1/sandbox/prices", {"pair": "ETH-USD"})
    assert (await client.invoice(assets=["ETH"]))["payment_options"][0]["rate"] == "2500.00000000"
    for body in ({"pair": "XXX/USD", "price": "1"}, {"pair": "ETH/USD", "price": "much"}):
        with pytest.raises(Refusal) as caught:
            await client.post("/v1/sandbox/prices", body)
        assert caught.value.status == 422


async def test_the_clock_moves_all_and_feeds_stay_fresh(client: Client, sandbox: Town) -> None:
    invoice = await client.invoice(expires_in=60)
    heights = (await client.post("/v1/sandbox/mine", {"blocks": 1}))["heights"]
    moved = await client.post("/v1/sandbox/clock", {"advance_seconds": 100_000})
    assert moved["offset_seconds"] >= 100_000
    # Feeds are older than their heartbeat by now, unless they were renewed.
    assert (await client.invoice("10.00", "EUR"))["status"] == "new"
    await client.becomes(invoice, "expired")
    now = int(time.time()) + moved["offset_seconds"]
    for network in sandbox.ready["networks"]:
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber"}
        async with client.session.post(
            network["rpc_url"], json={**request, "params": ["latest", False]}
        ) as response:
            block = (await response.json())["result"]
        assert abs(int(block["timestamp"], 16) - now) < 60
        # One more, or a transaction of the worker's came between.
        assert int(block["number"], 16) > heights[network["network"]]
    with pytest.raises(Refusal) as caught:
        await client.post("/v1/sandbox/clock", {"advance_seconds": -1})
    assert caught.value.status == 422


async def test_what_is_not_there_says_so(client: Client) -> None:
    for method, path, status, code in (
        ("POST", "/v1/sandbox/exchanges/kraken/faults", 422, "invalid_request"),
        ("GET", "/v1/sandbox/exchanges/kraken/orders", 404, "not_found"),
        ("POST", "/v1/sandbox/scenarios/nothing", 404, "not_found"),
    ):
        with pytest.raises(Refusal) as caught:
            await client.ask(method, path, {} if method == "POST" else None)
        assert (caught.value.status, caught.value.code) == (status, code), path
    stranger = Client(client.url, "sk_wrong", client.session)
    with pytest.raises(Refusal) as caught:
        await stranger.post("/v1/sandbox/mine", {"blocks": 1})
    assert caught.value.status == 401


async def test_venues_are_steered(client: Client, sandbox: Town) -> None:
    binance, coinbase = (sandbox.ready["exchanges"][venue] for venue in ("binance", "coinbase"))
    paths = {venue: f"/v1/sandbox/exchanges/{venue}" for venue in ("binance", "coinbase")}
    wish = {"operation": "book", "fault": "rate_limited", "times": 1}
    waiting = (await client.post(f"{paths['binance']}/faults", wish))["waiting"]
    assert waiting == [wish]
    depth = f"{binance['url']}/api/v3/depth?symbol=ETHEUR&limit=1"
    statuses = []
    for _ in range(2):
        async with client.session.get(depth) as response:
            statuses.append(response.status)
    assert statuses == [429, 200]
    for venue, path in paths.items():
        assert (await client.get(f"{path}/orders"))["data"] == [], venue

    tls = ssl.create_default_context(cafile=coinbase["ca_file"])
    book = f"{coinbase['url']}/api/v3/brokerage/market/product_book?product_id=ETH-USD&limit=1"

    async def best() -> float:
        async with client.session.get(book, ssl=tls) as response:
            return float((await response.json())["pricebook"]["bids"][0]["price"])

    await client.post(f"{paths['coinbase']}/mid", {"symbol": "ETH-USD", "price": "1000"})
    assert 990 < await best() < 1000
    await client.post(f"{paths['coinbase']}/mid", {"symbol": "ETH-USD"})
    for body in ({"symbol": "ETH-USD", "price": "0"}, {"symbol": "ETH-DOGE", "price": "1"}):
        with pytest.raises(Refusal) as caught:
            await client.post(f"{paths['coinbase']}/mid", body)
        assert caught.value.status == 422
    for wrong in ({"fault": "boredom"}, {"operation": "x"}, {"times": 0}):
        with pytest.raises(Refusal) as caught:
            await client.post(f"{paths['binance']}/faults", {**wish, **wrong})
        assert caught.value.status == 422


# -- commands ------------------------------------------------------------------------------------


def test_every_scenario_ends_as_it_should(sandbox: Town) -> None:
    done = run(sandbox, "scenario", "all", "--seed", "7", "--json", "--data-dir", str(sandbox.data))
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [t for t in told if "failed" in t] == [], done.stderr
    assert done.returncode == 0
    assert sorted(t["scenario"] for t in told) == sorted(SCENARIOS)


def test_commands_find_the_sandbox(sandbox: Town) -> None:
    where = ("--data-dir", str(sandbox.data))
    made = run(sandbox, "invoice", "create", "7.50", "EUR", "--asset", "USDC", "--json", *where)
    invoice = json.loads(made.stdout)
    assert (invoice["amount"], invoice["currency"]) == ("7.50", "EUR")
    paid = run(sandbox, "pay", invoice["id"], "--json", *where)
    assert json.loads(paid.stdout)["tx_hash"].startswith("0x")
    assert run(sandbox, "chain", "mine", "3", *where).returncode == 0
    replaced = run(sandbox, "chain", "reorg", "2", "--keep", "--json", *where)
    assert json.loads(replaced.stdout)["network"] == "eip155:31337", replaced.stderr
    again = run(sandbox, "migrate", **sandbox.environment)
    assert again.returncode == 0, again.stderr
    shown = run(sandbox, "invoice", "show", invoice["id"], *where)
    assert invoice["id"] in shown.stdout
    proof = run(sandbox, "ledger", "verify", "--json", *where)
    assert (proof.returncode, json.loads(proof.stdout)["ok"]) == (0, True)


def test_keys_and_merchants_of_an_installation(sandbox: Town) -> None:
    environment = sandbox.environment
    made = run(sandbox, "merchant", "create", "Baker", "--json", **environment)
    merchant = json.loads(made.stdout)
    assert merchant["api_key"].startswith("sk_")
    key = json.loads(
        run(sandbox, "key", "create", "--merchant", merchant["id"], "--scope", "invoices:read",
            "--json", **environment).stdout
    )  # fmt: skip
    listed = run(sandbox, "key", "list", "--merchant", merchant["id"], "--json", **environment)
    assert key["id"] in {k["id"] for k in json.loads(listed.stdout)}
    assert key["key"] not in listed.stdout
    assert run(sandbox, "key", "revoke", key["id"], **environment).returncode == 0
    assert run(sandbox, "key", "revoke", "key_nothing", **environment).returncode == 1
    assert run(sandbox, "key", "create", "--scope", "all", **environment).returncode == 1


def test_the_doctor_finds_nothing_wrong(sandbox: Town) -> None:
    found = run(sandbox, "doctor", "--json", **sandbox.environment)
    findings = json.loads(found.stdout)
    # The test clock may have left the real time behind: that is what it says of feeds then.
    wrong = [f for f in findings if f["verdict"] == "bad" and "feeds" not in f["about"]]
    assert wrong == []
    assert {"configuration", "database session", "schema", "eip155:31337 factory"} <= {
        f["about"] for f in findings
    }
    assert {f["verdict"] for f in findings if f["about"] in ("binance", "coinbase")} == {"ok"}


async def test_listen_forwards_what_happens_signed(sandbox: Town, client: Client) -> None:
    heard: list[tuple[dict[str, str], str]] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append((dict(request.headers), await request.text()))
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hook", hear)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    listening = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bezant.cli", "listen", "--forward-to", url,
        "--type", "invoice.created", "--data-dir", str(sandbox.data),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    made: list[str] = []

    async def forwarded() -> bool:  # it hears what happens from its start on, which we cannot see
        made.append((await client.invoice(assets=["USDC"]))["id"])
        return bool(heard)

    try:
        await eventually(forwarded, PATIENCE)
        headers, body = heard[0]
        event = Webhook(sandbox.ready["webhook_secret"]).verify(body, headers)
        assert event["data"]["object"]["id"] in made
        assert listening.stdout is not None
        assert b"invoice.created" in await asyncio.wait_for(listening.stdout.readline(), PATIENCE)
    finally:
        listening.terminate()
        await listening.wait()
        await runner.cleanup()


def test_the_demo_tells_its_story(own: Town) -> None:
    told = run(own, "demo", "--once", "--data-dir", str(own.data))
    assert told.returncode == 0, told.stdout + told.stderr
    for part in (
        "order-1001", "sent, transaction", "settled", "signature verified", "verified",
        "held: above 1 ETH", "1 of 1 signed", "paid: 1.5", "pay the treasury only",
        "done: Binance has credited it", "2 ETH sold at", "filled: 2 ETH became", "clean: ",
    ):  # fmt: skip
        assert part in told.stdout
    assert "not clean" not in told.stdout
    assert not (own.data / "ready.json").exists()


@pytest.mark.parametrize(("status", "untouched", "ends"), [
    ("clean", True, False), ("breaks", True, True), ("breaks", False, False),
    ("failed", False, True),
])  # fmt: skip
async def test_the_demo_of_a_new_sandbox_ends_with_a_clean_reconciliation_or_with_an_error(
    status: str, untouched: bool, ends: bool
) -> None:
    async def answer(_: web.Request) -> web.Response:
        block = {"number": 7, "network": "eip155:31337"}
        found = {"id": "rec_1", "status": status, "compared": 9, "parts": {}, "blocks": [block]}
        return web.json_response(found)

    application = web.Application()
    application.router.add_route("*", "/v1/{rest:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    said = StringIO()
    story = Treasury(Console(file=said, width=200), untouched=untouched)
    try:
        async with enter(f"http://127.0.0.1:{runner.addresses[0][1]}", "sk_x") as house:
            with pytest.raises(Unavailable, match="rec_1") if ends else nullcontext():
                await story.reconciled(house)
    finally:
        await runner.cleanup()
    assert ("  clean: 9 comparisons" in said.getvalue()) == (status == "clean")
    assert ("not clean: 9 comparisons" in said.getvalue()) == (status == "breaks")


def test_wrong_use_is_2_and_failure_is_1(own: Town) -> None:
    for status, arguments in (
        (2, ["api", "--config", "missing.toml"]),
        (2, ["sandbox", "--networks", "3"]),
        (2, ["nonsense"]),
        (2, ["invoice", "show", "inv_x", "--data-dir", str(own.data)]),
        (1, ["invoice", "show", "inv_x", "--url", "http://127.0.0.1:9", "--api-key", "sk_x"]),
    ):
        done = run(own, *arguments)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr


def test_ci_is_a_script_that_bash_can_read(own: Town) -> None:
    root = Path(__file__).parents[2]
    assert subprocess.run(["bash", "-n", root / ".ci" / "run"]).returncode == 0
    assert os.access(root / ".ci" / "run", os.X_OK)
    for goal in ("setup", "demo", "test", "check", "bench", "run", "soak"):
        planned = subprocess.run(["make", "-n", goal], cwd=root, capture_output=True, text=True)
        assert planned.returncode == 0, planned.stderr
