"""A till: a world whose router takes quotes of a key in this process, and a relayer with ETH."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eth_account import Account
from eth_account.messages import encode_typed_data

from core import ids
from core.db import Database
from core.errors import SignerRefused
from core.networks import Network
from ledger.accounts import EQUITY, Role, place
from ledger.journal import Entry, Kind, post, transfer
from payments import relays, router_quotes
from payments.quoting import Quoting
from payments.relaying import Relaying
from payments.router_quotes import Wish
from payments.router_tables import Authorization, Quote
from sandbox import contracts
from tests.fakes import LocalSigner
from tests.world import (
    QUOTE_ACCOUNT,
    Deployed,
    Node,
    World,
    calldata,
    connect,
    network_of,
)
from tests.world import world as make_world
from wallets import hot
from wallets.hot import WalletKind
from wallets.intents import RouterQuote
from wallets.sending import Sending
from wallets.signer.router import quote_digest

QUOTE = "(bytes32,address,uint256,uint256,uint256)"
RELAYER_WEI = 10**18


@dataclass
class QuoteSigner(LocalSigner):
    """Signs quotes as well, with the key that `deploy` told the router."""

    quote_key: Any = QUOTE_ACCOUNT
    refuse_quotes: str | None = None
    quoted: int = 0

    async def quote(self, quote: RouterQuote) -> str:
        await self._answer()
        if self.refuse_quotes is not None:
            raise SignerRefused(self.refuse_quotes, "switched to refuse")
        self.quoted += 1
        made = Account.unsafe_sign_hash(quote_digest(quote), self.quote_key.key)
        return "0x" + bytes(made.signature).hex()


@dataclass
class Till:
    """Workers are driven by hand: `work()` does all that is due."""

    world: World
    signer: QuoteSigner
    quoting: dict[str, Quoting]
    relaying: dict[str, Relaying]
    sending: dict[str, Sending]
    relayer: str

    async def ask(
        self, invoice: dict[str, Any], asset: str = "ETH", network: int = 0, **limits: int
    ) -> UUID:
        wish = Wish(asset=asset, network=list(self.world.nodes)[network])
        number = ids.read("inv", invoice["id"])
        assert number is not None
        async with self.world.context.database.begin() as session:
            row = await router_quotes.ask(session, self.world.context, number, wish, **limits)
            return row.id

    async def show(self, quote_id: UUID) -> dict[str, Any]:
        async with self.world.context.database.read() as session:
            row = await session.get_one(Quote, quote_id)
            return router_quotes.quote_json(row, self.world.context)

    async def quote(
        self, invoice: dict[str, Any], asset: str = "ETH", network: int = 0
    ) -> dict[str, Any]:
        """Asked for and answered."""
        number = await self.ask(invoice, asset, network)
        await self.work()
        return await self.show(number)

    async def work(self) -> None:
        """All quotes, authorizations and transactions that are due."""
        for name in self.world.nodes:
            for worker in (self.quoting[name], self.relaying[name]):
                while some := await worker.claim(16):
                    for number in some:
                        await worker.step(number)
            while rows := await self.sending[name].claim(16):
                for row in rows:
                    await self.sending[name].step(row)

    async def pay(self, quote: dict[str, Any], *, sender: int = 1, network: int = 0) -> str:
        """By the payer's own transaction: ETH, or a token by allowance. Raises RpcError when it
        reverts."""
        node, deployed = self.world.at(network)
        if quote["token"] is not None:
            await self.give(quote, node.accounts[sender], network)
            approve = calldata("approve(address,uint256)", deployed.router, units(quote))
            await node.send(quote["token"], data=approve, sender=sender, gas=100_000)
        value = units(quote) if quote["token"] is None else 0
        method = "pay" if quote["token"] is None else "payToken"
        data = contracts.call(f"{method}({QUOTE},bytes)", words(quote), signature(quote))
        return await self.send(deployed.router, data, value=value, sender=sender, network=network)

    async def send(
        self, to: str, data: str, *, value: int = 0, sender: int = 1, network: int = 0
    ) -> str:
        """Asked first, as a wallet does: what reverts is not sent."""
        node, _ = self.world.at(network)
        call = {"from": node.accounts[sender], "to": to, "value": hex(value), "data": data}
        await node.rpc("eth_call", call, "latest")
        return await node.send(to, value, data, sender=sender, gas=500_000)

    async def give(self, quote: dict[str, Any], holder: str, network: int = 0) -> None:
        """The payer has enough of the token."""
        node, _ = self.world.at(network)
        mint = calldata("mint(address,uint256)", holder, units(quote))
        await node.send(quote["token"], data=mint, gas=200_000)

    def authorize(self, quote: dict[str, Any], payer: Any, **changes: Any) -> relays.Signed:
        """As the payer's wallet signs it."""
        now = int(self.world.context.clock.now().timestamp())
        message = {
            "from": payer.address,
            "to": quote["router"],
            "value": units(quote),
            "validAfter": 0,
            "validBefore": now + 600,
            "nonce": bytes.fromhex(quote["quote_hash"][2:]),
            **changes,
        }
        signed = Account.sign_message(
            encode_typed_data(
                domain_data={
                    **quote["domain"],
                    "chainId": quote["chain_id"],
                    "verifyingContract": quote["token"],
                },
                message_types={"ReceiveWithAuthorization": RECEIVE},
                message_data=message,
            ),
            payer.key,
        )
        return relays.Signed(
            payer=payer.address,
            valid_after=message["validAfter"],
            valid_before=message["validBefore"],
            signature="0x" + bytes(signed.signature).hex(),
        )

    async def relay(self, quote: dict[str, Any], given: relays.Signed) -> UUID:
        number = ids.read("inv", quote["invoice"])
        assert number is not None
        context = self.world.context
        async with context.database.begin() as session:
            quote_id = ids.read("qte", quote["id"])
            return (await relays.ask(session, context, number, quote_id, given)).id

    async def relayed(self, authorization_id: UUID) -> dict[str, Any]:
        async with self.world.context.database.read() as session:
            row = await session.get_one(Authorization, authorization_id)
            return await relays.shown(session, row)

    async def treasury(self, asset: str, network: int = 0) -> int:
        node, deployed = self.world.at(network)
        return await node.balance(deployed.treasury, deployed.tokens[asset].address)


