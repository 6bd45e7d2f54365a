"""Puts our contracts, tokens and feeds on a network; what is there already is left alone."""

from __future__ import annotations

from collections.abc import Sequence

from eth_account import Account

from core.money import Asset
from sandbox import contracts
from sandbox.node import FAUCET, Node
from sandbox.world import FEED_DECIMALS, FEEDS, TOKENS, Chain

# Old enough for `finalized` to exist, and no reorg of a tester's reaches the deployment.
FIRST_BLOCKS = 100
MINTED = 10**9  # whole tokens for each of Anvil's accounts
FEED_UNIT = Asset("feed", FEED_DECIMALS, FEED_DECIMALS)


def address_of(key: bytes) -> str:
    """The account of a private key, lower case."""
    return str(Account.from_key(key).address).lower()


async def deploy(node: Node, chain_id: int, owner_key: bytes, treasury_key: bytes) -> Chain:
    """Everything of a sandbox network. The factory's owner and treasury are keys of their own."""
    await node.open_faucet()
    owner, treasury = address_of(owner_key), address_of(treasury_key)
    factory = contracts.deployment("DepositFactory", owner)
    tokens = {
        t.symbol: contracts.deployment(t.contract, t.name, t.symbol, t.decimals) for t in TOKENS
    }
    feeds = {
        f.pair: contracts.deployment(
            "MockAggregator", f"{f.base} / {f.quote}", FEED_DECIMALS, FEED_UNIT.parse(f.price)
        )
        for f in FEEDS
    }
    wanted = [factory, *tokens.values(), *feeds.values(), contracts.deployment("Payer")]
    codes = await node.many([("eth_getCode", [address, "latest"]) for address, _ in wanted])
    missing = [w for w, code in zip(wanted, codes, strict=True) if code == "0x"]
    await node.call("anvil_setCode", contracts.MULTICALL, contracts.runtime("Multicall3"))
    await node.send_as_faucet([(contracts.DEPLOYER, data) for _, data in missing])
    await _set_treasury(node, factory[0], owner, treasury, treasury_key)
    if factory in missing:
        await _mint(node, [address for address, _ in tokens.values()])
        await node.mine(FIRST_BLOCKS)
    return Chain(
        chain_id=chain_id,
        url=node.url,
        factory=factory[0],
        treasury=treasury,
        tokens={symbol: address for symbol, (address, _) in tokens.items()},
        feeds={pair: address for pair, (address, _) in feeds.items()},
    )


async def _mint(node: Node, tokens: Sequence[str]) -> None:
    """Whoever pays has enough of every token, so that a payment is one transaction."""
    units = [MINTED * 10**t.decimals for t in TOKENS]
    mints = [
        (token, contracts.call("mint(address,uint256)", account, amount))
        for account in await node.accounts()
        for token, amount in zip(tokens, units, strict=True)
    ]
    await node.send_as_faucet([contracts.together(mints)])


async def _set_treasury(
    node: Node, factory: str, owner: str, treasury: str, treasury_key: bytes
) -> None:
    """The owner proposes, the treasury's own key proves that somebody controls it (CHAIN 2)."""
    if await treasury_of(node, factory) == treasury:
        return
    await node.many(
        [
            ("anvil_setBalance", [owner, hex(10**18)]),
            ("anvil_impersonateAccount", [owner]),
        ]
    )
    proposal = contracts.call("proposeTreasury(address)", treasury)
    await node.send([{"from": owner, "to": factory, "data": proposal}])
    await node.call("anvil_stopImpersonatingAccount", owner)
    digest = await node.read(factory, contracts.call("treasuryDigest(address)", treasury))
    proof = contracts.call("setTreasury(address,bytes)", treasury, sign(treasury_key, digest))
    await node.send([{"from": FAUCET, "to": factory, "data": proof}])


async def treasury_of(node: Node, factory: str) -> str:
    """The treasury in force; the zero address while there is none."""
    word = await node.read(factory, contracts.call("treasury()"))
    return "0x" + word[-20:].hex()


def sign(key: bytes, digest: bytes) -> bytes:
    """An Ethereum signature: r, s (low), v as 27 or 28."""
    return bytes(Account.unsafe_sign_hash(digest, key).signature)
