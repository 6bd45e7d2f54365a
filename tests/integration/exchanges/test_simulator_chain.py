"""Simulated venues on a real Anvil: deposits come after confirmations, withdrawals arrive once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from core.errors import EndpointFailed
from exchanges.numbers import ONE, parse, show
from exchanges.types import Venue
from sandbox.exchanges.addresses import deposit_address, purse_address, secret_of
from sandbox.exchanges.chain import ChainWatch
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.markets import rules
from sandbox.exchanges.purse import Purse
from sandbox.exchanges.types import Reason, Rejected, SimWithdrawal, TransferStatus
from sandbox.node import Node
from tests.contracts.chain import Chain, Contract
from tests.waiting import eventually

NETWORK = "eip155:31337"
MILLION = 10**24
PATIENCE = 20
SEEDS = count(1)
BOTH = pytest.mark.parametrize("venue", list(Venue))


@dataclass(frozen=True, slots=True)
class CutOff(Node):
    """A node whose answers to raw transactions are lost, `after` it took them or before."""

    after: bool = False

    async def call(self, method: str, *params: Any) -> Any:
        if method != "eth_sendRawTransaction":
            return await Node(self.url).call(method, *params)
        if self.after:
            await Node(self.url).call(method, *params)
        raise EndpointFailed("cut off")


@dataclass
class Market:
    """Both venues on one chain, with keys of their own; `open` again is a restart."""

    chain: Chain
    token: Contract
    directory: Path
    feeds: dict[str, str] = field(default_factory=dict)
    seed: str = field(default_factory=lambda: f"seed-{next(SEEDS)}")

    def open(self, stack: ExitStack) -> dict[Venue, Simulator]:
        tokens = {"USDC": (self.token.address, 6)}
        found = {}
        for venue in Venue:
            found[venue] = Simulator(
                venue,
                rules=rules(NETWORK, tokens),
                addresses={NETWORK: deposit_address(self.seed, venue)},
                file=self.directory / f"{venue}.db",
            )
            stack.callback(found[venue].close)
        return found

    def watch(self, simulators: dict[Venue, Simulator], node: Node | None = None) -> ChainWatch:
        """As after a start: it remembers nothing but what the simulators keep."""
        purses = [
            Purse(s, NETWORK, secret_of(self.seed, v, "purse")) for v, s in simulators.items()
        ]
        node = node or Node(self.chain.url)
        return ChainWatch(NETWORK, node, list(simulators.values()), purses, self.feeds)

    def fund(self) -> None:
        for venue in Venue:
            purse = purse_address(self.seed, venue)
            self.chain.rpc("anvil_setBalance", purse, hex(MILLION))
            self.token.send("mint", purse, 10**12)

    def mine(self, blocks: int) -> None:
        self.chain.rpc("anvil_mine", hex(blocks))


@pytest.fixture(scope="module")
def token(chain: Chain) -> Contract:
    return chain.create("SandboxToken", "USD Coin", "USDC", 6)


@pytest.fixture
def market(chain: Chain, token: Contract, tmp_path: Path) -> Market:
    made = Market(chain, token, tmp_path)
    made.fund()
    return made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def eth(simulator: Simulator) -> str:
    return show(simulator.balances()["ETH"].free)


def states(simulator: Simulator) -> list[tuple[str, str, int, str]]:
    return [(d.asset, show(d.amount), d.confirmations, d.status) for d in simulator.deposits()]


# -- deposits ------------------------------------------------------------------------------------


@BOTH
async def test_a_deposit_is_credited_after_three_confirmations(
    market: Market, stack: ExitStack, venue: Venue
) -> None:
    simulator = (simulators := market.open(stack))[venue]
    watch, address = market.watch(simulators), simulator.deposit_address("ETH", NETWORK)
    assert simulator.deposit_address("USDC", NETWORK) == address
    await watch.look()
    market.chain.send(address, value=ONE // 4)
    await watch.look()
    assert states(simulator) == [("ETH", "0.25", 1, "pending")]
    first_seen = simulator.deposits()[0].at
    market.token.send("transfer", address, 1_500_000, sender=minted(market, 1_500_000))
    await watch.look()
    market.mine(1)
    await watch.look()
    assert eth(simulator) == "100.25"
    assert simulator.deposits()[0].at == first_seen
    assert show(simulator.balances()["USDC"].free) == "500000"
    market.mine(1)
    await watch.look()
    assert show(simulator.balances()["USDC"].free) == "500001.5"
    assert [s[3] for s in states(simulator)] == ["credited", "credited"]
    for other in set(Venue) - {venue}:
        assert states(simulators[other]) == []
    market.mine(5)
    await watch.look()
    await market.watch(simulators).look()
    assert (eth(simulator), len(simulator.deposits())) == ("100.25", 2), "once"
    assert set(simulator.accounts.totals().values()) == {0}


def minted(market: Market, units: int) -> str:
    """A customer with so much of the token."""
    customer = market.chain.accounts[3]
    market.token.send("mint", customer, units)
    return customer


async def test_a_contract_may_pay_and_a_failed_call_does_not(
    market: Market, stack: ExitStack
) -> None:
    simulator = (simulators := market.open(stack))[Venue.BINANCE]
    watch, address = market.watch(simulators), simulator.deposit_address("ETH", NETWORK)
    await watch.look()
    payer = market.chain.create("Payer")
    payer.send("pay", address, value=3 * ONE)
    market.chain.rpc("evm_setAutomine", False)
    try:  # both in one block; of the second one the call that paid is undone
        for function, value in (("pay", 2 * ONE), ("tryPayAndRevert", 5 * ONE)):
            sent = {
                "from": market.chain.accounts[0],
                "to": payer.address,
                "data": "0x" + payer.data(function, address).hex(),
                "value": hex(value),
                "gas": hex(200_000),
            }
            market.chain.rpc("eth_sendTransaction", sent)
        market.mine(1)
    finally:
        market.chain.rpc("evm_setAutomine", True)
    market.mine(40)
    await watch.look()
    assert [s[1] for s in states(simulator)] == ["3", "2"]
    assert eth(simulator) == "105"


async def test_a_deposit_that_a_fork_takes_is_dropped_and_one_that_moves_counts_once(
    market: Market, stack: ExitStack
) -> None:
    simulator = (simulators := market.open(stack))[Venue.COINBASE]
    watch, address = market.watch(simulators), simulator.deposit_address("ETH", NETWORK)
    market.mine(5)
    await watch.look()
    market.chain.send(address, value=ONE)
    market.mine(1)
    await watch.look()
    assert states(simulator) == [("ETH", "1", 2, "pending")]
    market.chain.rpc("anvil_reorg", 3, [])
    await watch.look()
    assert states(simulator) == []
    market.mine(5)
    await watch.look()
    assert eth(simulator) == "100", "it never came"

    raw = signed_payment(market, address)
    market.chain.rpc("eth_sendRawTransaction", raw)
    market.mine(3)
    await watch.look()
    assert eth(simulator) == "102"
    market.chain.rpc("anvil_reorg", 5, [[raw, 4]])  # the same transaction, in a later block
    await watch.look()
    market.mine(5)
    await watch.look()
    assert (eth(simulator), len(simulator.deposits())) == ("102", 1)
    market.chain.send(address, value=3 * ONE)
    market.mine(2)
    await watch.look()
    assert eth(simulator) == "105", "after a deep fork it follows as before"


def signed_payment(market: Market, to: str) -> str:
    from eth_account import Account

    key = secret_of(market.seed, Venue.BINANCE, "purse")
    made = Account.sign_transaction(
        {
            "to": bytes.fromhex(to[2:]), "value": 2 * ONE, "gas": 21_000, "nonce": 0,
            "gasPrice": 10**11, "chainId": 31337,
        },
        key,
    )  # fmt: skip
    return "0x" + str(made.raw_transaction.hex()).removeprefix("0x")


# -- withdrawals ---------------------------------------------------------------------------------


def leave(
    simulator: Simulator, asset: str, amount: str, to: str, client_id: str = "w"
) -> SimWithdrawal:
    return simulator.withdraw(
        client_id=client_id, asset=asset, network=NETWORK, address=to, amount=parse(amount)
    )


async def all_ended(watch: ChainWatch, simulator: Simulator) -> None:
    """Anvil mines a moment after it took a transaction."""

    async def ended() -> bool:
        await watch.look()
        return simulator.leaving == []

    await eventually(ended, PATIENCE)


def somebody() -> str:
    """An address that nobody used yet."""
    return f"0x{next(SEEDS) + 0xABC000:040x}"


def held(market: Market, address: str) -> int:
    return int(market.chain.rpc("eth_getBalance", address, "latest"), 16)


@pytest.mark.parametrize(
    ("venue", "arrives", "left"),
    [(Venue.BINANCE, "0.9996", "99"), (Venue.COINBASE, "1", "98.9996")],
)
async def test_fees_are_within_or_on_top(
    market: Market, stack: ExitStack, venue: Venue, arrives: str, left: str
) -> None:
    simulator = (simulators := market.open(stack))[venue]
    watch, to, other = market.watch(simulators), somebody(), somebody()
    withdrawal = leave(simulator, "ETH", "1", to)
    assert withdrawal.status is TransferStatus.PENDING
    leave(simulator, "USDC", "25.25", other, "second")
    await all_ended(watch, simulator)
    assert held(market, to) == parse(arrives)
    assert eth(simulator) == left
    usdc = market.token.call("balanceOf", other)
    assert usdc == (24_250_000 if venue is Venue.BINANCE else 25_250_000)
    first, second = simulator.withdrawals()
    assert (first.status, second.status) == (TransferStatus.DONE, TransferStatus.DONE)
    receipt = market.chain.rpc("eth_getTransactionReceipt", first.tx_hash)
    assert receipt["from"] == purse_address(market.seed, venue)
    assert (first.amount, first.fee) == (parse(arrives), parse("0.0004"))
    assert set(simulator.accounts.totals().values()) == {0}


@pytest.mark.parametrize("after", [False, True])
async def test_a_withdrawal_arrives_once_across_a_restart(
    market: Market, stack: ExitStack, after: bool
) -> None:
    """Killed with the transaction signed: the node has it, or not, and nobody knows."""
    to = somebody()
    with ExitStack() as before:
        simulators = market.open(before)
        leave(simulators[Venue.BINANCE], "ETH", "1.0004", to)
        with pytest.raises(EndpointFailed):
            await market.watch(simulators, CutOff(market.chain.url, after=after)).look()
        [sent] = simulators[Venue.BINANCE].withdrawals()
        assert sent.status is TransferStatus.SENT
    again = market.open(stack)
    simulator = again[Venue.BINANCE]
    assert simulator.withdrawals() == [sent]
    await all_ended(market.watch(again), simulator)
    await market.watch(again).look()
    assert simulator.withdrawals() == [replace(sent, status=TransferStatus.DONE)]
    assert held(market, to) == ONE
    leave(simulator, "ETH", "2.0004", to, "next")
    await all_ended(market.watch(again), simulator)
    assert held(market, to) == 3 * ONE, "the next nonce follows"


async def test_what_a_fork_takes_back_is_sent_again(market: Market, stack: ExitStack) -> None:
    simulator = (simulators := market.open(stack))[Venue.COINBASE]
    watch, to = market.watch(simulators), somebody()
    market.mine(3)
    leave(simulator, "ETH", "1", to)
    await all_ended(watch, simulator)
    await watch.look()
    assert held(market, to) == ONE
    market.chain.rpc("anvil_reorg", 2, [])
    assert held(market, to) == 0
    await watch.look()

    async def arrived() -> bool:
        return held(market, to) == ONE

    await eventually(arrived, PATIENCE)


async def test_a_withdrawal_that_reverts_gives_its_money_back(
    market: Market, stack: ExitStack
) -> None:
    simulator = (simulators := market.open(stack))[Venue.BINANCE]
    watch = market.watch(simulators)
    leave(simulator, "ETH", "1", market.token.address)  # a token takes no coins
    await all_ended(watch, simulator)
    assert simulator.withdrawals()[0].status is TransferStatus.FAILED
    assert eth(simulator) == "100"
    assert simulator.leaving == []


def test_wrong_withdrawals_are_refused(market: Market, stack: ExitStack) -> None:
    simulators, to = market.open(stack), somebody()
    simulator = simulators[Venue.BINANCE]
    wrong: list[tuple[Reason, Callable[[], object]]] = [
        (Reason.MINIMUM, lambda: leave(simulator, "ETH", "0.0009", to)),
        (Reason.MINIMUM, lambda: leave(simulator, "USDC", "20.0000001", to)),
        (Reason.INSUFFICIENT, lambda: leave(simulator, "ETH", "100.0001", to)),
        (Reason.BAD_ADDRESS, lambda: leave(simulator, "ETH", "1", "0x12")),
        (Reason.UNKNOWN_NETWORK, lambda: leave(simulator, "EUR", "20", to)),
        (Reason.UNKNOWN_NETWORK, lambda: simulator.deposit_address("EUR", NETWORK)),
        (Reason.UNKNOWN_NETWORK, lambda: simulator.deposit_address("ETH", "eip155:1")),
    ]
    for reason, attempt in wrong:
        with pytest.raises(Rejected) as caught:
            attempt()
        assert caught.value.reason is reason
    assert (simulator.withdrawals(), eth(simulator)) == ([], "100")
    leave(simulator, "ETH", "1", to)
    with pytest.raises(Rejected, match="duplicate"):
        leave(simulator, "ETH", "1", to)
    coinbase = simulators[Venue.COINBASE]
    assert leave(coinbase, "ETH", "1", to) == leave(coinbase, "ETH", "2", to)
    assert eth(coinbase) == "98.9996"


# -- prices --------------------------------------------------------------------------------------


async def test_mids_follow_the_feeds_unless_set_by_hand(market: Market, stack: ExitStack) -> None:
    feeds = {
        pair: market.chain.create("MockAggregator", pair, 8, answer)
        for pair, answer in (
            ("ETH/USD", 2500 * 10**8), ("EUR/USD", 110_000_000), ("USDT/USD", 10**8),
        )
    }  # fmt: skip
    market.feeds = {pair: feed.address for pair, feed in feeds.items()}
    simulator = (simulators := market.open(stack))[Venue.BINANCE]
    watch = market.watch(simulators)
    await watch.look()
    assert show(simulator.mid("ETH-USDT")) == "2500"
    assert show(simulator.mid("USDT-EUR")).startswith("0.90909")
    assert simulator.mid("USDC-EUR") == 0, "nobody says what it is worth"
    simulator.set_mid("ETH-USD", parse("2600"))
    feeds["ETH/USD"].send("set", 2400 * 10**8, 1_700_000_000)
    await watch.look()
    assert [show(simulator.mid(s)) for s in ("ETH-USDT", "ETH-USD")] == ["2400", "2600"]
    feeds["ETH/USD"].send("set", -5, 1_700_000_000)
    await watch.look()
    assert show(simulator.mid("ETH-USDT")) == "2400", "nonsense is no price"
