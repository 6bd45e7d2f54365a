"""What a swept deposit costs, from receipts of a real chain, beside the usual way.

    .venv/bin/python -m tests.contracts.gas     writes contracts/gas-report.md

The usual way gives each deposit address a key: ETH is sent from it (21,000), a token needs gas sent
there first and then the transfer. Every figure is gas per deposit; the transaction's own 21,000 is
shared by its batch.
"""

from __future__ import annotations

from eth_utils.crypto import keccak

from tests.contracts.chain import CONTRACTS, Chain, Contract, anvil

REPORT = CONTRACTS / "gas-report.md"
ETHER = "0x" + "00" * 20
BATCHES = (1, 20, 100)
CALL_GAS = 300_000


def ready_factory(chain: Chain) -> Contract:
    """A factory whose owner and treasury are Anvil's second and third account."""
    _, owner, treasury = chain.accounts[:3]
    factory = chain.create_factory(owner)
    factory.send("proposeTreasury", treasury, sender=owner)
    factory.send("setTreasury", treasury, b"", sender=treasury)
    return factory


def measure() -> str:
    """The report's text."""
    with anvil() as chain:
        factory = ready_factory(chain)
        token = chain.create("SandboxToken", "Dollar", "USD", 6)
        _, _, treasury = chain.accounts[:3]
        chain.rpc("anvil_setBalance", treasury, hex(10**18))
        token.send("mint", treasury, 1)
        usual = {"ETH": 21_000, "ERC-20": _usual(chain, token)}
        lines = [
            "| asset | batch | first sweep | used again | the usual way |",
            "|---|---|---|---|---|",
        ]
        for asset, address in (("ETH", ETHER), ("ERC-20", token.address)):
            for size in BATCHES:
                salts = [_salt(f"{asset} {size} {i}") for i in range(size)]
                first = _sweep(chain, factory, address, salts, fresh=size)
                again = _sweep(chain, factory, address, salts, fresh=0)
                row = (asset, str(size), f"{first:,}", f"{again:,}", f"{usual[asset]:,}")
                lines.append(f"| {' | '.join(row)} |")
    return "\n".join((TITLE, *lines, ""))


TITLE = """# Gas per swept deposit

Measured by `tests/contracts/gas.py` on Anvil with OpenZeppelin's ERC-20; a test compares this page
with a new measurement. `first sweep` deploys the address (`fresh` says so), `used again` finds it
deployed. The usual way, without contracts, sends ETH from a key per address (21,000), or gas to
that key and then the token.
"""


def _salt(name: str) -> bytes:
    """A deposit id of 16 bytes as a word, as the product makes them: zeros are cheap calldata."""
    return keccak(text=name)[:16].rjust(32, b"\0")


def _usual(chain: Chain, token: Contract) -> int:
    """Gas sent to a new address, then its token transfer to a treasury that holds some."""
    treasury, key = chain.accounts[2], chain.accounts[9]
    token.send("mint", key, 10**6)
    transfer = token.send("transfer", treasury, 10**6, sender=key)
    return 21_000 + int(transfer["gasUsed"], 16)


def _sweep(chain: Chain, factory: Contract, token: str, salts: list[bytes], *, fresh: int) -> int:
    paid = Contract(chain, "SandboxToken", token)
    for salt in salts:
        deposit = factory.call("depositAddress", salt)
        if token == ETHER:
            chain.send(deposit, value=10**15)
        else:
            paid.send("mint", deposit, 10**6)
    receipt = factory.send("sweep", [(token, fresh, salts)], CALL_GAS)
    assert len(
        [log for log in receipt["logs"] if log["address"] == factory.address.lower()]
    ) == len(salts)
    return int(receipt["gasUsed"], 16) // len(salts)


if __name__ == "__main__":
    REPORT.write_text(measure())
