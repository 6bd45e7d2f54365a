"""What only balances and receipts tell: transfer fees, rewards, networks without traces, sweeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.types import Batch
from core.errors import ChainError
from core.money import crypto
from core.networks import NATIVE, Network, Token, Traces
from tests.contracts.chain import Chain, Contract, artifact
from tests.contracts.gas import CALL_GAS, ETHER, ready_factory
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import Books
from tests.integration.chain.conftest import Follow, World

ONE, TWO = "0x" + "f1" * 20, "0x" + "f2" * 20

# A token whose event hides its fee of 1 %, as some do. balanceOf is as usual; any other call is
# (selector, to, amount).
LIAR = "".join(
    (
        "5f3560e01c6370a08231146057" + "57",  # selector == balanceOf: jump to the last line
        "6064606360243502046004355401600435" + "55",  # balance[to] += 99 * amount / 100
        "6024353354033355",  # balance[caller] -= amount
        "6024355f52600435337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
        "60205fa300",  # Transfer(caller, to, amount), stop
        "5b600435545f5260205ff3",  # return balance[owner]
    )
)


def deploy_liar(chain: Chain) -> str:
    size = len(LIAR) // 2
    code = f"60{size:02x}80600a5f395ff3" + "00" + LIAR
    made: str = chain.send(None, bytes.fromhex(code))["contractAddress"]
    return made


def transfer(to: str, amount: int) -> bytes:
    return bytes.fromhex("a9059cbb" + to[2:].rjust(64, "0") + f"{amount:064x}")


def with_token(network: Network, address: str) -> Network:
    liar = Token(asset=crypto("LIE", 0), address=address, fee_on_transfer=True)
    return replace(network, tokens=(*network.tokens, liar))


def in_one_block(world: World, *calls: tuple[int, str, bytes]) -> None:
    chain = world.chain
    chain.rpc("evm_setAutomine", False)
    for sender, to, data in calls:
        chain.rpc(
            "eth_sendTransaction",
            {"from": chain.accounts[sender], "to": to, "data": "0x" + data.hex(), "gas": "0x30000"},
        )
    world.mine()
    chain.rpc("evm_setAutomine", True)


def amounts(batch: Batch, token: str, recipient: str) -> list[int]:
    return [m.amount for m in batch.movements if (m.token, m.recipient) == (token, recipient)]


async def test_a_fee_hidden_from_the_event_is_measured(
    world: World, follow: Follow, books: Books
) -> None:
    token = deploy_liar(world.chain)
    follower = follow(network=with_token(world.network, token))
    await books.follow(follower)
    calls = [(0, token, transfer(to, n)) for to, n in ((ONE, 1000), (TWO, 500), (ONE, 57))]
    in_one_block(world, *calls)
    batch = await books.step(follower)
    assert batch is not None
    assert amounts(batch, token, ONE) == [1000, 57]
    measured = await follower.measure(batch, {ONE})
    # 990 + 56 arrived: 1046 * 1000 // 1057 and the rest
    assert amounts(measured, token, ONE) == [989, 57]
    assert amounts(measured, token, TWO) == [500]  # not ours: not asked about
    assert await follower.measure(batch, set()) == batch


async def test_what_left_in_the_same_block_is_added_again(
    world: World, follow: Follow, books: Books
) -> None:
    token = deploy_liar(world.chain)
    holder = world.chain.accounts[3].lower()
    follower = follow(network=with_token(world.network, token))
    world.chain.send(token, transfer(holder, 10_000))
    await books.follow(follower)
    in_one_block(
        world, (0, token, transfer(holder, 1000)), (3, token, transfer(TWO, 400)),
        (0, token, transfer(ONE, 1)),
    )  # fmt: skip
    batch = await books.step(follower)
    assert batch is not None
    measured = await follower.measure(batch, {holder, ONE})
    assert amounts(measured, token, holder) == [990]
    assert amounts(measured, token, ONE) == []  # 99 % of 1 is nothing: no movement


async def test_a_token_whose_event_is_honest_keeps_its_amounts(
    world: World, follow: Follow, books: Books
) -> None:
    follower = follow()
    world.fee_token.send("transfer", ONE, 12_345)
    batch = await books.step(follower)
    assert batch is not None
    assert await follower.measure(batch, {ONE}) == batch


async def test_what_cannot_be_measured_is_unknown(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    follower = follow(proxy.url)
    world.fee_token.send("transfer", ONE, 5_000)
    batch = await books.step(follower)
    assert batch is not None
    proxy.refuse(-32000, "missing trie node", method="eth_call", times=None)
    with pytest.raises(ChainError):
        await follower.measure(batch, {ONE})


async def test_rewards_of_our_own_miner_are_exact(
    world: World, follow: Follow, books: Books
) -> None:
    chain, miner = world.chain, "0x" + "f3" * 20
    chain.rpc("anvil_setCoinbase", miner)
    world.payer.send("pay", TWO, value=5)
    world.token.send("transfer", ONE, 5)
    world.mine()
    chain.rpc("anvil_setCoinbase", "0x" + "00" * 20)
    follower = follow()
    before = int(chain.rpc("eth_getBalance", miner, hex(books.cursor.number)), 16)
    batch = await books.step(follower)
    assert batch is not None
    measured = await follower.measure(batch, {miner})
    rewards = [m for m in measured.movements if m.position == "reward"]
    assert len(rewards) == 2  # the block without transactions brings nothing
    assert {(m.tx_hash, m.token, m.recipient) for m in rewards} == {("", NATIVE, miner)}
    after = int(chain.rpc("eth_getBalance", miner, "latest"), 16)
    assert sum(m.amount for m in rewards) == after - before > 0


@pytest.mark.parametrize("multicall", [True, False])
async def test_balances_are_compared_where_there_are_no_traces(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, multicall: bool
) -> None:
    chain = world.chain
    network = replace(world.network, traces=Traces.NONE)
    code = artifact("Multicall3")["deployedBytecode"] if multicall else "0x"
    chain.rpc("anvil_setCode", network.multicall, code)
    follower = follow(proxy.url, network=network)
    inner = ["0x" + f"{0xC0FFEE00 + n + 100 * multicall:040x}" for n in range(3)]
    chain.send(inner[0], value=5)
    world.payer.send("pay", inner[0], value=7)
    world.payer.send("pay", inner[1], value=11)
    await books.follow(follower)
    known = {a: sum(amount for _, amount in books.to(a)) for a in inner}
    assert known == {inner[0]: 5, inner[1]: 0, inner[2]: 0}
    known |= {"0x" + f"{0xBEEF0000 + n:040x}": 0 for n in range(600)}
    block = books.blocks[books.cursor.number]
    proxy.clear()
    found = await follower.compare_balances(block, known)
    assert {(m.recipient, m.amount) for m in found} == {(inner[0], 7), (inner[1], 11)}
    assert {(m.position, m.block_hash, m.token) for m in found} == {("balance", block.hash, NATIVE)}
    assert (proxy.count("eth_getBalance") == 0) is multicall
    # the balance at that very block, not now
    chain.send(inner[2], value=3)
    assert await follower.compare_balances(block, {inner[2]: 0}) == []
    assert await follower.compare_balances(block, {inner[0]: 13}) == []


async def test_a_comparison_that_fails_stops_nothing(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    network = replace(world.network, traces=Traces.NONE)
    follower = follow(proxy.url, network=network)
    world.mine()
    await books.follow(follower)
    block = books.blocks[books.cursor.number]
    for message in ("missing trie node", "something else"):
        proxy.refuse(-32000, message, method="eth_call", times=None)
        assert await follower.compare_balances(block, {ONE: 0}) == []
        proxy.clear()
    gone = replace(block, hash="0x" + "77" * 32)
    assert await follower.compare_balances(gone, {ONE: 0}) == []


@pytest.fixture(scope="module")
def factory(world: World) -> Contract:
    return ready_factory(world.chain)


def sweeping(world: World, factory: Contract) -> Network:
    return replace(
        world.network,
        factory=factory.address.lower(),
        deposit_init_code_hash="0x" + factory.call("INIT_CODE_HASH").hex(),
    )


@pytest.mark.parametrize("blocks", [0, 100], ids=["tail", "catch-up"])
async def test_sweeps(
    world: World, follow: Follow, books: Books, factory: Contract, blocks: int
) -> None:
    """ETH, a token, one with a fee: which address, which treasury, what left and what arrived."""
    chain, treasury = world.chain, world.chain.accounts[2].lower()
    salt = (blocks + 1).to_bytes(32, "big")
    address = factory.call("depositAddress", salt).lower()
    chain.send(address, value=10)
    world.token.send("transfer", address, 20)
    world.fee_token.send("transfer", address, 1000)
    held = world.fee_token.call("balanceOf", address)
    lots = [(t, 1, [salt]) for t in (ETHER, world.token.address, world.fee_token.address)]
    factory.send("sweep", lots, CALL_GAS)
    if blocks:
        world.mine(blocks)
    await books.follow(follow(network=sweeping(world, factory)))
    assert {(s.salt, s.deposit_address, s.treasury) for s in books.sweeps} == {
        ("0x" + salt.hex(), address, treasury)
    }
    assert [(s.token, s.amount, s.arrived) for s in books.sweeps] == [
        (NATIVE, 10, 10),
        (world.token.address.lower(), 20, 20),
        (world.fee_token.address.lower(), held, held - (held + 99) // 100),
    ]
    assert 10 in [amount for _, amount in books.to(treasury)]


async def test_the_treasury_of_a_sweep_is_the_one_in_force_then(
    world: World, follow: Follow, books: Books, factory: Contract, proxy: FaultProxy
) -> None:
    """Also when it changed since and the node has dropped the state of that block."""
    chain = world.chain
    _, owner, old, new = chain.accounts[:4]
    salt = (99).to_bytes(32, "big")
    chain.send(factory.call("depositAddress", salt), value=10)
    factory.send("sweep", [(ETHER, 1, [salt])], CALL_GAS)
    factory.send("proposeTreasury", new, sender=owner)
    chain.rpc("evm_increaseTime", 49 * 3600)
    factory.send("setTreasury", new, b"", sender=new)
    network = sweeping(world, factory)
    dropped = proxy.refuse(
        -32000, "missing trie node", method="eth_call", times=None, when=lambda p: p[1] != "latest"
    )
    for url in (chain.url, proxy.url):
        again = Books(books.start)
        await again.follow(follow(url, network=network))
        assert [s.treasury for s in again.sweeps] == [old.lower()]
    assert dropped.met