RECEIVE = [
    {"name": name, "type": kind}
    for name, kind in (
        ("from", "address"),
        ("to", "address"),
        ("value", "uint256"),
        ("validAfter", "uint256"),
        ("validBefore", "uint256"),
        ("nonce", "bytes32"),
    )
]


def units(quote: dict[str, Any]) -> int:
    return int(quote["quote"]["amount"])


def words(quote: dict[str, Any]) -> tuple[bytes, str, int, int, int]:
    """The struct that the router takes."""
    said = quote["quote"]
    amount, deadline, nonce = (int(said[name]) for name in ("amount", "deadline", "nonce"))
    return bytes.fromhex(said["invoice"][2:]), said["asset"], amount, deadline, nonce


def signature(quote: dict[str, Any]) -> bytes:
    return bytes.fromhex(quote["signature"][2:])


@asynccontextmanager
async def open_till(
    database: Database, *chains: tuple[str, Deployed], **changes: Any
) -> AsyncIterator[Till]:
    """On one network for each chain given; `changes` are of the networks' settings."""
    async with AsyncExitStack() as stack:
        networks: dict[Network, tuple[Node, Deployed]] = {}
        for number, (url, deployed) in enumerate(chains, start=31337):
            node = await stack.enter_async_context(connect(url))
            networks[network_of(node, deployed, number, **changes)] = (node, deployed)
        relayer = Account.create()
        made = await stack.enter_async_context(make_world(database, networks))
        for node, _ in networks.values():
            await node.rpc("anvil_setBalance", relayer.address, hex(RELAYER_WEI))
        await _found(made, relayer.address.lower())
        signer = QuoteSigner(keys={relayer.address.lower(): relayer.key})
        yield Till(
            world=made,
            signer=signer,
            quoting={
                n.id: Quoting(made.context, n, made.endpoints[n.id], signer) for n in networks
            },
            relaying={n.id: Relaying(made.context, n, made.endpoints[n.id]) for n in networks},
            sending={
                n.id: Sending(made.context, n, made.endpoints[n.id], signer) for n in networks
            },
            relayer=relayer.address.lower(),
        )


async def _found(world: World, relayer: str) -> None:
    """Whose the addresses are, and what the relayer begins with."""
    now = world.context.clock.now()
    async with world.context.database.begin() as session:
        for address, kind in (
            (relayer, WalletKind.RELAYER),
            (world.contracts.treasury, WalletKind.TREASURY),
        ):
            await hot.add(
                session, address=address, label=kind.value, kind=kind,
                networks=list(world.nodes), now=now,
            )  # fmt: skip
        await post(
            session,
            [
                Entry(
                    id=ids.new(), key=f"opening:{name}", kind=Kind.OPENING, reference="relayer",
                    merchant_id=None, evidence={}, posted_at=now,
                    postings=transfer(
                        "ETH", RELAYER_WEI, debit=place(name, Role.HOT), credit=EQUITY
                    ),
                )
                for name in world.nodes
            ],
        )  # fmt: skip
