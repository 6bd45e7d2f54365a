"""What a new sandbox's books begin with: a merchant with every scope, and who the house is."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from sqlalchemy.dialects.postgresql import insert

from core.clock import Clock
from core.context import Context
from core.db import Database, plain_url
from core.ids import show
from core.listen import Listener
from core.networks import Catalog
from core.secrets import SecretBox
from merchants import keys, merchants, scopes
from sandbox.state import State
from sandbox.world import Chain
from wallets.tables import HouseAddress

MERCHANT = "Sandbox shop"


async def found(url: str, state: State, chains: Sequence[Chain]) -> None:
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
            await session.execute(
                insert(HouseAddress)
                .values([
                    {"network": chain.id, "address": chain.treasury, "role": "treasury"}
                    for chain in chains
                ])
                .on_conflict_do_nothing()
            )  # fmt: skip
            if not state.api_key:
                now = context.clock.now()
                merchant, state.webhook_secret = await merchants.create(
                    session, context, MERCHANT, now=now
                )
                state.merchant_id = show("mer", merchant.id)
                every = [scopes.EVERYTHING]
                _, state.api_key = await keys.create_key(
                    session, merchant.id, every, "sandbox", now
                )
                _, state.operator_key = await keys.create_key(
                    session, None, every, "sandbox operator", now
                )
    finally:
        await database.close()


async def clock_offset(url: str, known: int) -> int:
    """Seconds of the test clock; 0 where there is no row, `known` while the database is away."""
    try:
        async with await psycopg.AsyncConnection.connect(plain_url(url)) as connection:
            cursor = await connection.execute("select offset_seconds from clock where id = 1")
            row = await cursor.fetchone()
    except psycopg.OperationalError:
        return known
    return row[0] if row else 0


def cursors(url: str) -> dict[str, tuple[str, int, str]]:
    """Network -> genesis, number and hash of the last block applied."""
    with psycopg.connect(plain_url(url)) as connection:
        rows = connection.execute(
            "select network, genesis, number, hash from network_cursors"
        ).fetchall()
        return {row[0]: (row[1], row[2], row[3]) for row in rows}
