"""What a sandbox keeps between two starts, keys included: one 0600 file in a 0700 directory."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.clock import wall

APPROVER_KEY = Path("keys") / "approver.key"  # in the data directory, for bezant approve --key
OPERATOR_KEY = "operator.key"  # beside it, for scenarios of which the house has a part


@dataclass(slots=True, kw_only=True)
class State:
    """Private keys are hex, `genesis` in unix seconds. Merchant, API keys and Coinbase's key (PEM)
    are empty until made.

    The keys that sign transactions are not here but in the signer's keystore.
    """

    secret_key: str
    owner_key: str
    treasury_key: str
    networks: int
    genesis: int
    approver_key: str = field(default_factory=lambda: os.urandom(32).hex())
    service_key: str = field(default_factory=lambda: _random_base64())
    keystore_password: str = field(default_factory=lambda: _random_base64())
    simulator_seed: str = field(default_factory=lambda: os.urandom(32).hex())
    binance_key: str = field(default_factory=lambda: os.urandom(32).hex())
    binance_secret: str = field(default_factory=lambda: os.urandom(32).hex())
    coinbase_key: str = ""
    coinbase_secret: str = ""
    merchant_id: str = ""
    webhook_secret: str = ""
    api_key: str = ""
    operator_key: str = ""


def load(directory: Path, networks: int | None) -> State:
    """The kept state, or a new one with keys of its own. `networks` None: as before, else two."""
    file = directory / "sandbox.json"
    if file.exists():
        state = State(**json.loads(file.read_text()))
        state.networks = networks or state.networks
        return state
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    return State(
        secret_key=_random_base64(),
        owner_key=os.urandom(32).hex(),
        treasury_key=os.urandom(32).hex(),
        networks=networks or 2,
        genesis=int(wall().timestamp()),
    )


def _random_base64() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def save(directory: Path, state: State) -> None:
    write(directory / "sandbox.json", asdict(state))


def write(file: Path, content: dict[str, Any]) -> None:
    """JSON for our user only, by rename: a reader sees the old file or the whole new one."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream, indent=2)
        stream.write("\n")
    partial.replace(file)
