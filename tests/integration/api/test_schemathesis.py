"""Schemathesis over the OpenAPI document: no failure of ours, no answer that is not documented.

Few examples here, and the slow coverage phase for a fortieth of the operations, as a merchant;
`make soak` runs it for all of them and as an operator too, with 50 examples an operation.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.integration.api.conftest import Client, World
from tests.settings import SEED, SOAK, numbers

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


# A stream has no end, so that each example would wait for its time-out: test_feed reads it.
ENDLESS = "^/v1/events/stream$"
EXAMPLES = numbers(1, 50)
PARTS = 1 if SOAK else 40  # a fortieth of the operations: which one, the seed says
# Rules within rules: five hundred ways to be wrong in one body, half a minute of making them up.
LONG = () if SOAK else ("/v1/policies",)


@pytest.mark.parametrize("who", ["operator", "one"])
async def test_every_answer_is_documented(world: World, who: str, tmp_path: Path) -> None:
    client = world.operator if who == "operator" else world.one
    await judge(world, client, tmp_path, "--phases", "examples,fuzzing")


@pytest.mark.parametrize("who", ["operator", "one"] if SOAK else ["one"])
async def test_each_way_to_be_wrong_is_documented(world: World, who: str, tmp_path: Path) -> None:
    client = world.operator if who == "operator" else world.one
    description = (await world.one.get("/openapi.json")).json
    names = sorted(o["operationId"] for place, path in description["paths"].items()
                   if not place.startswith(LONG)
                   for o in path.values() if "operationId" in o)  # fmt: skip
    chosen = [("--include-operation-id", name) for name in names[SEED % PARTS :: PARTS]]
    options = [word for pair in chosen for word in pair]
    await judge(world, client, tmp_path, "--phases", "coverage", *options)


async def judge(world: World, client: Client, directory: Path, *options: str) -> None:
    """In one thread: two that build syntax trees at once upset Python 3.11 ("AST constructor
    recursion depth mismatch")."""
    await world.one.post("/v1/invoices", {"amount": "25.00", "currency": "USD"})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"{world.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {client.key}"),
        *("--checks", ",".join(CHECKS)),
        *("--max-examples", str(EXAMPLES)),
        *("--exclude-path-regex", ENDLESS),
        *("--request-timeout", "10", "--continue-on-failure"),
        *("--seed", str(SEED), "--suppress-health-check", "all"),
        *options,
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "160"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-20_000:]
