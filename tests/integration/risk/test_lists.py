"""Lists in the database: whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Conflict, Invalid
from risk import lists
from risk.lists import SAMPLE, Hit, Kind, Loaded
from tests.integration.risk.conftest import Shop
from tests.unit.risk.test_formats import LAZARUS, YAN

OFAC = "ofac-sdn"


async def load(shop: Shop, path: Path, kind: Kind = Kind.SANCTIONS, **more: bool) -> Loaded:
    name = OFAC if kind == Kind.SANCTIONS else "mixers"
    async with shop.database.begin() as session:
        return await lists.load(session, path, name=name, kind=kind, now=shop.now, **more)


async def hits(shop: Shop, address: str) -> list[Hit]:
    async with shop.database.read() as session:
        return (await lists.hits(session, [address])).get(address, [])


async def test_a_list_is_replaced_whole(shop: Shop, tmp_path: Path) -> None:
    loaded = await load(shop, SAMPLE)
    assert (loaded.entries, loaded.before, loaded.others) == (3, 0, 1)
    [hit] = await hits(shop, LAZARUS)
    assert (hit.list, hit.kind, hit.facts["name"]) == (OFAC, Kind.SANCTIONS, "LAZARUS GROUP")
    newer = tmp_path / "new.txt"
    newer.write_text(f"{YAN}\n0x{'ab' * 20}\n")
    assert (await load(shop, newer)).before == 3
    assert await hits(shop, LAZARUS) == []
    assert len(await hits(shop, YAN)) == 1
    [row] = await shop.read("select name, kind, source, entries from screening_lists")
    assert row == (OFAC, "sanctions", "new.txt", 2)


async def test_an_address_on_two_lists(shop: Shop, tmp_path: Path) -> None:
    mixers = tmp_path / "mixers.txt"
    mixers.write_text(YAN)
    await load(shop, mixers, Kind.MIXER)
    await load(shop, SAMPLE)
    assert [hit.kind for hit in await hits(shop, YAN)] == [Kind.SANCTIONS, Kind.MIXER]


async def test_half_a_list_never_replaces_one(shop: Shop, tmp_path: Path) -> None:
    await load(shop, SAMPLE)
    short, empty = tmp_path / "short.txt", tmp_path / "empty.txt"
    short.write_text(YAN)
    empty.write_text("# nothing\n")
    with pytest.raises(Conflict) as shrank:
        await load(shop, short)
    assert shrank.value.code == "list_shrank"
    with pytest.raises(Invalid) as nothing:
        await load(shop, empty, allow_shrinking=True)
    assert nothing.value.code == "empty_list"
    assert len(await hits(shop, LAZARUS)) == 1
    assert (await load(shop, short, allow_shrinking=True)).entries == 1


async def test_how_old_the_lists_are(shop: Shop, tmp_path: Path) -> None:
    mixers = tmp_path / "mixers.txt"
    mixers.write_text(YAN)
    await load(shop, mixers, Kind.MIXER)
    async with shop.database.read() as session:
        assert await lists.age(session, shop.now) is None
    await load(shop, SAMPLE)
    shop.wait(100)
    async with shop.database.read() as session:
        assert 100 <= (await lists.age(session, shop.now) or 0) < 110
