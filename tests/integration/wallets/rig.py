"""A wallet with money on a real chain, and what sends from it: driven by hand, step by step."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from eth_account import Account
from sqlalchemy import text

from chain.endpoints import Endpoints
from chain.fees import Urgency
from chain.receipts import read_receipts
from chain.rpc import Rpc
from chain.types import Batch, Block, Cursor
from chain.wire import BLOCK_BY_NUMBER, Header
from core import ids
from core.clock import Clock, wall
from core.context import Context
from core.db import Database, raw
from core.listen import Listener
from core.networks import NATIVE, Catalog, FeePolicy, Network
from core.secrets import SecretBox
from ledger.journal import post
from tests.fakes import LocalSigner
from tests.world import Deployed, Node, calldata, network_of
from wallets import hot, settling, transactions
from wallets.hot import WalletKind
from wallets.intents import Intent, Payment, Payout
from wallets.sending import Sending
from wallets.signer.client import Signer
from wallets.transactions import Observed, Purpose

SHOP = "0x" + "5e" * 20
STUCK_SECONDS = 30


@dataclass
class Rig:
    """`wallet` holds 100 ETH and 1,000,000 USDC, and nobody ever used its key before."""

    context: Context
    network: Network
    node: Node
    deployed: Deployed
    endpoints: Endpoints
    signer: LocalSigner  # tests switch it; used unless there is another one
    pen: Signer
    wallet: str
    key: str
    cursor: Cursor
    known: dict[int, str] = field(default_factory=dict)
    ended: list[Observed] = field(default_factory=list)

    @property
    def database(self) -> Database:
        return self.context.database

    def sending(self, endpoints: Endpoints | None = None, **options: Any) -> Sending:
        async def ended(_session: Any, observed: Observed) -> None:
            self.ended.append(observed)

        at = endpoints or self.endpoints
        return Sending(self.context, self.network, at, self.pen, ended=ended, **options)

    def payment(self, amount: int = 10**15, token: str = NATIVE, **changes: Any) -> Payout:
        values: dict[str, Any] = {
            "id": ids.show("pay", ids.new()),
            "token": token,
            "to": SHOP,
            "amount": amount,
            "fee_cap": 10**17,
            "expires_at": int(self.context.clock.now().timestamp()) + 86_400,
            "nonce": secrets.randbits(200),
            "initiator": "",
        }
        return Payout(payment=Payment(**{**values, **changes}))

    async def prepare(self, intent: Intent | None = None, **options: Any) -> UUID:
        async with self.database.begin() as session:
            return await transactions.prepare(
                session,
                self.context,
                network=self.network.id,
                wallet=self.wallet,
                purpose=Purpose.PAYOUT,
                intent=intent or self.payment(),
                reference=ids.show("pay", ids.new()),
                urgency=options.pop("urgency", Urgency.NORMAL),
                now=self.context.clock.now(),
                **options,
            )

    async def work(self, sending: Sending | None = None) -> int:
        """Steps until nothing is due; how many there were."""
        sending = sending or self.sending()
        steps = 0
        while rows := await sending.claim(16):
            await asyncio.gather(*(sending.step(row) for row in rows))
            steps += len(rows)
        return steps

    def later(self, seconds: float) -> None:
        clock = self.context.clock
        clock.set_offset(clock.offset + timedelta(seconds=seconds))

    async def row(self, transaction_id: UUID) -> Any:
        return (await self.rows("transactions", id=transaction_id))[0]

    async def rows(self, table: str, **where: Any) -> list[Any]:
        condition = " and ".join(f"{k} = :{k}" for k in where) or "true"
        order = {"transactions": "nonce", "transaction_variants": "made_at"}.get(table, "1")
        query = f"select * from {table} where {condition} order by {order}"  # noqa: S608
        async with self.database.read() as session:
            return list((await session.execute(text(query), where)).all())

    async def balances(self) -> dict[tuple[str, str], int]:
        return {(r.account, r.asset): int(r.balance) for r in await self.rows("account_balances")}

    async def apply(self, *, mined: bool = True) -> Observed:
        """All blocks up to the head, with our own transactions, as the chain loop applies them.
        `mined`: after a moment in which Anvil can mine what it was given."""
        rpc = self.endpoints.all[0].rpc
        if mined:
            await self.node.took()
        headers, fork = await self._headers(rpc)
        async with self.database.statement() as connection:
            hashes = await settling.outstanding(connection, self.network.id)
        receipts = await read_receipts(rpc, headers, hashes)
        batch = replace(self._batch(headers, fork), receipts=receipts)
        finalized = max(0, batch.head - 64)
        async with self.database.begin() as session:
            observed = await settling.observe(
                await raw(session), self.network, batch,
                finalized=finalized, now=self.context.clock.now(),
            )  # fmt: skip
            await post(session, observed.entries)
            await session.execute(
                text("update network_cursors set number = :n, head = :n, finalized = :f"),
                {"n": batch.head, "f": finalized},
            )
        return observed

    async def _headers(self, rpc: Rpc) -> tuple[list[Header], int | None]:
        head = await self.node.head()
        at = min(self.cursor.number, head)
        while (header := await self._header(rpc, at)) is None or header.hash != self.known[at]:
            at -= 1
        fork = at if at < self.cursor.number else None
        found = [await self._header(rpc, n) for n in range(at + 1, head + 1)]
        headers = [h for h in found if h is not None]  # a fork may come between two questions
        self.known |= {int(h.number, 16): h.hash for h in headers}
        return headers, fork

    async def _header(self, rpc: Rpc, number: int) -> Header | None:
        return await rpc.call(BLOCK_BY_NUMBER, hex(number), False)

    def _batch(self, headers: list[Header], fork: int | None) -> Batch:
        start = self.cursor
        blocks = [
            Block(int(h.number, 16), h.hash, h.parentHash, int(h.timestamp, 16), h.miner)
            for h in headers
        ]
        if blocks:
            self.cursor = Cursor(blocks[-1].number, blocks[-1].hash)
        elif fork is not None:
            self.cursor = Cursor(fork, self.known[fork])
        return Batch(
            network=self.network.id, start=start, fork=fork, blocks=blocks, movements=(),
            sweeps=(), head=self.cursor.number, safe=None, finalized=None,
        )  # fmt: skip

    async def assert_books_match_the_chain(self) -> None:
        """What gas took, by the journal, is what the wallet lacks beyond what was paid out."""
        paid = sum(
            int(flow[2])
            for row in await self.rows("transactions")
            for flow in row.outflows or []
            if flow[0] == NATIVE and row.block_number is not None
        )
        gas = (await self.balances()).get(("expense:gas", "ETH"), 0)
        assert await self.node.balance(self.wallet) == 100 * 10**18 - paid - gas


@asynccontextmanager
async def make_rig(
    database: Database,
    node: Node,
    deployed: Deployed,
    *,
    key: str | None = None,
    signer: Signer | None = None,
    **changes: Any,
) -> AsyncIterator[Rig]:
    """`key`: else a new one; `signer`: else one in this process."""
    policy = FeePolicy(stuck_after_seconds=STUCK_SECONDS)
    network = network_of(node, deployed, **{"fees": policy, **changes})
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=Catalog({network.id: network}),
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
        sandbox=True,
    )
    account = Account.create() if key is None else Account.from_key(key)
    wallet = account.address.lower()
    await node.rpc("anvil_setBalance", wallet, hex(100 * 10**18))
    usdc = deployed.tokens["USDC"].address
    await node.send(usdc, data=calldata("mint(address,uint256)", wallet, 10**12), gas=200_000)
    async with database.begin() as session:
        await hot.add(
            session, address=wallet, label="hot", kind=WalletKind.HOT,
            networks=[network.id], now=wall(),
        )  # fmt: skip
        head = await node.rpc("eth_getBlockByNumber", "latest", False)
        number = int(head["number"], 16)
        await session.execute(
            text(
                "insert into network_cursors (network, number, hash, version, genesis, head, safe,"
                " finalized, followed_until, stalled, halted, endpoints, updated_at) values (:n,"
                " :b, :h, 0, '', :b, null, :f, now(), false, null, '[]', now())"
            ),
            {"n": network.id, "b": number, "h": head["hash"], "f": max(0, number - 64)},
        )
    endpoints = Endpoints(network, timeout=5)
    key = account.key.hex()
    local = LocalSigner({wallet: key})
    yield Rig(
        context, network, node, deployed, endpoints, local, signer or local, wallet, key,
        Cursor(number, head["hash"]), {number: head["hash"]},
    )  # fmt: skip
    await endpoints.close()
    await node.rpc("evm_setAutomine", True)
