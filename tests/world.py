"""A world in a test: a real Anvil with our contracts, and a merchant whose invoices are followed.

Nothing runs by itself: a test pays, mines and forks, then says `follow()`, and reads what became
of it. Time is the test clock's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from eth_abi.abi import encode
from eth_account import Account
from sqlalchemy import text

from chain.endpoints import Endpoints
from core import ids
from core.clock import Clock, wall
from core.context import Context
from core.db import Database
from core.keccak import keccak, selector
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, Feed, Network, Tier, Token, Traces
from core.secrets import SecretBox
from payments import creation, invoices
from payments.creation import NewInvoice
from payments.following import Following
from sandbox import node as sandbox_node
from sandbox.reorgs import undisturbed
from tests.waiting import eventually
from wallets.addresses import salt_of

CONTRACTS = Path(__file__).parent.parent / "contracts"
DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
MULTICALL = "0xca11bde05977b3631167028862be2a173976ca11"
MINING_SECONDS = 1
QUOTE_ACCOUNT = Account.from_key("0x" + "33" * 32)  # whose quotes the router takes
PRICES: dict[str, int | Fraction] = {
    "ETH": 2500,
    "USDC": 1,
    "USDT": 1,
    "DAI": 1,
    "T24": 1,
    "FEE": 1,
    "BLK": 1,
    "EUR": Fraction(11, 10),
}


def artifact(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CONTRACTS / "artifacts" / f"{name}.json").read_text())
    return loaded


def calldata(signature: str, *values: Any) -> str:
    """`transfer(address,uint256)` and values -> 0x calldata."""
    types = re.findall(r"[^(),]+(?:\[\])?", signature[signature.index("(") :])
    return "0x" + (selector(signature) + encode(types, values)).hex()


class RpcError(Exception):
    pass


@dataclass
class Node:
    """A JSON-RPC client of a test: unlocked accounts, automine unless switched off."""

    url: str
    session: aiohttp.ClientSession
    accounts: list[str] = field(default_factory=list)
    automine: bool = True

    async def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.session.post(self.url, json=body) as answer:
            reply = await answer.json()
        if "error" in reply:
            raise RpcError(f"{method}: {reply['error']}")
        return reply["result"]

    async def send(
        self, to: str | None, value: int = 0, data: str = "0x", *, sender: int = 0, gas: int = 0
    ) -> str:
        """The transaction's hash; mined already when automine is on."""
        transaction = {"from": self.accounts[sender], "value": hex(value), "data": data}
        if to is not None:
            transaction["to"] = to
        if gas:
            transaction["gas"] = hex(gas)
        sent: str = await self.rpc("eth_sendTransaction", transaction)
        if self.automine:
            await self.receipt(sent)
        return sent

    async def deploy(self, name: str, *arguments: tuple[str, Any]) -> str:
        packed = encode([a[0] for a in arguments], [a[1] for a in arguments]).hex()
        sent = await self.send(None, data=artifact(name)["bytecode"] + packed)
        address: str = (await self.receipt(sent))["contractAddress"]
        return address.lower()

    async def took(self) -> None:
        """After a moment in which Anvil mines what it was given; what is too cheap stays waiting,
        and so does everything where it mines when told."""
        if not await self.rpc("anvil_getAutomine"):
            return

        async def nothing_waits() -> bool:
            return int((await self.rpc("txpool_status"))["pending"], 16) == 0

        with suppress(AssertionError):
            await eventually(nothing_waits, MINING_SECONDS)

    async def receipt(self, tx_hash: str) -> dict[str, Any]:
        """Anvil mines a moment after it answers: asked again until it is there."""
        for _ in range(1000):
            found: dict[str, Any] | None = await self.rpc("eth_getTransactionReceipt", tx_hash)
            if found is not None:
                return found
            await asyncio.sleep(0.005)
        raise RpcError(f"{tx_hash} was not mined")

    async def mine(self, blocks: int = 1) -> None:
        await self.rpc("anvil_mine", hex(blocks))

    async def raw(self, tx_hash: str) -> str:
        """The signed bytes, to be mined again elsewhere."""
        signed: str = await self.rpc("eth_getRawTransactionByHash", tx_hash)
        return signed

    def still(self) -> AbstractAsyncContextManager[None]:
        """Inside it begins no block, and what it had begun is done: see `undisturbed`."""
        return undisturbed(sandbox_node.Node(self.url, self.session))

    async def reorg(self, depth: int, *again: tuple[str, int]) -> None:
        """As many other blocks for the last ones; `again`: signed bytes and which of them."""
        async with self.still():
            # Another miner, else the same transactions may make the very same block again.
            await self.rpc("anvil_setCoinbase", "0x" + secrets.token_hex(20))
            await self.rpc("anvil_reorg", depth, [list(pair) for pair in again])

    async def head(self) -> int:
        return int(await self.rpc("eth_blockNumber"), 16)

    async def balance(self, address: str, token: str = NATIVE) -> int:
        if token == NATIVE:
            return int(await self.rpc("eth_getBalance", address, "latest"), 16)
        call = {"to": token, "data": calldata("balanceOf(address)", address)}
        return int(await self.rpc("eth_call", call, "latest"), 16)

    @asynccontextmanager
    async def one_block(self) -> AsyncIterator[None]:
        """What is sent inside lands in one block."""
        await self.rpc("evm_setAutomine", False)
        self.automine = False
        try:
            yield
        finally:
            await self.mine()
            await self.rpc("evm_setAutomine", True)
            self.automine = True


