"""How much gas the house gives for a payment that it carries."""

from __future__ import annotations

from datetime import datetime

from chain import broadcast
from chain.endpoints import Endpoints
from chain.fees import FLOOR, Urgency
from core.db import Database
from core.money import Asset
from core.networks import Network
from payments.values import floor, worth
from prices import book
from wallets.intents import Order, Relay, RelayTransfer, transaction


async def cost(
    network: Network, endpoints: Endpoints, wallet: str, intent: Relay | RelayTransfer
) -> tuple[int, int]:
    """The gas that it takes from `wallet`, and wei per gas now.

    Raises CannotPay, Reverts, ChainError.
    """
    order = Order(
        id=intent.id,
        network=network.id,
        chain_id=network.chain_id,
        wallet=wallet,
        nonce=0,
        gas=0,
        max_fee=0,
        priority_fee=0,
        intent=intent,
    )
    call = transaction(order)
    gas = await broadcast.simulate(
        endpoints, sender=wallet, to=call.to, value=call.value, data=call.data
    )
    now = await broadcast.market(endpoints)
    return gas, now.base_fee + max(now.tips[Urgency.FAST], FLOOR)


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
