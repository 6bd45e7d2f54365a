"""What `bezant deploy` says at its end: addresses, the lines for files, and what is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from bezant.bootstrap import open_context, open_signer
from bezant.deploying import Stood, deploy, owner_of
from bezant.printing import show
from bezant.settings import Settings
from chain.contracts import Contracts
from chain.endpoints import Endpoints
from core.errors import NotFound
from core.networks import Network
from sandbox.contracts import call
from wallets.addresses import checksum
from wallets.signer.client import Signer
from wallets.signer.policy import address_in


def run(
    settings: Settings, network: str, owner: str | None, label: str | None, as_json: bool
) -> None:
    """Raises NotFound, Misconfigured, and what `deploy` raises."""
    here = settings.catalog.networks.get(network)
    if here is None:
        known = ", ".join(settings.catalog.networks)
        raise NotFound(f"{settings.file} has no network {network}: {known}")
    given = None if owner is None else address_in("--owner", owner)

    async def work() -> dict[str, Any]:
        async with (
            open_context(settings, listen=False) as context,
            open_signer(settings) as signer,
            Endpoints(here) as endpoints,
        ):
            factorys = await owner_of(list(settings.catalog.networks.values()), given)
            say = lambda line: click.echo(line, err=True)  # noqa: E731
            stood = await deploy(context, here, endpoints, signer, factorys, say, label=label)
            return await report(here, signer, stood)

    found = asyncio.run(work())
    if as_json:
        show(found, as_json)
    else:
        click.echo(told(found))


async def report(network: Network, signer: Signer, stood: Sequence[Stood]) -> dict[str, Any]:
    """As JSON. Raises ChainError, SignerError."""
    at = {one.contract.key: checksum(one.contract.address) for one in stood}
    return {
        "object": "deployment",
        "network": network.id,
        "contracts": [
            {
                "name": one.contract.name,
                "address": checksum(one.contract.address),
                "tx_hash": one.tx_hash,
            }
            for one in stood
        ],
        "lines": [f'[networks."{network.id}"]', *(f'{key} = "{a}"' for key, a in at.items())],
        "remaining": await _remaining(network, signer, at),
    }


async def _remaining(network: Network, signer: Signer, at: dict[str, str]) -> list[str]:
    """Sentences, in the order in which it is done; what the chain shows as done is left out."""
    wallets = await signer.wallets()
    quotes = [w.address for w in wallets if w.kind == "quote"]
    treasuries = [w.address for w in wallets if w.kind == "treasury"]
    async with Contracts(network.rpc_urls[0]) as contracts:
        factory = await contracts.factory(at["factory"])
        router = await contracts.router(at["router"])
    assert factory is not None  # noqa: S101  (they stand: deploy has looked)
    assert router is not None  # noqa: S101
    found = []
    for key, address in at.items():
        if getattr(network, key) != address.lower():
            found.append("Put the lines into bezant.toml, in its table of this network.")
            found.append("Put the same lines into the signer's policy: bezant signer policy apply.")
            break
    if factory.treasury is None:
        found += _treasury(at["factory"], factory.owner, treasuries)
    if not quotes:
        found.append("Make a quote key for the router: bezant wallet new quotes --kind quote.")
    elif (router.quote_key or "").lower() not in quotes:
        data = call("setQuoteKey(address,uint256)", quotes[0], 0)
        found.append(
            f"The owner {factory.owner} calls setQuoteKey({checksum(quotes[0])}, 0) of the router"
            f" {at['router']}: {data}"
        )
    found.append("bezant doctor, then start api and worker again.")
    return found


def _treasury(factory: str, owner: str | None, treasuries: Sequence[str]) -> list[str]:
    """Proposed by the owner, taken on by the treasury itself (CHAIN 2)."""
    to = f"of the factory {factory}"
    if not treasuries:
        sentence = (
            f"The owner {owner} calls proposeTreasury(address) {to}, then the treasury setTreasury"
            " (contracts/README.md). This command shows the calldata once the treasury is known:"
            " bezant wallet import treasury --address 0x... --treasury."
        )
        return [sentence]
    treasury = treasuries[0]
    proposal = call("proposeTreasury(address)", treasury)
    taken = call("setTreasury(address,bytes)", treasury, b"")
    proposes = f"The owner {owner} calls proposeTreasury({checksum(treasury)}) {to}: {proposal}"
    takes = (
        f"The treasury {checksum(treasury)} calls setTreasury {to}: {taken} (a key instead of a"
        " contract signs, and anybody sends it: contracts/README.md)."
    )
    return [proposes, takes]


def told(found: dict[str, Any]) -> str:
    """For people."""
    rows = [
        f"{one['name']:<15} {one['address']}  {one['tx_hash'] or 'was there already'}"
        for one in found["contracts"]
    ]
    left = [f"{number}. {line}" for number, line in enumerate(found["remaining"], 1)]
    return "\n".join([*rows, "", *found["lines"], "", "What remains:", *left])
