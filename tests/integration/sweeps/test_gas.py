"""What a swept deposit costs through the whole road, beside the usual way on the same chain."""

from __future__ import annotations

from eth_account import Account

from tests.integration.sweeps.sweeping import Sweeping
from tests.world import calldata

BATCH = 20
FIRST, AGAIN = 49_500, 12_000
PAID = 123_456_789  # base units: 123.456789 USDC


async def usual_way(sweeping: Sweeping) -> int:
    """A key per address: gas is sent there, then the token from there."""
    node, token = sweeping.node, sweeping.token("USDC")
    key = Account.create()
    await node.send(token, data=calldata("mint(address,uint256)", key.address, PAID), gas=200_000)
    funding = await node.send(key.address.lower(), 10**16)
    treasury = sweeping.world.contracts.treasury
    await node.rpc("anvil_impersonateAccount", key.address)
    call = {
        "from": key.address,
        "to": token,
        "data": calldata("transfer(address,uint256)", treasury, PAID),
    }
    moved = await node.receipt(await node.rpc("eth_sendTransaction", call))
    paid = [await node.receipt(funding), moved]
    return sum(int(receipt["gasUsed"], 16) for receipt in paid)


async def gas_used(sweeping: Sweeping) -> int:
    """Of the newest sweep's only transaction."""
    rows = await sweeping.world.rows("transactions", purpose="sweep")
    newest = max(rows, key=lambda row: row.id)
    receipt = await sweeping.node.receipt(newest.tx_hash)
    return int(receipt["gasUsed"], 16)


async def test_twenty_deposits_cost_less_than_the_usual_way(sweeping: Sweeping) -> None:
    # Twice: only the second meets a treasury that holds some, as it does in life.
    usual = [await usual_way(sweeping) for _ in range(2)][-1]
    before = await sweeping.treasury("USDC")
    addresses = await sweeping.addresses(BATCH)
    found = []
    for _ in range(2):
        await sweeping.pay("USDC", dict.fromkeys(addresses, PAID))
        await sweeping.confirm()
        shown = await sweeping.finish(await sweeping.ask())
        assert shown["status"] == "done", shown
        assert [t["swept"] for t in shown["totals"]] == ["2469.135780"]
        found.append(await gas_used(sweeping) // BATCH)
    first, again = found
    print(f"gas per deposit: first {first}, again {again}, the usual way {usual}")
    assert first <= FIRST < usual
    assert again <= AGAIN
    kinds = [row.intent["type"] for row in await sweeping.world.rows("transactions")]
    assert kinds == ["sweep_known", "sweep_known"]
    assert await sweeping.treasury("USDC") - before == 2 * BATCH * PAID
    await sweeping.world.assert_books_match_the_chain()
