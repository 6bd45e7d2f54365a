"""`bezant deploy` on an Anvil without our contracts: a real signer, the worker's own loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from bezant import deployed, deploying
from chain.endpoints import Endpoints
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.errors import BezantError, Invalid, Refused
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, Network, Tier, Token
from core.secrets import SecretBox
from payments.following import follow
from tests.integration.wallets.signer.process import SignerProcess, open_signer
from tests.unit.wallets.signer import world as w
from tests.world import Deployed, Node, anvil, calldata, connect, network_of
from wallets.addresses import checksum
from wallets.sending import Sending
from wallets.signer.client import SignerClient
from webhooks.desk import Desk

OWNER = "0x" + "0a" * 20
CODES = ", ".join(f'"{contract.code_hash}"' for contract in deploying.ours(OWNER))
POLICY = (
    w.POLICY.replace(f'"{w.INIT_HASH}"', CODES)
    .replace('"payout_batch", "move"', '"payout_batch", "move", "deploy"')
    .replace('fee = "0.05"', 'fee = "1"')
    .replace('fees_per_day = "1"', 'fees_per_day = "10"')
)
ETH = Token(asset=crypto("ETH", 18), address=NATIVE, asset_id="slip44:60")
NOTHING = Deployed("", "", {"ETH": ETH}, "", "", "", "", "")


@pytest.fixture
def empty_chain() -> Iterator[str]:
    with anvil() as url:
        yield url


@pytest.fixture
async def process() -> AsyncIterator[SignerProcess]:
    async with open_signer(POLICY) as found:
        yield found


class House:
    """An installation whose network has nothing of ours yet."""

    def __init__(self, context: Context, network: Network, node: Node, pen: SignerClient) -> None:
        self.context, self.network, self.node, self.pen = context, network, node, pen
        self.said: list[str] = []

    async def deploy(self, owner: str = OWNER, taken_seconds: float = 30) -> list[deploying.Stood]:
        async with Endpoints(self.network, timeout=5) as endpoints:
            return await deploying.deploy(
                self.context, self.network, endpoints, self.pen, owner, self.said.append,
                taken_seconds=taken_seconds,
            )  # fmt: skip

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """Its loops of this network, and blocks that come."""

        async def blocks() -> None:
            while True:
                await self.node.mine()
                await asyncio.sleep(0.2)

        async with Endpoints(self.network, timeout=5) as endpoints:
            tasks = [
                asyncio.create_task(one)
                for one in (
                    self.context.listener.run(("transactions", "block")),
                    follow(self.context, self.network, endpoints, Desk()),
                    Sending(self.context, self.network, endpoints, self.pen).run(),
                    blocks(),
                )
            ]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def house(
    database: Database, empty_chain: str, process: SignerProcess
) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(connect(empty_chain))
        await node.rpc("anvil_setBalance", w.HOT, hex(10**19))
        network = network_of(
            node, NOTHING, factory=None, router=None, multisend=None, feeds=(),
            tiers=(Tier(up_to=None, required=1),),
        )  # fmt: skip
        context = Context(
            database=database,
            clock=Clock(),
            listener=Listener(database),
            catalog=Catalog({network.id: network}),
            secrets=SecretBox({1: bytes(32)}),
            public_url="http://127.0.0.1:1",
            sandbox=True,
        )
        pen = process.client()
        stack.push_async_callback(pen.close)
        yield House(context, network, node, pen)


async def test_all_three_are_put_there_once(house: House, process: SignerProcess) -> None:
    async with house.worker():
        first = await house.deploy()
        signed = len(process.codes("sign"))
        house.said.clear()
        again = await house.deploy()
    assert [one.contract.name for one in first] == ["DepositFactory", "PaymentRouter", "Multisend"]
    assert all(one.tx_hash for one in first)
    assert [one.tx_hash for one in again] == [None, None, None]
    assert (len(process.codes("sign")), house.said) == (signed, [])

    factory, router, _ = (one.contract.address for one in first)
    asked = {"to": factory, "data": calldata("owner()")}
    assert (await house.node.rpc("eth_call", asked, "latest"))[-40:] == OWNER[2:]
    asked = {"to": router, "data": calldata("factory()")}
    assert (await house.node.rpc("eth_call", asked, "latest"))[-40:] == factory[2:]

    found = await deployed.report(house.network, house.pen, first)
    assert f'factory = "{checksum(factory)}"' in found["lines"]
    left = " ".join(found["remaining"])
    assert "proposeTreasury" in left
    assert f"setQuoteKey({checksum(w.QUOTER)}, 0)" in left
    assert checksum(router) in deployed.told(found)


async def test_what_remains_is_what_is_not_done(house: House) -> None:
    """The owner does as he is told, with the very calldata; then nothing of it is left."""
    async with house.worker():
        stood = await house.deploy()
    factory, router, multisend = (one.contract.address for one in stood)
    found = await deployed.report(house.network, house.pen, stood)
    told = next(line for line in found["remaining"] if "setQuoteKey" in line)
    for data, to in (
        (told.rpartition(" ")[2], router),
        (calldata("proposeTreasury(address)", OWNER), factory),
        ("0x" + _take_on(OWNER), factory),
    ):
        await house.node.rpc("anvil_setBalance", OWNER, hex(10**18))
        await house.node.rpc("anvil_impersonateAccount", OWNER)
        call = {"from": OWNER, "to": to, "data": data}
        await house.node.receipt(await house.node.rpc("eth_sendTransaction", call))
    named = replace(house.network, factory=factory, router=router, multisend=multisend)
    found = await deployed.report(named, house.pen, stood)
    assert found["remaining"] == ["bezant doctor, then start api and worker again."]
    # The next network gets the same ones, without being told the owner.
    other = replace(house.network, id="eip155:5", chain_id=5)
    assert await deploying.owner_of([other, named], None) == OWNER
    with pytest.raises(Invalid, match="only the same factory"):
        await deploying.owner_of([other, named], "0x" + "0b" * 20)


def _take_on(treasury: str) -> str:
    from sandbox.contracts import call

    return call("setTreasury(address,bytes)", treasury, b"")[2:]


async def test_what_the_policy_does_not_name_is_not_deployed(house: House) -> None:
    other = deploying.ours("0x" + "0b" * 20)[0]
    with pytest.raises(Refused, match=other.code_hash):
        await house.deploy("0x" + "0b" * 20)
    async with house.context.database.statement() as connection:
        counted = await (await connection.execute("select count(*) from transactions")).fetchone()
    assert counted == (0,)


async def test_broken_off_and_given_again_it_pays_once(house: House) -> None:
    """Nobody works at first; the second command takes up what the first one asked for."""
    with pytest.raises(BezantError, match="no worker"):
        await house.deploy(taken_seconds=0.1)
    async with house.worker():
        await house.deploy()
    async with house.context.database.statement() as connection:
        rows = await (
            await connection.execute(
                "select status, purpose, count(*) from transactions group by 1, 2"
            )
        ).fetchall()
    assert rows == [("confirmed", "deploy", 3)]


async def test_without_a_deterministic_deployer_it_says_so(house: House) -> None:
    await house.node.rpc("anvil_setCode", "0x4e59b44847b379578588920ca78fbf26c0b4956c", "0x")
    with pytest.raises(Refused, match="no deterministic deployer"):
        await house.deploy()


async def test_without_an_owner_nothing_is_guessed(house: House) -> None:
    with pytest.raises(Invalid, match="--owner"):
        await deploying.owner_of([house.network], None)
