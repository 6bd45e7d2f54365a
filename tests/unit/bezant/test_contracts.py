"""What the configuration takes for granted about our contracts."""

from __future__ import annotations

from bezant.configuration import DEPOSIT_INIT_CODE_HASH
from sandbox.contracts import DEPLOYER, artifact, call, deployment
from sandbox.deploy import address_of, sign


def test_the_init_code_hash_is_the_one_compiled_into_the_factory() -> None:
    code = artifact("DepositFactory")["deployedBytecode"]
    assert DEPOSIT_INIT_CODE_HASH.removeprefix("0x") in code


def test_calldata_addresses_and_signatures_are_ethereum_s() -> None:
    # The selector of ERC-20, and the first account of the mnemonic that Anvil shows.
    assert call("transfer(address,uint256)", DEPLOYER, 1)[:10] == "0xa9059cbb"
    assert call("owner()") == "0x8da5cb5b"
    structs = call("send((address,address,uint256)[],uint256)", [(DEPLOYER, DEPLOYER, 5)], 6)
    assert structs[-64:] == f"{5:064x}"
    key = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
    assert address_of(key) == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert sign(key, bytes(32))[64] in (27, 28)
    address, data = deployment("Payer")
    assert (len(address), data[:66]) == (42, "0x" + "00" * 32)
