"""Planning a sweep of one network: books, chain, prices and fees are read, and what is taken is
written so that nobody else takes it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from chain import standing
from chain.endpoints import Endpoints
from core import ids
from core.context import Context
from core.errors import PriceUnavailable
from core.networks import Network, SweepPolicy
from prices import book
from wallets import sweep_holdings, sweep_packing
from wallets.sweep_holdings import Wanted
from wallets.sweep_packing import Load
from wallets.sweep_plan import MAX_GAS, Fees, Holding, Plan, Prices, Reason, Skipped, plan
from wallets.sweep_tables import Sweep, SweepItem


class Planning:
    """Reads with no transaction open; `reserve` is called in the caller's."""

    def __init__(self, context: Context, network: Network, endpoints: Endpoints) -> None:
        self._context = context
        self._network = network
        self._endpoints = endpoints

    async def of(self, wanted: Wanted, policy: SweepPolicy | None) -> Plan:
        """policy None: a command. Raises ChainError."""
        holdings = await sweep_holdings.read(
            self._context.database, self._network, self._endpoints, wanted
        )
        now = self._context.clock.now()
        prices, fees = Prices(None, {}), Fees(0)
        if policy is not None:
            history, tip = await standing.base_fees(self._endpoints)
            prices, fees = await self._prices(now), Fees(history[-1], tip, history[:-1])
        return plan(
            holdings, prices, fees, policy, now,
            insist=wanted.addresses is not None, max_gas=self._max_gas,
        )  # fmt: skip

    @property
    def _max_gas(self) -> int:
        return self._network.sweeps.max_gas if self._network.sweeps else MAX_GAS

    async def _prices(self, now: datetime) -> Prices:
        async with self._context.database.statement() as connection:
            known = await book.load(connection)
        house = self._context.catalog.house_currency
        found: dict[str, int] = {}
        for token in self._network.tokens:
            try:
                found[token.asset.symbol] = known.rate(token.asset.symbol, house, now).price
            except PriceUnavailable:
                continue
        coin = self._network.tokens[0].asset
        currency = self._context.catalog.asset(house)
        return Prices(
            found.get(coin.symbol), found, coin.decimals, currency.decimals if currency else 2
        )

    async def reserve(
        self, session: AsyncSession, row: Sweep, found: Plan
    ) -> tuple[list[Load[Holding]], list[Skipped]]:
        """Writes the items; what another sweep has taken meanwhile is left out of the loads."""
        loads, skipped = list(found.loads), list(found.skipped)
        weights = {
            (h.address, h.token): gas
            for one in loads
            for group in one.groups
            for h, gas in zip(group.holdings, group.gas, strict=True)
        }
        wanted = [h for one in loads for h in one.holdings]
        if not wanted:
            return loads, skipped
        # Sorted, so that two that plan at once never wait for each other in a circle.
        ordered = sorted(wanted, key=lambda h: (h.address, h.token))
        values = [_item(row, h, weights[h.address, h.token]) for h in ordered]
        statement = upsert(SweepItem).values(values).on_conflict_do_nothing()
        rows = await session.execute(statement.returning(SweepItem.address, SweepItem.token))
        taken = {(address, token) for address, token in rows}
        lost = [h for h in wanted if (h.address, h.token) not in taken]
        if lost:
            skipped += [Skipped(h, Reason.BUSY) for h in lost]
            left = [h for h in wanted if (h.address, h.token) in taken]
            loads = sweep_packing.pack(left, self._max_gas)
        return loads, skipped


def wanted_of(network: Network, stored: dict[str, Any]) -> Wanted:
    addresses, assets = stored["addresses"], stored["assets"]
    tokens = None
    if assets is not None:
        known = {t.asset.symbol: t.address for t in network.tokens}
        tokens = tuple(known.get(one, one) for one in assets)
    return Wanted(None if addresses is None else tuple(addresses), tokens)


def _item(row: Sweep, holding: Holding, weight: int) -> dict[str, Any]:
    return {
        "id": ids.new(),
        "sweep_id": row.id,
        "network": row.network,
        "address": holding.address,
        "salt": holding.salt,
        "token": holding.token,
        "asset": holding.asset,
        "amount": holding.amount,
        "gas_units": weight,
        "deposits": list(holding.deposits),
        "live": True,
    }
