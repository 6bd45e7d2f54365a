"""Worker, API and database are killed while customers pay: nothing is lost, made up or told twice.

One merchant is paid undisturbed. Another one is paid the same, by the same customers, while
processes are killed at moments drawn from a seed and blocks are replaced. Both must end with the
same books, the same invoices and the same story told.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.town import (
    CUSTOMERS,
    Chains,
    Client,
    Receiver,
    Town,
    listening,
    new_merchant,
    open_api,
    open_chains,
    open_town,
    units,
)
from tests.settings import SEED, numbers
from tests.waiting import eventually

PAYMENTS = numbers(30, 200)
KILLS = numbers(4, 24)
WEEK = 604_800
LATE_SECONDS = 600
PATIENCE = 60  # a killed worker's leases on webhooks end after 20 s

ASSETS = ("ETH", "USDC", "USDT", "DAI", "T24", "BLK")
TARGETS = (("worker",), ("postgres",), ("api",), ("worker", "postgres"), ("api", "worker"))
# What is told of an invoice and of its deposits. A worker that was away sees two parts at once,
# and then nobody is told of half a payment that is whole by now. Confirmed money that a reorg moves
# to a block without enough depth is confirmed once more.
STORIES = {
    "exact": r"created seen processing confirmed settled",
    "over": r"created seen processing paid_over confirmed settled",
    "partial": r"created seen paid_partial confirmed( confirmed)?",
    "parts": (
        r"created (seen paid_partial (confirmed )?seen|seen seen) processing"
        r"( confirmed){1,4} settled"
    ),
    "late": r"created expired seen unmatched paid_late confirmed( confirmed)?",
}


@dataclass(frozen=True)
class Order:
    """What a customer does, the same in both runs."""

    reference: str
    kind: str
    asset: str
    network: int
    cents: int
    sender: int
    contract: bool

    @property
    def late(self) -> bool:
        return self.kind == "late"

    def invoice(self) -> dict[str, Any]:
        return {
            "amount": f"{self.cents // 100}.{self.cents % 100:02}",
            "currency": "USD",
            "reference": self.reference,
            "expires_in": 60 if self.late else WEEK,
        }

    def payments(self, due: int) -> list[int]:
        """Base units of each transfer, for `due` base units."""
        if self.kind == "parts":
            return [due // 3, due - due // 3]
        if self.kind == "over":
            return [2 * due]
        return [due // 2 if self.kind == "partial" else due]


def orders(count: int) -> list[Order]:
    """Until there are `count` payments."""
    luck = random.Random(SEED)
    made: list[Order] = []
    while sum(2 if order.kind == "parts" else 1 for order in made) < count:
        kinds = ["exact"] * 4 + ["parts"] * 2 + ["over", "partial", "late"]
        asset = luck.choice(ASSETS)
        made.append(
            Order(
                reference=f"order-{len(made)}",
                kind=luck.choice(kinds),
                asset=asset,
                network=luck.randrange(2),
                cents=luck.randrange(100, 100_000),
                sender=luck.randrange(1, CUSTOMERS + 1),
                contract=asset == "ETH" and luck.random() < 0.5,
            )
        )
    return made


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with open_town() as town:
        yield town


class Run:
    """One merchant's orders, from the first invoice to the last confirmation."""

    def __init__(self, merchant: Client, chains: Chains) -> None:
        self.merchant = merchant
        self.chains = chains
        self.invoices: dict[str, Any] = {}
        self.paid = 0
        self._progress = asyncio.Condition()

    async def order(self, order: Order) -> None:
        self.invoices[order.reference] = await self.merchant.post(
            "/v1/invoices", order.invoice(), once=order.reference
        )

    async def pay(self, order: Order) -> None:
        invoice = self.invoices[order.reference]
        due = units(self.chains.option(invoice, order.asset, order.network)["amount"])
        for amount in order.payments(due):
            await self.chains.pay(
                invoice, order.asset, amount,
                network=order.network, sender=order.sender, contract=order.contract,
            )  # fmt: skip
            async with self._progress:
                self.paid += 1
                self._progress.notify_all()

    async def shop(self, wanted: Sequence[Order]) -> None:
        """Each customer one order after the other, all customers side by side."""

        async def customer(mine: list[Order]) -> None:
            for order in mine:
                if order.reference not in self.invoices:
                    await self.order(order)
                if not order.late or order in late:
                    await self.pay(order)

        late = [order for order in wanted if order.reference in self.invoices]
        queues: dict[int, list[Order]] = defaultdict(list)
        for order in wanted:
            queues[order.sender].append(order)
        await asyncio.gather(*(customer(mine) for mine in queues.values()))

    async def reached(self, payments: int) -> None:
        async with asyncio.timeout(PATIENCE), self._progress:
            await self._progress.wait_for(lambda: self.paid >= payments)


