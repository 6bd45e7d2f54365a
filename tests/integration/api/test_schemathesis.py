"""Schemathesis over the OpenAPI document: no failure of ours, no answer that is not documented.

Few examples here, and the slow coverage phase as a merchant only; `make soak` runs every
phase for both, with 200 examples an operation.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.integration.api.conftest import World
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


EXAMPLES = numbers(3, 200)
ALL_PHASES = "examples,coverage,fuzzing"


@pytest.mark.parametrize("who", ["operator", "one"])
async def test_every_answer_is_documented(world: World, who: str, tmp_path: Path) -> None:
    await world.one.post("/v1/invoices", {"amount": "25.00", "currency": "USD"})
    client = world.operator if who == "operator" else world.one
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"{world.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {client.key}"),
        *("--checks", ",".join(CHECKS)),
        *("--max-examples", str(EXAMPLES)),
        *("--phases", ALL_PHASES if SOAK or who == "one" else "examples,fuzzing"),
        *("--exclude-path-regex", "^/v1/(sandbox/|events/stream)"),
        *("--request-timeout", "10", "--workers", "2", "--continue-on-failure"),
        *("--seed", str(SEED), "--suppress-health-check", "all"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "160"},
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-20_000:]
