"""Payouts to banks over HTTP, from a merchant's bank account to the line of a statement, and every
refusal on the way."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from api.bank_accounts import MerchantBankAccount
from api.bank_exports import BankExport
from api.payout_schemas import Explanation, Payout
from core import ids
from core.banks import BankAccount, CsvMapping
from core.context import RiskSettings
from core.money import FIAT
from ledger.accounts import Debt, bank, merchant
from ledger.journal import Entry, Kind, post, transfer
from ledger.verify import verify
from payments.payout_work import Payouts
from tests.fakes import LocalSigner
from tests.integration.api.conftest import Answer, World
from tests.integration.api.test_payouts import ask, balances
from tests.settings import numbers

PATH = "/v1/payouts"
ACCOUNTS = "/v1/bank_accounts"
EXPORTS = "/v1/bank_exports"
OURS = "DE89370400440532013000"
ADA = {"holder": "Ada Lovelace", "iban": "GB82 WEST 1234 5698 7654 32", "currency": "EUR"}
CSV = CsvMapping(date="Date", amount="Amount", text=("Text",))
DAY = 86_400

# What is wrong with an account, the field that is named, and the code.
BAD_ACCOUNTS: list[tuple[dict[str, Any], str, str]] = [
    ({"iban": "GB82WEST12345698765423"}, "iban", "invalid_iban"),
    ({"iban": "12"}, "iban", "invalid_iban"),
    ({"iban": OURS}, "iban", "own_account"),
    ({"bic": "X"}, "bic", "invalid_bic"),
    ({"currency": "USD"}, "currency", "unknown_currency"),
    ({"holder": "李"}, "holder", "invalid_request"),
    ({"holder": ""}, "holder", "invalid_request"),
    ({"more": 1}, "more", "invalid_request"),
]


class Bank:
    """A merchant with 1,000.00 EUR that lies at the house's bank, and people who look after it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.one, self.operator = world.one, world.operator
        self.worker = Payouts(world.context, LocalSigner({}), endpoints={})
        self._closing = 100_000  # minor units
        self._lines = 0

    async def account(self, cooled: bool = True, **more: Any) -> str:
        made = await self.one.post(ACCOUNTS, ADA | more)
        assert made.status == 201, made.body
        if cooled:
            self.pass_days(2)
        return str(made.json["id"])

    def pass_days(self, days: int) -> None:
        clock = self.world.context.clock
        clock.set_offset(clock.offset + timedelta(days=days))

    async def ask(self, amount: str, account: str, change: dict[str, Any] | None = None) -> Answer:
        body = {"amount": amount, "asset": "EUR", "bank_account": account}
        return await ask(self.one, body | (change or {}))

    async def work(self) -> None:
        """The worker, until nothing is due."""
        while due := await self.worker.claim(100):
            await self.worker.steps(due)

    async def held(self, amount: str, account: str) -> str:
        answer = await self.ask(amount, account)
        assert answer.status == 201, answer.body
        await self.work()
        return str(answer.json["id"])

    async def released(self, amount: str, account: str) -> str:
        number = await self.held(amount, account)
        answer = await self.operator.post(f"{PATH}/{number}/approve", {})
        assert (answer.status, answer.json["status"]) == (200, "approved"), answer.body
        return number

    async def sending(self, amount: str, account: str) -> str:
        number = await self.released(amount, account)
        assert (await self.operator.post(EXPORTS, {})).status == 201
        return number

    async def show(self, number: str) -> Any:
        return (await self.one.get(f"{PATH}/{number}")).json

    async def line(self, amount: int, words: str = "", days: int = 0) -> Any:
        """A statement with one line, minor units."""
        day = (self.world.context.clock.now() + timedelta(days)).date()
        opening, self._closing = self._closing, self._closing + amount
        self._lines += 1
        euro = FIAT["EUR"].format
        answer = await self.operator.post(
            "/v1/bank_statements",
            {
                "account": "main",
                "content": f"Date,Amount,Text\n{day},{euro(amount)},{words} {self._lines}",
                "opening": euro(opening),
                "closing": euro(self._closing),
            },
        )
        assert answer.status == 201, answer.body
        return answer.json["data"][0]

    async def breaks(self) -> list[tuple[str, str, str]]:
        found = (await self.operator.get("/v1/breaks?status=open")).json["data"]
        return [(one["kind"], one["place"], one["difference"]) for one in found]

    async def events(self) -> list[str]:
        query = "select type from events where type like 'payout.%' order by id"
        async with self.world.context.database.read() as session:
            return list(await session.scalars(text(query)))


