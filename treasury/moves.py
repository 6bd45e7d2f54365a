"""Asking for a move, deciding about one, and reading what became of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import wall
from core.context import Context
from core.errors import Conflict, Invalid, InvalidAmount, NotFound
from core.money import Asset
from core.pages import page_of
from exchanges.types import Venue
from ledger.accounts import Role
from ledger.journal import post
from ledger.units import fine
from treasury import bank_settling, fundings, move_booking, move_sending
from treasury.blocked import reserve
from treasury.move_cases import ALLOWED, advance, by_owner, load, tell
from treasury.move_machine import MoveStatus, Way, Windows
from treasury.move_tables import Move, VenueAddress
from treasury.move_views import address_json, move_json
from wallets import expected, hot
from wallets.hot import WalletKind
from wallets.tables import HouseAddress

COMMAND, POLICY = "command", "policy"
FIAT = (Way.REMIT, Way.FUND)
HOUSE = (Role.HOT.value, Role.TREASURY.value)
NO_MOVE = "no such move"
_BANK = re.compile(r"bank:[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NewMove:
    """`amount` in major units: what leaves `source`. Places are `treasury`, `hot`, a venue's name
    or `bank:<id>`; `network` None: the only one that has the asset."""

    asset: str
    amount: str
    network: str | None
    source: str
    destination: str
    initiator: str
    trigger: str = COMMAND


async def create(session: AsyncSession, context: Context, asked: NewMove) -> dict[str, Any]:
    """A move; the worker asks the venue and sends it.

    Raises Invalid `no_such_way`, `unknown_asset`, `unknown_network`, `invalid_amount`, `no_wallet`;
    Conflict `insufficient_funds`.
    """
    row = await make(session, context, asked)
    return move_json(row, context.catalog)


async def make(session: AsyncSession, context: Context, asked: NewMove) -> Move:
    """As `create`: the row, flushed."""
    way = way_of(asked.source, asked.destination)
    asset = context.catalog.asset(asked.asset)
    if asset is None or "@" in asked.asset:
        raise Invalid.of("asset", f"{asked.asset} is not known here", code="unknown_asset")
    try:
        amount = asset.parse(asked.amount)
    except InvalidAmount as error:
        raise Invalid.of("amount", error.detail, code="invalid_amount") from None
    if amount <= 0:
        raise Invalid.of("amount", "is more than zero", code="invalid_amount")
    network = _network(context, asset, asked, way)
    row = _row(context, asked, way, amount, network)
    await _ends(session, context, row)
    if row.venue is not None and row.source == row.venue:
        needed = fine(asset, amount)
        await reserve(session, context.catalog, {(row.venue, asset.symbol): needed})
        row.blocked = needed
    elif network is not None and row.signs:
        have = await move_sending.free(session, context, network, row.source, row.asset)
        if have < amount:
            there = asset.format(max(0, have))
            detail = f"{row.source} has {there} {row.asset} free on {network}"
            raise Conflict(detail, code="insufficient_funds")
    session.add(row)
    await session.flush()
    await tell(session, context, row, "")
    if way is Way.SHIFT and not row.signs:
        await by_owner(session, context, row)
    await expected.tell(session, "")
    return row


def way_of(source: str, destination: str) -> Way:
    """Raises Invalid `no_such_way`."""
    venues = {venue.value for venue in Venue}
    if source in HOUSE and destination in venues:
        return Way.SEND
    if source in venues and destination in HOUSE:
        return Way.WITHDRAW
    if source in HOUSE and destination in HOUSE and source != destination:
        return Way.SHIFT
    if source in venues and _BANK.fullmatch(destination):
        return Way.REMIT
    if _BANK.fullmatch(source) and destination in venues:
        return Way.FUND
    raise Invalid.of("to", f"nothing moves from {source} to {destination}", code="no_such_way")


def _network(context: Context, asset: Asset, asked: NewMove, way: Way) -> str | None:
    """None for fiat. Raises Invalid."""
    networks = context.catalog.networks
    there = [one for one in networks.values() if one.token(asset.symbol) is not None]
    if way in FIAT:
        if there or asked.network is not None:
            raise Invalid.of("asset", "is at no bank", code="no_such_way")
        end, bank = ("to", asked.destination) if way is Way.REMIT else ("from", asked.source)
        account = context.banks.get(bank.removeprefix("bank:"))
        if account is None or account.asset.code != asset.code:
            detail = f"is no account in {asset.symbol} (banks.<id> of bezant.toml)"
            raise Invalid.of(end, detail, code="unknown_account")
        return None
    if asked.network is not None:
        if asked.network not in {one.id for one in there}:
            raise Invalid.of("network", f"has no {asset.symbol}", code="unknown_network")
        return asked.network
    if len(there) != 1:
        detail = f"is one of {', '.join(n.id for n in there)}" if there else "has none of it"
        raise Invalid.of("network", detail, code="unknown_network" if there else "no_such_way")
    return there[0].id


def _row(context: Context, asked: NewMove, way: Way, amount: int, network: str | None) -> Move:
    into = {Way.SEND: asked.destination, Way.FUND: asked.destination, Way.SHIFT: None}
    by_person = {Way.REMIT: "order_at_venue", Way.FUND: "order_at_bank"}.get(way)
    return Move(
        id=ids.new(),
        way=way.value,
        asset=asked.asset,
        amount=amount,
        network=network,
        source=asked.source,
        destination=asked.destination,
        venue=into.get(way, asked.source),
        status=(MoveStatus.APPROVED if by_person else MoveStatus.REQUESTED).value,
        reason=by_person,
        trigger=asked.trigger,
        initiator=asked.initiator,
        signs=True,
        checked=False,
        short=False,
        cancelled=False,
        sends=0,
        absent=0,
        written_off=False,
        booked=0,
        booked_fee=0,
        bookings=0,
        blocked=0,
        lost=0,
        version=0,
        created_at=context.clock.now(),
        due_at=None if way is Way.REMIT else wall(),
    )


async def _ends(session: AsyncSession, context: Context, row: Move) -> None:
    """Whose transaction it will be, and where a withdrawal arrives. Raises Invalid `no_wallet`."""
    if row.way in (Way.SEND, Way.SHIFT):
        row.sender, row.signs = await wallet_of(session, str(row.network), row.source)
    if row.way == Way.SEND and not row.signs:
        detail = "is not our signer's, so what it sends away is not followed: move it to hot first"
        raise Invalid.of("from", detail, code="no_wallet")
    if row.way in (Way.WITHDRAW, Way.SHIFT):
        row.address, _ = await wallet_of(session, str(row.network), row.destination)


async def wallet_of(session: AsyncSession, network: str, role: str) -> tuple[str, bool]:
    """The address of that role in use, and whether our signer holds its key. Raises Invalid
    `no_wallet`: there is none, or several of which nobody says which one is in use."""
    kind = WalletKind.HOT if role == Role.HOT else WalletKind.TREASURY
    for wallet in await hot.known(session):
        if wallet.kind == kind:
            return wallet.address, True
    query = select(HouseAddress.address).where(
        HouseAddress.network == network, HouseAddress.role == role
    )
    others = list(await session.scalars(query))
    if role == Role.HOT or len(others) != 1:
        raise Invalid.of("from", f"there is no {role} wallet to use on {network}", code="no_wallet")
    return others[0], False


async def approve(
    session: AsyncSession, context: Context, move_id: UUID | None, by: str
) -> dict[str, Any]:
    """A person's word: the venue's address that is held is allowed from now on; of fiat, that he
    has ordered it where it is. Again is harmless. Raises NotFound, Conflict `move_not_held`."""
    row = await _locked(session, move_id)
    if row.way == Way.FUND and not row.cancelled:
        row.checked, row.sent_at = True, row.sent_at or wall()
        await bank_settling.settle(session, context, row.source.removeprefix("bank:"))
    elif row.way == Way.REMIT and not row.booked and not row.cancelled:
        asset = context.catalog.asset(row.asset)
        assert asset is not None  # noqa: S101  (it was known when the move was asked for)
        row.blocked = 0
        await post(session, [move_booking.ordered(row, asset, by, context.clock.now())])
        # A statement may have shown it already.
        await bank_settling.settle(session, context, row.destination.removeprefix("bank:"))
    elif row.way == Way.SEND and row.address is not None:
        await session.execute(
            update(VenueAddress)
            .where(
                VenueAddress.venue == row.venue,
                VenueAddress.asset == row.asset,
                VenueAddress.network == row.network,
                VenueAddress.address == row.address,
                VenueAddress.status != ALLOWED,
            )
            .values(status=ALLOWED, decided_at=context.clock.now(), decided_by=by)
        )
    elif row.way not in FIAT:
        raise Conflict("nothing of this move waits for a person", code="move_not_held")
    return await _judged(session, context, row)


async def cancel(session: AsyncSession, context: Context, move_id: UUID | None) -> dict[str, Any]:
    """A person's no, while nothing has left. Again is harmless. Raises NotFound, Conflict
    `move_not_open`."""
    row = await _locked(session, move_id)
    if not row.cancelled:
        if row.transaction_id is not None or row.sends or await _is_booked(session, row):
            raise Conflict(f"the move is {row.status}: it is too late", code="move_not_open")
        row.cancelled = True
        number = ids.show("mov", row.id)
        if row.way == Way.SHIFT:
            await expected.close(session, number)
        elif row.way == Way.FUND:
            await bank_settling.give_up(session, context, number)
    return await _judged(session, context, row)


async def _is_booked(session: AsyncSession, row: Move) -> bool:
    """Whether anything of it is in the books. No statement is matched meanwhile."""
    if row.way == Way.FUND:
        await bank_settling.lock(session, row.source.removeprefix("bank:"))
    left = await fundings.in_transit(session, [row])
    return bool(row.booked or left.get(row.id))


async def _judged(session: AsyncSession, context: Context, row: Move) -> dict[str, Any]:
    await advance(session, context, row.id, Windows())
    await expected.tell(session, ids.show("mov", row.id))
    return move_json((await load(session, row.id)).row, context.catalog)


async def _locked(session: AsyncSession, move_id: UUID | None) -> Move:
    row = await session.get(Move, move_id, with_for_update=True) if move_id else None
    if row is None:
        raise NotFound(NO_MOVE)
    return row


async def show(session: AsyncSession, context: Context, move_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    row = await session.get(Move, move_id) if move_id else None
    if row is None:
        raise NotFound(NO_MOVE)
    return move_json(row, context.catalog)


async def page(
    session: AsyncSession,
    context: Context,
    *,
    status: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more."""
    rows, more = await page_of(session, Move, limit, cursor, status=status)
    return [move_json(row, context.catalog) for row in rows], more


async def addresses(
    session: AsyncSession, *, limit: int, cursor: UUID | None
) -> tuple[list[dict[str, Any]], bool]:
    """Where venues take what we send, newest first, and whether there are more."""
    rows, more = await page_of(session, VenueAddress, limit, cursor)
    return [address_json(row) for row in rows], more
