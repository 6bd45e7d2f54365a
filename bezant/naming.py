"""What a payout's signed fields are called: `bezant approve` shows names beside them.

Decimals, symbols and names are not signed. Those of the approver's own bezant.toml can be believed;
what only the service says is shown as its word, and must at least not contradict what is signed.
Where it says nothing, what is signed speaks for itself: base units, or the network's coin.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bezant.administration import environment_of_sandbox, is_configured
from bezant.places import sandbox_dir
from bezant.settings import load
from core.errors import InvalidAmount, Refused
from core.money import Asset, crypto
from core.networks import NATIVE, Catalog
from risk.rules import AddressKind
from wallets.intents import Payment

OWN, SERVICE, NOBODY = "your bezant.toml", "the service", "nobody: shown as it is signed"
UNKNOWN = "unknown"
_KINDS = {
    AddressKind.ACCOUNT.value: "no code, whoever has its key has what is paid",
    AddressKind.DELEGATED.value: "an account that runs a contract's code (EIP-7702)",
    AddressKind.CONTRACT.value: "its code says what becomes of what is paid",
    UNKNOWN: "no node has told what stands there",
}
COIN_DECIMALS = 18  # of every EVM network


@dataclass(frozen=True, slots=True)
class Names:
    """`source`: who says so."""

    asset: Asset
    network: str | None
    source: str


def catalog(config: Path | None, url: str | None, data_dir: Path | None) -> Catalog | None:
    """The approver's own: the file that is named or here, else that of the sandbox of this machine
    when no service elsewhere is asked. Raises Misconfigured."""
    if config is not None or is_configured():
        return load(config).catalog
    found = environment_of_sandbox(sandbox_dir(data_dir)) if url is None else None
    return load(None, found).catalog if found else None


def names(
    payment: Payment, chain_id: int, known: Catalog | None, standing: dict[str, Any]
) -> Names:
    """`standing` is the payout as the service shows it, as far as it does. Raises Refused where
    that is another amount, asset or network than what is to be signed."""
    shown = standing.get("network")
    if shown is not None and shown != f"eip155:{chain_id}":
        raise Refused(f"the service shows {clean(shown)}, to be signed is chain {chain_id}")
    network = known.networks.get(f"eip155:{chain_id}") if known else None
    token = network.by_address().get(payment.token) if network else None
    if network is not None and token is not None:
        found = Names(token.asset, network.name, OWN)
    else:
        found = _told(payment, standing)
    _agree(payment, found, standing)
    return found


def _told(payment: Payment, standing: dict[str, Any]) -> Names:
    asset, amount = standing.get("asset"), standing.get("amount")
    is_coin = payment.token == NATIVE
    if asset is None or amount is None:
        coin = crypto("of the network's coin", COIN_DECIMALS)
        return Names(coin if is_coin else crypto("base units", 0), None, NOBODY)
    decimals = COIN_DECIMALS if is_coin else len(str(amount).partition(".")[2])
    return Names(crypto(clean(asset), decimals), None, SERVICE)


def _agree(payment: Payment, found: Names, standing: dict[str, Any]) -> None:
    asset, amount = standing.get("asset"), standing.get("amount")
    try:
        shown = payment.amount if amount is None else found.asset.parse(str(amount))
    except InvalidAmount:
        shown = -1
    if shown != payment.amount or (asset is not None and clean(asset) != found.asset.symbol):
        raise Refused(
            f"the service shows {clean(amount)} {clean(asset)}, to be"
            f" signed are {found.asset.format(payment.amount)} {found.asset.symbol}"
            f" ({payment.amount} base units): nothing was signed"
        )


def destination(asked: dict[str, Any], standing: dict[str, Any]) -> str:
    """What stands where it pays, by the service: now, and if it was another kind when approvers
    were asked, then. Not signed. `asked` is the approval, `standing` the payout."""
    then = _kind(asked.get("address_kind"))
    now = _kind(standing["address_kind"]) if standing.get("address_kind") else then
    before = "" if then == now else f" ({then} when the approval was asked for)"
    return f"{now}, says the service{before}: {_KINDS[now]}"


def _kind(word: object) -> str:
    return word if isinstance(word, str) and word in _KINDS else UNKNOWN


def clean(text: object, most: int = 80) -> str:
    """What another one wrote, fit for a terminal: no control characters, one line."""
    return "".join(c for c in str(text) if c.isprintable())[:most]
