"""Asking for a sweep, and reading what became of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from core import ids
from core.addresses import checksum
from core.context import Context
from core.errors import FieldError, Invalid, NotFound
from core.listen import notify
from core.networks import Network
from core.pages import page_of
from wallets.sweep_cases import SweepCase, load, shown, told
from wallets.sweep_facts import Status
from wallets.sweep_tables import Sweep
from webhooks.events import emit

CHANNEL = "sweeps"
COMMAND, POLICY = "command", "policy"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_KNOWN = text("select address from deposit_addresses where address = any(:addresses)")


async def create(
    session: AsyncSession,
    context: Context,
    *,
    network: str,
    addresses: Sequence[str] | None,
    assets: Sequence[str] | None,
    initiator: str,
) -> dict[str, Any]:
    """A sweep on command; the worker plans and sends it.

    addresses: deposit addresses of ours, None for all that hold something by the books. assets:
    symbols, or with addresses also contracts of tokens that are not configured. Raises Invalid
    `unknown_network`, `no_factory`, `unknown_address`, `unknown_asset`, `not_an_address`.
    """
    found = context.catalog.networks.get(network)
    if found is None:
        known = ", ".join(context.catalog.networks)
        raise Invalid.of("network", f"is one of {known}", code="unknown_network")
    if found.factory is None:
        raise Invalid.of("network", "has no deposit factory", code="no_factory")
    wanted = None if addresses is None else await _addresses(session, addresses)
    named = None if assets is None else _assets(found, assets, alone=addresses is None)
    row = await insert(
        session,
        context,
        found,
        trigger=COMMAND,
        initiator=initiator,
        wanted={"addresses": wanted, "assets": named},
        now=context.clock.now(),
    )
    return shown(context, SweepCase(row))


async def insert(
    session: AsyncSession,
    context: Context,
    network: Network,
    *,
    trigger: str,
    initiator: str,
    wanted: dict[str, Any],
    now: datetime,
) -> Sweep:
    """The row, due at once, and its event; whoever sweeps wakes at commit."""
    row = Sweep(
        id=ids.new(),
        network=network.id,
        status=Status.REQUESTED.value,
        reasons=[],
        trigger=trigger,
        initiator=initiator,
        wanted=wanted,
        loads=None,
        skipped=[],
        created_at=now,
        finished_at=None,
        due_at=now,
        leased_until=None,
    )
    session.add(row)
    await session.flush()
    await emit(session, [told(context, SweepCase(row), Status.REQUESTED)], now)
    await notify(session, CHANNEL, network.id)
    return row


async def show(session: AsyncSession, context: Context, sweep_id: UUID | None) -> dict[str, Any]:
    """Raises NotFound."""
    cases = await load(session, [sweep_id], locked=False) if sweep_id else []
    if not cases:
        raise NotFound("no such sweep")
    return shown(context, cases[0])


async def page(
    session: AsyncSession,
    context: Context,
    *,
    network: str | None,
    status: str | None,
    limit: int,
    cursor: UUID | None,
) -> tuple[list[dict[str, Any]], bool]:
    """Newest first, and whether there are more. Their items and what was skipped are left out."""
    rows, more = await page_of(session, Sweep, limit, cursor, network=network, status=status)
    cases = await load(session, [row.id for row in rows], locked=False)
    made = [{**shown(context, case), "items": [], "skipped": []} for case in reversed(cases)]
    return made, more


async def _addresses(session: AsyncSession, addresses: Sequence[str]) -> list[str]:
    """Lower case, each once. An address of nobody's could be emptied as well, but not booked."""
    for index, one in enumerate(addresses):
        read_address(f"addresses.{index}", one)
    wanted = list(dict.fromkeys(a.lower() for a in addresses))
    known = set(await session.scalars(_KNOWN, {"addresses": wanted}))
    wrong = [
        FieldError(f"addresses.{i}", "is no deposit address of ours")
        for i, one in enumerate(addresses)
        if one.lower() not in known
    ]
    if wrong:
        detail = f"{wrong[0].field}: {wrong[0].message}"
        raise Invalid(detail, code="unknown_address", errors=wrong)
    return wanted


def _assets(network: Network, assets: Sequence[str], *, alone: bool) -> list[str]:
    """Symbols as they are, contracts in lower case or as the symbol that they have here."""
    tokens = network.by_address()
    found: list[str] = []
    for index, one in enumerate(assets):
        at = f"assets.{index}"
        if network.token(one) is not None:
            found.append(one)
            continue
        if not one.startswith("0x"):
            known = ", ".join(t.asset.symbol for t in network.tokens)
            raise Invalid.of(at, f"is one of {known}, or a contract", code="unknown_asset")
        read_address(at, one)
        token = tokens.get(one.lower())
        if token is None and alone:
            detail = "is not configured here: name the addresses that hold it"
            raise Invalid.of(at, detail, code="unknown_asset")
        found.append(token.asset.symbol if token else one.lower())
    return list(dict.fromkeys(found))


def read_address(field: str, value: str) -> None:
    """Raises Invalid `not_an_address`, `wrong_checksum` (EIP-55)."""
    if not _ADDRESS.fullmatch(value):
        raise Invalid.of(field, "is no address: 0x and 40 hex digits", code="not_an_address")
    mixed = value[2:] not in (value[2:].lower(), value[2:].upper())
    if mixed and value != checksum(value.lower()):
        raise Invalid.of(field, "has a wrong checksum (EIP-55)", code="wrong_checksum")
