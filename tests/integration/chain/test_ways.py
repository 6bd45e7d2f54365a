"""Every way that money reaches an address, on a real node, read in each of the three ways."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.networks import Traces
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import Books
from tests.integration.chain.conftest import Follow, World

ONE = "0x" + "a1" * 20
TWO = "0x" + "a2" * 20


def fresh(n: int) -> str:
    return "0x" + f"{n:040x}"


@pytest.fixture(params=[Traces.DEBUG, Traces.TRACE])
def traced(request: pytest.FixtureRequest, world: World) -> World:
    return replace(world, network=replace(world.network, traces=request.param))


async def test_all_ways_at_once(traced: World, follow: Follow, books: Books) -> None:
    """Plain, inner, two inner in one, an inner call undone, a creation, tokens, two transfers in
    one transaction, a failed transaction, zero: the books equal the naive reading."""
    world, chain = traced, traced.chain
    chain.send(ONE, value=5)
    chain.send(ONE, value=0)
    world.payer.send("pay", ONE, value=7)
    world.payer.send("payMany", [ONE, TWO], [1, 2], value=3)
    world.payer.send("tryPayAndRevert", ONE, value=11)
    world.token.send("transfer", ONE, 100)
    world.token.send("transfer", ONE, 0)
    world.token.send("approve", world.payer.address, 1000)
    world.payer.send("payTwice", world.token.address, ONE, 20, 30)
    world.fee_token.send("transfer", ONE, 1000)
    chain.send(None, b"\x00", value=13)  # a contract made with money in it
    await books.follow(follow(network=world.network))
    books.assert_equals_chain(chain, world.network)
    ether = [(p, a) for p, a in books.to(ONE) if not p.startswith("log:")]
    assert ether == [("tx", 5), ("trace:0", 7), ("trace:0", 1)]
    assert [a for p, a in books.to(ONE) if p.startswith("log:")] == [100, 20, 30, 990]
    assert books.to(TWO) == [("trace:1", 2)]


async def test_a_failed_transaction_moves_nothing(
    traced: World, follow: Follow, books: Books
) -> None:
    chain = traced.chain
    chain.rpc(
        "eth_sendTransactionSync",
        {
            "from": chain.accounts[0],
            "to": traced.token.address,  # takes no ETH
            "value": "0x5",
            "gas": "0x30000",
        },
    )
    await books.follow(follow(network=traced.network))
    books.assert_equals_chain(chain, traced.network)
    assert books.to(traced.token.address) == []


async def test_self_destruction_and_creation_by_a_contract(
    traced: World, follow: Follow, books: Books
) -> None:
    """A constructor that destroys itself in favour of ONE, and a contract whose constructor makes
    another with money in it (CREATE of empty code)."""
    chain = traced.chain
    before = len(books.to(ONE))
    destroy = bytes.fromhex("73" + ONE[2:] + "ff")  # PUSH20 ONE SELFDESTRUCT
    chain.send(None, destroy, value=17)
    create = bytes.fromhex("5f5f6003f000")  # CREATE(3 wei, no code) STOP
    chain.send(None, create, value=19)
    await books.follow(follow(network=traced.network))
    books.assert_equals_chain(chain, traced.network)
    assert [a for _, a in books.to(ONE)][before:] == [17]
    assert 3 in [m.amount for m in books.all() if m.position == "trace:0"]


async def test_calls_nested_as_deep_as_gas_allows(
    traced: World, follow: Follow, books: Books
) -> None:
    """A contract that calls itself until its gas is gone, and pays ONE at each level: no cursor
    stops, and what was paid is found."""
    chain = traced.chain
    # CALL(gas, address(this), 0), CALL(2300, TWO, 1 wei), STOP
    runtime = "5f5f5f5f5f305af1" + "50" + "5f5f5f5f600173" + TWO[2:] + "5af100"
    size = len(runtime) // 2
    init = f"60{size:02x}80600a5f395ff3"
    init = f"60{size:02x}8060{len(init) // 2:02x}5f395ff3"
    made = chain.send(None, bytes.fromhex(init + runtime), value=0)["contractAddress"]
    chain.send(made, value=10_000, gas=16_000_000)
    balance = int(chain.rpc("eth_getBalance", TWO, hex(books.cursor.number)), 16)
    await books.follow(follow(network=traced.network))
    now = int(chain.rpc("eth_getBalance", TWO, "latest"), 16)
    paid = books.to(TWO)
    assert max(p.count(".") for p, _ in paid) > 100
    assert sum(a for _, a in paid) == now - balance


async def test_without_traces_the_transaction_itself_still_counts(
    world: World, follow: Follow, books: Books
) -> None:
    network = replace(world.network, traces=Traces.NONE)
    target = fresh(0xE1)
    world.chain.send(target, value=5)
    world.payer.send("pay", target, value=7)
    world.token.send("transfer", target, 9)
    world.chain.rpc(
        "eth_sendTransactionSync",
        {"from": world.chain.accounts[0], "to": world.token.address, "value": "0x5",
         "gas": "0x30000"},
    )  # fmt: skip
    made = world.chain.send(None, b"\x00", value=13)["contractAddress"]
    await books.follow(follow(network=network))
    assert sorted(a for _, a in books.to(target)) == [5, 9]
    assert books.to(made) == [("tx", 13)]
    assert books.to(world.token.address) == []


async def test_blocks_without_transactions_cost_no_further_call(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    world.mine(3)
    await books.follow(follow(proxy.url))
    assert books.cursor.number == world.head()
    for method in ("eth_getLogs", "debug_traceBlockByHash", "eth_getBlockReceipts"):
        assert proxy.count(method) == 0
