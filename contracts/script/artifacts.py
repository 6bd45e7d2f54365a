#!/usr/bin/env python3
"""The committed artifacts (`contracts/artifacts/*.json`) are what the sources compile to.

    python contracts/script/artifacts.py --write    compile and write them
    python contracts/script/artifacts.py --check    compile and compare the bytes; 1 if one differs

Needs Python's standard library, `npm ci` in contracts/ and nothing else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parents[1]
ARTIFACTS = CONTRACTS / "artifacts"
NAMES = (
    "BlocklistToken",
    "DepositFactory",
    "FeeToken",
    "MockAggregator",
    "Multicall3",
    "Multisend",
    "Payer",
    "PaymentRouter",
    "PermitToken",
    "SanctionsOracle",
    "SandboxToken",
    "SilentToken",
)


def forge() -> str:
    """The forge on PATH, else npm's."""
    return shutil.which("forge") or str(
        CONTRACTS / "node_modules/@foundry-rs/forge-linux-amd64/bin/forge"
    )


def compiled() -> dict[str, str]:
    """File name -> text of each artifact, compiled from nothing in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [forge(), "build", "src", "--force", "--out", f"{folder}/out"]
        subprocess.run(  # noqa: S603 (forge and constants)
            [*command, "--cache-path", f"{folder}/cache"],
            cwd=CONTRACTS,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return {
            f"{name}.json": render(
                json.loads((Path(folder) / f"out/{name}.sol/{name}.json").read_text()), name
            )
            for name in NAMES
        }


def render(output: dict[str, Any], name: str) -> str:
    """What Python needs of forge's output, and what it was compiled with."""
    metadata = output["metadata"]
    settings = metadata["settings"]
    kept = {
        "contractName": name,
        "abi": output["abi"],
        "bytecode": output["bytecode"]["object"],
        "deployedBytecode": output["deployedBytecode"]["object"],
        "compiler": {
            "solc": metadata["compiler"]["version"],
            "evmVersion": settings["evmVersion"],
            "optimizer": settings["optimizer"],
            "metadata": settings["metadata"],
        },
    }
    return json.dumps(kept, indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true")
    mode.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    texts = compiled()
    if arguments.write:
        ARTIFACTS.mkdir(exist_ok=True)
        for name, text in texts.items():
            (ARTIFACTS / name).write_text(text)
        print(f"{len(texts)} artifacts written")
        return 0
    committed = {path.name: path.read_text() for path in ARTIFACTS.glob("*.json")}
    wrong = sorted(name for name in texts | committed if texts.get(name) != committed.get(name))
    for name in wrong:
        print(f"{name} is not what the sources compile to", file=sys.stderr)
    if not wrong:
        print(f"{len(texts)} artifacts are what the sources compile to")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
