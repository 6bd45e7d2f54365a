"""What was paid too much goes back once, however it is cut up and in whatever it is asked for."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from payments.facts import OptionFact, Pair
from payments.refund_amounts import excess_units
from payments.tables import Deposit
from payments.values import SCALE

CENTS = 2
PAIRS: tuple[Pair, ...] = (("eip155:1", "ETH"), ("eip155:1", "USDC"), ("eip155:8453", "USDC"))
DECIMALS = {"ETH": 18, "USDC": 6}
RATES = {"ETH": 251_337 * SCALE // 100, "USDC": 999_871 * SCALE // 10**6}


def option(pair: Pair, cents: int) -> OptionFact:
    """What was printed for it: rounded up, as it is asked for."""
    decimals, rate = DECIMALS[pair[1]], RATES[pair[1]]
    amount = -(-cents * SCALE * 10**decimals // (rate * 10**CENTS))
    return OptionFact(decimals=decimals, quote_decimals=decimals, amount=amount, rate=rate)


def worth(pair: Pair, units: int) -> Fraction:
    """In cents, exactly."""
    scale = SCALE * 10 ** DECIMALS[pair[1]]
    return Fraction(units * RATES[pair[1]] * 10**CENTS, scale)


@given(
    due=st.integers(1, 10_000),
    paid=st.lists(st.tuples(st.sampled_from(PAIRS), st.integers(1, 10_000)), min_size=1),
    asked=st.lists(st.tuples(st.sampled_from(PAIRS), st.fractions(0, 1)), max_size=12),
)
def test_no_more_than_the_excess_goes_back(
    due: int, paid: list[tuple[Pair, int]], asked: list[tuple[Pair, Fraction]]
) -> None:
    options = {pair: option(pair, due) for pair in PAIRS}
    deposits = [
        Deposit(network=pair[0], asset=pair[1], amount=option(pair, cents).amount)
        for pair, cents in paid
    ]
    came: Counter[Pair] = Counter()
    for deposit in deposits:
        came[deposit.network, deposit.asset] += deposit.amount
    total = sum(worth(pair, units) for pair, units in came.items())
    excess = max(0, (total - due).__floor__())
    gone: Counter[Pair] = Counter()
    for pair, part in [*asked, *((pair, Fraction(1)) for pair in came)]:
        if pair in came:
            left = excess_units(excess, deposits, pair, options, CENTS, gone)
            gone[pair] += (min(left, came[pair] - gone[pair]) * part).__floor__()
    back = sum(worth(pair, units) for pair, units in gone.items())
    if len(came) == 1:  # exactly what came above what was printed
        [(pair, units)] = came.items()
        assert gone[pair] == max(0, units - options[pair].amount)
    else:
        smallest = sum(worth(pair, 1) for pair in came)  # each is rounded by less than one unit
        enough = all(came[pair] > gone[pair] for pair in came)
        assert back <= excess
        assert not enough or excess - back < smallest * (len(gone) + 1)
