"""What the worker learns about the house: its wallets from the signer, lists from files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from bezant.house import follow_wallets, register
from bezant.lists import follow_lists
from bezant.unsigned import NoSigner
from core.clock import Clock
from core.context import Context
from core.db import Database
from core.errors import Conflict, SignerAway
from core.listen import Listener
from core.money import crypto
from core.networks import NATIVE, Catalog, Network, Token
from core.secrets import SecretBox
from tests.waiting import eventually
from wallets.signer.client import SignerWallet

HOT, GAS, QUOTE, WATCHED = ("0x" + byte * 20 for byte in ("a1", "a2", "a3", "a4"))
SANCTIONED = "0x7f367cc41522ce07553e823bf3be79a889debe1b"
OTHER, MIXER, LAST = ("0x" + byte * 20 for byte in ("fb", "fc", "fd"))


def network(number: int) -> Network:
    return Network(
        id=f"eip155:{number}", chain_id=number, name="", rpc_urls=("http://127.0.0.1:1",),
        block_seconds=0, poll_ms=1000, tokens=(Token(asset=crypto("ETH", 18), address=NATIVE),),
    )  # fmt: skip


@pytest.fixture
def context(database: Database) -> Context:
    return Context(
        database=database,
        clock=Clock(),
        listener=Listener(database),
        catalog=Catalog({n.id: n for n in (network(1), network(2))}),
        secrets=SecretBox({1: bytes(32)}),
        public_url="http://127.0.0.1:1",
    )


def wallet(address: str, kind: str, label: str = "") -> SignerWallet:
    return SignerWallet(
        address=address, label=label or kind, kind=kind, created_at=datetime.now(UTC)
    )


async def rows(context: Context, query: str) -> list[tuple[Any, ...]]:
    async with context.database.read() as session:
        return [tuple(row) for row in await session.execute(text(query))]


ROLES = "select network, address, role from house_addresses order by 1, 2"
WALLETS = "select address, kind, label, retired_at is not null from hot_wallets order by address"


async def test_the_signer_s_wallets_become_the_house_s_on_every_network(context: Context) -> None:
    await register(
        context, [wallet(HOT, "hot"), wallet(GAS, "relayer"), wallet(QUOTE, "quote"),
                  wallet(WATCHED, "watch")],
    )  # fmt: skip
    assert await rows(context, ROLES) == [
        (f"eip155:{n}", address, "hot") for n in (1, 2) for address in (HOT, GAS)
    ]
    assert await rows(context, WALLETS) == [
        (HOT, "hot", "hot", False), (GAS, "relayer", "relayer", False),
        (WATCHED, "watch", "watch", False),
    ]  # fmt: skip


async def test_a_rotated_wallet_is_retired_and_its_address_stays_ours(context: Context) -> None:
    await register(context, [wallet(HOT, "hot")])
    await register(context, [wallet(GAS, "hot", "new")])
    assert await rows(context, WALLETS) == [(HOT, "hot", "hot", True), (GAS, "hot", "new", False)]
    assert len(await rows(context, ROLES)) == 4
    await register(context, [wallet(HOT, "hot"), wallet(GAS, "hot", "new")])
    assert {row[3] for row in await rows(context, WALLETS)} == {False}


async def test_an_address_has_one_role(context: Context) -> None:
    await register(context, [wallet(HOT, "treasury")])
    with pytest.raises(Conflict):
        await register(context, [wallet(HOT, "hot")])
    assert {row[2] for row in await rows(context, ROLES)} == {"treasury"}


@dataclass
class Waking(NoSigner):
    """Away at first, then there."""

    listed: Sequence[SignerWallet] = ()
    asked: int = 0
    there: asyncio.Event = field(default_factory=asyncio.Event)

    async def wallets(self) -> list[SignerWallet]:  # type: ignore[override]
        self.asked += 1
        if not self.there.is_set():
            raise SignerAway("not yet")
        return list(self.listed)


async def test_a_signer_that_is_away_is_asked_again(context: Context) -> None:
    signer = Waking(listed=[wallet(HOT, "hot")])
    following = asyncio.create_task(follow_wallets(context, signer, look_seconds=0.01))
    try:
        await eventually(_is(lambda: signer.asked > 1), 10)
        assert await rows(context, WALLETS) == []
        signer.there.set()

        async def known() -> bool:
            return await rows(context, WALLETS) == [(HOT, "hot", "hot", False)]

        await eventually(known, 10)
    finally:
        following.cancel()


async def test_without_a_signer_everything_is_answered_by_its_absence() -> None:
    nobody = NoSigner()
    for asked in (nobody.sign(None), nobody.check(None), nobody.quote(None), nobody.wallets(),
                  nobody.broadcast("", "")):  # fmt: skip
        with pytest.raises(SignerAway, match="BEZANT_SIGNER_SOCKET"):
            await asked


async def test_a_list_is_read_when_it_changes_and_a_broken_one_is_not(
    context: Context, tmp_path: Path
) -> None:
    file, after = tmp_path / "own.txt", tmp_path / "zz.txt"
    file.write_text(SANCTIONED + "\n")
    after.write_text(MIXER + "\n")  # looked at after the other: it says that a look is over
    following = asyncio.create_task(follow_lists(context, [file], [after], look_seconds=0.01))

    async def holds(*addresses: str) -> None:
        async def so() -> bool:
            found = await rows(context, "select address from screening_addresses order by 1")
            return [row[0] for row in found if row[0] != MIXER] == sorted(addresses)

        await eventually(so, 10)

    try:
        await holds(SANCTIONED)
        [(loaded,)] = await rows(
            context, "select loaded_at from screening_lists where name = 'own.txt'"
        )
        assert loaded == datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
        write(file, f"{SANCTIONED}\n{OTHER}\n", 10)
        await holds(SANCTIONED, OTHER)
        write(file, "<html>not today</html>", 20)
        write(after, f"{LAST}\n", 10)
        await holds(SANCTIONED, OTHER, LAST)
        write(file, f"{OTHER}\n", 30)
        await holds(OTHER, LAST)
    finally:
        following.cancel()


def write(file: Path, content: str, seconds_later: int) -> None:
    """As a download does: whole, and newer than what was there."""
    partial = file.with_suffix(".new")
    partial.write_text(content)
    moment = file.stat().st_mtime + seconds_later
    os.utime(partial, (moment, moment))
    partial.replace(file)


def _is(true: Any) -> Any:
    async def check() -> bool:
        return bool(true())

    return check
