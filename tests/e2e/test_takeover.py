"""The API's process is taken over: whoever has its database and the signer's socket with the
service key takes no more than the signer's own policy lets go, and every refusal is written down.

The worker is the real one and honest; rows are forged under it, as the API's role may write them.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from bezant.custody import apply_policy, verify
from core.addresses import checksum
from core.errors import NeedsApproval, SignerRefused
from core.ids import new, read, show
from core.networks import NATIVE
from sandbox.keys import socket_in
from tests.e2e.test_payouts import approve, ask, shop_with, somebody
from tests.e2e.town import Client, Town, open_town
from tests.waiting import eventually
from wallets.encoding import plain
from wallets.intents import Allowance, Intent, Move, Order, Payment, Payout, Sweep, SweepBatch
from wallets.signer import approvals, audit
from wallets.signer.client import SignerClient
from wallets.signer.place import Place

NETWORK, CHAIN_ID = "eip155:31337", 31337
ETHER = 10**18
AN_HOUR = 3 * ETHER  # of the policy that this test applies; unattended at most 1 ETH each
PATIENCE = 60
CLONES = 5  # of a payout of 0.9 ETH: more than an hour's worth


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with open_town("--networks", "1") as found:
        narrow(found)
        yield found


def narrow(town: Town) -> None:
    """A policy of an hour's worth that can be reached; all else as the sandbox has it."""
    file = town.data / "signer" / "policy.toml"
    text, changed = re.subn(
        r'per_hour = "1000"', f'per_hour = "{AN_HOUR // ETHER}"', file.read_text()
    )
    assert changed == 1
    file.write_text(text)
    apply_policy(town.data / "signer", file)


@dataclass
class Thief:
    """Has the API's database, and the socket; `mine` are the addresses that money may go to."""

    town: Town
    database: psycopg.Connection[Any]
    mine: list[str]

    def address(self) -> str:
        self.mine.append(somebody())
        return self.mine[-1]

    def write(self, query: str, *values: Any) -> None:
        self.database.execute(query, values)

    def hot(self) -> str:
        row = self.database.execute("select address from hot_wallets where kind = 'hot'").fetchone()
        assert row is not None
        return str(row[0])

    def transaction(self, intent: Intent | dict[str, Any], purpose: str = "payout") -> str:
        """A row that says that the worker asked for this -> its order's id."""
        number = new()
        self.write(
            "insert into transactions (id, network, wallet, purpose, reference, order_id, intent,"
            " spends, urgency, status, cancel_asked, generation, open, due_at, attempts,"
            " created_at) values (%s, %s, %s, %s, %s, %s, %s, '{}', 'normal', 'prepared', false, 0,"
            " false, now(), 0, now())",
            *(number, NETWORK, self.hot(), purpose, f"forged_{number.hex[-8:]}", number),
            json.dumps(intent if isinstance(intent, dict) else plain(intent)),
        )
        self.write("select pg_notify('transactions', %s)", NETWORK)
        return show("tx", number)

    def edit(self, payout: dict[str, Any], **said: Any) -> None:
        """As if everybody had agreed: approved, and due now."""
        agreed = {"status": "approved", "signer": "allowed", "due_at": datetime.now(UTC), **said}
        names = ", ".join(f"{name} = %s" for name in agreed)
        self.write(
            f"update payouts set given = needed, leased_until = null, {names} where id = %s",  # noqa: S608
            *agreed.values(),
            read("pay", payout["id"]),
        )

    def redirect(self, payout: dict[str, Any]) -> None:
        """What a person has signed, and its digest, now name an address of the thief's."""
        number = read("pay", payout["id"])
        [typed_data] = self.database.execute(
            "update payout_approvals set typed_data ="
            " regexp_replace(typed_data::text, %s, %s, 'gi')::jsonb where payout_id = %s"
            " returning typed_data",
            (payout["address"], checksum(self.address()), number),
        ).fetchone() or [None]
        digest = approvals.digest(*approvals.payment_of(typed_data))
        self.write("update payout_approvals set digest = %s where payout_id = %s", digest, number)
        self.edit(payout, address=self.mine[-1])

    def clone(self, payout: dict[str, Any]) -> str:
        """The same again, to an address of the thief's -> the new payout's id."""
        number = new()
        self.write(
            "insert into payouts select (jsonb_populate_record(p, jsonb_build_object("
            "'id', %s::text, 'address', %s::text))).* from payouts p where id = %s",
            *(number, self.address(), read("pay", payout["id"])),
        )
        return show("pay", number)


@asynccontextmanager
async def taken(town: Town) -> AsyncIterator[Thief]:
    url = town.ready["database_url"]
    with closing(psycopg.connect(url, autocommit=True)) as database:
        yield Thief(town, database, [])


def payment(to: str, amount: int) -> Payment:
    soon = int(datetime.now(UTC).timestamp()) + 3600
    return Payment(
        id=show("pay", new()), token=NATIVE, to=to, amount=amount, fee_cap=ETHER // 100,
        expires_at=soon, nonce=new().int, initiator="",
    )  # fmt: skip


def said(town: Town) -> dict[str, set[str]]:
    """By the audit log, whose chain is proved: id of an order or payment -> the signer's codes."""
    found: dict[str, set[str]] = {}
    for _, line in audit.read(Place(town.data / "signer").log):
        if line["event"] in ("sign", "check"):
            order = line["order"]
            for name in (order["id"], order["intent"].get("payment", {}).get("id", "")):
                found.setdefault(name, set()).add(line["code"])
    return found


