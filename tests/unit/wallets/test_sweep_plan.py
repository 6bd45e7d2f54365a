"""What is swept and why the rest is not: a table of cases, and laws that hold for all."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.networks import NATIVE, SweepPolicy
from wallets import sweep_packing
from wallets.intents import Known, Sweep, SweepKnown
from wallets.sweep_packing import AGAIN, BASE_GAS, CALL_GAS, FIRST, Load, pack
from wallets.sweep_plan import Fees, Holding, Plan, Prices, Reason, plan, retry_at

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
GWEI = 10**9
USDC, DAI, ODD = ("0x" + byte * 20 for byte in ("c0", "c1", "c2"))
DECIMALS = {NATIVE: 18, USDC: 6, DAI: 18}
SYMBOLS = {NATIVE: "ETH", USDC: "USDC", DAI: "DAI"}
PRICES = Prices(2500 * 10**18, {"ETH": 2500 * 10**18, "USDC": 10**18, "DAI": 10**18})
POLICY = SweepPolicy(minimum=100, max_gas_percent=2, cheap_percent=25, max_age_seconds=7 * 86_400)
# 48,400 gas at 1 gwei and 2,500 USD an ETH: 12.1 cents, 2 % of 6.05 USD
CALM = Fees(GWEI, 0, [GWEI] * 8)


def holding(n: int = 1, token: str = USDC, whole: int = 25, **said: Any) -> Holding:
    decimals = DECIMALS.get(token, 0)
    usual: dict[str, Any] = {
        "address": f"0x{n:040x}",
        "salt": f"0x{n:064x}",
        "token": token,
        "asset": SYMBOLS.get(token),
        "decimals": decimals,
        "amount": whole * 10**decimals,
        "since": NOW - HOUR,
        "exact": token in SYMBOLS,
    }
    return Holding(**{**usual, **said})


def many(count: int, **said: Any) -> list[Holding]:
    return [holding(n + 1, **said) for n in range(count)]


def reasons(found: Plan) -> list[Reason]:
    return [one.reason for one in found.skipped]


# Twenty of these share a transaction, so that its own gas is no matter.
ECONOMICS: list[tuple[str, dict[str, Any], Fees, Reason | None]] = [
    ("worth it while gas is cheap", {}, CALM, None),
    ("dust", {"amount": 999_999}, CALM, Reason.SMALL),
    ("the minimum itself", {"amount": 10**6, "deployed": True}, CALM, Reason.DEAR),
    ("gas above its share", {"whole": 6}, CALM, Reason.DEAR),
    ("gas above its share, cheaper where deployed", {"whole": 6, "deployed": True}, CALM, None),
    ("gas ten times as dear", {}, Fees(10 * GWEI, 0, [10 * GWEI]), Reason.DEAR),
    ("a tip counts", {}, Fees(GWEI, 9 * GWEI, [GWEI]), Reason.DEAR),
    ("dearer than of late", {}, Fees(GWEI, 0, [GWEI // 2] * 9), Reason.WAITS),
    ("as cheap as the cheapest quarter", {}, Fees(GWEI, 0, [GWEI, 2 * GWEI, 3 * GWEI, 4 * GWEI]),
     None),
    ("not among the cheapest quarter", {},
     Fees(GWEI, 0, [GWEI // 2, GWEI // 2, 3 * GWEI, 4 * GWEI]), Reason.WAITS),
    ("old: at any fee", {"since": NOW - 7 * DAY}, Fees(20 * GWEI, 0, [GWEI]), None),
    ("old: but never for more than it is worth", {"since": NOW - 8 * DAY},
     Fees(300 * GWEI, 0, [GWEI]), Reason.DEAR),
    ("a day short of old", {"since": NOW - 6 * DAY}, Fees(GWEI, 0, [GWEI // 2]), Reason.WAITS),
    ("old dust stays dust", {"since": NOW - 8 * DAY, "amount": 1}, CALM, Reason.SMALL),
    ("nobody knows what it is worth", {"asset": "WHAT"}, CALM, Reason.NO_PRICE),
    ("in another sweep", {"busy": True}, CALM, Reason.BUSY),
    ("nothing there", {"amount": 0}, CALM, Reason.EMPTY),
    ("all of it unconfirmed", {"amount": 0, "pending": 5}, CALM, Reason.UNCONFIRMED),
    ("some unconfirmed: the rest is named", {"pending": 5}, CALM, None),
    ("some unconfirmed, and all would go", {"pending": 5, "exact": False}, CALM,
     Reason.UNCONFIRMED),
    ("held by screening", {"held": True}, CALM, Reason.HELD),
    ("refused a moment ago", {"failures": 1, "failed_at": NOW}, CALM, Reason.FAILING),
    ("refused an hour ago", {"failures": 1, "failed_at": NOW - HOUR}, CALM, None),
    ("refused twice, an hour ago", {"failures": 2, "failed_at": NOW - HOUR}, CALM, Reason.FAILING),
]  # fmt: skip


@pytest.mark.parametrize(("said", "fees", "wanted"), [row[1:] for row in ECONOMICS],
                         ids=[row[0] for row in ECONOMICS])  # fmt: skip
def test_economics(said: dict[str, Any], fees: Fees, wanted: Reason | None) -> None:
    found = plan(many(20, **said), PRICES, fees, POLICY, NOW)
    if wanted is None:
        assert found.skipped == ()
        assert sum(len(load.holdings) for load in found.loads) == 20
    else:
        assert reasons(found) == [wanted] * 20
        assert found.loads == ()


def test_only_a_policy_bounds_what_gas_may_cost() -> None:
    assert plan(many(20), PRICES, Fees(GWEI, GWEI), POLICY, NOW).per_gas == 4 * GWEI
    assert plan(many(20), PRICES, Fees(GWEI, GWEI), None, NOW).per_gas is None


def test_one_alone_does_not_pay_for_a_transaction() -> None:
    """It is worth its own gas, but not the 36,000 of a transaction for itself."""
    one = holding(whole=7)
    assert reasons(plan([one], PRICES, CALM, POLICY, NOW)) == [Reason.DEAR]
    assert plan(many(20, whole=7), PRICES, CALM, POLICY, NOW).skipped == ()


def test_a_command_asks_for_no_price() -> None:
    poor = [*many(3, amount=1), holding(9, ODD, amount=1)]
    found = plan(poor, Prices(None, {}), Fees(10**15), None, NOW)
    assert found.skipped == ()
    assert sorted(h.token for load in found.loads for h in load.holdings) == [USDC] * 3 + [ODD]


@pytest.mark.parametrize("said", [{"held": True}, {"failures": 9, "failed_at": NOW}])
def test_who_names_an_address_means_it(said: dict[str, Any]) -> None:
    assert plan([holding(**said)], PRICES, CALM, None, NOW).loads == ()
    assert len(plan([holding(**said)], PRICES, CALM, None, NOW, insist=True).loads) == 1


def test_pauses_grow_to_a_week() -> None:
    pauses = [(retry_at(n, NOW) - NOW) // HOUR for n in (1, 2, 3, 7, 8, 9, 500)]
    assert pauses == [1, 2, 4, 64, 128, 168, 168]
    [skipped] = plan([holding(failures=3, failed_at=NOW)], PRICES, CALM, None, NOW).skipped
    assert skipped.retry_at == NOW + 4 * HOUR


def test_named_amounts_alone_and_everything_else_together() -> None:
    alone = pack(many(3), 10**7)
    assert [load.named for load in alone] == [True]
    shared = pack([*many(3), *many(3, token=DAI), *many(3, token=NATIVE)], 10**7)
    assert [(load.named, [g.token for g in load.groups]) for load in shared] == [
        (False, [USDC, DAI, NATIVE])
    ]
    # Forty-two save more by named amounts than the transaction of their own costs.
    apart = pack([*many(42), *many(3, token=NATIVE)], 10**7)
    assert [load.named for load in apart] == [True, False]
    short = [load.named for load in pack([*many(41), *many(3, token=NATIVE)], 10**7)]
    assert short == [False]


def test_foreign_tokens_go_apart_and_whole() -> None:
    loads = pack([holding(1), holding(2, ODD, amount=5)], 10**7)
    assert [(load.named, load.groups[0].token) for load in loads] == [(True, USDC), (False, ODD)]


def test_what_does_not_fit_into_a_word_is_not_named() -> None:
    [load] = pack([holding(1, amount=2**128)], 10**7)
    assert not load.named
    [load] = pack([holding(1, amount=2**128 - 1)], 10**7)
    assert load.named


def test_the_first_ones_are_the_fresh_ones() -> None:
    some = [holding(n, deployed=n % 2 == 0, contested=n == 3) for n in range(1, 7)]
    [load] = pack(some, 10**7)
    [group] = load.groups
    assert group.fresh == 2
    assert [int(h.address, 16) for h in group.holdings] == [1, 5, 2, 3, 4, 6]
    assert list(group.gas) == [48_400, 48_400, 11_300, 48_400, 11_300, 11_300]


def test_a_second_token_meets_the_code_of_the_first() -> None:
    [load] = pack([*many(2), *many(2, token=DAI), *many(2, token=NATIVE)], 10**7)
    assert [g.fresh for g in load.groups] == [2, 0, 0]
    assert [list(g.gas) for g in load.groups] == [[48_400] * 2, [11_300] * 2, [12_500] * 2]
    apart = pack([*many(50), *many(50, token=DAI)], 10**8)
    assert [g.fresh for load in apart for g in load.groups] == [0, 0]  # nobody knows who is first


def test_the_intents_say_the_same() -> None:
    [named] = pack(many(2), 10**7)
    assert named.intent("swp_1", "0xf0") == SweepKnown(
        id="swp_1", factory="0xf0", token=USDC, fresh=2, call_gas=CALL_GAS,
        known=(Known(salt=f"0x{1:064x}", amount=25 * 10**6),
               Known(salt=f"0x{2:064x}", amount=25 * 10**6)),
    )  # fmt: skip
    [shared] = pack([holding(1), holding(1, NATIVE)], 10**7)
    intent = shared.intent("swp_2", "0xf0")
    assert isinstance(intent, Sweep)
    assert [(b.token, b.fresh, b.salts) for b in intent.batches] == [
        (USDC, 1, (f"0x{1:064x}",)),
        (NATIVE, 0, (f"0x{1:064x}",)),
    ]
    assert shared.gas == BASE_GAS + FIRST[False] + AGAIN[True]
    assert shared.least_gas == shared.gas + CALL_GAS * 64 // 63 + 2_300


holdings = st.lists(
    st.builds(
        holding,
        n=st.integers(1, 12),
        token=st.sampled_from([NATIVE, USDC, DAI, ODD]),
        amount=st.sampled_from([0, 1, 10**6, 10**18, 10**20, 2**127, 2**128]),
        pending=st.sampled_from([0, 0, 0, 7]),
        since=st.sampled_from([NOW - HOUR, NOW - 9 * DAY]),
        deployed=st.booleans(),
        contested=st.booleans(),
        busy=st.sampled_from([False] * 5 + [True]),
        held=st.sampled_from([False] * 5 + [True]),
        failures=st.sampled_from([0, 0, 0, 2]),
        failed_at=st.sampled_from([NOW, NOW - DAY]),
    ),
    unique_by=lambda h: (h.address, h.token),
    max_size=40,
)
fees = st.builds(
    Fees,
    st.integers(1, 500 * GWEI),
    st.integers(0, 5 * GWEI),
    st.lists(st.integers(1, 500 * GWEI), max_size=6),
)
policies = st.none() | st.builds(
    SweepPolicy,
    minimum=st.integers(0, 10_000),
    max_gas_percent=st.integers(1, 100),
    cheap_percent=st.integers(1, 100),
    max_gas=st.integers(100_000, 2_000_000),
)


def _addresses(load: Load[Holding]) -> set[str]:
    return {h.address for h in load.holdings}


@given(holdings, fees, policies, st.booleans())
def test_laws(some: list[Holding], gas: Fees, policy: SweepPolicy | None, insist: bool) -> None:
    found = plan(some, PRICES, gas, policy, NOW, insist=insist, max_gas=400_000)
    taken = [h for load in found.loads for h in load.holdings]
    # Each holding once, swept or with a reason.
    keys = Counter((h.address, h.token) for h in [*taken, *(s.holding for s in found.skipped)])
    assert keys == Counter((h.address, h.token) for h in some)
    cap = policy.max_gas if policy else 400_000
    for load in found.loads:
        assert load.gas <= cap or len(load.holdings) == 1
        assert len({h.asset is None for h in load.holdings}) == 1
        assert not load.named or (len(load.groups) == 1 and load.groups[0].token != NATIVE)
        for group in load.groups:
            assert {h.token for h in group.holdings} == {group.token}
            for h in group.holdings[: group.fresh]:
                assert (h.deployed, h.contested) == (False, False)
                assert sum(h.address in _addresses(one) for one in found.loads) == 1
    for h in taken:
        assert h.amount > 0
        assert not h.busy
        assert insist or not h.held
    if policy and taken:
        cost = PRICES.gas(sum(load.gas for load in found.loads) * gas.per_gas)
        worth = sum(PRICES.value(h) or 0 for h in taken)
        assert cost is not None
        assert cost <= worth
        young = all(NOW - h.since < timedelta(seconds=policy.max_age_seconds) for h in taken)
        assert not young or cost * 100 <= worth * policy.max_gas_percent
    if policy is None:
        free = [h for h in some if not h.busy and h.amount > 0]
        whole = [h for h in free if not (h.pending and (h.token == NATIVE or not h.exact))]
        wanted = whole if insist else [
            h for h in whole
            if not h.held and (not h.failures or retry_at(h.failures, h.failed_at or NOW) <= NOW)
        ]  # fmt: skip
        assert {(h.address, h.token) for h in taken} == {(h.address, h.token) for h in wanted}


@given(holdings, fees, st.randoms(use_true_random=False))
def test_the_order_of_the_books_does_not_matter(some: list[Holding], gas: Fees, luck: Any) -> None:
    shuffled = list(some)
    luck.shuffle(shuffled)
    assert (
        plan(shuffled, PRICES, gas, POLICY, NOW).loads == plan(some, PRICES, gas, POLICY, NOW).loads
    )


@given(holdings)
def test_what_another_sweep_takes_meanwhile_only_leaves(some: list[Holding]) -> None:
    kept = [h for n, h in enumerate(some) if n % 3]
    loads = sweep_packing.pack(kept, 10**6)
    taken = [h for load in loads for h in load.holdings]
    assert sorted(taken, key=str) == sorted(kept, key=str)