@pytest.fixture
async def house(world: World) -> AsyncIterator[Bank]:
    context = world.context
    context.banks = {
        "main": BankAccount(id="main", name="House", asset=FIAT["EUR"], iban=OURS, csv=CSV)
    }
    available = merchant(world.ids["one"], Debt.AVAILABLE)
    earned = Entry(
        id=ids.new(), key="opening:test", kind=Kind.OPENING, reference="", evidence={},
        merchant_id=world.ids["one"], posted_at=context.clock.now(),
        postings=transfer("EUR", 100_000, debit=bank("main"), credit=available),
    )  # fmt: skip
    # The books of the account begin with that, so the first statement's opening is no one's.
    async with context.database.begin() as session:
        await post(session, [earned])
    yield Bank(world)
    report = await verify(context.database)
    assert report.problems == ()


async def test_an_account_is_made_shown_and_removed(house: Bank) -> None:
    one, two = house.one, house.world.two
    answer = await one.post(ACCOUNTS, ADA | {"bic": "coba deff"}, headers={"Idempotency-Key": "a"})
    made = answer.json
    MerchantBankAccount.model_validate(made)
    assert (answer.status, made["status"], made["bic"]) == (201, "cooling", "COBADEFF")
    assert made["iban"] == "GB82WEST12345698765432"
    again = await one.post(ACCOUNTS, ADA | {"bic": "coba deff"}, headers={"Idempotency-Key": "a"})
    assert again.body == answer.body
    twice = await one.post(ACCOUNTS, ADA)
    assert (twice.status, twice.code) == (409, "already_known")
    assert (await one.get(f"{ACCOUNTS}/{made['id']}")).json == made
    assert (await one.get(ACCOUNTS)).json["data"] == [made]
    whose = ids.show("mer", house.world.ids["one"])
    assert (await house.operator.get(f"{ACCOUNTS}?merchant={whose}")).json["data"] == [made]
    # another merchant's is an unknown one, and may have the same IBAN
    assert (await two.get(ACCOUNTS)).json["data"] == []
    for method in ("GET", "DELETE"):
        assert (await two(method, f"{ACCOUNTS}/{made['id']}")).code == "not_found"
    assert (await two.get(f"{ACCOUNTS}?merchant={whose}")).status == 403
    assert (await two.post(ACCOUNTS, ADA)).status == 201
    house.pass_days(1)
    assert (await one.get(f"{ACCOUNTS}/{made['id']}")).json["status"] == "usable"
    gone = await one("DELETE", f"{ACCOUNTS}/{made['id']}")
    assert (gone.status, gone.json["status"]) == (200, "removed")
    assert (await one.get(ACCOUNTS)).json["data"] == []
    anew = (await one.post(ACCOUNTS, ADA)).json
    assert (anew["id"] != made["id"], anew["status"]) == (True, "cooling")


async def test_accounts_that_are_refused_and_keys_that_may_not(house: Bank) -> None:
    for change, field, code in BAD_ACCOUNTS:
        answer = await house.one.post(ACCOUNTS, ADA | change)
        assert (answer.status, answer.code) == (422, code), (change, answer.body)
        assert [e["field"] for e in answer.json["errors"]] == [field], answer.body
    reader = await house.world.key("one", "payouts:read")
    assert (await reader.post(ACCOUNTS, ADA)).code == "missing_scope"
    assert (await reader.get(ACCOUNTS)).status == 200
    stranger = await house.world.key("one", "invoices:write")
    assert (await stranger.get(ACCOUNTS)).code == "missing_scope"
    assert (await house.operator.post(ACCOUNTS, ADA)).code == "forbidden"
    assert [one["id"] for one in (await house.operator.get(ACCOUNTS)).json["data"]] == ["main"]


