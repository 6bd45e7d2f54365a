"""A bare Anvil and the committed artifacts: what the contract tests need of a chain."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.abi import function_abi_to_4byte_selector
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
DEPLOYER = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
FACTORY_SALT = keccak(text="bezant.DepositFactory.v1")


def tool(name: str) -> str:
    """Path of `anvil` or `forge`: the one on PATH, else npm's."""
    found = shutil.which(name)
    return found or str(CONTRACTS / f"node_modules/@foundry-rs/{name}-linux-amd64/bin/{name}")


def artifact(name: str) -> dict[str, Any]:
    """The committed artifact of a contract."""
    loaded: dict[str, Any] = json.loads((CONTRACTS / f"artifacts/{name}.json").read_text())
    return loaded


@dataclass(frozen=True)
class Chain:
    """One Anvil; `accounts` are its own unlocked ones."""

    url: str

    def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        request = urllib.request.Request(  # noqa: S310 (our own Anvil)
            self.url, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            parsed = json.load(answer)
        if "error" in parsed:
            raise RuntimeError(parsed["error"])
        return parsed["result"]

    @property
    def accounts(self) -> list[str]:
        return [to_checksum_address(account) for account in self.rpc("eth_accounts")]

    def send(
        self, to: str | None, data: bytes = b"", *, value: int = 0, sender: str = "", gas: int = 0
    ) -> dict[str, Any]:
        """Sends and returns the receipt; raises if it reverts."""
        transaction = {
            "from": sender or self.accounts[0],
            "data": "0x" + data.hex(),
            "value": hex(value),
            **({"to": to} if to else {}),
            **({"gas": hex(gas)} if gas else {}),
        }
        # the ordinary pair of calls can answer null for the receipt right after mining
        receipt: dict[str, Any] = self.rpc("eth_sendTransactionSync", transaction)
        if int(receipt["status"], 16) != 1:
            raise RuntimeError(receipt)
        return receipt

    def call(self, to: str, data: bytes) -> bytes:
        return bytes.fromhex(self.rpc("eth_call", {"to": to, "data": "0x" + data.hex()})[2:])

    def create(self, name: str, *arguments: Any) -> Contract:
        """Deploys an artifact in the ordinary way."""
        receipt = self.send(None, init_code(name, *arguments))
        return Contract(self, name, to_checksum_address(receipt["contractAddress"]))

    def create_factory(self, owner: str) -> Contract:
        """The factory as it is deployed everywhere: through the deterministic deployer."""
        code = init_code("DepositFactory", owner)
        self.send(DEPLOYER, FACTORY_SALT + code)
        return Contract(self, "DepositFactory", create2(DEPLOYER, FACTORY_SALT, keccak(code)))


@dataclass(frozen=True)
class Contract:
    chain: Chain
    name: str
    address: str

    def data(self, function: str, *arguments: Any) -> bytes:
        entry = _function(self.name, function)
        return function_abi_to_4byte_selector(entry) + encode(_types(entry["inputs"]), arguments)

    def call(self, function: str, *arguments: Any) -> Any:
        answer = self.chain.call(self.address, self.data(function, *arguments))
        (value,) = decode(_types(_function(self.name, function)["outputs"]), answer)
        return value

    def send(self, function: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        return self.chain.send(self.address, self.data(function, *arguments), **options)


def create2(deployer: str, salt: bytes, init_code_hash: bytes) -> str:
    """EIP-1014."""
    packed = b"\xff" + bytes.fromhex(deployer[2:]) + salt + init_code_hash
    return to_checksum_address(keccak(packed)[12:])


def init_code(name: str, *arguments: Any) -> bytes:
    """Creation code with the constructor's arguments."""
    loaded = artifact(name)
    inputs = [entry["inputs"] for entry in loaded["abi"] if entry["type"] == "constructor"]
    return bytes.fromhex(loaded["bytecode"][2:]) + encode(
        _types(inputs[0] if inputs else []), arguments
    )


@contextmanager
def anvil(*options: str) -> Iterator[Chain]:
    """A fresh Anvil on a port of its own."""
    command = [tool("anvil"), "--port", "0", "--host", "127.0.0.1", *options]
    environment = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Listening on "):
                    # Anvil logs every request there and would stop at a full pipe
                    threading.Thread(target=process.stdout.read, daemon=True).start()
                    yield Chain("http://" + line.removeprefix("Listening on ").strip())
                    return
            raise RuntimeError("anvil did not start")
        finally:
            process.terminate()


def _function(contract: str, name: str) -> Any:
    return next(
        entry
        for entry in artifact(contract)["abi"]
        if entry["type"] == "function" and entry["name"] == name
    )


def _types(inputs: list[dict[str, Any]]) -> list[str]:
    return [_type(entry) for entry in inputs]


def _type(entry: dict[str, Any]) -> str:
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(entry['components']))}){kind.removeprefix('tuple')}"
