"""What is refused, by x402's own reasons, and what nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.db import Database
from core.networks import X402Policy
from merchants import keys
from tests.integration.x402.shop import UNITS, Shop, open_shop
from tests.world import Deployed, add_merchant

RECIPIENT = "invalid_exact_evm_payload_recipient_mismatch"
AMOUNT = "invalid_exact_evm_payload_authorization_value_mismatch"
BEFORE = "invalid_exact_evm_payload_authorization_valid_before"
AFTER = "invalid_exact_evm_payload_authorization_valid_after"
SIGNATURE = "invalid_exact_evm_payload_signature"
USED = "invalid_exact_evm_nonce_already_used"
STRANGER = "0x" + "ab" * 20


async def refused(shop: Shop, body: dict[str, Any]) -> str:
    """Why: `verify` and `settle` say the same."""
    verdict = await shop.post("verify", body)
    settled = await shop.post("settle", body)
    assert (verdict["isValid"], settled["success"]) == (False, False)
    assert verdict["invalidReason"] == settled["errorReason"]
    assert settled["transaction"] == ""
    reason: str = verdict["invalidReason"]
    return reason


def demanding(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Other requirements, which the payer accepted as well."""
    wanted = {**body["paymentRequirements"], **changes}
    payload = {**body["paymentPayload"], "accepted": wanted}
    return {**body, "paymentPayload": payload, "paymentRequirements": wanted}


async def test_what_was_not_signed_so_is_refused(shop: Shop) -> None:
    payer, other = await shop.payer(), await shop.payer()
    now = int(shop.world.context.clock.now().timestamp())
    assert await refused(shop, shop.sign(payer, value=UNITS - 1)) == AMOUNT
    assert await refused(shop, shop.sign(payer, value=UNITS + 1)) == AMOUNT
    assert await refused(shop, demanding(shop.sign(payer), amount=str(UNITS - 1))) == AMOUNT
    assert await refused(shop, shop.sign(payer, to=STRANGER)) == RECIPIENT
    stolen = demanding(shop.sign(payer, to=STRANGER), payTo=STRANGER)
    assert await refused(shop, stolen) == RECIPIENT
    assert await refused(shop, shop.sign(payer, validBefore=now + 3)) == BEFORE
    assert await refused(shop, shop.sign(payer, validAfter=now + 100)) == AFTER
    lied = shop.sign(payer)
    lied["paymentPayload"]["payload"]["authorization"]["from"] = other.address
    assert await refused(shop, lied) == SIGNATURE
    short = shop.sign(payer)
    short["paymentPayload"]["payload"]["signature"] = "0x00"
    assert await refused(shop, short) == SIGNATURE
    assert await shop.world.rows("x402_settlements") == []


async def test_other_terms_than_ours_are_refused(shop: Shop) -> None:
    body = shop.sign(await shop.payer())
    extra = body["paymentRequirements"]["extra"]
    for changes, reason in (
        ({"network": "eip155:1"}, "invalid_network"),
        ({"scheme": "upto"}, "unsupported_scheme"),
        ({"asset": STRANGER}, "invalid_exact_evm_eip3009_not_supported"),
        ({"extra": {}}, "missing_eip712_domain"),
        ({"extra": {**extra, "version": "1"}}, "invalid_exact_evm_token_version_mismatch"),
        ({"amount": "5.0"}, "invalid_payment_requirements"),
        ({"payTo": None}, "invalid_payment_requirements"),
    ):
        assert await refused(shop, demanding(body, **changes)) == reason
    elsewhere = {**body["paymentRequirements"], "network": "eip155:1"}
    said = {**body, "paymentPayload": {**body["paymentPayload"], "accepted": elsewhere}}
    assert await refused(shop, said) == "network_mismatch"
    assert await refused(shop, {**body, "x402Version": 3}) == "invalid_x402_version"
    assert await refused(shop, {**body, "paymentPayload": {}}) == "invalid_payload"


async def test_a_signature_is_taken_once(shop: Shop) -> None:
    payer = await shop.payer()
    body = shop.sign(payer)
    assert await shop.post("verify", body) == {"isValid": True, "payer": payer.address}
    first, second = await asyncio.gather(shop.post("settle", body), shop.post("settle", body))
    assert first == second
    assert first["success"] is True
    assert await shop.post("settle", body) == first
    verdict = await shop.post("verify", body)
    assert (verdict["isValid"], verdict["invalidReason"]) == (False, USED)
    nonce = body["paymentPayload"]["payload"]["authorization"]["nonce"]
    other = demanding(shop.sign(payer, nonce=nonce, value=1_000_000), amount="1000000")
    assert await refused(shop, other) == USED
    assert len(await shop.world.rows("transactions")) == 1
    assert (await shop.world.balances())["available", "USDC"] == -UNITS


async def test_another_merchant_cannot_settle_it(shop: Shop) -> None:
    body = shop.sign(await shop.payer())
    context = shop.world.context
    number = await add_merchant(context)
    async with context.database.begin() as session:
        _, key = await keys.create_key(session, number, ["invoices:*"], None, context.clock.now())
    verdict = await shop.post("verify", body, key)
    assert verdict["invalidReason"] == RECIPIENT
    assert (await shop.post("settle", body, key))["errorReason"] == RECIPIENT


async def test_what_the_chain_refuses(shop: Shop) -> None:
    poor = await shop.payer(UNITS - 1)
    assert await refused(shop, shop.sign(poor)) == "invalid_exact_evm_insufficient_balance"
    payer = await shop.payer()
    body = shop.sign(payer)
    assert (await shop.post("verify", body))["isValid"] is True
    await shop.cancel(body, payer)
    assert await refused(shop, body) == USED
    shown = (await shop.get("x402/settlements"))["data"]
    assert [one["status"] for one in shown] == ["refused", "refused"]
    assert await shop.world.rows("transactions") == []
    assert len(await shop.world.rows("invoices")) == 1  # the closed one of the address


async def test_gas_is_worth_what_is_paid(shop: Shop) -> None:
    body = shop.sign(await shop.payer(), value=1_000)
    assert await refused(shop, demanding(body, amount="1000")) == "gas_too_expensive"


@pytest.fixture
async def away(database: Database, one_chain: tuple[str, Deployed]) -> AsyncIterator[Shop]:
    """The worker's node answers nothing."""
    async with open_shop(database, one_chain, worker_url="http://127.0.0.1:9") as made:
        yield made


async def test_nobody_can_ask_the_chain(away: Shop) -> None:
    body = away.sign(await away.payer())
    verdict = await away.post("verify", body)
    assert (verdict["isValid"], verdict["invalidReason"]) == (False, "unavailable")


async def test_limits_of_a_merchant(database: Database, one_chain: tuple[str, Deployed]) -> None:
    tight = X402Policy(per_hour=1)
    async with open_shop(database, one_chain, x402=tight) as shop:
        payer = await shop.payer()
        assert (await shop.post("settle", shop.sign(payer)))["success"] is True
        assert await refused(shop, shop.sign(payer)) == "relay_limit"


async def test_limits_of_a_merchants_gas(
    database: Database, one_chain: tuple[str, Deployed]
) -> None:
    async with open_shop(database, one_chain, x402=X402Policy(gas_per_hour=1)) as shop:
        answer = await shop.post("settle", shop.sign(await shop.payer()))
        assert answer["errorReason"] == "relay_limit"
