"""What doctor says of the signer: absent, away, and with a policy that is not in step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bezant import outgoing
from bezant.settings import Settings, load
from core.networks import Catalog, Network
from tests.integration.wallets.signer.process import SHARED_KEY, SignerProcess, open_signer
from tests.unit.wallets.signer import world as w
from tests.world import Deployed, connect, network_of

EXAMPLE = Path(__file__).parents[3] / "bezant.example.toml"


@pytest.fixture
async def signer() -> AsyncIterator[SignerProcess]:
    async with open_signer() as found:
        yield found


def settings(signer: SignerProcess | None, *networks: Network) -> Settings:
    known = replace(
        load(EXAMPLE, {}),
        catalog=Catalog({network.id: network for network in networks}),
        service_key=SHARED_KEY,
    )
    return known if signer is None else replace(known, signer_socket=signer.place.socket)


async def here(made: tuple[str, Deployed]) -> Network:
    """The hot wallet is empty: its key has another part in the world of these tests."""
    url, deployed = made
    async with connect(url) as node:
        await node.rpc("anvil_setBalance", w.HOT, "0x0")
        return network_of(node, deployed)


def verdicts(rows: list[outgoing.Row]) -> dict[str, str]:
    return {about: verdict for verdict, about, _ in rows}


async def test_without_a_signer_it_is_a_note() -> None:
    [(verdict, about, sentence)] = await outgoing.examine(settings(None))
    assert (verdict, about) == ("note", "signer")
    assert "BEZANT_SIGNER_SOCKET" in sentence


async def test_one_that_is_away_and_one_that_has_another_key_are_bad(
    signer: SignerProcess,
) -> None:
    stranger = replace(settings(signer), service_key=bytes(32))
    assert verdicts(await outgoing.examine(stranger)) == {"signer": "bad"}
    await signer.stop()
    [(verdict, _, sentence)] = await outgoing.examine(settings(signer))
    assert verdict == "bad"
    assert "does not answer" in sentence


async def test_what_the_policy_does_not_know_is_named(
    signer: SignerProcess, one_chain: tuple[str, Deployed]
) -> None:
    """The policy's tokens and factory are not this network's; its wallet holds nothing here."""
    network = await here(one_chain)
    rows = await outgoing.examine(settings(signer, network))
    told = {about: (verdict, sentence) for verdict, about, sentence in rows}
    assert told["signer"][0] == "ok"
    verdict, sentence = told["eip155:31337 policy"]
    assert verdict == "bad"
    assert "payouts of USDT (unknown_asset" in sentence
    assert "payouts of ETH" not in sentence
    assert "sweeps (" in sentence
    [hot] = [found for about, found in told.items() if "hot wallet" in about]
    assert hot == ("bad", "it has no ETH for gas: nothing can be sent.")
    verdict, sentence = told["eip155:31337 router"]
    assert verdict == "bad"
    assert "which the signer has no key of" in sentence


async def test_in_step_it_is_fine(signer: SignerProcess, one_chain: tuple[str, Deployed]) -> None:
    full = await here(one_chain)
    coin = replace(full, tokens=full.tokens[:1], factory=None, router=None)
    rows = await outgoing.examine(settings(signer, coin))
    assert verdicts(rows)["eip155:31337 policy"] == "ok"
    assert [row for row in rows if w.HOT in row[1].lower()] != []