def signed(town: Town) -> int:
    """Wei in all payouts that the signer ever signed here."""
    orders = {
        line["order"]["id"]: int(line["order"]["intent"]["payment"]["amount"])
        for _, line in audit.read(Place(town.data / "signer").log)
        if line["event"] == "sign" and line["code"] == "signed"
        and line["order"]["intent"]["type"] == "payout"
    }  # fmt: skip
    return sum(orders.values())


async def forged(thief: Thief, shop: Client) -> dict[str, str]:
    """Everything that can be written, while the worker stands still: id -> what the signer must
    say to it, "" where it may be either."""
    waiting = [await shop_holds(shop, await ask(shop, n, somebody())) for n in ("1.5", "2", "2.5")]
    swapped, counterfeit, claimed = waiting
    os.kill(thief.town.pid("worker"), signal.SIGSTOP)
    approve(thief.town, swapped, shop)
    thief.redirect(swapped)
    thief.write(  # nobody's signature
        "insert into payout_approval_signatures (approval_id, approver, signature, given_at)"
        " select id, approvers ->> 0, %s, now() from payout_approvals where payout_id = %s",
        *("0x" + "11" * 64 + "1b", read("pay", counterfeit["id"])),
    )
    thief.edit(counterfeit)
    thief.edit(claimed, address=thief.address())
    small = await ask(shop, "0.9", somebody())
    thief.edit(small, address=thief.address(), amount=ETHER)
    may = [small["id"], *(thief.clone(small) for _ in range(CLONES))]
    [network] = thief.town.ready["networks"]
    token, other = network["tokens"]["USDC"].lower(), thief.address()
    batch = SweepBatch(token=token, fresh=0, salts=("0x" + "01" * 32,))
    sweep = Sweep(id="swp_x", factory=other, batches=(batch,), call_gas=100_000)
    move = Move(id="mov_x", token=NATIVE, to=other, amount=ETHER)
    allowance = Allowance(id="alw_x", token=token, spender=other, amount=2**200)
    may.append(thief.transaction(Payout(payment=payment(thief.address(), ETHER // 2))))
    return dict.fromkeys(may, "") | {
        swapped["id"]: "approval_invalid",
        counterfeit["id"]: "approval_invalid",
        claimed["id"]: "approval_needed",
        thief.transaction(Payout(payment=payment(other, 40 * ETHER))): "approval_needed",
        thief.transaction(move, "move"): "destination_refused",
        thief.transaction(allowance, "allowance"): "contract_refused",
        thief.transaction(sweep, "sweep"): "contract_refused",
    }


async def shop_holds(shop: Client, payout: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/payouts/{payout['id']}"
    found: dict[str, Any] = await shop.shows(path, lambda p: p["status"] == "held")
    return found


async def test_a_taken_api_takes_no_more_than_the_signer_lets_go(town: Town) -> None:
    async with shop_with(town, "20") as (shop, _, chains), taken(town) as thief:
        shop.patient = True
        wanted = await forged(thief, shop)
        raw = thief.transaction({"type": "call", "to": thief.mine[0], "data": "0xde"})
        os.kill(town.pid("worker"), signal.SIGCONT)

        async def all_answered() -> bool:
            found = said(town)
            return all(
                code in found.get(name, set()) if code else name in found
                for name, code in wanted.items()
            )

        try:
            await eventually(all_answered, PATIENCE, pause=0.2)
        except AssertionError:
            answers = said(town)
            pytest.fail(str({name: (code, answers.get(name)) for name, code in wanted.items()}))
        await at_the_socket(town, thief)
        assert 0 < signed(town) <= AN_HOUR
        await chains.mine()
        node = chains.nodes[NETWORK]
        left = sum([await node.balance(address) for address in thief.mine])
        assert 0 < left <= AN_HOUR
        answers = said(town)
        refused = {name for name, code in wanted.items() if code}
        assert not [name for name in refused if "signed" in answers[name]]
        assert "signed" not in answers.get(raw, set())  # it was no order, and was never asked
        assert [name for name in wanted if "approval_needed" in answers[name]]
        verify(town.data / "signer")


async def at_the_socket(town: Town, thief: Thief) -> None:
    """With the service key itself, past worker and database: the same limits, counted together."""
    key = base64.b64decode((town.data / "keys" / "service.key").read_text())
    client = SignerClient(socket_in(town.data / "signer"), key)
    order = Order(
        id=show("tx", new()), network=NETWORK, chain_id=CHAIN_ID, wallet=thief.hot(), nonce=10_000,
        gas=21_000, max_fee=10**10, priority_fee=10**9,
        intent=Payout(payment=payment(thief.address(), 9 * ETHER // 10)),
    )  # fmt: skip
    with pytest.raises(SignerRefused, match="chain"):
        await client.sign(replace(order, chain_id=1))
    for number in range(2 * AN_HOUR // ETHER):
        intent = Payout(payment=payment(thief.mine[-1], 9 * ETHER // 10))
        more = replace(order, id=show("tx", new()), nonce=order.nonce + number, intent=intent)
        with suppress(NeedsApproval):
            await client.sign(more)
    with pytest.raises(NeedsApproval):
        await client.sign(replace(order, id=show("tx", new()), nonce=order.nonce + 99))
    await client.close()
