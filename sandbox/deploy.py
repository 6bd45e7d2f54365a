"""Puts our contracts, tokens and feeds on a network; what is there already is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coincurve import PrivateKey

from core.keccak import keccak
from core.money import Asset
from sandbox import contracts
from sandbox.node import FAUCET, Node
from sandbox.world import FEED_DECIMALS, FEEDS, TOKENS, Chain

# Old enough for `finalized` to exist, and no reorg of a tester's reaches the deployment.
FIRST_BLOCKS = 100
MINTED = 10**9  # whole tokens for each of Anvil's accounts
HOT_TOKENS = 500_000  # whole tokens of each kind that the house begins with (API 2)
HOT_WEI = 100 * 10**18
RELAYER_WEI = 10 * 10**18
VENUE_WEI = (
    10**6 * 10**18
)  # what simulated venues pay withdrawals from, beside MINTED of each token
FEED_UNIT = Asset("feed", FEED_DECIMALS, FEED_DECIMALS)


def address_of(key: bytes) -> str:
    """The account of a private key, lower case."""
    public = PrivateKey(key).public_key.format(compressed=False)
    return "0x" + keccak(public[1:])[12:].hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Who has a say on every network: private keys of the factory's owner and of the treasury, and
    the addresses that sign for the house. `venues`: what simulated venues pay from."""

    owner: bytes
    treasury: bytes
    hot: str
    relayer: str
    quote: str
    venues: tuple[str, ...] = ()


def plan(chain_id: int, url: str, keys: Keys) -> Chain:
    """Where everything will lie: known before anything runs."""
    return Chain(
        chain_id=chain_id,
        url=url,
        treasury=address_of(keys.treasury),
        **{name: address for name, (address, _) in _contracts(keys).items()},
        tokens={symbol: address for symbol, (address, _) in _tokens().items()},
        feeds={pair: address for pair, (address, _) in _feeds().items()},
    )


async def deploy(node: Node, chain: Chain, keys: Keys) -> None:
    """Puts there what is missing. Everybody of the house has what he starts with."""
    await node.open_faucet()
    own = _contracts(keys)
    wanted = [
        *own.values(), *_tokens().values(), *_feeds().values(), contracts.deployment("Payer"),
    ]  # fmt: skip
    codes = await node.many([("eth_getCode", [address, "latest"]) for address, _ in wanted])
    missing = [w for w, code in zip(wanted, codes, strict=True) if code == "0x"]
    await node.call("anvil_setCode", contracts.MULTICALL, contracts.runtime("Multicall3"))
    await node.send_as_faucet([(contracts.DEPLOYER, data) for _, data in missing])
    await _set_treasury(node, chain, keys)
    await _set_quote_key(node, chain, keys)
    await _fill_venues(node, list(chain.tokens.values()), keys)
    if own["factory"] in missing:
        await _mint(node, list(chain.tokens.values()), keys)
        await node.mine(FIRST_BLOCKS)


Deployment = tuple[str, str]  # address, calldata for the deployer


def _contracts(keys: Keys) -> dict[str, Deployment]:
    """Ours, by the names that they have in a Chain."""
    factory = contracts.deployment("DepositFactory", address_of(keys.owner))
    return {
        "factory": factory,
        "router": contracts.deployment("PaymentRouter", factory[0]),
        "multisend": contracts.deployment("Multisend"),
        "sanctions_oracle": contracts.deployment("SanctionsOracle"),
    }


def _tokens() -> dict[str, Deployment]:
    return {
        t.symbol: contracts.deployment(t.contract, t.name, t.symbol, t.decimals) for t in TOKENS
    }


def _feeds() -> dict[str, Deployment]:
    return {
        f.pair: contracts.deployment(
            "MockAggregator", f"{f.base} / {f.quote}", FEED_DECIMALS, FEED_UNIT.parse(f.price)
        )
        for f in FEEDS
    }


async def _mint(node: Node, tokens: Sequence[str], keys: Keys) -> None:
    """Whoever pays has enough of every token, so that a payment is one transaction; and the house
    has exactly what its books begin with."""
    customers = await node.accounts()
    mints = [
        (token, contracts.call("mint(address,uint256)", account, whole * 10**spec.decimals))
        for account, whole in [*((c, MINTED) for c in customers), (keys.hot, HOT_TOKENS)]
        for token, spec in zip(tokens, TOKENS, strict=True)
    ]
    await node.send_as_faucet([contracts.together(mints)])
    wei = {keys.hot: HOT_WEI, keys.relayer: RELAYER_WEI}
    await node.many([("anvil_setBalance", [a, hex(amount)]) for a, amount in wei.items()])


async def _fill_venues(node: Node, tokens: Sequence[str], keys: Keys) -> None:
    """Once: a venue whose coins are there has been filled."""
    coins = await node.many([("eth_getBalance", [venue, "latest"]) for venue in keys.venues])
    empty = [v for v, wei in zip(keys.venues, coins, strict=True) if not int(wei, 16)]
    if not empty:
        return
    mints = [
        (token, contracts.call("mint(address,uint256)", venue, MINTED * 10**spec.decimals))
        for venue in empty
        for token, spec in zip(tokens, TOKENS, strict=True)
    ]
    await node.send_as_faucet([contracts.together(mints)])
    await node.many([("anvil_setBalance", [venue, hex(VENUE_WEI)]) for venue in empty])


async def _set_treasury(node: Node, chain: Chain, keys: Keys) -> None:
    """The owner proposes, the treasury's own key proves that somebody controls it (CHAIN 2)."""
    factory, treasury = chain.factory, chain.treasury
    if await treasury_of(node, factory) == treasury:
        return
    proposal = contracts.call("proposeTreasury(address)", treasury)
    await _as_owner(node, keys, factory, proposal)
    digest = await node.read(factory, contracts.call("treasuryDigest(address)", treasury))
    proof = contracts.call("setTreasury(address,bytes)", treasury, sign(keys.treasury, digest))
    await node.send([{"from": FAUCET, "to": factory, "data": proof}])


async def _set_quote_key(node: Node, chain: Chain, keys: Keys) -> None:
    """Whose quotes the router takes."""
    word = await node.read(chain.router, contracts.call("quoteKey()"))
    if "0x" + word[-20:].hex() != keys.quote:
        change = contracts.call("setQuoteKey(address,uint256)", keys.quote, 0)
        await _as_owner(node, keys, chain.router, change)


async def _as_owner(node: Node, keys: Keys, to: str, data: str) -> None:
    owner = address_of(keys.owner)
    await node.many(
        [
            ("anvil_setBalance", [owner, hex(10**18)]),
            ("anvil_impersonateAccount", [owner]),
        ]
    )
    await node.send([{"from": owner, "to": to, "data": data}])
    await node.call("anvil_stopImpersonatingAccount", owner)


async def treasury_of(node: Node, factory: str) -> str:
    """The treasury in force; the zero address while there is none."""
    word = await node.read(factory, contracts.call("treasury()"))
    return "0x" + word[-20:].hex()


def sign(key: bytes, digest: bytes) -> bytes:
    """An Ethereum signature: r, s (low), v as 27 or 28."""
    signed = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return signed[:64] + bytes([signed[64] + 27])
