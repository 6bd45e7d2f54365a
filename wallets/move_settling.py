"""What blocks say of our own transactions that move money between places: called by whoever
applies them, in that transaction.

Entries follow from what left the wallet. To a house's address both places change with the block;
to anybody else (a venue's deposit address) it is in transit until that side has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.networks import Network
from ledger.accounts import LOSSES, Role, place, transit
from ledger.journal import Entry, Kind, Posting
from wallets.expected import tell
from wallets.transactions import Observed, Own, Purpose


async def settle(
    session: AsyncSession,
    network: Network,
    observed: Observed,
    roles: Mapping[str, str],
    now: datetime,
) -> list[Entry]:
    """The entries, to be posted with the batch's own. roles: of the house's addresses."""
    entries: list[Entry] = []
    for own in (*observed.orphaned, *observed.mined, *observed.confirmed):
        if own.purpose is Purpose.MOVE:
            await tell(session, own.reference)
    for own, sign in (*((o, -1) for o in observed.orphaned), *((o, 1) for o in observed.mined)):
        if own.purpose is Purpose.MOVE and own.outflows:
            entries += _entry(network, own, roles, sign, now)
    return entries


def _entry(
    network: Network, own: Own, roles: Mapping[str, str], sign: int, now: datetime
) -> list[Entry]:
    """Nothing where it moved no asset of ours. A part of a shift that went elsewhere is a token's
    own fee, and lost."""
    move = ids.read("mov", own.reference)
    assets = {token.address: token.asset.symbol for token in network.tokens}
    flows = [flow for flow in own.outflows if flow.token in assets and flow.amount]
    if move is None or not flows:
        return []
    inside = any(flow.recipient in roles for flow in flows)
    source = place(network.id, Role(roles.get(own.wallet, Role.HOT)))
    postings: list[Posting] = []
    for flow in flows:
        role = roles.get(flow.recipient)
        if role is not None:
            there = place(network.id, Role(role))
        else:
            there = LOSSES if inside else transit(move)
        asset, amount = assets[flow.token], sign * flow.amount
        postings += [Posting(there, asset, amount), Posting(source, asset, -amount)]
    what = "sent" if sign > 0 else "reversed"
    return [
        Entry(
            id=ids.new(),
            key=f"move:{ids.show('tx', own.id)}:{own.generation}:{what}",
            kind=Kind.MOVE_SENT if sign > 0 else Kind.MOVE_REVERSED,
            reference=own.reference,
            merchant_id=None,
            evidence={
                "network": own.network,
                "block_number": own.block_number,
                "block_hash": own.block_hash,
                "tx_hash": own.tx_hash,
                "transaction": ids.show("tx", own.id),
            },
            posted_at=now,
            postings=tuple(postings),
        )
    ]
