"""What a swept deposit costs, from receipts of a real chain, beside the usual way.

    .venv/bin/python -m tests.contracts.gas     writes contracts/gas-report.md

The usual way gives each deposit address a key: ETH is sent from it (21,000), a token needs gas sent
there first and then the transfer. Every figure is gas per deposit; the transaction's own 21,000 is
shared by its batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.crypto import keccak

from tests.contracts import gas_payments
from tests.contracts.chain import CONTRACTS, Chain, Contract, anvil

REPORT = CONTRACTS / "gas-report.md"
ETHER = "0x" + "00" * 20
BATCHES = (1, 20, 100)
CALL_GAS = 300_000
KNOWN = "ERC-20, amounts named"
PAID = 123_456_789  # base units: 123.456789 of a token with 6 decimals


def ready_factory(chain: Chain) -> Contract:
    """A factory whose owner and treasury are Anvil's second and third account."""
    _, owner, treasury = chain.accounts[:3]
    factory = chain.create_factory(owner)
    factory.send("proposeTreasury", treasury, sender=owner)
    factory.send("setTreasury", treasury, b"", sender=treasury)
    return factory


@dataclass(frozen=True)
class Row:
    """Gas per deposit in a batch of `size`."""

    asset: str
    size: int
    first: int
    again: int
    usual: int


def measure() -> tuple[list[Row], list[gas_payments.Row]]:
    """Every figure of the report, from one new chain: sweeps; payments and payouts."""
    with anvil() as chain:
        factory = ready_factory(chain)
        token = chain.create("SandboxToken", "Dollar", "USD", 6)
        _, _, treasury = chain.accounts[:3]
        chain.rpc("anvil_setBalance", treasury, hex(10**18))
        token.send("mint", treasury, 1)
        usual = _usual(chain, token)
        rows = []
        for asset, address, known, key in (
            ("ETH", ETHER, False, 21_000),
            ("ERC-20", token.address, False, usual),
            (KNOWN, token.address, True, usual),
        ):
            for size in BATCHES:
                salts = [_salt(f"{asset} {size} {i}") for i in range(size)]
                first = _sweep(chain, factory, address, salts, fresh=size, known=known)
                again = _sweep(chain, factory, address, salts, fresh=0, known=known)
                rows.append(Row(asset, size, first, again, key))
        return rows, gas_payments.measure(chain, factory, chain.accounts[1])


def report(rows: list[Row], payments: list[gas_payments.Row]) -> str:
    """The page's text."""
    lines = [
        "| asset | batch | first sweep | used again | the usual way |",
        "|---|---|---|---|---|",
        *(
            f"| {row.asset} | {row.size} | {row.first:,} | {row.again:,} | {row.usual:,} |"
            for row in rows
        ),
    ]
    return "\n".join((TITLE, *lines, gas_payments.report(payments)))


TITLE = """# Gas per swept deposit

Measured by `tests/contracts/gas.py` on Anvil with OpenZeppelin's ERC-20, as whole transactions: the
21,000 of each and its calldata are in the figures. A test compares this page with a new measurement
and holds batches of 20 with named amounts to at most 49,500 and 12,000. `first sweep` deploys the
address (`fresh` says so), `used again` finds it deployed. `amounts named` is `sweepKnown`, the rest
`sweep`. The usual way, without contracts, sends ETH from a key per address (21,000), or gas to that
key and then the token.
"""


def _salt(name: str) -> bytes:
    """A deposit id of 16 bytes as a word, as the product makes them: zeros are cheap calldata."""
    return keccak(text=name)[:16].rjust(32, b"\0")


def _usual(chain: Chain, token: Contract) -> int:
    """Gas sent to a new address, then its token transfer to a treasury that holds some."""
    treasury, key = chain.accounts[2], chain.accounts[9]
    token.send("mint", key, PAID)
    transfer = token.send("transfer", treasury, PAID, sender=key)
    return 21_000 + int(transfer["gasUsed"], 16)


def _sweep(
    chain: Chain, factory: Contract, token: str, salts: list[bytes], *, fresh: int, known: bool
) -> int:
    paid = Contract(chain, "SandboxToken", token)
    for salt in salts:
        deposit = factory.call("depositAddress", salt)
        if token == ETHER:
            chain.send(deposit, value=10**15)
        else:
            paid.send("mint", deposit, PAID)
    if known:
        words = [PAID.to_bytes(16, "big") + salt[16:] for salt in salts]
        receipt = factory.send("sweepKnown", token, fresh, words, CALL_GAS)
    else:
        receipt = factory.send("sweep", [(token, fresh, salts)], CALL_GAS)
    told = [log for log in receipt["logs"] if log["address"] == factory.address.lower()]
    assert [log["topics"][1] for log in told] == ["0x" + salt.hex() for salt in salts]
    return int(receipt["gasUsed"], 16) // len(salts)


if __name__ == "__main__":
    REPORT.write_text(report(*measure()))
