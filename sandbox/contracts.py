"""Our compiled contracts: where they will lie, how they are made and called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_abi.grammar import parse

from core.keccak import keccak, selector

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS = ROOT / "contracts" / "artifacts"

# The deterministic deployer (CHAIN 2); Anvil has it from the start.
DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
SALT = bytes(32)
MULTICALL = "0xca11bde05977b3631167028862be2a173976ca11"


@cache
def artifact(name: str) -> dict[str, Any]:
    """A contract as the repository keeps it: abi, bytecode, deployedBytecode."""
    found: dict[str, Any] = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return found


def init_code(name: str, *arguments: Any) -> bytes:
    """Bytecode and encoded constructor arguments."""
    compiled = artifact(name)
    constructor = next((i for i in compiled["abi"] if i["type"] == "constructor"), None)
    types = [argument["type"] for argument in constructor["inputs"]] if constructor else []
    return bytes.fromhex(compiled["bytecode"].removeprefix("0x")) + encode(types, arguments)


def deployment(name: str, *arguments: Any, salt: bytes = SALT) -> tuple[str, str]:
    """(address, calldata for the deployer): the same address on every network."""
    code = init_code(name, *arguments)
    packed = b"\xff" + bytes.fromhex(DEPLOYER[2:]) + salt + keccak(code)
    return "0x" + keccak(packed)[12:].hex(), "0x" + (salt + code).hex()


def runtime(name: str) -> str:
    """The code as it lies on chain (for contracts without constructor arguments)."""
    code: str = artifact(name)["deployedBytecode"]
    return "0x" + code.removeprefix("0x")


def call(signature: str, *arguments: Any) -> str:
    """Calldata: `mint(address,uint256)` and its arguments; structs are tuples, in both."""
    types = signature[signature.index("(") :]
    names = [one.to_type_str() for one in parse(types).components] if arguments else []
    return "0x" + (selector(signature) + encode(names, arguments)).hex()


def together(calls: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Several (contract, calldata) as one of Multicall3's: one transaction, so one block."""
    packed = [(to, bytes.fromhex(data[2:])) for to, data in calls]
    aggregate = selector("aggregate((address,bytes)[])")
    return MULTICALL, "0x" + (aggregate + encode(["(address,bytes)[]"], [packed])).hex()


def payer() -> str:
    """The contract that pays by inner calls."""
    return deployment("Payer")[0]
