"""What `bezant doctor` asks of what leaves: the signer, what its policy allows, what wallets hold.

The policy is the signer's own file and is never shown here: it is tried, by orders of one base unit
that are judged, not signed and not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bezant.bootstrap import open_signer
from bezant.settings import Settings
from chain.contracts import Contracts
from chain.endpoints import Endpoints
from chain.wire import BALANCE, CALL
from core.clock import wall
from core.errors import ChainError, Misconfigured, SignerError
from core.keccak import keccak, selector
from core.networks import NATIVE, Network, Token
from wallets.addresses import checksum
from wallets.intents import Known, Order, Payment, Payout, SweepKnown
from wallets.signer.client import Signer, SignerWallet

Row = tuple[str, str, str]  # verdict, about, sentence
TIMEOUT_SECONDS = 10.0
UNUSED_NONCE = 2**62
GAS = 100_000
SOMEBODY = "0x" + keccak(b"bezant doctor")[12:].hex()  # nobody has its key, nothing is sent there
_BALANCE_OF = "0x" + selector("balanceOf(address)").hex() + "00" * 12


async def examine(settings: Settings) -> list[Row]:
    """Findings, the signer's first. One that is away is a finding, never an exception."""
    if settings.signer_socket is None:
        sentence = "none is configured (BEZANT_SIGNER_SOCKET): payouts stay as they are, unsigned."
        return [("note", "signer", sentence)]
    rows: list[Row] = []
    try:
        async with open_signer(settings) as signer:
            wallets = await signer.wallets()
            rows.append(_wallets(wallets))
            hot = [wallet.address for wallet in wallets if wallet.kind == "hot"]
            quotes = [wallet.address for wallet in wallets if wallet.kind == "quote"]
            for network in settings.catalog.networks.values() if hot else ():
                rows.append(await _policy(signer, network, hot[0]))
                rows += await _funds(network, hot)
                if network.router is not None:
                    rows.append(await _router(network, network.router, quotes))
    except (SignerError, Misconfigured) as error:
        rows.append(("bad", "signer", f"{error}."))
    return rows


def _wallets(wallets: Sequence[SignerWallet]) -> Row:
    kinds = [wallet.kind for wallet in wallets]
    if "hot" not in kinds:
        return "bad", "signer", "it has no hot wallet: make one with bezant wallet new."
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return "ok", "signer", f"it answers and knows {counted}."


async def _policy(signer: Signer, network: Network, wallet: str) -> Row:
    """One base unit of each token, and a sweep by our factory."""
    about = f"{network.id} policy"
    refused: dict[str, str] = {}
    for token in network.tokens:
        verdict = await signer.check(_order(network, wallet, _payout(token)))
        if not verdict.allowed:
            refused[f"payouts of {token.asset.symbol}"] = f"{verdict.code}: {verdict.detail}"
    if network.factory is not None and len(network.tokens) > 1:
        verdict = await signer.check(_order(network, wallet, _sweep(network)))
        if not verdict.allowed:
            refused["sweeps"] = f"{verdict.code}: {verdict.detail}"
    if refused:
        return "bad", about, f"the signer refuses {_list(refused)}."
    symbols = ", ".join(token.asset.symbol for token in network.tokens)
    return "ok", about, f"the signer pays out {symbols}, and sweeps."


def _list(refused: Mapping[str, str]) -> str:
    return "; ".join(f"{what} ({why})" for what, why in refused.items())


def _order(network: Network, wallet: str, intent: Payout | SweepKnown) -> Order:
    return Order(
        id="tx_" + "0" * 26,
        network=network.id,
        chain_id=network.chain_id,
        wallet=wallet,
        nonce=UNUSED_NONCE,
        gas=GAS,
        max_fee=1,
        priority_fee=0,
        intent=intent,
    )


def _payout(token: Token) -> Payout:
    return Payout(
        payment=Payment(
            id="pay_" + "0" * 26,
            token=token.address,
            to=SOMEBODY,
            amount=1,
            fee_cap=GAS,
            expires_at=int(wall().timestamp()) + 3600,
            nonce=0,
            initiator="",
        )
    )


def _sweep(network: Network) -> SweepKnown:
    """Of a salt that no deposit address has."""
    return SweepKnown(
        id="swp_" + "0" * 26,
        factory=network.factory or "",
        token=network.tokens[1].address,
        fresh=0,
        known=(Known(salt="0x" + "1".zfill(64), amount=1),),
        call_gas=GAS,
    )


async def _funds(network: Network, wallets: Sequence[str]) -> list[Row]:
    """What payouts can be paid with, and their gas."""
    rows: list[Row] = []
    async with Endpoints(network, timeout=TIMEOUT_SECONDS) as endpoints:
        for wallet in wallets:
            about = f"{network.id} hot wallet {checksum(wallet)}"
            try:
                held = {t: await _held(endpoints, t, wallet) for t in network.tokens}
            except ChainError as error:
                rows.append(("bad", about, f"{error}."))
                continue
            texts = [f"{_short(t, n)} {t.asset.symbol}" for t, n in held.items() if n]
            coin = network.tokens[0]
            if not held[coin]:
                sentence = f"it has no {coin.asset.symbol} for gas: nothing can be sent."
                rows.append(("bad", about, sentence))
            else:
                rows.append(("ok", about, f"it holds {', '.join(texts)}."))
    return rows


def _short(token: Token, units: int) -> str:
    text = token.asset.format(units)
    return text.rstrip("0").rstrip(".") if "." in text else text


async def _router(network: Network, router: str, quotes: Sequence[str]) -> Row:
    """It must pay our factory's treasury, and take the quotes that our signer signs."""
    about = f"{network.id} router"
    url = network.rpc_urls[0]
    try:
        async with Contracts(url, timeout=int(TIMEOUT_SECONDS)) as contracts:
            state = await contracts.router(router)
    except ChainError as error:
        return "bad", about, f"{error}."
    if state is None:
        return "bad", about, f"there is no contract at {checksum(router)}."
    if (state.factory or "").lower() != network.factory:
        return "bad", about, f"it pays the treasury of {state.factory}, not of our factory."
    if (state.quote_key or "").lower() not in quotes:
        sentence = f"it takes quotes of {state.quote_key}, which the signer has no key of."
        return "bad", about, sentence
    return "ok", about, f"it takes the signer's quotes, made with {state.quote_key}."


async def _held(endpoints: Endpoints, token: Token, wallet: str) -> int:
    rpc = endpoints.ranked()[0].rpc
    if token.address == NATIVE:
        answer = await rpc.call(BALANCE, wallet, "latest")
        return int(answer, 16)
    data = _BALANCE_OF + wallet[2:]
    answer = await rpc.call(CALL, {"to": token.address, "data": data}, "latest")
    return int(answer, 16)