def anvil_binary() -> str:
    """anvil of PATH, else the one that npm brought."""
    found = shutil.which("anvil")
    local = CONTRACTS / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    return found or str(local)


@contextmanager
def anvil(chain_id: int = 31337, *options: str) -> Iterator[str]:
    """A fresh Anvil on a free port: its URL. Gone at the end."""
    # States in memory: from the disk Anvil 1.7.1 brings contracts back without their code.
    command = [anvil_binary(), "--port", "0", "--chain-id", str(chain_id)]
    command += ["--prune-history", "1500", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(rb"Listening on (\S+)", line):
                # Anvil tells every call; nobody reading would stop it once the pipe is full.
                threading.Thread(target=process.stdout.read, daemon=True).start()
                yield f"http://{found[1].decode()}"
                break
        else:
            raise RuntimeError("anvil did not start")
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Node]:
    async with aiohttp.ClientSession() as session:
        node = Node(url, session)
        node.accounts = [a.lower() for a in await node.rpc("eth_accounts")]
        yield node


@contextmanager
def chain(chain_id: int = 31337) -> Iterator[tuple[str, Deployed]]:
    """An Anvil with everything deployed, for as many tests as like."""

    async def prepare(url: str) -> Deployed:
        async with connect(url) as node:
            return await deploy(node)

    with anvil(chain_id) as url:
        yield url, asyncio.run(prepare(url))


@dataclass
class Deployed:
    """Addresses of what a network carries; the treasury's key is the test's own."""

    factory: str
    treasury: str
    tokens: dict[str, Token]
    payer: str
    init_code_hash: str
    router: str
    multisend: str
    sanctions_oracle: str


async def deploy(node: Node) -> Deployed:
    """Factory at its deterministic address with a treasury, tokens of every shape, Multicall3."""
    await node.rpc("anvil_setCode", MULTICALL, artifact("Multicall3")["deployedBytecode"])
    owner = Account.from_key("0x" + "11" * 32)
    treasury = Account.from_key("0x" + "22" * 32)
    factory = await deploy_anywhere(node, "DepositFactory", ("address", owner.address))
    digest = await node.rpc(
        "eth_call",
        {"to": factory, "data": calldata("treasuryDigest(address)", treasury.address)},
        "latest",
    )
    proof = Account.unsafe_sign_hash(digest, treasury.key).signature
    await node.rpc("anvil_setBalance", owner.address, hex(10**18))
    await node.rpc("anvil_impersonateAccount", owner.address)
    for data in (
        calldata("proposeTreasury(address)", treasury.address),
        calldata("setTreasury(address,bytes)", treasury.address, bytes(proof)),
    ):
        call = {"from": owner.address, "to": factory, "data": data}
        await node.receipt(await node.rpc("eth_sendTransaction", call))
    router = await deploy_anywhere(node, "PaymentRouter", ("address", factory))
    quote_key = calldata("setQuoteKey(address,uint256)", QUOTE_ACCOUNT.address, 0)
    call = {"from": owner.address, "to": router, "data": quote_key}
    await node.receipt(await node.rpc("eth_sendTransaction", call))
    set_to = await node.rpc("eth_call", {"to": factory, "data": calldata("treasury()")}, "latest")
    assert set_to[-40:] == treasury.address[2:].lower()
    tokens = {"ETH": Token(asset=crypto("ETH", 18), address=NATIVE, asset_id="slip44:60")}
    for symbol, contract, decimals in (
        ("USDC", "PermitToken", 6),
        ("USDT", "SilentToken", 6),
        ("DAI", "SandboxToken", 18),
        ("T24", "SandboxToken", 24),
        ("FEE", "FeeToken", 18),
        ("BLK", "BlocklistToken", 18),
    ):
        address = await node.deploy(
            contract, ("string", symbol), ("string", symbol), ("uint8", decimals)
        )
        tokens[symbol] = Token(
            asset=crypto(symbol, decimals),
            address=address,
            fee_on_transfer=symbol == "FEE",
            asset_id=f"erc20:{address}",
        )
    payer = await node.deploy("Payer")
    asked = {"to": factory, "data": calldata("INIT_CODE_HASH()")}
    code_hash = await node.rpc("eth_call", asked, "latest")
    return Deployed(
        factory,
        treasury.address.lower(),
        tokens,
        payer,
        code_hash,
        router,
        await deploy_anywhere(node, "Multisend"),
        await deploy_anywhere(node, "SanctionsOracle"),
    )