async def test_requests_that_are_refused(house: Bank) -> None:
    account = await house.account()
    other = (await house.world.two.post(ACCOUNTS, ADA)).json["id"]
    address = {"network": "eip155:31337", "address": "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"}
    for change, field, code in (
        ({"amount": "0"}, "amount", "invalid_amount"),
        ({"amount": "0.001"}, "amount", "invalid_amount"),
        ({"asset": "ETH"}, "asset", "unknown_asset"),
        ({"asset": "USD"}, "asset", "wrong_currency"),
        ({"bank_account": None}, "bank_account", "invalid_request"),
        ({"bank_account": "bnk_1"}, "bank_account", "unknown_bank_account"),
        ({"bank_account": other}, "bank_account", "unknown_bank_account"),
        (address, "bank_account", "invalid_request"),
    ):
        answer = await house.ask("1.00", account, change)
        assert (answer.status, answer.code) == (422, code), (change, answer.body)
        assert [e["field"] for e in answer.json["errors"]] == [field], answer.body
    answer = await house.ask("1000.01", account)
    assert (answer.status, answer.code) == (409, "insufficient_funds")
    await house.one("DELETE", f"{ACCOUNTS}/{account}")
    assert (await house.ask("1.00", account)).code == "unknown_bank_account"
    assert await balances(house.one, "EUR") == ("1000.00", "0.00")


async def test_from_the_request_to_the_line_of_a_statement(house: Bank) -> None:
    account = await house.account()
    made = (await house.ask("250.00", account, {"reference": "salary"})).json
    Payout.model_validate(made)
    assert (made["status"], made["network"], made["address"]) == ("requested", None, None)
    assert (made["network_fee"], made["bank_account"]) == ("0.00", account)
    assert await balances(house.one, "EUR") == ("750.00", "250.00")
    path = f"{PATH}/{made['id']}"
    assert (await house.operator.post(f"{path}/approve", {})).code == "no_approval_needed"
    await house.work()
    shown = await house.show(made["id"])
    assert (shown["status"], shown["reasons"]) == ("held", ["approval_needed"])
    waiting = (await house.operator.get(f"{PATH}?status=held&asset=EUR")).json["data"]
    assert waiting == [shown]
    assert (await house.one.get(f"{PATH}?asset=ETH")).json["data"] == []
    assert (await house.operator.post(EXPORTS, {})).code == "nothing_to_export"
    assert (await house.one.post(f"{path}/approve", {})).code == "forbidden"
    reader = await house.world.key(None, "payouts:read")
    assert (await reader.post(f"{path}/approve", {})).code == "missing_scope"
    told = await house.operator.post(f"{path}/approve", {})
    assert (told.json["status"], told.json["approvals"]) == ("approved", {"needed": 1, "given": 1})

    exports = await asyncio.gather(
        *(house.operator.post(EXPORTS, {"account": "main"}) for _ in range(4))
    )
    assert sorted(one.status for one in exports) == [201, 409, 409, 409]
    [export] = [one.json for one in exports if one.status == 201]
    BankExport.model_validate(export)
    assert (export["payouts"], export["total"]) == (1, "250.00")
    shown = await house.show(made["id"])
    assert (shown["status"], shown["bank_export"]) == ("sending", export["id"])
    file = await house.operator.get(f"{EXPORTS}/{export['id']}/file")
    assert file.headers["content-type"].startswith("application/xml")
    [named] = re.findall(r"<EndToEndId>(.*)</EndToEndId>", file.body.decode())
    assert named.replace("-", "_") == made["id"]
    assert b"<IBAN>GB82WEST12345698765432</IBAN>" in file.body
    # never twice, unless it is asked for again by its id
    assert (await house.operator.post(EXPORTS, {})).code == "nothing_to_export"
    assert (await house.operator.get(f"{EXPORTS}/{export['id']}/file")).body == file.body
    assert (await house.operator.get(EXPORTS)).json["data"] == [export]
    assert (await house.one.post(f"{path}/reject", {"reason": "x"})).code == "payout_not_open"
    assert await balances(house.one, "EUR") == ("750.00", "250.00")

    line = await house.line(-25_000, f"SEPA {named.upper()}")
    assert (line["lines"], line["matched"]) == (1, 1)
    shown = await house.show(made["id"])
    assert (shown["status"], shown["reasons"]) == ("paid", [])
    assert shown["finished_at"] is not None
    assert await balances(house.one, "EUR") == ("750.00", "0.00")
    assert await house.breaks() == []
    [main] = (await house.operator.get(ACCOUNTS)).json["data"]
    # 1,000.00 were there, the first statement brings its own opening
    assert main["balance"] == "1750.00"
    steps = ["requested", "held", "approved", "sending", "paid"]
    assert await house.events() == [f"payout.{step}" for step in steps]


