"""What a new sandbox's books begin with: a merchant with every scope, who the house is and what it
has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.listen import Listener
from core.money import FIAT, crypto
from core.networks import Catalog
from core.secrets import SecretBox
from exchanges.types import Venue
from ledger.accounts import EQUITY, Role, exchange, place
from ledger.journal import Entry, Kind, post, transfer
from merchants import keys, merchants, scopes
from sandbox.deploy import HOT_TOKENS, HOT_WEI, RELAYER_WEI, Keys
from sandbox.exchanges.markets import OPENING
from sandbox.state import State
from sandbox.world import TOKENS, Chain
from wallets import hot

MERCHANT = "Sandbox shop"


async def found(url: str, state: State, chains: Sequence[Chain], house: Keys) -> None:
    """Makes what is not there yet; fills in the state's merchant and keys."""
    database = Database(url, size=1)
    context = Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=Catalog({}),
        secrets=SecretBox.of(state.secret_key),
        public_url="",
        sandbox=True,
    )
    try:
        async with database.begin() as session:
            now = context.clock.now()
            wallets = await _wallets(session, chains, house, now)
            begins = [*openings(chains, wallets, now), *venue_openings(now)]
            await post(session, begins, repeated=True)
            if not state.api_key:
                merchant, state.webhook_secret = await merchants.create(
                    session, context, MERCHANT, now=now
                )
                state.merchant_id = ids.show("mer", merchant.id)
                every = [scopes.EVERYTHING]
                _, state.api_key = await keys.create_key(
                    session, merchant.id, every, "sandbox", now
                )
                _, state.operator_key = await keys.create_key(
                    session, None, every, "sandbox operator", now
                )
    finally:
        await database.close()


async def _wallets(
    session: AsyncSession, chains: Sequence[Chain], house: Keys, now: datetime
) -> dict[str, str]:
    """Registered before the first block is followed, so that all inflow has a meaning. Labels and
    ids."""
    networks = [chain.id for chain in chains]
    found: dict[str, str] = {}
    for address, label, kind in (
        (house.hot, "hot", hot.WalletKind.HOT),
        (house.relayer, "relayer", hot.WalletKind.RELAYER),
        (chains[0].treasury, "treasury", hot.WalletKind.TREASURY),
    ):
        number = await hot.add(
            session, address=address, label=label, kind=kind, networks=networks, now=now
        )
        found[label] = ids.show("wal", number)
    return found


def openings(chains: Sequence[Chain], wallets: Mapping[str, str], now: datetime) -> Iterator[Entry]:
    """What deployment gave to the house before the first block that is followed: the books equal
    the chain from the start. Once a network, also when it comes later."""
    begins = [("hot", "ETH", HOT_WEI), ("relayer", "ETH", RELAYER_WEI)]
    begins += [("hot", t.symbol, HOT_TOKENS * 10**t.decimals) for t in TOKENS]
    for chain in chains:
        for holder, asset, units in begins:
            yield Entry(
                id=ids.new(),
                key=f"opening:{chain.id}:{holder}:{asset}",
                kind=Kind.OPENING,
                reference=wallets[holder],
                merchant_id=None,
                evidence={"network": chain.id, "wallet": holder},
                posted_at=now,
                postings=transfer(asset, units, debit=place(chain.id, Role.HOT), credit=EQUITY),
            )


def venue_openings(now: datetime) -> Iterator[Entry]:
    """What the simulated venues' accounts begin with, in their own units."""
    decimals = {"ETH": 18} | {token.symbol: token.decimals for token in TOKENS}
    for venue in Venue:
        for symbol, whole in OPENING.items():
            asset = (FIAT.get(symbol) or crypto(symbol, decimals[symbol])).at_venue()
            yield Entry(
                id=ids.new(),
                key=f"opening:{venue}:{symbol}",
                kind=Kind.OPENING,
                reference=str(venue),
                merchant_id=None,
                evidence={"venue": venue},
                posted_at=now,
                postings=transfer(
                    asset.code,
                    whole * 10**asset.decimals,
                    debit=exchange(venue),
                    credit=EQUITY,
                ),
            )