async def deploy_anywhere(node: Node, name: str, *arguments: tuple[str, Any]) -> str:
    """Through the deterministic deployer: the same address on every network."""
    packed = encode([a[0] for a in arguments], [a[1] for a in arguments]).hex()
    init = artifact(name)["bytecode"].removeprefix("0x") + packed
    await node.send(DEPLOYER, data="0x" + "00" * 32 + init)
    made = b"\xff" + bytes.fromhex(DEPLOYER[2:]) + bytes(32) + keccak(bytes.fromhex(init))
    return "0x" + keccak(made)[12:].hex()


def _feed(base: str) -> Feed:
    """Only its pair counts here: prices are seeded, not read."""
    return Feed(
        base=base, quote="USD", address="0x" + "fe" * 20, decimals=8, heartbeat_seconds=3600,
        grace_seconds=300, minimum=1, maximum=10**18, largest_jump_percent=50,
        description=f"{base} / USD",
    )  # fmt: skip


def network_of(node: Node, deployed: Deployed, chain_id: int = 31337, **changes: Any) -> Network:
    settings: dict[str, Any] = {
        "id": f"eip155:{chain_id}",
        "chain_id": chain_id,
        "name": f"Anvil {chain_id}",
        "rpc_urls": (node.url,),
        "block_seconds": 0,
        "poll_ms": 200,
        # Anvil's debug_traceBlockByHash costs the square of a block's transactions.
        "traces": Traces.TRACE,
        "tokens": tuple(deployed.tokens.values()),
        "feeds": tuple(_feed(base) for base in PRICES),
        "factory": deployed.factory,
        "router": deployed.router,
        "multisend": deployed.multisend,
        "deposit_init_code_hash": deployed.init_code_hash,
        "tiers": (Tier(up_to=None, required=3),),
    }
    return Network(**{**settings, **changes})


