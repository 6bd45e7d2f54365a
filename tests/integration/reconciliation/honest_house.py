"""What a house does besides taking payments, with a venue and a bank that keep their word: moves,
conversions, payouts, statements. A deed leaves its work half done; later ones go on with it."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from itertools import count
from typing import Any
from uuid import UUID

from eth_account import Account

from core import ids
from core.banks import BankAccount, CsvMapping
from core.clock import wall
from core.context import MoveSettings, RiskSettings
from core.errors import Refused
from core.money import FIAT
from exchanges.numbers import ONE
from exchanges.types import (
    Balance,
    Fill,
    LimitOrder,
    Market,
    TransferStatus,
    Venue,
    VenueDeposit,
    VenueOrder,
    VenueWithdrawal,
    WithdrawalOrder,
    WithdrawalRule,
)
from ledger.accounts import EQUITY, Debt, Role, bank, exchange, merchant, place
from ledger.journal import Entry, Kind, Posting, post, transfer
from payments import arrivals, bank_accounts, bank_payouts, payout_fees, payout_requests
from payments.payout_requests import NewPayout
from payments.payout_work import Payouts
from prices import markets
from tests.fakes import LocalSigner
from tests.integration.payments.branch import Branch
from tests.integration.treasury.converting import MARKETS, Converting, sell_eth
from tests.integration.treasury.moving import SOON, ScriptedVenue
from tests.integration.treasury.moving import WINDOWS as MOVE_WINDOWS
from tests.integration.treasury.scripted import STEP, Place, ScriptedExchange, lost, refused
from tests.world import World, calldata
from treasury import bank_exports, bank_statements, moves
from treasury.move_machine import Way
from treasury.move_work import Moves
from treasury.moves import NewMove
from treasury.units import ledger_code
from wallets import hot
from wallets.hot import WalletKind
from wallets.sending import Sending

KEY, PERSON = "key_01h455vb4pex5vsknk084sn02q", "key_01h455vb4pex5vsknk084sn02r"
PAYEE = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
HELD = {"ETH": 1000 * ONE, "EUR": 10**7 * ONE}
COINS = {"ETH": 100 * ONE, "USDC": 10**12}  # of the hot wallet, base units
EARNED = {"ETH": 10 * ONE, "USDC": 10**10}  # of that, the merchant's
AT_BANK = 1_000_000  # minor units, the merchant's
GWEI = 10**9
CENT = ONE // 100
TELLER = 0  # the account that a venue pays from
DONE, PENDING = TransferStatus.DONE, TransferStatus.PENDING
WORKERS = ("moves", "orders", "sending", "payouts", "arrivals")
ALL = 2 ** len(WORKERS) - 1
WAYS = [
    ("hot", "binance"),
    ("binance", "hot"),
    ("hot", "treasury"),
    ("binance", "bank:main"),
    ("bank:main", "binance"),
]
SOME = range(1000)

# What the house, its venue and its bank may do next, how often, and with what.
DEEDS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "move": (5, (WAYS, range(1, 9))),
    "order_fiat": (3, (SOME,)),
    "venue_pays": (4, (SOME,)),
    "venue_tells": (3, (SOME,)),
    "venue_fails": (1, (SOME,)),
    "venue_sees": (4, ([True, False],)),
    "venue_is_funded": (2, ([True, False],)),
    "convert": (4, (range(5), range(1, 9))),
    "pay_out": (3, (["ETH", "USDC"], range(1, 9))),
    "pay_at_bank": (2, (range(1, 9),)),
    "release": (3, ()),
    "statement": (2, ([True, False],)),
    "work": (12, (range(1, ALL + 1),)),
}


class Bourse:
    """An honest `Exchange`: its balance is what it shows of trades and transfers. `slow`: ids of
    withdrawals that leave the balance with their transaction only."""

    venue = Venue.BINANCE
    resend_returns_original = False

    def __init__(self, transfers: ScriptedVenue) -> None:
        self.transfers = transfers
        self.trades = ScriptedExchange()
        self.wired: Counter[str] = Counter()
        self.slow: set[str] = set()
        self.banked: dict[UUID, VenueDeposit] = {}

    def held(self) -> Counter[str]:
        held = Counter(HELD)
        held.update(self.trades.changes)
        held.subtract(self.wired)
        for come in (*self.transfers.come, *self.banked.values()):
            held[come.asset] += come.amount if come.status is DONE else 0
        for id_, gone in self.transfers.gone.items():
            if gone.status is DONE or (gone.status is PENDING and id_ not in self.slow):
                held[gone.asset] -= gone.amount + gone.fee
        return held

    async def balances(self) -> Mapping[str, Balance]:
        return {asset: Balance(units, 0) for asset, units in self.held().items() if units}

    async def markets(self) -> Mapping[str, Market]:
        return MARKETS

    async def place(self, order: LimitOrder) -> VenueOrder:
        return await self.trades.place(order)

    async def order(self, symbol: str, client_id: str, since: datetime) -> VenueOrder | None:
        return await self.trades.order(symbol, client_id, since)

    async def fills(self, symbol: str, venue_id: str) -> list[Fill]:
        return await self.trades.fills(symbol, venue_id)

    async def fills_since(self, symbol: str, since: datetime) -> list[Fill]:
        return [f for f in self.trades.all_fills if f.symbol == symbol and f.at >= since]

    async def deposit_address(self, asset: str, network: str) -> str:
        return await self.transfers.deposit_address(asset, network)

    async def deposits(self, since: datetime) -> list[VenueDeposit]:
        return list(self.transfers.come)

    async def fiat_deposits(self, since: datetime) -> list[VenueDeposit]:
        return list(self.banked.values())

    async def withdrawal_rule(self, asset: str, network: str) -> WithdrawalRule:
        return await self.transfers.withdrawal_rule(asset, network)

    async def withdraw(self, order: WithdrawalOrder) -> str:
        if len(self.transfers.gone) % 2:
            self.slow.add(order.client_id)
        return await self.transfers.withdraw(order)

    async def withdrawal(self, client_id: str, since: datetime) -> VenueWithdrawal | None:
        return await self.transfers.withdrawal(client_id, since)

    async def withdrawals(self, since: datetime) -> list[VenueWithdrawal]:
        return list(self.transfers.gone.values())


@dataclass
class House:
    """On the first network of a world; `branch` is what a test knows of its forks."""

    world: World
    branch: Branch
    key: str = field(default_factory=lambda: "0x" + secrets.token_hex(32))
    numbers: Any = field(default_factory=lambda: count(1))
    paid: dict[str, str] = field(default_factory=dict)  # a withdrawal's id -> its transaction
    signed: dict[int, str] = field(default_factory=dict)  # by nonce: what the venue has sent
    lines: set[str] = field(default_factory=set)  # that a statement has shown

    def __post_init__(self) -> None:
        self.network = next(iter(self.world.context.catalog.networks))
        self.wallet = str(Account.from_key(self.key).address).lower()
        self.venue = Bourse(ScriptedVenue(self.branch.node, self.network))
        exchanges: Any = {Venue.BINANCE: self.venue}
        self.converting = Converting(self.world.context, self.venue)  # type: ignore[arg-type]
        self.moves = Moves(self.world.context, exchanges, windows=replace(MOVE_WINDOWS, fiat=SOON))
        self.signer = LocalSigner({self.wallet: self.key})
        self.closing = AT_BANK

    # -- the beginning

    async def open(self) -> None:
        """A hot wallet, funds at the venue, money at the bank; some of it is the merchant's."""
        context, node = self.world.context, self.branch.node
        context.moves = MoveSettings(hold_new_addresses=False)
        context.risk = RiskSettings(cooling=0)
        columns = CsvMapping(date="Date", amount="Amount", text=("Text",))
        main = BankAccount(
            id="main", name="Main", asset=FIAT["EUR"], iban="DE89370400440532013000", csv=columns
        )
        context.banks = {"main": main}
        usdc = self.world.deployed[self.network].tokens["USDC"].address
        mint = calldata("mint(address,uint256)", self.wallet, COINS["USDC"])
        await node.send(usdc, data=mint, gas=200_000)
        await node.rpc("anvil_setBalance", self.wallet, hex(COINS["ETH"]))
        await node.mine()
        self.branch.base = await node.head()
        await self.world.follow()  # what came before it was ours has no meaning
        async with context.database.begin() as session:
            await hot.add(
                session, address=self.wallet, label="hot", kind=WalletKind.HOT,
                networks=[self.network], now=context.clock.now(),
            )  # fmt: skip
            await post(session, [self._opening()])
            account = await bank_accounts.add(
                session, context, self.world.merchant_id, holder="Ada Lovelace",
                iban="GB82WEST12345698765432", bic=None, currency="EUR", author=KEY,
            )  # fmt: skip
            self.account = ids.show("bnk", account.id)
        async with context.database.statement() as connection:
            await markets.store(connection, Venue.BINANCE.value, MARKETS, wall())
            await payout_fees.store(connection, self.network, GWEI, GWEI)

    def _opening(self) -> Entry:
        context = self.world.context
        mine = merchant(self.world.merchant_id, Debt.AVAILABLE)
        lines: tuple[Posting, ...] = transfer("EUR", AT_BANK, debit=bank("main"), credit=mine)
        for asset, units in HELD.items():
            code = ledger_code(context.catalog, asset)
            lines += transfer(code, units, debit=exchange(Venue.BINANCE), credit=EQUITY)
        wallet = place(self.network, Role.HOT)
        for asset, units in COINS.items():
            lines += transfer(asset, EARNED[asset], debit=wallet, credit=mine)
            lines += transfer(asset, units - EARNED[asset], debit=wallet, credit=EQUITY)
        return Entry(
            id=ids.new(), key="opening:house", kind=Kind.OPENING, reference="opening",
            merchant_id=self.world.merchant_id, evidence={}, posted_at=context.clock.now(),
            postings=lines,
        )  # fmt: skip

    async def begin(self) -> None:
        """One of each, so that no history is without."""
        for way in WAYS:
            await self.move(way, 2)
        await self.convert(1, 3)
        await self.pay_out("ETH", 3)
        await self.pay_at_bank(3)
        await self.order_fiat(0)
        await self.work(ALL)

    # -- people

    async def move(self, way: tuple[str, str], amount: int) -> None:
        fiat = "bank:main" in way
        asked = NewMove(
            asset="EUR" if fiat else "ETH",
            # no two of one amount: a bank's line may name nothing
            amount=f"{amount}.{next(self.numbers):02}" if fiat else f"0.{amount}",
            network=None if fiat else self.network,
            source=way[0],
            destination=way[1],
            initiator=KEY,
        )
        async with self.world.context.database.begin() as session:
            await moves.create(session, self.world.context, asked)

    async def order_fiat(self, which: int) -> None:
        """A person orders it where it is, at the venue or at the bank, and says so."""
        rows = [
            row for row in await self.world.rows("moves", status="approved", asset="EUR")
            if row.sent_at is None
        ]  # fmt: skip
        if not rows:
            return
        row = rows[which % len(rows)]
        async with self.world.context.database.begin() as session:
            await moves.approve(session, self.world.context, row.id, PERSON)
        if row.way == Way.REMIT:
            self.venue.wired["EUR"] += int(row.amount) * CENT

    async def convert(self, kind: int, amount: int) -> None:
        """Sells ether; the venue may lose its answer, hide the order, refuse, or take a part."""
        half = Place(part=Fraction(1, 2))
        told = (Place(), lost(executed=True), lost(executed=False), refused(), half)[kind]
        self.venue.trades.script.append(told)
        self.venue.trades.hidden += kind == 1
        await self.converting.start(sell_eth(amount * 100 * STEP))

    async def pay_out(self, asset: str, amount: int) -> None:
        await self._pay_out(
            NewPayout(amount=f"0.{amount}", asset=asset, network=self.network, address=PAYEE)
        )

    async def pay_at_bank(self, amount: int) -> None:
        number = f"{amount}.{next(self.numbers):02}"
        await self._pay_out(NewPayout(amount=number, asset="EUR", bank_account=self.account))

    async def _pay_out(self, asked: NewPayout) -> None:
        context, mine = self.world.context, self.world.merchant_id
        async with context.database.begin() as session:
            on = await payout_requests.ground(
                session, context, mine, [asked.address], [asked.bank_account]
            )
            wanted = payout_requests.read_all(on, [asked])
            await payout_requests.store(session, context, mine, wanted, initiator=KEY, batch=None)

    async def release(self) -> None:
        """An operator releases what is to go to banks, and makes a file of it."""
        context = self.world.context
        held = await self.world.rows("payouts", status="held", asset="EUR")
        async with context.database.begin() as session:
            for row in held:
                await bank_payouts.release(session, context, None, row.id, PERSON)
        async with context.database.begin() as session:
            await bank_exports.make(session, context, account="main", currency=None, by=PERSON)

    # -- the bank

    async def statement(self, named: bool) -> None:
        """Of all that came and went since the last one."""
        came = await self.world.rows("moves", way=Way.REMIT, status="in_transit")
        paid = await self.world.rows("payouts", status="sending", asset="EUR")
        lines = [(int(row.amount), ids.show("mov", row.id)) for row in came]
        lines += [(-int(row.amount), ids.show("pay", row.id)) for row in paid]
        lines += [(-int(row.amount), ids.show("mov", row.id)) for row in await self._funded()]
        new = [line for line in lines if line[1] not in self.lines]
        if not new:
            return
        context, euro = self.world.context, FIAT["EUR"].format
        opening, self.closing = self.closing, self.closing + sum(units for units, _ in new)
        day = context.clock.now().date()
        said = [f"{day},{euro(units)},{name if named else units}" for units, name in new]
        async with context.database.begin() as session:
            await bank_statements.take(
                session, context, "main", "\n".join(["Date,Amount,Text", *said]),
                opening=euro(opening), closing=euro(self.closing), by=PERSON,
            )  # fmt: skip
        self.lines |= {name for _, name in new}

    async def _funded(self) -> Sequence[Any]:
        rows = await self.world.rows("moves", way=Way.FUND)
        return [row for row in rows if row.sent_at is not None]

    # -- the venue

    async def venue_is_funded(self, credited: bool) -> None:
        """It shows what the bank was asked to bring; what it shows already is credited later."""
        banked = self.venue.banked
        for row in await self._funded():
            known = banked.get(row.id)
            status = DONE if credited or (known and known.status is DONE) else PENDING
            at = known.at if known else wall()
            banked[row.id] = VenueDeposit(
                id=f"f-{row.id}", asset="EUR", network=None, address=None,
                amount=int(row.amount) * CENT, tx_hash=None, status=status, at=at,
            )  # fmt: skip

    async def venue_pays(self, which: int) -> None:
        """A withdrawal's transaction; what it is, the venue does not tell yet."""
        waiting = [
            id_ for id_, w in self.venue.transfers.gone.items()
            if w.status is PENDING and id_ not in self.paid
        ]  # fmt: skip
        if not waiting:
            return
        await self.venue_sends_again()
        id_ = waiting[which % len(waiting)]
        shown = self.venue.transfers.gone[id_]
        nonce, node = await self._nonce(), self.branch.node
        self.paid[id_] = await node.send(shown.address, shown.amount, sender=TELLER)
        self.signed[nonce] = await node.raw(self.paid[id_])
        await self.branch.note(self.paid[id_], TELLER)

    async def venue_sends_again(self) -> None:
        """What a fork has thrown out, as it was."""
        node = self.branch.node
        self.branch.lost = [sent for sent in self.branch.lost if sent.sender != TELLER]
        while raw := self.signed.get(await self._nonce()):
            await self.branch.note(await node.rpc("eth_sendRawTransaction", raw), TELLER)

    async def _nonce(self) -> int:
        node = self.branch.node
        account = node.accounts[TELLER]
        return int(await node.rpc("eth_getTransactionCount", account, "latest"), 16)

    async def venue_tells(self, which: int) -> None:
        shown = self.venue.transfers.gone
        known = [id_ for id_ in self.paid if shown[id_].status is PENDING]
        if known:
            id_ = known[which % len(known)]
            self.venue.transfers.tell(id_, self.paid[id_])

    async def venue_fails(self, which: int) -> None:
        shown = self.venue.transfers.gone
        waiting = [i for i, w in shown.items() if w.status is PENDING and i not in self.paid]
        if waiting:
            self.venue.transfers.fail(waiting[which % len(waiting)])

    async def venue_sees(self, final: bool) -> None:
        """What blocks have brought it. What it credits is never forked away."""
        node, come = self.branch.node, self.venue.transfers.come
        known = {one.tx_hash: n for n, one in enumerate(come)}
        for row in await self.world.rows("moves", way="send"):
            mined = row.tx_hash and await node.rpc("eth_getTransactionReceipt", row.tx_hash)
            if not mined:
                continue
            if row.tx_hash not in known:
                known[row.tx_hash] = len(come)
                self.venue.transfers.credit("ETH", row.tx_hash, int(row.amount))
                come[-1] = replace(come[-1], status=PENDING)
            if final:
                come[known[row.tx_hash]] = replace(come[known[row.tx_hash]], status=DONE)
                self.branch.base = await node.head()
                self.branch.snapshots = []

    # -- the worker

    async def work(self, which: int) -> None:
        """One round of some of its loops."""
        context = self.world.context
        for bit, name in enumerate(WORKERS):
            if not which >> bit & 1:
                continue
            if name == "orders":
                await self.converting.work()
            elif name == "arrivals":
                await arrivals.look(context, context.catalog.networks[self.network])
            else:
                await self._step(name)

    async def _step(self, name: str) -> None:
        context = self.world.context
        network = context.catalog.networks[self.network]
        worker: Any = self.moves
        if name == "moves":  # what notifies it in a process of its own
            for status in ("sending", "in_transit"):
                for row in await self.world.rows("moves", status=status):
                    await self.moves.heard(ids.show("mov", row.id))
        elif name == "sending":
            worker = Sending(context, network, self.world.endpoints[self.network], self.signer)
        elif name == "payouts":
            worker = Payouts(context, self.signer, endpoints={})
        rows: list[UUID] = list(await worker.claim(16))
        if name == "payouts":
            await worker.steps(rows)
        else:
            await asyncio.gather(*(worker.step(row) for row in rows))

    # -- the end

    async def end_all(self) -> int:
        """A round in which everybody does what is left to him; how much is under way after it."""
        await self.venue_sends_again()
        for number in range(len(self.venue.transfers.gone)):
            await self.venue_pays(number)
            await self.venue_tells(number)
        await self.venue_sees(final=True)
        await self.venue_is_funded(credited=True)
        await self.statement(named=True)
        with suppress(Refused):
            await self.release()
        await self.work(ALL)
        return len(await self.under_way())

    async def under_way(self) -> list[str]:
        """What has left and not arrived."""
        found: list[str] = []
        for table, statuses in (
            ("moves", ("sending", "in_transit")),
            ("orders", ("sent", "unknown", "open")),
            ("payouts", ("sending",)),
        ):
            for status in statuses:
                rows = await self.world.rows(table, status=status)
                found += [str(row) for row in rows]
        return found

    async def told(self) -> list[str]:
        """All of what is under way, of transactions, and of what the node knows of them."""
        found = await self.under_way()
        for row in await self.world.rows("transactions"):
            found += [str(row)] + [
                f"{variant} {await self.branch.node.rpc('eth_getTransactionReceipt', variant.hash)}"
                for variant in await self.world.rows("transaction_variants", transaction_id=row.id)
            ]
        return [*found, str(await self.branch.node.rpc("txpool_content"))]