async def test_a_move_of_the_same_amount_is_no_payout(house: Bank) -> None:
    number = await house.sending("100.00", await house.account())
    body = {"asset": "EUR", "amount": "100.00", "from": "bank:main", "to": "binance"}
    made = await house.operator.post(
        "/v1/treasury/moves", body, headers={"Idempotency-Key": "to the venue"}
    )
    assert made.status == 201, made.body
    assert (await house.line(-10_000))["matched"] == 0  # it may be either
    assert (await house.show(number))["status"] == "sending"
    assert await house.breaks() == [("missing_in_ledger", "bank:main", "-100.00")]
    await house.line(-10_000)  # both are there: one for each
    assert (await house.show(number))["status"] == "paid"
    assert await house.breaks() == []
    lines = (await house.operator.get("/v1/bank_lines?account=main")).json["data"]
    assert {tuple(one["matched_with"]) for one in lines} == {(number,), (made.json["id"],)}


async def test_a_name_tells_a_payout_from_a_move(house: Bank) -> None:
    number = await house.sending("100.00", await house.account())
    body = {"asset": "EUR", "amount": "100.00", "from": "bank:main", "to": "binance"}
    made = await house.operator.post(
        "/v1/treasury/moves", body, headers={"Idempotency-Key": "to the venue"}
    )
    assert (await house.line(-10_000, number.replace("_", "-").upper()))["matched"] == 1
    assert (await house.show(number))["status"] == "paid"
    await house.line(-10_000, "the venue's own reference")
    [line] = (await house.operator.get("/v1/bank_lines?account=main&limit=1")).json["data"]
    assert line["matched_with"] == [made.json["id"]]
    assert await house.breaks() == []


async def test_a_new_account_holds_its_payouts_until_it_has_cooled(house: Bank) -> None:
    number = await house.held("10.00", await house.account(cooled=False))
    shown = await house.show(number)
    assert shown["reasons"] == ["destination_cooling", "approval_needed"]
    told = await house.operator.post(f"{PATH}/{number}/approve", {})
    assert (told.json["status"], told.json["reasons"]) == ("held", ["destination_cooling"])
    await house.work()
    assert (await house.show(number))["status"] == "held"
    house.pass_days(1)
    await house.work()
    assert (await house.show(number))["status"] == "approved"


async def test_a_removed_account_takes_back_what_waits(house: Bank) -> None:
    account = await house.account()
    ordered = await house.sending("1.00", account)
    waiting = await house.released("2.00", account)
    await house.one("DELETE", f"{ACCOUNTS}/{account}")
    assert (await house.show(waiting))["rejection"] == "its bank account was removed"
    assert (await house.show(ordered))["status"] == "sending"
    assert await balances(house.one, "EUR") == ("999.00", "1.00")


NEVER = {
    "name": "never so much",
    "assets": ["EUR"],
    "amount": {"asset": "USD", "above": "500.00", "window_seconds": DAY},
    "effect": "block",
}
TWO = {"name": "two people", "assets": ["EUR"], "effect": "approve", "approvals": {"needed": 2}}


async def test_four_eyes_and_a_policy_that_blocks(house: Bank) -> None:
    rules = {"default": {"effect": "allow"}, "rules": [NEVER, TWO], "version": 0}
    draft = await house.operator("PUT", "/v1/policies", json=rules)
    assert draft.json["errors"] == [], draft.body
    published = await house.operator.post("/v1/policies/publish", {"version": 1, "note": "x"})
    assert published.status == 201, published.body
    house.world.context.risk = RiskSettings(cooling=0)  # two days later prices are stale
    account = await house.account(cooled=False)
    number = await house.held("20.00", account)
    over = await house.show(await house.held("440.00", account))  # 506 USD in a day
    assert (over["status"], over["reasons"], over["rule"]) == (
        "rejected", ["policy"], "never so much",
    )  # fmt: skip
    for _ in range(2):  # one person's word counts once
        told = (await house.operator.post(f"{PATH}/{number}/approve", {})).json
        assert (told["status"], told["approvals"]) == ("held", {"needed": 2, "given": 1})
    second = await house.world.key(None, "payouts:write")
    assert (await second.post(f"{PATH}/{number}/approve", {})).json["status"] == "approved"
    assert (await house.show(number))["rule"] == "two people"


