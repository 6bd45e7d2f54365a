"""How much gas the house gives for a payment that it carries."""

from __future__ import annotations

from datetime import datetime

from core.db import Database
from core.money import Asset
from core.networks import Network
from payments.values import floor, worth
from prices import book


class TooDear(Exception):
    """Gas costs more than the policy gives for such a payment."""


async def fee_cap(
    database: Database,
    network: Network,
    paid: tuple[int, Asset],
    limits: tuple[int, int],
    cost: tuple[int, int],
    now: datetime,
) -> int:
    """Wei that carrying it may cost.

    paid: base units and their asset; limits: percent of it, wei per gas at most; cost: gas, and
    wei per gas now. Raises TooDear, PriceUnavailable.
    """
    (amount, asset), (percent, max_fee), (gas, per_gas) = paid, limits, cost
    async with database.statement() as connection:
        prices = await book.load(connection)
    native = network.tokens[0].asset
    rate = prices.rate(asset.symbol, native.symbol, now)
    value = floor(worth(amount, asset.decimals, rate.price, native.decimals))
    most = min(value * percent // 100, gas * max_fee)
    if gas * per_gas > most:
        raise TooDear(f"{gas * per_gas} wei of gas, {most} is the most that is given")
    return most
