"""What the sandbox's signer may sign: its policy file, as the owner of an installation writes his.

Wide enough for 1,000 payouts an hour of up to 1 ETH, or as much in tokens, without a person.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sandbox.deploy import Keys, address_of
from sandbox.world import TOKENS, Chain

UNATTENDED_ETH = "1"
UNATTENDED_TOKENS = "2500"  # 1 ETH at the price that the sandbox begins with
PAYOUTS_AN_HOUR = 1_000
HOURS_A_DAY = 24
FEE_ETH = "5"  # for one transaction: 500 payouts at the highest fee that bezant.toml allows
FEES_A_DAY_ETH = "1000"
# The test clock runs ahead of the signer's, by the years that it may be moved (routes.Advance).
QUOTE_SECONDS = 20 * 366 * 86_400

HOT = ["payout", "payout_batch", "sweep", "sweep_known", "move", "allowance", "deploy", "cancel"]
RELAYER = ["sweep", "sweep_known", "relay", "relay_transfer", "cancel"]
TREASURY = ["move", "cancel"]


def policy(
    chains: Sequence[Chain], keys: Keys, approver_key: bytes, venues: Sequence[str] = ()
) -> str:
    """TOML. JSON's strings, numbers and lists are TOML's too. venues: where they take deposits."""
    lines = [
        "# Written by `bezant sandbox` at its first start.",
        "needed = 1",
        "",
        "[[approvers]]",
        'name = "sandbox"',
        f"address = {json.dumps(address_of(approver_key))}",
    ]
    for chain in chains:
        at = f'networks."{chain.id}"'
        lines += [
            "",
            f"[{at}]",
            f"chain_id = {chain.chain_id}",
            f"factory = {json.dumps(chain.factory)}",
            f"router = {json.dumps(chain.router)}",
            f"multisend = {json.dumps(chain.multisend)}",
            f"fee = {json.dumps(FEE_ETH)}",
            f"fees_per_day = {json.dumps(FEES_A_DAY_ETH)}",
            f"quote_seconds = {QUOTE_SECONDS}",
            "sweep_any_token = true",
            f"destinations = {json.dumps([keys.hot, keys.relayer, chain.treasury, *venues])}",
            "",
            f"[{at}.wallets]",
            f"{json.dumps(keys.hot)} = {json.dumps(HOT)}",
            f"{json.dumps(keys.relayer)} = {json.dumps(RELAYER)}",
            f"{json.dumps(chain.treasury)} = {json.dumps(TREASURY)}",
            *_asset(at, "ETH", "native", 18, UNATTENDED_ETH),
        ]
        for token in TOKENS:
            address = chain.tokens[token.symbol]
            lines += _asset(at, token.symbol, address, token.decimals, UNATTENDED_TOKENS)
    return "\n".join(lines) + "\n"


def _asset(at: str, symbol: str, token: str, decimals: int, single: str) -> list[str]:
    hour = int(single) * PAYOUTS_AN_HOUR
    day = hour * HOURS_A_DAY
    return [
        "",
        f"[{at}.assets.{symbol}]",
        f"token = {json.dumps(token)}",
        f"decimals = {decimals}",
        f"single = {json.dumps(single)}",
        f'per_hour = "{hour}"',
        f'per_day = "{day}"',
        f'moves_per_day = "{day}"',
    ]
