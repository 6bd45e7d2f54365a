"""The house's own wallets and treasuries, and what the books say stands there."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.addresses import checksum
from core.clock import show as show_time
from core.context import Context
from core.ids import show
from ledger.accounts import Role, place
from ledger.tables import AccountBalance
from wallets import hot
from wallets.tables import HotWallet, HouseAddress

HELD = (Role.HOT, Role.TREASURY)


async def wallets(session: AsyncSession, context: Context) -> list[dict[str, Any]]:
    """Every wallet, and every treasury whose key is elsewhere (a Safe), with its places.

    A place is a network's hot wallets together, or its treasuries: its balance is theirs together.
    """
    roles: defaultdict[str, list[HouseAddress]] = defaultdict(list)
    query = select(HouseAddress).where(HouseAddress.role.in_(HELD))
    for row in await session.scalars(query.order_by(HouseAddress.network)):
        roles[row.address].append(row)
    balances = await _balances(session, context)
    known = {row.address: row for row in await hot.known(session, retired=True)}
    first = [_shown(address, row, roles[address], balances) for address, row in known.items()]
    others = sorted(roles.keys() - known.keys())
    return [*first, *(_shown(address, None, roles[address], balances) for address in others)]


async def _balances(session: AsyncSession, context: Context) -> dict[str, list[dict[str, str]]]:
    """By place: one for each asset that is or was there."""
    places = [place(network, role) for network in context.catalog.networks for role in HELD]
    query = select(AccountBalance).where(AccountBalance.account.in_(places))
    found: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in await session.scalars(query.order_by(AccountBalance.account, AccountBalance.asset)):
        asset = context.catalog.asset(row.asset)
        amount = asset.format(row.balance) if asset else str(row.balance)
        found[row.account].append({"asset": row.asset, "amount": amount})
    return found


def _shown(
    address: str,
    wallet: HotWallet | None,
    roles: list[HouseAddress],
    balances: dict[str, list[dict[str, str]]],
) -> dict[str, Any]:
    """One address. Where no wallet of ours stands behind it, its own address is its id."""
    return {
        "id": show("wal", wallet.id) if wallet else checksum(address),
        "object": "wallet",
        "address": checksum(address),
        "label": wallet.label if wallet else "treasury",
        "kind": wallet.kind if wallet else "treasury",
        "signable": wallet is not None and wallet.kind != hot.WalletKind.WATCH,
        "places": [
            {
                "network": row.network,
                "place": place(row.network, Role(row.role)),
                "balances": balances.get(place(row.network, Role(row.role)), []),
            }
            for row in roles
        ],
        "created_at": _time(wallet.created_at if wallet else None),
        "retired_at": _time(wallet.retired_at if wallet else None),
    }


def _time(moment: datetime | None) -> str | None:
    return show_time(moment) if moment else None
