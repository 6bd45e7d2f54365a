"""Whose an address of the house is, so that what comes and goes has a meaning: the treasury as our
factory on each network says, the wallets as the signer says."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from sqlalchemy.dialects.postgresql import insert

from chain.endpoints import Endpoint, Endpoints
from chain.wire import CALL
from core.context import Context
from core.errors import SignerAway
from core.keccak import selector
from core.networks import Network
from wallets import hot
from wallets.hot import WalletKind
from wallets.signer.client import Signer, SignerWallet
from wallets.tables import HouseAddress

log = structlog.get_logger()

_TREASURY = "0x" + selector("treasury()").hex()
LOOK_SECONDS = 600  # a change is visible on chain 48 h ahead
WALLETS_SECONDS = 60  # a signer learns of new wallets when it starts


async def follow_treasury(context: Context, network: Network, endpoints: Endpoints) -> None:
    """For ever. A treasury that was replaced stays the house's. Raises ChainError."""
    assert network.factory is not None  # noqa: S101  (the caller looked)
    while True:
        treasury = await _treasury(endpoints.ranked()[0], network.factory)
        if treasury is not None:
            async with context.database.begin() as session:
                await session.execute(
                    insert(HouseAddress)
                    .values(network=network.id, address=treasury, role="treasury")
                    .on_conflict_do_nothing()
                )
        await asyncio.sleep(LOOK_SECONDS)


async def _treasury(endpoint: Endpoint, factory: str) -> str | None:
    """Lower case; None while there is none. By plain JSON: the worker does without web3."""
    answer: Any = await endpoint.rpc.call(CALL, {"to": factory, "data": _TREASURY}, "latest")
    word = bytes.fromhex(str(answer)[2:])[-20:]
    return "0x" + word.hex() if any(word) else None


async def follow_wallets(
    context: Context, signer: Signer, *, look_seconds: float = WALLETS_SECONDS
) -> None:
    """For ever. A wallet that the signer has no more gets no new transactions; what it holds stays
    the house's."""
    away = False
    while True:
        try:
            listed = await signer.wallets()
        except SignerAway as error:
            if not away:
                log.warning("signer_away", error=str(error))
            away = True
        else:
            away = False
            await register(context, listed)
        await asyncio.sleep(look_seconds)


async def register(context: Context, listed: list[SignerWallet]) -> None:
    """Makes `hot_wallets` what the signer says. Raises Conflict `address_taken`."""
    ours = {wallet.address: wallet for wallet in listed if wallet.kind in set(WalletKind)}
    now = context.clock.now()
    async with context.database.begin() as session:
        standing = {row.address: row for row in await hot.known(session)}
        for address, wallet in ours.items():
            row = standing.get(address)
            if row is None or (row.label, row.kind) != (wallet.label, wallet.kind):
                await hot.add(
                    session,
                    address=address,
                    label=wallet.label,
                    kind=WalletKind(wallet.kind),
                    networks=context.catalog.networks,
                    now=now,
                )
        for address in standing.keys() - ours.keys():
            await hot.retire(session, standing[address].id, now)
