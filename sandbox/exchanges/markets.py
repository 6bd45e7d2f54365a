"""What the two venues list, and how they differ: filters, fees, networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exchanges.numbers import parse
from exchanges.types import Venue
from sandbox.exchanges.types import SimMarket, SimNetworkRule

# Each venue's words for the sandbox's networks.
NETWORK_WORDS: Mapping[Venue, Mapping[str, str]] = {
    Venue.BINANCE: {"eip155:31337": "ETH", "eip155:31338": "BASE"},
    Venue.COINBASE: {"eip155:31337": "ethereum", "eip155:31338": "base"},
}
# What the account begins with (API 2, Sandbox), in major units.
OPENING: Mapping[str, int] = {
    "ETH": 100,
    "USDC": 500_000,
    "USDT": 500_000,
    "EUR": 500_000,
    "USD": 500_000,
}
_SYMBOLS = ("ETH-EUR", "ETH-USDT", "ETH-USD", "USDT-EUR", "USDC-EUR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a venue counts.

    `fee_in_quote`: fees are always in quote, on top of what a buyer pays; else in what is received.
    `fee_step`: fees round up to it. `unique_ever`: a known client id gives the first order again;
    else it is refused while that order is open. `withdrawal_fee_within`: the amount that is asked
    for includes the fee; else it comes on top.
    """

    venue: Venue
    fee_in_quote: bool
    fee_step: int
    unique_ever: bool
    withdrawal_fee_within: bool
    markets: Mapping[str, SimMarket]


def _market(
    symbol: str, *, step: str, least: str, notional: str, fees: tuple[str, str]
) -> SimMarket:
    base, _, quote = symbol.partition("-")
    is_eth = base == "ETH"
    return SimMarket(
        symbol=symbol,
        base=base,
        quote=quote,
        tick=parse("0.01" if is_eth else "0.0001"),
        step=parse(step),
        min_quantity=parse(least),
        max_quantity=parse("9000" if is_eth else "10000000"),
        min_notional=parse(notional),
        taker_fee=parse(fees[0]),
        maker_fee=parse(fees[1]),
    )


def _binance(symbol: str) -> SimMarket:
    step = "0.0001" if symbol.startswith("ETH") else "0.1"
    return _market(symbol, step=step, least=step, notional="5", fees=("0.001", "0.001"))


def _coinbase(symbol: str) -> SimMarket:
    is_eth = symbol.startswith("ETH")
    return _market(
        symbol,
        step="0.00000001" if is_eth else "0.01",
        least="0.00022" if is_eth else "0.99",
        notional="1",
        fees=("0.0025", "0.0015"),
    )


DIALECTS: Mapping[Venue, Dialect] = {
    Venue.BINANCE: Dialect(
        venue=Venue.BINANCE,
        fee_in_quote=False,
        fee_step=10**10,
        unique_ever=False,
        withdrawal_fee_within=True,
        markets={symbol: _binance(symbol) for symbol in _SYMBOLS},
    ),
    Venue.COINBASE: Dialect(
        venue=Venue.COINBASE,
        fee_in_quote=True,
        fee_step=1,
        unique_ever=True,
        withdrawal_fee_within=False,
        markets={symbol: _coinbase(symbol) for symbol in _SYMBOLS},
    ),
}


def rules(
    network: str, tokens: Mapping[str, tuple[str, int]], symbols: Sequence[str] = ("USDC", "USDT")
) -> list[SimNetworkRule]:
    """What comes and leaves on a network; `tokens` gives address and decimals by symbol."""
    coin = SimNetworkRule(
        asset="ETH",
        network=network,
        contract=None,
        decimals=18,
        fee=parse("0.0004"),
        minimum=parse("0.001"),
    )
    return [coin] + [
        SimNetworkRule(
            asset=symbol,
            network=network,
            contract=tokens[symbol][0].lower(),
            decimals=tokens[symbol][1],
            fee=parse("1"),
            minimum=parse("10"),
        )
        for symbol in symbols
        if symbol in tokens
    ]
