"""The Foundry project as one of our tests, and what only a real chain can show."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from uuid import UUID

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from tests.contracts import gas
from tests.contracts.chain import (
    CONTRACTS,
    DEPLOYER,
    FACTORY_SALT,
    Chain,
    Contract,
    anvil,
    artifact,
    create2,
    init_code,
    tool,
)

INIT_CODE_HASH = "0xaaf3d4f7026b4e3cecc8341c4c4688061ed0dcb00f2faadd4905fa7f7b47ff1c"
SALT = UUID("01939f5e-7c1b-7cc3-9f2e-0c6f4f3a9d21").int.to_bytes(32, "big")


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with anvil() as started:
        yield started


def test_forge() -> None:
    """Unit, fuzz and invariant tests; the full numbers are `FOUNDRY_PROFILE=soak forge test`."""
    run = subprocess.run(
        [tool("forge"), "test"],
        cwd=CONTRACTS,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = re.search(r"Ran \d+ test suites.*: (\d+) tests passed, 0 failed.*", run.stdout)
    assert found is not None, run.stdout
    print(found[0])
    assert int(found[1]) >= 100, found[0]


def test_lock_names_no_registry() -> None:
    assert "resolved" not in (CONTRACTS / "package-lock.json").read_text()


def test_gas_report_is_what_a_chain_charges_and_within_the_limits() -> None:
    """A token's deposit in batches of 20, beside the usual way (gas sent, then the transfer)."""
    rows, payments = gas.measure()
    page = gas.report(rows, payments)
    print(page)
    (row,) = [row for row in rows if (row.asset, row.size) == (gas.KNOWN, 20)]
    assert row.first <= 49_500 < row.usual
    assert row.again <= 12_000
    assert page == gas.REPORT.read_text()


def test_factory_lies_where_it_was_computed(chain: Chain) -> None:
    owner = chain.accounts[1]
    factory = chain.create_factory(owner)
    expected = create2(DEPLOYER, FACTORY_SALT, keccak(init_code("DepositFactory", owner)))
    assert factory.address == expected
    assert factory.call("owner") == owner.lower()
    # no immutables: the code on every chain is the artifact's, so one hash proves a deployment
    assert (
        chain.rpc("eth_getCode", expected, "latest")
        == artifact("DepositFactory")["deployedBytecode"]
    )


def test_deposit_address_is_computed_without_the_chain(chain: Chain) -> None:
    factory = chain.create_factory(chain.accounts[3])
    expected = create2(factory.address, SALT, bytes.fromhex(INIT_CODE_HASH[2:]))
    assert factory.call("INIT_CODE_HASH").hex() == INIT_CODE_HASH[2:]
    assert factory.call("depositAddress", SALT) == expected.lower()
    assert chain.rpc("eth_getCode", expected, "latest") == "0x"
    factory.send("deploy", SALT)
    assert chain.rpc("eth_getCode", expected, "latest") != "0x"


def test_treasury_proves_itself_with_eip712_from_python(chain: Chain) -> None:
    owner, key = chain.accounts[4], "0x" + "42" * 32
    treasury = Account.from_key(key)
    factory = chain.create_factory(owner)
    factory.send("proposeTreasury", treasury.address, sender=owner)
    signed = Account.sign_typed_data(
        key,
        domain_data={
            "name": "Bezant DepositFactory",
            "version": "1",
            "chainId": int(chain.rpc("eth_chainId"), 16),
            "verifyingContract": factory.address,
        },
        message_types={"Treasury": [{"name": "treasury", "type": "address"}]},
        message_data={"treasury": treasury.address},
    )
    factory.send("setTreasury", treasury.address, bytes(signed.signature))
    assert factory.call("treasury") == treasury.address.lower()


def test_an_estimate_of_gas_is_enough_for_every_transfer(chain: Chain) -> None:
    """A node looks for the least gas with which the transaction does not revert: it must sweep."""
    factory = _ready(chain, chain.accounts[5])
    token = chain.create("SandboxToken", "Dollar", "USD", 6)
    salts = [number.to_bytes(32, "big") for number in range(1, 6)]
    for salt in salts:
        token.send("mint", factory.call("depositAddress", salt), 1000)
    batch = [(token.address, 5, salts)]
    data = factory.data("sweep", batch, gas.CALL_GAS)
    call = {"from": chain.accounts[0], "to": factory.address, "data": "0x" + data.hex()}
    estimate = int(chain.rpc("eth_estimateGas", call), 16)
    factory.send("sweep", batch, gas.CALL_GAS, gas=estimate)
    assert token.call("balanceOf", factory.call("treasury")) == 5000


def test_an_estimate_of_gas_pays_everybody_beside_a_payee_that_refuses(chain: Chain) -> None:
    factory = _ready(chain, chain.accounts[6])  # accepts no ETH
    multisend = chain.create("Multisend")
    good = ["0x" + f"{number:040x}" for number in range(0xA001, 0xA006)]
    payments = [(gas.ETHER, to, 7) for to in (*good[:2], factory.address, *good[2:])]
    data = multisend.data("send", payments, 100_000)
    call = {"from": chain.accounts[0], "to": multisend.address, "data": "0x" + data.hex()}
    estimate = int(chain.rpc("eth_estimateGas", call | {"value": hex(42)}), 16)
    receipt = multisend.send("send", payments, 100_000, value=42, gas=estimate)
    assert [int(chain.rpc("eth_getBalance", to, "latest"), 16) for to in good] == [7] * 5
    failed = "0x" + keccak(text="Failed(address,uint256,address,address,uint256)").hex()
    told = [int(log["topics"][2], 16) for log in receipt["logs"] if log["topics"][0] == failed]
    assert told == [2]


def test_multicall3_runs_from_its_runtime_code_alone(chain: Chain) -> None:
    address = "0xcA11bde05977b3631167028862bE2a173976CA11"
    chain.rpc("anvil_setCode", address, artifact("Multicall3")["deployedBytecode"])
    multicall = Contract(chain, "Multicall3", address)
    account = chain.accounts[0]
    calls = [(address, False, multicall.data("getEthBalance", account))]
    ((done, answer),) = multicall.call("aggregate3", calls)
    assert done
    assert int.from_bytes(answer) == int(chain.rpc("eth_getBalance", account, "latest"), 16)


def _ready(chain: Chain, owner: str) -> Contract:
    """A factory whose owner is also its treasury."""
    factory = chain.create_factory(owner)
    factory.send("proposeTreasury", owner, sender=owner)
    factory.send("setTreasury", owner, b"", sender=owner)
    return factory