class Trouble:
    """Kills at moments that the seed draws, and replaces blocks in between."""

    def __init__(self, town: Town, operator: Client, chains: Chains) -> None:
        self._town = town
        self._operator = operator
        self._chains = chains
        self._luck = random.Random(f"trouble {SEED}")
        self._targets = itertools.cycle(self._luck.sample(TARGETS, len(TARGETS)))
        self.kills = 0
        self.reorgs = 0

    async def strike(self, run: Run, payments: int) -> None:
        """Somewhere within the next `payments`; returns when all is back."""
        await run.reached(run.paid + self._luck.randrange(payments))
        await asyncio.sleep(self._luck.random() * 0.2)  # a moment within its work
        killed = [(name, self._town.kill(name)) for name in next(self._targets)]
        self.kills += 1
        for name, number in killed:
            await self._town.reborn(name, number)

    async def fork(self) -> None:
        """Other blocks with the same transactions, by the sandbox's own way."""
        self.reorgs += 1
        await self._operator.post(
            "/v1/sandbox/reorg",
            {
                "depth": self._luck.randrange(1, 9),
                "keep_transactions": True,
                "network": self._luck.choice(self._chains.networks),
            },
        )

    async def pass_(self) -> None:
        """Until the worker is at every head again."""
        await self._chains.mine(1)
        heads = {name: await node.head() for name, node in self._chains.nodes.items()}
        await self._operator.shows(
            "/v1/networks", lambda found: {n["id"]: n["height"] for n in found["data"]} == heads
        )


