"""Places where the books have money and nobody can be asked: a run without them is not clean."""

from __future__ import annotations

from collections.abc import Collection

from core.context import Context
from exchanges.types import Venue
from ledger.accounts import Role, exchange, place
from reconciliation.parts import Scope, Unread

_HELD = """
select distinct account from account_balances
where balance <> 0 and starts_with(account, %s) and account <> all(%s) order by account
"""


async def unasked(context: Context, scope: Scope, venues: Collection[Venue]) -> list[Unread]:
    """Accounts with a balance at a venue or on a network that is not configured (any more)."""
    known: dict[str, list[str]] = {}
    if scope in (Scope.EXCHANGES, Scope.ALL):
        known["exchange:"] = [exchange(venue) for venue in venues]
    if scope in (Scope.CHAIN, Scope.ALL):
        networks = context.catalog.networks
        known["network:"] = [place(network, role) for network in networks for role in Role]
    found: list[Unread] = []
    async with context.database.statement() as connection:
        for prefix, accounts in known.items():
            rows = await (await connection.execute(_HELD, (prefix, accounts))).fetchall()
            said = "the books have money there, and it is not configured"
            found += [Unread(account, said) for (account,) in rows]
    return found