@dataclass
class World:
    """One merchant on some networks, over one fresh database."""

    context: Context
    nodes: dict[str, Node]
    deployed: dict[str, Deployed]
    followings: dict[str, Following]
    endpoints: dict[str, Endpoints]
    merchant_id: UUID
    timeout: float = 10

    @property
    def node(self) -> Node:
        return next(iter(self.nodes.values()))

    @property
    def contracts(self) -> Deployed:
        return next(iter(self.deployed.values()))

    def at(self, network: int) -> tuple[Node, Deployed]:
        """The network of this index."""
        name = list(self.nodes)[network]
        return self.nodes[name], self.deployed[name]

    async def follow(self) -> None:
        """Every network up to its head, expiry included; twice, for expiry looks at all of them."""
        for _ in range(2 if len(self.followings) > 1 else 1):
            for following in self.followings.values():
                await following.catch_up()

    async def restart(self) -> None:
        """The worker is killed and comes back: nothing but the database remembers."""
        for name in self.followings:
            await self.endpoints[name].close()
            network = self.context.catalog.networks[name]
            self.endpoints[name] = Endpoints(network, timeout=self.timeout)
            self.followings[name] = Following(self.context, network, self.endpoints[name])
            await self.followings[name].start()

    async def invoice(self, amount: str = "25.00", currency: str = "USD", **more: Any) -> Any:
        request = NewInvoice(amount=amount, currency=currency, **more)
        answer = await creation.create(self.context, self.merchant_id, request, None)
        return json.loads(answer.body)

    async def show(self, invoice: dict[str, Any]) -> Any:
        number = ids.read("inv", invoice["id"])
        async with self.context.database.read() as session:
            return await invoices.show(session, self.context, number, self.merchant_id)

    def option(self, invoice: dict[str, Any], asset: str, network: int = 0) -> Any:
        wanted = list(self.nodes)[network]
        return next(
            o for o in invoice["payment_options"] if o["asset"] == asset and o["network"] == wanted
        )

    async def pay(
        self,
        invoice: dict[str, Any],
        asset: str = "ETH",
        *,
        amount: int | None = None,
        network: int = 0,
        sender: int = 1,
    ) -> str:
        """A plain transfer of the amount due (or `amount` base units); the transaction's hash."""
        token = self.at(network)[1].tokens[asset]
        if amount is None:
            amount = token.asset.parse(self.option(invoice, asset, network)["amount_due"])
        to = invoice["payment_options"][0]["address"]
        return await self.transfer(asset, to, amount, network=network, sender=sender)

    async def transfer(
        self, asset: str, to: str, amount: int, *, network: int = 0, sender: int = 1
    ) -> str:
        node, deployed = self.at(network)
        token = deployed.tokens[asset]
        if token.is_native:
            return await node.send(to, amount, sender=sender)
        mint = calldata("mint(address,uint256)", node.accounts[sender], amount)
        await node.send(token.address, data=mint, sender=sender, gas=200_000)
        data = calldata("transfer(address,uint256)", to, amount)
        return await node.send(token.address, data=data, sender=sender, gas=200_000)

    async def sweep(
        self, asset: str, *invoices: dict[str, Any], sender: int = 5, network: int = 0
    ) -> str:
        """Anybody empties the addresses of these invoices into the treasury."""
        mine = {str(row.address): row.id for row in await self.rows("deposit_addresses")}
        salts = [salt_of(mine[i["payment_options"][0]["address"].lower()]) for i in invoices]
        token = self.at(network)[1].tokens[asset]
        return await self.sweep_salts(token.address, salts, sender=sender, network=network)

    async def sweep_salts(
        self, token: str, salts: Sequence[bytes], *, sender: int = 5, network: int = 0
    ) -> str:
        where = "0x" + "00" * 20 if token == NATIVE else token
        name = "sweep((address,uint256,bytes32[])[],uint256)"
        packed = encode(
            ["(address,uint256,bytes32[])[]", "uint256"], [[(where, 0, salts)], 300_000]
        )
        data = "0x" + (selector(name) + packed).hex()
        node, deployed = self.at(network)
        return await node.send(deployed.factory, data=data, sender=sender, gas=3_000_000)

    async def mine(self, blocks: int = 1) -> None:
        for node in self.nodes.values():
            await node.mine(blocks)

    async def advance(self, seconds: int) -> None:
        """The test clock and every Anvil's, with a block each: as POST /v1/sandbox/clock does."""
        clock = self.context.clock
        clock.set_offset(clock.offset + timedelta(seconds=seconds))
        for node in self.nodes.values():
            await node.rpc("evm_increaseTime", seconds)
            await node.mine()

    async def events(self, subject: str | None = None) -> list[str]:
        """Types of what was told, in order."""
        return [row.type for row in await self.rows("events", subject=subject)]

    async def rows(self, table: str, **where: Any) -> Sequence[Any]:
        wanted = {k: v for k, v in where.items() if v is not None}
        condition = " and ".join(f"{k} = :{k}" for k in wanted) or "true"
        order = {"events": "id", "deposits": "id", "blocks": "number"}.get(table, "1")
        query = f"select * from {table} where {condition} order by {order}"  # noqa: S608
        async with self.context.database.read() as session:
            return (await session.execute(text(query), wanted)).all()

    async def balances(self) -> dict[tuple[str, str], int]:
        """Account (without the merchant's id) and asset -> debit-positive base units, no zeros."""
        mine = ids.show("mer", self.merchant_id)
        return {
            (row.account.replace(f"merchant:{mine}:", ""), row.asset): int(row.balance)
            for row in await self.rows("account_balances")
            if row.balance
        }

    async def assert_books_match_the_chain(self) -> None:
        """Places equal what stands on our addresses, to the wei; every sum of postings is zero."""
        addresses = [row.address for row in await self.rows("deposit_addresses")]
        balances = await self.balances()
        for name, node in self.nodes.items():
            for symbol, token in self.deployed[name].tokens.items():
                held = sum([await node.balance(a, token.address) for a in addresses])
                assert balances.get((f"network:{name}:deposits", symbol), 0) == held, symbol
        for row in await self.rows("address_holdings"):
            token = self.deployed[row.network].tokens[row.asset]
            held = await self.nodes[row.network].balance(row.address, token.address)
            assert row.amount == held, row
        async with self.context.database.read() as session:
            sums = await session.execute(
                text(
                    "select asset, sum(amount) from postings group by asset having sum(amount) <> 0"
                )
            )
            assert sums.all() == []
            wrong = await session.execute(
                text(
                    "select 1 from"
                    " (select account, asset, sum(amount) s from postings group by 1, 2) p"
                    " full join account_balances b using (account, asset)"
                    " where p.s is distinct from b.balance"
                )
            )
            assert wrong.all() == []


