"""Customers' money on a real chain, a relayer whose key is in a real signer, and what sweeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core import ids
from core.db import Database
from core.networks import NATIVE, Network
from ledger.accounts import EQUITY, Role, place
from ledger.journal import Entry, Kind, post, transfer
from tests.integration.wallets.signer.process import SignerProcess, open_signer
from tests.unit.wallets.signer import world as signed
from tests.world import Deployed, Node, World, calldata, network_of
from tests.world import world as make_world
from wallets import hot, sweep_requests
from wallets.addresses import salt_of
from wallets.hot import WalletKind
from wallets.sending import Sending
from wallets.signer.client import SignerClient
from wallets.sweeps import Sweeps

KEY = "key_01h455vb4pex5vsknk084sn02q"
GAS_WEI = 100 * 10**18


def policy_of(network: Network, *, any_token: bool = False) -> str:
    """The signer's own file: our factory and the configured tokens."""
    lines = [
        f'[networks."{network.id}"]',
        f"chain_id = {network.chain_id}",
        f'factory = "{network.factory}"',
        'fee = "5"',
        'fees_per_day = "50"',
        f"sweep_any_token = {str(any_token).lower()}",
        f'[networks."{network.id}".wallets]',
        f'"{signed.RELAYER}" = ["sweep", "sweep_known", "cancel"]',
    ]
    for token in network.tokens:
        lines += [
            f'[networks."{network.id}".assets.{token.asset.symbol}]',
            f'token = "{token.address}"',
            f"decimals = {token.asset.decimals}",
            'single = "0"',
            'per_hour = "0"',
            'per_day = "0"',
        ]
    return "\n".join(lines) + "\n"


@dataclass
class Sweeping:
    """Nothing runs by itself: `plan`, `send` and `world.follow` are the worker's steps."""

    world: World
    network: Network
    signer: SignerProcess
    client: SignerClient
    sweeps: Sweeps
    sending: Sending

    @property
    def node(self) -> Node:
        return self.world.node

    def token(self, asset: str) -> str:
        found = self.network.token(asset)
        assert found is not None
        return found.address

    async def addresses(self, count: int) -> list[str]:
        """Of as many invoices."""
        made = [await self.world.invoice() for _ in range(count)]
        return [str(i["payment_options"][0]["address"]).lower() for i in made]

    async def pay(self, asset: str, amounts: dict[str, int]) -> None:
        """Address -> base units, from one customer, in one block."""
        total = sum(amounts.values())
        token, sender = self.token(asset), self.node.accounts[1]
        if token != NATIVE:
            mint = calldata("mint(address,uint256)", sender, total)
            await self.node.send(token, data=mint, sender=1, gas=200_000)
        async with self.node.one_block():
            for address, amount in amounts.items():
                if token == NATIVE:
                    await self.node.send(address, amount, sender=1)
                else:
                    data = calldata("transfer(address,uint256)", address, amount)
                    await self.node.send(token, data=data, sender=1, gas=200_000)

    async def confirm(self) -> None:
        await self.world.mine(3)
        await self.world.follow()

    async def ask(
        self, addresses: Sequence[str] | None = None, assets: Sequence[str] | None = None
    ) -> UUID:
        context = self.world.context
        async with context.database.begin() as session:
            made = await sweep_requests.create(
                session, context, network=self.network.id, addresses=addresses, assets=assets,
                initiator=KEY,
            )  # fmt: skip
        number = ids.read("swp", made["id"])
        assert number is not None
        return number

    async def plan(self) -> int:
        """What the worker does with sweeps that are due; how many steps."""
        steps = 0
        while rows := await self.sweeps.claim(16):
            await asyncio.gather(*(self.sweeps.step(row) for row in rows))
            steps += len(rows)
        return steps

    async def send(self) -> None:
        while rows := await self.sending.claim(16):
            await asyncio.gather(*(self.sending.step(row) for row in rows))

    async def finish(self, sweep_id: UUID) -> Any:
        """Planned, sent, mined and deep enough; how it is shown then."""
        await self.plan()
        await self.send()
        await self.world.follow()
        await self.confirm()
        return await self.show(sweep_id)

    async def show(self, sweep_id: UUID) -> Any:
        async with self.world.context.database.read() as session:
            return await sweep_requests.show(session, self.world.context, sweep_id)

    async def events(self, sweep_id: UUID) -> list[str]:
        return await self.world.events(ids.show("swp", sweep_id))

    async def allow_any_token(self) -> None:
        """The signer's owner decides so; a running one reads its policy when it starts."""
        await self.signer.stop()
        self.signer.apply(policy_of(self.network, any_token=True))
        await self.signer.start()

    async def salt(self, address: str) -> bytes:
        [row] = await self.world.rows("deposit_addresses", address=address)
        return salt_of(row.id)

    async def treasury(self, asset: str) -> int:
        return await self.node.balance(self.world.contracts.treasury, self.token(asset))

    async def assert_sound(self, treasury_before: dict[str, int]) -> None:
        """Deposits, treasury and the relayer's gas are in the books what they are on chain."""
        await self.world.assert_books_match_the_chain()
        balances = await self.world.balances()
        for asset in self.world.contracts.tokens:
            arrived = await self.treasury(asset) - treasury_before[asset]
            booked = balances.get((place(self.network.id, Role.TREASURY), asset), 0)
            assert booked == arrived, asset
        held = await self.node.balance(signed.RELAYER)
        assert balances[place(self.network.id, Role.HOT), "ETH"] == held

    async def treasuries(self) -> dict[str, int]:
        return {asset: await self.treasury(asset) for asset in self.world.contracts.tokens}


@asynccontextmanager
async def make_sweeping(
    database: Database, node: Node, deployed: Deployed, **changes: Any
) -> AsyncIterator[Sweeping]:
    network = network_of(node, deployed, **changes)
    async with make_sweeping_on(database, {network: (node, deployed)}, network) as made:
        yield made


@asynccontextmanager
async def make_sweeping_on(
    database: Database, networks: dict[Network, tuple[Node, Deployed]], network: Network
) -> AsyncIterator[Sweeping]:
    """Sweeps one of these networks; all of them are followed."""
    await networks[network][0].rpc("anvil_setBalance", signed.RELAYER, hex(GAS_WEI))
    async with (
        make_world(database, networks) as world,
        open_signer(policy_of(network)) as signer,
    ):
        await _house(world, network)
        client = signer.client()
        endpoints = world.endpoints[network.id]
        yield Sweeping(
            world, network, signer, client,
            Sweeps(world.context, network, endpoints),
            Sending(world.context, network, endpoints, client),
        )  # fmt: skip
        await client.close()


async def _house(world: World, network: Network) -> None:
    """The books know the treasury, the relayer and what it has."""
    context = world.context
    async with context.database.begin() as session:
        for address, kind in (
            (signed.RELAYER, WalletKind.RELAYER),
            (world.deployed[network.id].treasury, WalletKind.TREASURY),
        ):
            await hot.add(
                session, address=address, label=kind.value, kind=kind, networks=[network.id],
                now=context.clock.now(),
            )  # fmt: skip
        lines = transfer("ETH", GAS_WEI, debit=place(network.id, Role.HOT), credit=EQUITY)
        opening = Entry(
            id=ids.new(), key="opening:relayer", kind=Kind.OPENING, reference="relayer",
            merchant_id=None, evidence={}, posted_at=context.clock.now(), postings=lines,
        )  # fmt: skip
        await post(session, [opening])
