"""Stories of the exchanges going wrong; each ends with the ledger equal to the venue."""

from __future__ import annotations

from decimal import Decimal

from core.errors import Refused, Unavailable
from exchanges.types import Venue
from sandbox.desk import Desk, open_desk
from sandbox.story import Story, somebody

STREAM_CUTS = 4  # books and account of a venue, and what reconnects at once
ALWAYS = 100_000
STOLEN = "0.25"


async def binance_1007_after_fill(story: Story) -> None:
    """The order was executed, and Binance says that it does not know."""
    async with open_desk(story) as desk, desk.best(Venue.BINANCE):
        await desk.fault(Venue.BINANCE, "place", "timeout_after_execution")
        conversion = await desk.convert(Venue.BINANCE)
        story.tell("Binance answers -1007: it may have been executed; it is asked, not repeated")
        await _filled_once(desk, Venue.BINANCE, await desk.filled(conversion))


async def partial_fill_then_silence(story: Story) -> None:
    """A part is filled, and no answer ever comes."""
    async with open_desk(story) as desk, desk.best(Venue.BINANCE):
        await desk.fault(Venue.BINANCE, "place", "partial_fill_then_silence")
        conversion = await desk.convert(Venue.BINANCE)
        story.tell("Binance fills a part and falls silent: the call is given up after ten seconds")
        found = await desk.filled(conversion)
        story.tell(f"{len(found['legs'])} orders: what was missing was ordered again")
        await _filled_once(desk, Venue.BINANCE, found)


async def coinbase_success_with_failure(story: Story) -> None:
    """`success: true` beside a failure reason: of two such answers one order was executed."""
    async with open_desk(story) as desk, desk.best(Venue.COINBASE):
        for _ in range(2):  # the simulator executes every second one
            await desk.fault(Venue.COINBASE, "place", "success_with_failure_reason")
            conversion = await desk.convert(Venue.COINBASE)
            story.tell("Coinbase answers success and a failure reason: nobody can say, so it asks")
            found = await desk.ends(
                conversion, lambda c: [leg["status"] for leg in c["legs"]] == ["unknown"]
            )
            if await desk.orders(Venue.COINBASE, found):
                await _filled_once(desk, Venue.COINBASE, await desk.filled(found))
                continue
            story.tell(
                "Coinbase has no such order: unknown, its funds stay blocked, and after two minutes"
                " a person is told"
            )
        await desk.equal(Venue.COINBASE)


async def withdrawal_nobody_ordered(story: Story) -> None:
    """Money leaves a venue without an order of ours: the next reconciliation names it."""
    async with open_desk(story) as desk:
        network = (await desk.house.get("/networks"))["data"][0]["id"]
        wish = {"asset": "ETH", "amount": STOLEN, "network": network, "address": somebody()}
        gone = await desk.house.post(f"/sandbox/exchanges/{Venue.BINANCE}/withdrawals", wish)
        story.tell(f"{STOLEN} ETH leave Binance for {wish['address']}")
        await desk.reconcile()
        found = (await desk.house.get("/breaks?status=open&kind=missing_in_ledger"))["data"]
        named = [one for one in found if one["facts"].get("transfer") == gone["id"]]
        if len(named) != 1:
            raise Unavailable(f"{len(named)} Breaks name the withdrawal {gone['id']}")
        [one] = named
        story.tell(
            f"{one['id']} names it: {one['kind']} at {one['place']}, {one['difference']} ETH"
        )
        body = {"resolution": "write_off", "note": "stolen: the venue's keys were revoked"}
        await desk.house.post(f"/breaks/{one['id']}/resolve", body)
        story.tell("a person writes it off, and says why")
        await desk.equal(Venue.BINANCE)


async def venues_down(story: Story) -> None:
    """Both venues' streams break off: no quote is made of what was true before."""
    async with open_desk(story) as desk:
        price = await desk.price()
        for venue in Venue:
            await desk.fault(venue, "stream", "reset_after_send", STREAM_CUTS)
            await desk.fault(venue, "stream", "server_error_before_execution", ALWAYS)
        try:
            refused = await _refused(desk, price)
            story.tell(f"the quote is refused: {refused.detail}")
        finally:
            for venue in Venue:
                await desk.house.ask("DELETE", f"/v1/sandbox/exchanges/{venue}/faults")
                await desk.mid(venue, None)
        await desk.comes_back()
        story.tell("the streams are back, and so are the quotes")
        for venue in Venue:
            await desk.equal(venue)


async def _refused(desk: Desk, price: Decimal) -> Refused:
    """The refusal; the market moves meanwhile, so that the streams have news to be cut at."""
    for turn in range(100):
        for venue in Venue:
            await desk.mid(venue, price + turn % 2 + 1)
        try:
            await desk.quote()
        except Refused as error:
            if error.code != "price_unavailable":
                raise
            return error
    raise Unavailable("quotes are made of the books of venues that are away")


async def _filled_once(desk: Desk, venue: Venue, conversion: dict[str, object]) -> None:
    await desk.same_orders(venue, conversion)
    await desk.equal(venue)