async def seed_prices(database: Database, clock: Clock) -> None:
    """Prices as the oracle loop would have stored them, valid for a year."""
    now = clock.now()
    async with database.statement() as connection:
        for symbol, price in PRICES.items():
            whole = int(price * 10**18)
            await connection.execute(
                "insert into prices (base, quote, price, updated_at, valid_until, sources,"
                " observed_at) values (%s, 'USD', %s, %s, %s, %s, %s) on conflict (base, quote)"
                " do update set price = excluded.price, updated_at = excluded.updated_at,"
                " valid_until = excluded.valid_until",
                (
                    symbol, whole, now, now + timedelta(days=365),
                    json.dumps([{
                        "source": "chainlink", "feed": "0x" + "fe" * 20, "round_id": "1",
                        "updated_at": now.isoformat(), "price": str(whole),
                        "observed_at": now.isoformat(), "network": "eip155:31337",
                    }]), now,
                ),
            )  # fmt: skip


async def add_merchant(context: Context) -> UUID:
    number = ids.new()
    secret = context.secrets.seal(b"whsec_" + b"A" * 32, f"merchants.webhook_secret:{number}")
    async with context.database.statement() as connection:
        await connection.execute(
            "insert into merchants (id, name, settle_in, spread_percent, payout_fee,"
            " webhook_secret, created_at) values (%s, 'Shop', 'crypto', '0', 'merchant', %s, %s)",
            (number, secret, wall()),
        )
    return number


@asynccontextmanager
async def world(
    database: Database, networks: dict[Network, tuple[Node, Deployed]], *, timeout: float = 10
) -> AsyncIterator[World]:
    """Joins a database and running nodes; every network is followed from its head of now.

    timeout: seconds that an endpoint has for an answer.
    """
    clock = Clock()
    context = Context(
        database=database,
        clock=clock,
        listener=Listener(database),
        catalog=Catalog({network.id: network for network in networks}),
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
        sandbox=True,
    )
    for node, _ in networks.values():
        stamp = (await node.rpc("eth_getBlockByNumber", "latest", False))["timestamp"]
        ahead = int(stamp, 16) - int(clock.now().timestamp())
        if ahead > clock.offset.total_seconds():  # an Anvil that a test before has moved on
            clock.set_offset(timedelta(seconds=ahead))
    await seed_prices(database, clock)
    endpoints = {network.id: Endpoints(network, timeout=timeout) for network in networks}
    followings = {n.id: Following(context, n, endpoints[n.id]) for n in networks}
    for following in followings.values():
        await following.start()
    yield World(
        context=context,
        nodes={n.id: pair[0] for n, pair in networks.items()},
        deployed={n.id: pair[1] for n, pair in networks.items()},
        followings=followings,
        endpoints=endpoints,
        merchant_id=await add_merchant(context),
        timeout=timeout,
    )
    for opened in endpoints.values():
        await opened.close()
