"""What stands at a payout's destination, asked of a real chain, and what rules make of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from eth_account import Account

from core import ids
from core.db import Database
from payments import payout_approvals
from payments.payout_work import Payouts
from tests.integration.payments.conftest import Chain
from tests.integration.payments.leaving import PAYEE, Leaving, make_leaving
from tests.integration.payments.test_payout_races import publish
from tests.world import connect

DELEGATED = "0xef0100" + "ab" * 20


@pytest.fixture
async def shop(database: Database, one_chain: Chain) -> AsyncIterator[Leaving]:
    url, deployed = one_chain
    async with connect(url) as node, make_leaving(database, node, deployed) as leaving:
        await leaving.fund("USDC", "100")
        yield leaving


async def judged(shop: Leaving, to: str) -> Any:
    number = await shop.ask("10", "USDC", to)
    assert (await shop.show(number))["address_kind"] == "unknown", "nobody has asked yet"
    await shop.judge()
    return await shop.show(number)


async def test_a_contract_an_account_and_one_that_runs_anothers_code(shop: Leaving) -> None:
    await publish(shop, "approve", address_kinds=["contract"], approvals={"needed": 1})
    contract = await shop.world.node.deploy("Multisend")
    delegated = Account.create().address.lower()
    await shop.world.node.rpc("anvil_setCode", delegated, DELEGATED)
    held = await judged(shop, contract)
    assert (held["address_kind"], held["status"], held["rule"]) == ("contract", "held", "the rule")
    async with shop.world.context.database.read() as session:
        approval = await payout_approvals.show(session, ids.read("apr", held["approval"]), None)
    assert approval["address_kind"] == "contract", "approvers are shown it"
    for to, kind in ((PAYEE, "account"), (delegated, "delegated")):
        shown = await judged(shop, to)
        assert (shown["address_kind"], shown["status"], shown["rule"]) == (kind, "sending", None)
    kept = {row.address: row.address_kind for row in await shop.world.rows("policy_requests")}
    assert kept == {contract: "contract", PAYEE: "account", delegated: "delegated"}


@pytest.mark.parametrize(("effect", "status"), [("block", "rejected"), ("allow", "sending")])
async def test_without_an_answer_it_is_unknown(shop: Leaving, effect: str, status: str) -> None:
    """A rule that blocks fires, one that allows does not: the default allows here."""
    await publish(shop, effect, address_kinds=["account"])
    shop.payouts = Payouts(shop.world.context, shop.signer, endpoints={})
    shown = await judged(shop, PAYEE)
    assert (shown["address_kind"], shown["status"]) == ("unknown", status)
    assert shown["rule"] == ("the rule" if effect == "block" else None)


async def test_what_was_an_account_may_be_a_contract_when_it_leaves(shop: Leaving) -> None:
    await publish(shop, "block", address_kinds=["contract"])
    shop.signer.limit, shop.signer.needed = 0, 1
    to = Account.create().address.lower()
    number = await shop.ask("10", "USDC", to)
    await shop.judge()
    shown = await shop.show(number)
    assert (shown["address_kind"], shown["status"]) == ("account", "held")
    await shop.world.node.rpc("anvil_setCode", to, "0x00")
    await shop.approve(number, shop.people[0])
    await shop.judge()
    shown = await shop.show(number)
    assert (shown["address_kind"], shown["status"]) == ("contract", "rejected")
