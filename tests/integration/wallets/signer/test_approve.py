"""`bezant approve` against a service that may lie."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web
from click.testing import CliRunner, Result

from bezant.cli import cli
from core.errors import BezantError, Refused
from tests.unit.wallets.signer import world as w
from wallets.intents import Payment
from wallets.signer.approvals import digest, recover, typed_data


@asynccontextmanager
async def service(
    typed: dict[str, Any], kind: str = "account", **says: str
) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Hands out `typed` for any payout, of which it `says` more; keeps what is handed in."""
    posted: list[dict[str, Any]] = []

    async def shown(_request: web.Request) -> web.Response:
        return web.json_response(
            {"typed_data": typed, "address_kind": kind, "needed": 2, "given": 0}
        )

    async def payout(_request: web.Request) -> web.Response:
        return web.json_response(
            {"approval": "apr_1", "status": "held", "merchant": "mer_1", **says}
        )

    async def approved(request: web.Request) -> web.Response:
        posted.append(await request.json())
        return web.json_response({"status": "held"})

    app = web.Application()
    app.router.add_get("/v1/payouts/{id}", payout)
    app.router.add_get("/v1/approvals/{id}", shown)
    app.router.add_post("/v1/payouts/{id}/approve", approved)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}", posted
    await runner.cleanup()


async def approve(tmp_path: Path, url: str, payout: str, answer: str = "y\n") -> Result:
    key = tmp_path / "ada.key"
    key.write_text(w.ADA_KEY.hex())
    words = ["approve", payout, "--key", str(key), "--url", url, "--api-key", "k", "--json"]
    return await asyncio.to_thread(CliRunner().invoke, cli, words, input=answer)


def asked() -> Payment:
    return w.payment(amount=5 * w.ETHER)


async def test_a_person_reads_and_signs(tmp_path: Path) -> None:
    payment = asked()
    async with service(typed_data(payment, w.CHAIN_ID, "ETH", 18)) as (url, posted):
        done = await approve(tmp_path, url, payment.id)
    assert done.exit_code == 0, done.output
    assert "5.000000000000000000 of the network's coin" in done.output
    assert "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB" in done.output
    assert w.SHOP_API_KEY in done.output
    (body,) = posted
    assert body["approver"].lower() == w.ADA
    assert recover(digest(payment, w.CHAIN_ID), body["signature"]) == w.ADA
    assert body["signature"] == w.signature(w.ADA_KEY, payment)  # eth-account's, to the byte
    assert json.loads(done.output[done.output.index('{\n  "status"') :]) == {"status": "held"}


async def test_who_says_no_has_signed_nothing(tmp_path: Path) -> None:
    payment = asked()
    async with service(typed_data(payment, w.CHAIN_ID, "ETH", 18)) as (url, posted):
        assert (await approve(tmp_path, url, payment.id, "n\n")).exit_code == 1
    assert not posted


async def test_a_lying_service_gets_no_signature(tmp_path: Path) -> None:
    payment = asked()
    honest = typed_data(payment, w.CHAIN_ID, "ETH", 18)
    other = typed_data(replace(payment, id="pay_other"), w.CHAIN_ID, "ETH", 18)
    permit = {**honest, "primaryType": "Permit"}
    domain = {**honest, "domain": {"name": "USD Coin", "version": "2", "chainId": 1}}
    for typed in (other, permit, domain, {}):
        async with service(typed) as (url, posted):
            done = await approve(tmp_path, url, payment.id)
        assert isinstance(done.exception, BezantError)
        told = str(done.exception)
        assert "nothing was signed" in told or "no approval of a payout" in told
        assert not posted


async def test_what_it_shows_is_what_is_signed(tmp_path: Path) -> None:
    """The words are made of the signed fields. The service's summary, which is not signed, is not
    shown; the names it gives are, as its word."""
    payment = asked()
    lie = {**typed_data(payment, w.CHAIN_ID, "ETH", 18), "summary": "0.01 ETH to a friend"}
    says = {"network": w.NETWORK, "asset": "ETH", "amount": "5.000000000000000000"}
    async with service(lie, **says) as (url, posted):
        done = await approve(tmp_path, url, payment.id)
    assert "5.000000000000000000 ETH" in done.output
    assert "name and decimals by the service" in done.output
    assert "to a friend" not in done.output
    assert recover(digest(payment, w.CHAIN_ID), posted[0]["signature"]) == w.ADA


async def test_what_stands_at_the_destination_is_shown(tmp_path: Path) -> None:
    """As the service's word; what is no kind of address is none."""
    payment = asked()
    typed = typed_data(payment, w.CHAIN_ID, "ETH", 18)
    for then, now, told in (
        ("contract", "contract", "contract, says the service: its code"),
        ("delegated", "delegated", "(EIP-7702)"),
        ("account", "contract", "contract, says the service (account when"),
        ("unknown", "unknown", "unknown, says the service: no node"),
        ("a friend", "a friend", "unknown, says the service: no node"),
    ):
        async with service(typed, then, address_kind=now) as (url, posted):
            done = await approve(tmp_path, url, payment.id, "n\n")
        assert told in done.output.partition("Sign this?")[0], done.output
        assert "friend" not in done.output
        assert not posted


async def test_a_payout_shown_as_another_one_gets_no_signature(tmp_path: Path) -> None:
    payment = asked()
    honest = typed_data(payment, w.CHAIN_ID, "ETH", 18)
    for says in ({"amount": "0.01"}, {"network": "eip155:1"}):
        async with service(honest, **says) as (url, posted):
            done = await approve(tmp_path, url, payment.id)
        assert isinstance(done.exception, Refused)
        assert not posted
