"""Nodes that refuse, hang, lie or leave out: nothing is skipped, nothing is made up, and the
metrics say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from core.errors import ChainError, EndpointFailed, Inconsistent
from tests.faultproxy import FaultProxy
from tests.integration.chain.books import Books
from tests.integration.chain.conftest import Follow, World

ONE = "0x" + "c1" * 20
LOGS, TRACE, BLOCK = "eth_getLogs", "debug_traceBlockByHash", "eth_getBlockByNumber"

Spoil = Callable[[FaultProxy], object]


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def traffic(world: World, blocks: int = 0) -> None:
    world.chain.send(ONE, value=5)
    world.payer.send("pay", ONE, value=7)
    world.token.send("transfer", ONE, 100)
    world.token.send("transfer", ONE, 200)
    if blocks:
        world.mine(blocks)
        world.token.send("transfer", ONE, 300)


FAULTS: dict[str, Spoil] = {
    "limit exceeded": lambda p: p.refuse(-32005, "limit exceeded", method=LOGS, times=3),
    "range too wide": lambda p: p.refuse(-32602, "query exceeds", method=LOGS, times=3),
    "limit for good": lambda p: p.refuse(-32005, "limit exceeded", method=LOGS, times=None),
    "no logs": lambda p: p.empty(method=LOGS, times=3),
    "no logs for good": lambda p: p.empty(method=LOGS, times=None),
    "no logs, no block receipts": lambda p: (
        p.empty(method=LOGS, times=None),
        p.refuse(-32601, "Method not found", method="eth_getBlockReceipts", times=None),
    ),
    "null logs": lambda p: p.null(method=LOGS),
    "some logs left out": lambda p: p.edit(lambda logs: logs[1:], method=LOGS, times=None),
    "null trace": lambda p: p.null(method=TRACE),
    "empty trace": lambda p: p.empty(method=TRACE),
    "trace refused": lambda p: p.refuse(-32005, "response too large", method=TRACE),
    "a block without its transactions": lambda p: p.edit(
        lambda block: block and {**block, "transactions": []}, method=BLOCK, times=2
    ),
    "null block": lambda p: p.null(method=BLOCK, when=lambda c: c[0].startswith("0x")),
    "null head": lambda p: p.null(method=BLOCK, when=lambda c: c[0] == "latest"),
    "http 500": lambda p: p.http(500, times=2),
    "http 429": lambda p: p.http(429, method=TRACE),
    "html with 200": lambda p: p.http(200, method=LOGS),
    "batch refused": lambda p: p.refuse(-32600, "batch too large", method=BLOCK, times=3),
    "hang": lambda p: p.hang(method=TRACE),
    "hanging logs": lambda p: p.hang(method=LOGS),
    "internal error": lambda p: p.refuse(-32603, "Internal error", times=2),
}


@pytest.mark.parametrize("blocks", [0, 150], ids=["tail", "catch-up"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_skips_or_makes_up_anything(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, fault: str, blocks: int
) -> None:
    """One endpoint. The cursor may wait a few rounds; it never passes over anything."""
    follower = follow(proxy.url, patience=1 if "hang" in fault else 10)
    traffic(world, blocks)
    FAULTS[fault](proxy)
    for _ in range(8):
        try:
            if await books.step(follower) is None:
                break
        except ChainError:
            continue
    else:
        pytest.fail("the cursor did not reach the head")
    books.assert_equals_chain(world.chain, world.network)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p.empty(method=TRACE, times=None),
        lambda p: p.null(method=TRACE, times=None),
        lambda p: p.refuse(-32601, "Method not found", method=TRACE, times=None),
        lambda p: p.refuse(-32602, "range", method=TRACE, times=None),
        lambda p: (
            p.empty(method=LOGS, times=None),
            p.empty(method="eth_getBlockReceipts", times=None),
        ),
        lambda p: (
            p.empty(method=LOGS, times=None),
            p.edit(
                lambda receipts: [{**r, "logs": []} for r in receipts],
                method="eth_getBlockReceipts",
                times=None,
            ),
        ),
        lambda p: p.http(503, times=None),
        lambda p: p.hang(times=None),
    ],
    ids=["empty trace", "null trace", "no method", "refused", "no receipts", "no logs in receipts",
         "http", "hang"],
)  # fmt: skip
async def test_what_stays_unknown_stops_the_cursor(
    world: World, follow: Follow, books: Books, proxy: FaultProxy, spoil: Spoil
) -> None:
    follower = follow(proxy.url, patience=1)
    traffic(world)
    spoil(proxy)
    at = books.cursor
    for _ in range(2):
        with pytest.raises(ChainError):
            await books.step(follower)
    assert books.cursor == at
    proxy.clear()
    await books.follow(follow(proxy.url))
    books.assert_equals_chain(world.chain, world.network)


@pytest.mark.parametrize("blocks", [0, 150], ids=["tail", "catch-up"])
@pytest.mark.parametrize(
    "change",
    [
        {"blockHash": "0x" + "12" * 32},
        {"removed": True},
        {"transactionHash": "0x" + "12" * 32},
        {"blockNumber": "0x1"},
        {"logIndex": None},
    ],
    ids=lambda c: next(iter(c)),
)
async def test_a_log_that_is_not_of_its_block_is_refused(
    world: World,
    follow: Follow,
    books: Books,
    proxy: FaultProxy,
    change: dict[str, object],
    blocks: int,
) -> None:
    if "blockNumber" in change and not blocks:
        pytest.skip("by hash, the number is not looked at")
    follower = follow(proxy.url)
    traffic(world, blocks)
    proxy.edit(lambda logs: [{**one, **change} for one in logs], method=LOGS, times=None)
    at = books.cursor
    with pytest.raises(Inconsistent):
        await books.step(follower)
    assert books.cursor == at


async def test_left_out_logs_are_counted_and_cost_the_endpoint_its_score(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    name = "bezant_bloom_mismatches_total"
    labels = {"network": world.network.id, "endpoint": proxy.name, "outcome": "missing"}
    follower = follow(proxy.url)
    traffic(world)
    proxy.empty(method=LOGS, times=None)
    await books.follow(follower)
    assert metric(name, **labels) == 2
    assert follower.endpoints.all[0].score < 100


async def test_a_false_positive_of_the_bloom_stops_nothing(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    """A block whose other logs happen to set the token's bits, here all the bits there are: the
    receipts settle that nothing was left out."""
    labels = {"network": world.network.id, "endpoint": proxy.name, "outcome": "proved"}
    follower = follow(proxy.url)
    crowd = bloom_of_everything()
    made = world.chain.send(None, crowd)
    header = world.chain.rpc("eth_getBlockByHash", made["blockHash"], False)
    assert int(header["logsBloom"], 16).bit_count() > 2000
    await books.follow(follower)
    books.assert_equals_chain(world.chain, world.network)
    assert metric("bezant_bloom_mismatches_total", **labels) == 1


def bloom_of_everything() -> bytes:
    """Creation code that emits 4,000 logs with topics of their own: LOG1(0, 0, i) for i down to 0.

    PUSH2 4000 JUMPDEST DUP1 PUSH0 PUSH0 LOG1 PUSH1 1 SWAP1 SUB DUP1 PUSH1 3 JUMPI STOP
    """
    return bytes.fromhex("610fa0" + "5b" + "805f5fa1" + "6001900380600357" + "00")


async def test_a_refused_range_is_halved_down_to_what_is_allowed(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    def wide(params: list[dict[str, str]]) -> bool:
        asked = params[0]
        return "fromBlock" in asked and int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) >= 7

    follower = follow(proxy.url)
    for _ in range(5):
        world.token.send("transfer", ONE, 1)
        world.mine(30)
    world.mine(64)
    proxy.refuse(-32005, "limit exceeded", method=LOGS, times=None, when=wide)
    await books.follow(follower)
    books.assert_equals_chain(world.chain, world.network)
    assert follower.endpoints.all[0].logs.size <= 7
    kind = {"network": world.network.id, "endpoint": proxy.name, "kind": "range_too_large"}
    assert metric("bezant_rpc_errors_total", **kind) > 0


async def test_a_chain_that_went_on_while_it_was_read_is_no_contradiction(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    """Where blocks are final within seconds, `safe` passes the head of a long batch."""
    follower = follow(proxy.url)
    traffic(world)

    def later(block: dict[str, str]) -> dict[str, str]:
        return {**block, "number": hex(world.head() + 5), "hash": "0x" + "ef" * 32}

    proxy.edit(later, method=BLOCK, times=None, when=lambda c: c[0] in ("safe", "finalized"))
    batch = await books.step(follower)
    assert batch is not None
    assert (batch.safe, batch.finalized) == (None, None)
    books.assert_equals_chain(world.chain, world.network)


async def test_another_chain_id_is_never_read(
    world: World, follow: Follow, books: Books, proxy: FaultProxy
) -> None:
    follower = follow(proxy.url)
    traffic(world)
    proxy.edit(lambda _: "0x1", method="eth_chainId", times=None)
    with pytest.raises(EndpointFailed, match="chain id 1, 31337 is configured"):
        await books.step(follower)


async def test_errors_and_logs_never_show_the_path_of_a_url(
    world: World,
    follow: Follow,
    books: Books,
    proxy: FaultProxy,
    capsys: pytest.CaptureFixture[str],
) -> None:
    traffic(world)
    spoils: list[Spoil] = [
        lambda p: p.http(401, times=None),
        lambda p: p.hang(times=None),
        lambda p: p.refuse(-32603, "x", times=None),
    ]
    for spoil in spoils:
        proxy.clear()
        spoil(proxy)
        with pytest.raises(ChainError) as caught:
            await books.step(follow(proxy.url, patience=1))
        assert "secret" not in str(caught.value)
        assert proxy.name in str(caught.value)
    dead = follow("http://127.0.0.1:9/v3/secret-key")
    with pytest.raises(EndpointFailed) as refused:
        await books.step(dead)
    assert "secret" not in str(refused.value)
    shown = capsys.readouterr()
    assert "endpoint_failed" in shown.out + shown.err
    assert "secret" not in shown.out + shown.err