async def disturbed(run: Run, wanted: Sequence[Order], trouble: Trouble, kills: int) -> None:
    """As many stretches as kills; each begins with everything at work."""
    size = max(1, -(-len(wanted) // kills))
    for start in range(0, len(wanted), size):
        stretch = wanted[start : start + size]
        again = {o.reference for o in stretch} & set(run.invoices)
        to_pay = [o for o in stretch if not o.late or o.reference in again]
        await trouble.pass_()
        if start:
            await trouble.fork()
        shopping = asyncio.create_task(run.shop(stretch))
        await trouble.strike(run, max(1, len(to_pay)))
        await shopping


async def pass_time(operator: Client) -> None:
    await operator.post("/v1/sandbox/clock", {"advance_seconds": LATE_SECONDS})


async def test_kills_change_nothing(town: Town) -> None:
    wanted = orders(PAYMENTS)
    late = [order for order in wanted if order.late]
    async with open_api(town.ready) as (_, operator), open_chains(town.ready) as chains:
        operator.patient = True
        trouble = Trouble(town, operator, chains)

        calm = Run(await new_merchant(operator, "Calm"), chains)
        await trouble.pass_()
        async with listening(calm.merchant) as heard:
            await calm.shop(wanted)
            await pass_time(operator)
            await expired(calm, late)
            await calm.shop(late)
            await chains.mine()
            calm_end = await end(calm, wanted, heard)

        wild = Run(await new_merchant(operator, "Wild"), chains)
        async with listening(wild.merchant) as heard:
            await disturbed(wild, wanted, trouble, max(1, KILLS - 1))
            await pass_time(operator)
            await expired(wild, late)
            await disturbed(wild, late, trouble, 1)
            await chains.mine()
            wild_end = await end(wild, wanted, heard)

        assert wild_end == calm_end
        await books_equal_the_chains(operator, chains, [calm, wild], wanted)
        await feed_has_no_gap(operator)
        report = await operator.get("/v1/ledger/verify")
        assert (report["ok"], report["pending"], report["problems"]) == (True, 0, [])
        nothing_unforeseen(town)
        again = operator.asked_again + wild.merchant.asked_again
        print(f"\nsoak: {wild.paid} payments, {trouble.kills} kills, {again} requests sent again")
        print(f"soak: {trouble.reorgs} reorgs")


async def expired(run: Run, late: Sequence[Order]) -> None:
    """Each deadline is past, and the merchant's list says so."""
    for order in late:
        await run.merchant.becomes(run.invoices[order.reference], "expired")


async def end(run: Run, wanted: Sequence[Order], heard: Receiver) -> Any:
    """What both runs must agree in, once everything is confirmed and told."""
    states = {
        "exact": ("settled", "none"),
        "parts": ("settled", "none"),
        "over": ("settled", "paid_over"),
        "partial": ("new", "paid_partial"),
        "late": ("expired", "paid_late"),
    }
    invoices: dict[str, Any] = {}
    for order in wanted:
        invoice = run.invoices[order.reference]
        await run.merchant.becomes(invoice, *states[order.kind])
        invoices[order.reference] = await run.merchant.shows(
            f"/v1/invoices/{invoice['id']}",
            lambda found: all(d["status"] != "pending" for d in found["deposits"]),
        )
    await everything_was_told(run, wanted, heard)
    accounts = await run.merchant.every("/v1/ledger/accounts")
    return {
        "accounts": {
            (re.sub("mer_[^:]*", "mer", a["account"]), a["asset"]): a["balance"] for a in accounts
        },
        "invoices": {reference: essence(invoice) for reference, invoice in invoices.items()},
    }


def essence(invoice: dict[str, Any]) -> Any:
    """Of an invoice, what neither ids nor blocks nor the hour are part of."""
    fields = ("status", "exception", "amount", "amount_paid", "amount_confirmed", "amount_due")
    deposits = [
        (d["network"], d["asset"], d["amount"], d["value"], d["inbox"] and d["inbox"]["reason"])
        for d in invoice["deposits"]
        if d["status"] == "confirmed"
    ]
    return [invoice[field] for field in fields], sorted(deposits)


async def everything_was_told(run: Run, wanted: Sequence[Order], heard: Receiver) -> None:
    """Each invoice's events complete, in order, once; every one of them delivered."""
    stories: dict[Order, str] = {}

    async def told_in_full() -> bool:
        stories.update(tell(await run.merchant.every("/v1/events"), run, wanted))
        return all(makes_sense(order, story) for order, story in stories.items())

    try:
        await eventually(told_in_full, PATIENCE)
    except AssertionError:
        wrong = {o: s for o, s in stories.items() if not makes_sense(o, s)}
        raise AssertionError(wrong) from None
    feed = await run.merchant.every("/v1/events")
    told = [event["id"] for event in feed]
    assert len(set(told)) == len(told)

    await heard.hears(lambda received: {event["id"] for event in received} >= set(told))
    assert set(heard.ids) == set(told)
    bodies = {event["id"]: event["data"] for event in feed}
    assert all(event["data"] == bodies[event["id"]] for event in heard.received)

    async def all_delivered() -> bool:
        log = await run.merchant.every(f"/v1/webhook_endpoints/{heard.endpoint}/deliveries")
        assert sorted(d["event"] for d in log) == sorted(told)
        return all(d["status"] == "delivered" for d in log)

    await eventually(all_delivered, PATIENCE)
    assert tell(await run.merchant.every("/v1/events"), run, wanted) == stories


def tell(feed: Sequence[Any], run: Run, wanted: Sequence[Order]) -> dict[Order, str]:
    """Order -> the kinds of its invoice's and its deposits' events, in the feed's order."""
    stories: dict[str, list[str]] = defaultdict(list)
    for event in feed:
        thing = event["data"]["object"]
        stories[thing.get("invoice", thing["id"])].append(event["type"].partition(".")[2])
    return {o: " ".join(stories[run.invoices[o.reference]["id"]]) for o in wanted}


def makes_sense(order: Order, story: str) -> bool:
    """As in STORIES. Who looks while Anvil replaces blocks one by one sees payments go and come
    back; then whatever was told is taken back before it is told again."""
    words = story.split()
    if not {"orphaned", "reversed"} & set(words):
        return re.fullmatch(STORIES[order.kind], story) is not None
    live = settled = 0
    for word in words:
        live += (word == "seen") - (word == "orphaned")
        settled += (word == "settled") - (word == "reversed")
        if live < 0 or settled not in (0, 1):
            return False
    right = (2 if order.kind == "parts" else 1, order.kind not in ("partial", "late"))
    return words[0] == "created" and words.count("created") == 1 and (live, settled) == right


async def books_equal_the_chains(
    operator: Client, chains: Chains, runs: Sequence[Run], wanted: Sequence[Order]
) -> None:
    """To the wei, on each network and in each asset, and nothing waits or is left over."""
    accounts = await operator.every("/v1/ledger/accounts")
    books = {(a["account"], a["asset"]): units(a["balance"]) for a in accounts}
    addresses = {i["payment_options"][0]["address"] for run in runs for i in run.invoices.values()}
    for network, tokens in chains.tokens.items():
        for asset in ("ETH", *tokens):
            held = await chains.held(network, asset, addresses)
            assert books.get((f"network:{network}:deposits", asset), 0) == held, (network, asset)
    sums: dict[str, int] = defaultdict(int)
    pending: dict[str, int] = defaultdict(int)
    for (account, asset), balance in books.items():
        sums[asset] += balance
        assert balance == 0 or not account.endswith("suspense"), account
        if account.endswith(":pending"):
            pending[asset] -= balance
    assert set(sums.values()) == {0}
    # Part of an unfinished invoice is nobody's to spend yet; nothing else waits.
    for run in runs:
        for order in wanted:
            if order.kind == "partial":
                due = chains.option(run.invoices[order.reference], order.asset, order.network)
                pending[order.asset] -= sum(order.payments(units(due["amount"])))
    assert not any(pending.values()), pending


async def feed_has_no_gap(operator: Client) -> None:
    """The house's stream has every number, and the list says the same."""
    listed = await operator.every("/v1/events")
    streamed = await operator.stream(0, len(listed))
    assert [number for number, _, _ in streamed] == list(range(1, len(listed) + 1))
    assert [body["id"] for _, _, body in streamed] == [event["id"] for event in listed]


def nothing_unforeseen(town: Town) -> None:
    """A database that is away is the only error that the services know of."""
    for name in ("api", "worker"):
        lines = [line for line in town.log(name).splitlines() if '"level": "error"' in line]
        assert [line for line in lines if '"event": "database_unavailable"' not in line] == []
