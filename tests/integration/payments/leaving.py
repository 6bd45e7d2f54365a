"""A merchant with money on a real chain, a hot wallet, and what lets it leave: step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eth_account import Account
from eth_account.messages import encode_typed_data

from core import ids
from core.db import Database
from core.networks import Network
from ledger.accounts import EQUITY, Role, place
from ledger.journal import Entry, Kind, post, transfer
from payments import payout_fees, payout_reads, payout_requests, payouts, refund_reads, refunds
from payments.payout_requests import NewPayout
from payments.payout_tables import PayoutBatch
from payments.payout_work import Payouts
from payments.refund_shares import NewRefund
from tests.fakes import LocalSigner
from tests.world import Deployed, Node, World, calldata, network_of
from tests.world import world as make_world
from wallets import hot
from wallets.hot import WalletKind
from wallets.intents import Order, payments_of
from wallets.sending import Sending
from wallets.signer.approvals import digest, recover
from wallets.signer.client import Verdict

GWEI = 10**9
PAYEE = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
KEY = "key_01h455vb4pex5vsknk084sn02q"
REFUSES = "0x60006000fd"  # code that reverts whatever it is sent


@dataclass
class Strict(LocalSigner):
    """Above `limit` base units it wants `needed` signatures of `approvers`, and checks them."""

    limit: int = 10**30
    needed: int = 2
    approvers: tuple[str, ...] = ()
    code: str | None = None
    asked: list[Order] = field(default_factory=list)

    async def check(self, order: Order) -> Verdict:
        await self._answer()
        self.asked.append(order)
        code, needed = self.code, 0
        for payment in payments_of(order.intent):
            hashed = digest(payment, order.chain_id)
            signed = {recover(hashed, a.signature) for a in payment.approvals}
            if payment.amount > self.limit and len(signed & set(self.approvers)) < self.needed:
                code, needed = "approval_needed", self.needed
        return Verdict(
            allowed=code is None, needed=needed, approvers=self.approvers, code=code, detail=""
        )


@dataclass
class Leaving:
    """`wallet` holds 100 ETH and 1,000,000 USDC, by the books as well."""

    world: World
    network: Network
    signer: Strict
    payouts: Payouts
    sending: Sending
    wallet: str
    people: list[Any]

    async def fund(self, asset: str, amount: str) -> None:
        """The merchant earns it: an invoice in that asset, paid and settled."""
        invoice = await self.world.invoice(amount, asset, assets=[asset])
        await self.world.pay(invoice, asset)
        await self.world.mine(3)
        await self.world.follow()

    async def ask(self, amount: str = "0.5", asset: str = "ETH", to: str = PAYEE) -> UUID:
        new = NewPayout(amount=amount, asset=asset, network=self.network.id, address=to)
        [number] = await self._store([new], None)
        return number

    async def ask_batch(self, *requests: tuple[str, str, str]) -> tuple[UUID, list[UUID]]:
        """(amount, asset, to) each."""
        new = [
            NewPayout(amount=amount, asset=asset, network=self.network.id, address=to)
            for amount, asset, to in requests
        ]
        batch = PayoutBatch(
            id=ids.new(), merchant_id=self.world.merchant_id, initiator=KEY,
            created_at=self.world.context.clock.now(),
        )  # fmt: skip
        return batch.id, await self._store(new, batch)

    async def _store(self, new: list[NewPayout], batch: PayoutBatch | None) -> list[UUID]:
        context, merchant_id = self.world.context, self.world.merchant_id
        async with context.database.begin() as session:
            addresses = [one.address for one in new]
            on = await payout_requests.ground(session, context, merchant_id, addresses)
            wanted = payout_requests.read_all(on, new)
            rows = await payout_requests.store(
                session, context, merchant_id, wanted, initiator=KEY, batch=batch
            )
            return [row.id for row in rows]

    async def refund(self, invoice: dict[str, Any], variant: str = "full", **more: Any) -> Any:
        request = NewRefund(variant=variant, address=more.pop("address", PAYEE), **more)
        context = self.world.context
        async with context.database.begin() as session:
            return await refunds.create(
                session, context, self.world.merchant_id, ids.read("inv", invoice["id"]),
                request, KEY,
            )  # fmt: skip

    async def approve(self, payout_id: UUID, person: Any) -> Any:
        """As a wallet would: signs the typed data that the API shows."""
        [row] = (await self.world.rows("payout_approvals", payout_id=payout_id))[-1:]
        signable = encode_typed_data(full_message=_plain(row.typed_data))
        signature = "0x" + Account.sign_message(signable, person.key).signature.hex()
        return await self.give(payout_id, person.address, signature)

    async def give(self, payout_id: UUID, approver: str, signature: str) -> Any:
        context = self.world.context
        async with context.database.begin() as session:
            return await payouts.approve(session, context, None, payout_id, approver, signature)

    async def reject(self, payout_id: UUID) -> Any:
        context = self.world.context
        async with context.database.begin() as session:
            return await payouts.reject(session, context, None, payout_id, "no")

    async def show(self, payout_id: UUID) -> Any:
        async with self.world.context.database.read() as session:
            return await payout_reads.show(session, self.world.context, payout_id, None)

    async def show_refund(self, refund: dict[str, Any]) -> Any:
        number = ids.read("ref", refund["id"])
        async with self.world.context.database.read() as session:
            return await refund_reads.show(session, self.world.context, number, None)

    async def judge(self) -> int:
        """What the worker does with payouts that are due; how many steps."""
        steps = 0
        while rows := await self.payouts.claim(16):
            await asyncio.gather(*(self.payouts.step(row) for row in rows))
            steps += len(rows)
        return steps

    async def send(self) -> None:
        while rows := await self.sending.claim(16):
            await asyncio.gather(*(self.sending.step(row) for row in rows))
        await self.world.node.took()

    async def finish(self, rounds: int = 3) -> None:
        """Until what can leave has left and is deep enough."""
        for _ in range(rounds):
            await self.judge()
            await self.send()
            await self.world.mine(3)
            await self.world.follow()
            await self.world.advance(3)

    async def events(self, payout_id: UUID) -> list[str]:
        return await self.world.events(ids.show("pay", payout_id))

    async def assert_sound(self) -> None:
        """The hot wallet's place is what the chain says, to the wei; debts add up; nothing stays
        set aside for what is over."""
        await self.world.assert_books_match_the_chain()
        balances = await self.world.balances()
        for symbol in ("ETH", "USDC"):
            token = self.network.token(symbol)
            assert token is not None
            held = await self.world.node.balance(self.wallet, token.address)
            assert balances.get((place(self.network.id, Role.HOT), symbol), 0) == held, symbol
            open_ = [
                int(row.amount) + (0 if row.fee_paid_by == "house" else int(row.fee))
                for row in await self.world.rows("payouts", asset=symbol)
                if row.status in ("requested", "held", "approved", "sending")
                and row.outcome != "sent"
            ]
            assert -balances.get(("reserved", symbol), 0) == sum(open_), symbol


def _plain(typed: dict[str, Any]) -> dict[str, Any]:
    numbers = {"amount", "feeCap", "expiresAt", "nonce"}
    message = {k: int(v) if k in numbers else v for k, v in typed["message"].items()}
    return {**{k: typed[k] for k in ("types", "primaryType", "domain")}, "message": message}


@asynccontextmanager
async def make_leaving(
    database: Database, node: Node, deployed: Deployed, **changes: Any
) -> AsyncIterator[Leaving]:
    if "multisend" not in changes:
        changes["multisend"] = await node.deploy("Multisend")
    network = network_of(node, deployed, **changes)
    account, people = Account.create(), [Account.create() for _ in range(3)]
    wallet = account.address.lower()
    await node.rpc("anvil_setBalance", wallet, hex(100 * 10**18))
    usdc = deployed.tokens["USDC"].address
    await node.send(usdc, data=calldata("mint(address,uint256)", wallet, 10**12), gas=200_000)
    async with make_world(database, {network: (node, deployed)}) as world:
        context = world.context
        async with database.begin() as session:
            await hot.add(
                session, address=wallet, label="hot", kind=WalletKind.HOT,
                networks=[network.id], now=context.clock.now(),
            )  # fmt: skip
            hot_place = place(network.id, Role.HOT)
            lines = transfer("ETH", 100 * 10**18, debit=hot_place, credit=EQUITY)
            lines += transfer("USDC", 10**12, debit=hot_place, credit=EQUITY)
            opening = Entry(
                id=ids.new(), key="opening:hot", kind=Kind.OPENING, reference="hot",
                merchant_id=None, evidence={}, posted_at=context.clock.now(), postings=lines,
            )  # fmt: skip
            await post(session, [opening])
        async with database.statement() as connection:
            await payout_fees.store(connection, network.id, GWEI, GWEI)
        signer = Strict(
            {wallet: account.key.hex()}, approvers=tuple(p.address.lower() for p in people)
        )
        sending = Sending(context, network, world.endpoints[network.id], signer)
        payouts = Payouts(context, signer, endpoints=world.endpoints)
        yield Leaving(world, network, signer, payouts, sending, wallet, people)
