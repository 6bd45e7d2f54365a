"""A running house is proved as a person does it: over HTTP, and by `bezant reconcile`."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.e2e.test_payouts import NETWORK, ask, paid, shop_with, somebody
from tests.e2e.town import Town


def reconcile(town: Town, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bezant.cli", "reconcile", "--data-dir", str(town.data)]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=120, check=False
    )


async def test_what_was_earned_and_paid_out_is_all_there(sandbox: Town) -> None:
    async with shop_with(sandbox, "0.5") as (shop, operator, chains):
        await paid(shop, chains, await ask(shop, "0.1", somebody()))
        head = await chains.nodes[NETWORK].rpc("eth_getBlockByNumber", "latest", False)
        asked = await operator.post("/v1/reconciliations", {"scope": "chain"})
        path = f"/v1/reconciliations/{asked['id']}"
        found = await operator.shows(path, lambda run: run["finished_at"] is not None)
        assert (found["status"], found["unread"]) == ("clean", []), found
        proved = {block["network"]: block for block in found["blocks"]}
        assert proved[NETWORK]["number"] >= int(head["number"], 16)
    done = reconcile(sandbox, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["unread"]) == ("clean", [])
    assert {venue["venue"] for venue in told["venues"]} == {"binance", "coinbase"}
    shown = reconcile(sandbox)
    assert (shown.returncode, "clean" in shown.stdout) == (0, True)
    assert f"{NETWORK} is reconciled to block" in shown.stdout
