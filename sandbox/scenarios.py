"""Stories by name, played through the public API as a merchant's own code would see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from core.errors import Refused, Unavailable
from sandbox import scenarios_venues
from sandbox.shop import enter
from sandbox.story import CONFIRMED, Story, somebody

DEAD_URL = "http://127.0.0.1:9/nobody-listens"


async def underpaid(story: Story) -> None:
    """Less than is due arrives; the rest follows."""
    await story.order()
    await story.pay(asset="USDC", amount="10.00")
    await story.until_status("new", "paid_partial")
    await story.pay(asset="USDC")
    await story.mine()
    await story.until_status("settled")


async def overpaid(story: Story) -> None:
    """More than is due arrives; all of it is the merchant's, the excess can be refunded."""
    await story.order()
    await story.pay(asset="USDC", amount="30.00")
    await story.mine()
    await story.until_status("settled", "paid_over")


async def late(story: Story) -> None:
    """The payment comes after the deadline: it waits in the inbox for a decision."""
    await story.order(expires_in=60)
    await story.shop.post("/sandbox/clock", {"advance_seconds": 120})
    story.tell("two minutes pass")
    await story.until_status("expired")
    await story.pay(asset="USDC", amount="25.00")
    await story.mine()
    await story.until_status("expired", "paid_late")


async def twice(story: Story) -> None:
    """The same customer pays twice."""
    await story.order()
    await story.pay(asset="ETH", amount="0.01")
    await story.pay(asset="ETH", amount="0.01")
    await story.mine()
    await story.until_status("settled", "paid_over")


async def wrong_token(story: Story) -> None:
    """A token that the invoice does not offer: the money is kept for the merchant's decision."""
    await story.order(assets=["USDC"])
    await story.pay(asset="DAI", amount="25.00")
    await story.mine()
    await story.until(
        "still new, the token in its inbox",
        lambda i: any(
            d["inbox"] and d["inbox"]["reason"] == "unexpected_asset" for d in i["deposits"]
        ),
    )


async def contract_eth(story: Story) -> None:
    """ETH sent by a contract, in an inner call."""
    await story.order()
    await story.pay(asset="ETH", via="contract")
    await story.mine()
    await story.until_status("settled")


async def reorg_before_settlement(story: Story) -> None:
    """The block that carried the payment is replaced before it is deep enough."""
    await story.order()
    await story.pay(asset="ETH")
    await story.until_status("processing")
    await story.reorg(1)
    await story.until_status("new")
    await story.pay(asset="ETH")
    await story.mine()
    await story.until_status("settled")


async def reorg_after_settlement(story: Story) -> None:
    """The chain takes back what had settled the invoice: taken back in the ledger, and told."""
    await story.order()
    await story.pay(asset="ETH")
    await story.mine()
    await story.until_status("settled")
    await story.reorg(CONFIRMED + 1)
    await story.until("reversed", lambda i: bool(i["exception"] == "reversed"))


async def stale_oracle(story: Story) -> None:
    """The price's source falls silent: new invoices are refused, nothing is guessed."""
    pair = "ETH/USD"
    await story.shop.post("/sandbox/prices", {"pair": pair, "price": "2500", "age_seconds": 7200})
    story.tell(f"the newest {pair} price is two hours old")
    try:
        await story.order(assets=["ETH"])
    except Refused as error:
        if error.code != "price_unavailable":
            raise
        story.tell(f"the invoice is refused: {error.detail}")
    else:
        raise Unavailable("an invoice was made at a stale price")
    finally:
        await story.shop.post("/sandbox/prices", {"pair": pair})
    story.tell("the source speaks again")
    await story.order(assets=["ETH"])


async def dead_webhook(story: Story) -> None:
    """The merchant's server is away: deliveries wait and are tried again, the invoice settles."""
    endpoint = await story.shop.post("/webhook_endpoints", {"url": DEAD_URL, "events": ["*"]})
    try:
        await story.order()
        await story.pay(asset="USDC")
        await story.mine()
        await story.until_status("settled")
        found = await story.shop.get(f"/webhook_endpoints/{endpoint['id']}/deliveries")
        waiting = [d for d in found["data"] if d["status"] == "pending"]
        story.tell(f"{len(waiting)} deliveries wait for their next attempt")
    finally:
        await story.shop.ask("DELETE", f"/v1/webhook_endpoints/{endpoint['id']}")


async def payout(story: Story) -> None:
    """Money leaves: set aside, judged, signed by the signer, sent, buried."""
    await story.earn("0.5")
    asked = await story.pay_out("0.2")
    await story.leaves(f"/payouts/{asked['id']}")


async def payout_needs_approval(story: Story) -> None:
    """More than may leave by itself: nothing moves before a person has signed for it."""
    await story.earn("2")
    asked = await story.pay_out("1.5")
    path = f"/payouts/{asked['id']}"
    await story.wait(path, "held: the signer wants a person", lambda p: p["status"] == "held")
    await story.approve(asked["id"])
    await story.leaves(path)


async def refund(story: Story) -> None:
    """A customer paid too much, and gets the excess back."""
    await story.order(assets=["USDC"])
    await story.pay(asset="USDC", amount="30.00")
    await story.mine()
    await story.until_status("settled", "paid_over")
    asked = await story.shop.post(
        f"/invoices/{story.invoice['id']}/refunds",
        {"variant": "overpaid", "address": somebody()},
    )
    story.tell(f"{asked['amount']} {asked['asset']} are to go back: {asked['id']}")
    await story.leaves(f"/refunds/{asked['id']}")


async def sweep(story: Story) -> None:
    """The house empties deposit addresses, and each deposit bears its part of the gas."""
    await story.earn("0.5")
    await story.order("25.00", assets=["USDC"])
    await story.pay(asset="USDC")
    await story.mine()
    await story.until_status("settled")
    network = story.invoice["payment_options"][0]["network"]
    async with story.house() as house:
        asked = await house.post("/sweeps", {"network": network})
        path = f"/sweeps/{asked['id']}"
        story.tell(f"the house sweeps: {asked['id']}")
        mined = await story.wait(
            path,
            "signed, sent and in a block",
            lambda s: s["status"] in ("in_transit", "done", "failed"),
            house,
        )
        if mined["status"] == "in_transit":
            await story.mine()
        done = await story.wait(
            path, "at the treasury, and the books say so", lambda s: s["status"] == "done", house
        )
    for one in done["totals"]:
        story.tell(f"{one['swept']} {one['asset']} from {one['addresses']} addresses")
    story.tell(f"gas: {done['network_fee']} ETH in {len(done['transactions'])} transactions")


SCENARIOS: dict[str, Callable[[Story], Awaitable[None]]] = {
    play_.__name__: play_
    for play_ in (
        underpaid, overpaid, late, twice, wrong_token, contract_eth, reorg_before_settlement,
        reorg_after_settlement, stale_oracle, dead_webhook, payout, payout_needs_approval, refund,
        sweep, scenarios_venues.binance_1007_after_fill, scenarios_venues.partial_fill_then_silence,
        scenarios_venues.coinbase_success_with_failure, scenarios_venues.venues_down,
        scenarios_venues.withdrawal_nobody_ordered,
    )
}  # fmt: skip


async def play(name: str, url: str, key: str, approver_key: Path) -> dict[str, Any]:
    """Plays one story; returns its steps and the invoice at its end. Raises Refused."""
    async with enter(url, key) as shop:
        story = Story(shop, approver_key)
        await SCENARIOS[name](story)
    return {"scenario": name, "steps": story.steps, "invoice": story.invoice}
