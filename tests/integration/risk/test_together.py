"""Many are screened by as many statements as one, and one that cannot be judged stops no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import event

from core import ids
from core.context import RiskSettings
from risk.screener import TOGETHER, Screener
from risk.screening import NewPayout, Verdict, screen
from risk.sources import Opinion
from risk.verdicts import Outcome
from tests.integration.risk.conftest import Shop
from tests.unit.risk.world import NETWORK

BAD = "0x" + "bd" * 20


@dataclass
class Source:
    """Accepts everybody; of BAD it says what no column holds."""

    calls: int = 0

    async def ask(self, network: str, address: str) -> Opinion:
        self.calls += 1
        return Opinion(Outcome.ACCEPT, {"detail": "\x00" if address == BAD else "fine"})


@contextmanager
def statements(shop: Shop) -> Iterator[Counter[str]]:
    """How often each kind of statement was sent; one for many rows counts once."""
    counted: Counter[str] = Counter()

    def count(*given: Any) -> None:
        counted[given[2].split()[0].lower()] += 1

    engine = shop.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", count)
    yield counted
    event.remove(engine, "before_cursor_execute", count)


async def ask(shop: Shop, payouts: int, *addresses: str) -> dict[UUID, Verdict]:
    wanted = [f"0x{n:040x}" for n in range(1, payouts + 1)] + list(addresses)
    new = [
        NewPayout(id=ids.new(), merchant_id=shop.one, network=NETWORK, address=address)
        for address in wanted
    ]
    async with shop.database.begin() as session:
        return await screen(session, shop.context, new, shop.now)


async def test_as_many_statements_for_many_as_for_one(shop: Shop) -> None:
    shop.context.risk = RiskSettings(
        provider_url="http://127.0.0.1:1", list_max_age=3600, verdict_lifetime=1
    )
    counts: list[Counter[str]] = []
    for payouts in (1, TOGETHER):
        with statements(shop) as counted:
            assert len(await ask(shop, payouts)) == payouts
            screener = Screener(shop.context, provider=Source())
            due = await screener.claim(100)
            assert len(due) == payouts
            await screener.ask(due)
        counts.append(counted)
        shop.wait(2)  # what was said is not believed any more
        await shop.read("delete from screenings returning id")
    assert counts[0] == counts[1]
    assert counts[0].total() <= 17, counts


async def test_the_same_address_is_asked_about_once(shop: Shop) -> None:
    shop.context.risk = RiskSettings(provider_url="http://127.0.0.1:1")
    source, same = Source(), "0x" + "77" * 20
    await ask(shop, 0, same, same, same)
    screener = Screener(shop.context, provider=source)
    await screener.ask(await screener.claim(100))
    assert source.calls == 1
    rows = await shop.read("select verdict, status from screenings")
    assert rows == [("accept", "done")] * 3


async def test_one_that_cannot_be_judged_keeps_no_other_waiting(shop: Shop) -> None:
    shop.context.risk = RiskSettings(provider_url="http://127.0.0.1:1")
    await ask(shop, 5, BAD)
    screener = Screener(shop.context, provider=Source())
    await screener.step(await screener.claim(100))
    rows = await shop.read(
        "select address = %s, verdict, count(*) from screenings group by 1, 2", BAD
    )
    assert sorted(rows) == [(False, "accept", 5), (True, "hold", 1)]


async def test_a_listed_one_among_others(shop: Shop) -> None:
    """Each has its own word."""
    async with shop.database.statement() as connection:
        await connection.execute(
            "insert into screening_lists (name, kind, loaded_at, source, entries, digest)"
            " values ('l', 'sanctions', now(), 'f', 1, 'x')"
        )
        await connection.execute(
            "insert into screening_addresses (list, address, facts) values ('l', %s, '{}')", (BAD,)
        )
    found = await ask(shop, 3, BAD)
    assert [v.outcome for v in found.values()].count(Outcome.ACCEPT) == 3
    [listed] = [v for v in found.values() if not v.accepted]
    assert (listed.outcome, listed.reasons) == (Outcome.REJECT, ("sanctioned_address",))