async def test_explain(house: Bank) -> None:
    account = await house.account()
    body = {"amount": "1000.01", "asset": "EUR", "bank_account": account}
    answer = await house.one.post(f"{PATH}/explain", body)
    assert answer.status == 200, answer.body
    told = answer.json
    Explanation.model_validate(told)
    assert (told["status"], told["reasons"]) == ("held", ["approval_needed"])
    assert told["funds"] == {"needed": "1000.01", "available": "1000.00", "enough": False}
    assert (told["network_fee"], told["known_destination"]) == ("0.00", True)
    assert told["signer"] is None, "it has no say at a bank"
    answer = await house.one.post(f"{PATH}/explain", body | {"bank_account": "bnk_1"})
    assert answer.code == "unknown_bank_account"


async def test_a_batch_of_both_and_one_line_for_several(house: Bank) -> None:
    account = await house.account()
    one = {"amount": "10.00", "asset": "EUR", "bank_account": account}
    answer = await ask(house.one, {"payouts": [one, one, one]}, "/v1/payout_batches")
    assert answer.status == 201, answer.body
    await house.work()
    numbers = [payout["id"] for payout in answer.json["payouts"]]
    for number in numbers:
        await house.operator.post(f"{PATH}/{number}/approve", {})
    assert (await house.operator.post(EXPORTS, {"currency": "EUR"})).json["payouts"] == 3
    await house.line(-2_000, " ".join(numbers[:2]))
    await house.line(-1_000)  # the amount alone
    assert [(await house.show(number))["status"] for number in numbers] == ["paid"] * 3
    batch = (await house.one.get(f"/v1/payout_batches/{answer.json['id']}")).json
    assert (batch["status"], batch["summary"]["paid"]) == ("done", 3)
    bad = await ask(house.one, {"payouts": [one, one | {"amount": "0"}]}, "/v1/payout_batches")
    assert [e["field"] for e in bad.json["errors"]] == ["payouts.1.amount"]


async def test_what_comes_back_is_the_merchants_again(house: Bank) -> None:
    number = await house.sending("100.00", await house.account())
    await house.line(-10_000, number)
    await house.line(10_000, "another customer", days=1)  # no name: not it
    assert (await house.show(number))["status"] == "paid"
    await house.line(10_000, f"RETURN {number} AC04", days=1)
    shown = await house.show(number)
    assert (shown["status"], shown["reasons"]) == ("failed", ["returned"])
    assert (shown["failure"], shown["finished_at"] is None) == ("the bank brought it back", False)
    assert await balances(house.one, "EUR") == ("1000.00", "0.00")
    assert (await house.events())[-3:] == ["payout.paid", "payout.reversed", "payout.failed"]
    assert await house.breaks() == [("missing_in_ledger", "bank:main", "100.00")]


async def test_what_is_unclear_is_a_break_for_a_person(house: Bank) -> None:
    number = await house.sending("100.00", await house.account())
    await house.line(-10_150, number)  # with the bank's fee
    assert await house.breaks() == [("amount", "bank:main", "-101.50")]
    assert (await house.show(number))["status"] == "sending"
    [line] = (await house.operator.get("/v1/bank_lines?status=open")).json["data"]
    path = f"/v1/bank_lines/{line['id']}/match"
    answer = await house.operator.post(path, {"moves": [number]})
    assert answer.code == "amounts_differ"
    answer = await house.operator.post(path, {"moves": [number], "difference": "exchange_fees"})
    assert (answer.status, answer.json["matched_with"]) == (200, [number])
    assert (await house.show(number))["status"] == "paid"
    assert await house.breaks() == []
    await house.line(-10_000, number)  # the bank did it twice
    assert await house.breaks() == [("amount", "bank:main", "-100.00")]
    await house.line(9_500, f"back {number}")
    assert ("amount", "bank:main", "95.00") in await house.breaks()
    assert (await house.show(number))["status"] == "paid"


