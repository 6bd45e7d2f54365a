"""What the supervisor tells the simulators' process: one file for our user only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exchanges.types import Venue
from sandbox.exchanges.types import Credential
from sandbox.state import write

NAME = "simulators.json"
SECRET_HEADER = "X-Simulators-Secret"  # noqa: S105  (its name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldNetwork:
    """`tokens`: address and decimals by symbol; `feeds`: address by pair, empty where another
    network's are followed."""

    id: str
    url: str
    tokens: Mapping[str, tuple[str, int]]
    feeds: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`seed` makes the venues' keys on chain; `secret` opens the control endpoint."""

    seed: str = field(repr=False)
    secret: str = field(repr=False)
    networks: Sequence[ToldNetwork]
    credentials: Mapping[Venue, Sequence[Credential]] = field(repr=False)

    def write(self, directory: Path) -> None:
        content = {
            "seed": self.seed,
            "secret": self.secret,
            "networks": [
                {"id": n.id, "url": n.url, "tokens": dict(n.tokens), "feeds": dict(n.feeds)}
                for n in self.networks
            ],
            "credentials": {
                venue: [{"key": c.key, "secret": c.secret, "public": c.public} for c in several]
                for venue, several in self.credentials.items()
            },
        }
        write(directory / NAME, content)


def read(directory: Path) -> Told:
    found: dict[str, Any] = json.loads((directory / NAME).read_text())
    return Told(
        seed=found["seed"],
        secret=found["secret"],
        networks=[
            ToldNetwork(
                id=network["id"],
                url=network["url"],
                tokens={s: (a, d) for s, (a, d) in network["tokens"].items()},
                feeds=network["feeds"],
            )
            for network in found["networks"]
        ],
        credentials={
            Venue(venue): [Credential(**one) for one in several]
            for venue, several in found["credentials"].items()
        },
    )