async def test_overdue_and_declined(house: Bank) -> None:
    number = await house.sending("100.00", await house.account())
    await house.line(1, "soon", days=6)
    assert [kind for kind, _, _ in await house.breaks()] == ["missing_in_ledger"]
    await house.line(1, "late", days=8)
    assert ("timing", "bank:main", "100.00") in await house.breaks()
    merchants = await house.one.post(f"{PATH}/{number}/fail", {"reason": "x"})
    assert merchants.status == 403
    for _ in range(2):
        told = await house.operator.post(f"{PATH}/{number}/fail", {"reason": "account closed"})
        assert (told.json["status"], told.json["reasons"]) == ("failed", ["declined"])
        assert told.json["failure"] == "account closed"
    assert await balances(house.one, "EUR") == ("1000.00", "0.00")
    assert "timing" not in [kind for kind, _, _ in await house.breaks()]
    await house.line(-10_000, number, days=9)  # it was carried out after all: nobody guesses
    assert ("missing_in_ledger", "bank:main", "-100.00") in await house.breaks()
    other = await house.released("1.00", (await house.one.get(ACCOUNTS)).json["data"][0]["id"])
    answer = await house.operator.post(f"{PATH}/{other}/fail", {"reason": "x"})
    assert (answer.status, answer.code) == (409, "payout_not_sending")


async def test_typed_in_at_the_bank_without_a_file(house: Bank) -> None:
    account = await house.account()
    held, released = await house.held("30.00", account), await house.released("30.00", account)
    await house.line(-3_000)  # nameless: could be anything
    assert (await house.show(released))["status"] == "approved"
    await house.line(-3_000, released)
    assert (await house.show(released))["status"] == "paid"
    assert (await house.operator.post(EXPORTS, {})).code == "nothing_to_export"
    await house.line(-3_000, held)  # nobody released it
    assert (await house.show(held))["status"] == "held"
    assert [kind for kind, _, _ in await house.breaks()] == ["missing_in_ledger"] * 2


@pytest.mark.parametrize("seed", range(numbers(1, 20)))
async def test_whatever_happens_money_is_in_one_place(house: Bank, seed: int) -> None:
    """Random histories: every payout in one file at most, every cent where its status says."""
    chance = Random(seed)
    account = await house.account()
    amounts: dict[str, int] = {}
    stands: dict[str, str] = {}
    files: list[str] = []

    def those(*statuses: str) -> list[str]:
        return [number for number, status in stands.items() if status in statuses]

    for n in range(numbers(20, 200)):
        what = chance.choice(["ask", "ask", "release", "release", "export", "pay", "pay", "other"])
        if what == "ask":
            cents = 100 + n  # each its own, so that an amount is a name
            number = await house.held(FIAT["EUR"].format(cents), account)
            amounts[number], stands[number] = cents, "held"
        elif what == "release" and (waiting := those("held")):
            number = chance.choice(waiting)
            await house.operator.post(f"{PATH}/{number}/approve", {})
            stands[number] = "approved"
        elif what == "export" and (ready := those("approved")):
            made = (await house.operator.post(EXPORTS, {})).json
            files.append((await house.operator.get(f"{EXPORTS}/{made['id']}/file")).body.decode())
            stands |= dict.fromkeys(ready, "sending")
        elif what == "pay" and (ordered := those("sending")):
            some = chance.sample(ordered, min(len(ordered), chance.choice([1, 2])))
            names = " ".join(some) if len(some) > 1 or chance.random() < 0.5 else ""
            await house.line(-sum(amounts[one] for one in some), names)
            stands |= dict.fromkeys(some, "paid")
        elif what == "other" and stands:
            number = chance.choice(list(stands))
            if stands[number] in ("held", "approved"):
                await house.one.post(f"{PATH}/{number}/reject", {"reason": "x"})
                stands[number] = "rejected"
            elif stands[number] == "sending":
                await house.operator.post(f"{PATH}/{number}/fail", {"reason": "x"})
                stands[number] = "failed"
            elif stands[number] == "paid":
                await house.line(amounts[number], number)
                stands[number] = "failed"
    shown = {number: (await house.show(number))["status"] for number in stands}
    assert shown == stands
    reserved = sum(amounts[one] for one in those("held", "approved", "sending"))
    left = 100_000 - reserved - sum(amounts[one] for one in those("paid"))
    euro = FIAT["EUR"].format
    assert await balances(house.one, "EUR") == (euro(left), euro(reserved))
    assert await house.breaks() == []
    named = [one for file in files for one in re.findall(r"<EndToEndId>(.*)</", file)]
    assert len(named) == len(set(named))
    async with house.world.context.database.read() as session:
        query = (
            "select count(*) from account_balances where account like 'transit:%' and balance <> 0"
        )
        assert await session.scalar(text(query)) == 0
