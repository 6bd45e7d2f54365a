"""`bezant export`, as a person runs it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core import ids
from core.clock import show
from core.db import Database
from tests.integration.api.history import Past, live

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    return os.environ | {
        "BEZANT_CONFIG": str(ROOT / "bezant.example.toml"),
        "BEZANT_DATABASE_URL": database_url,
        "BEZANT_SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
    }


def export(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "bezant.cli", "export", *options]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, timeout=60, check=False
    )


def complaints(file: Path) -> bytes:
    """What bean-check has against it."""
    command = [Path(sys.executable).with_name("bean-check"), file]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout + done.stderr


async def test_the_books_are_written_whole(
    environment: dict[str, str], database: Database, tmp_path: Path
) -> None:
    past = Past(database, ids.new())
    await live(past)
    file = tmp_path / "journal.beancount"
    done = export(environment, "journal", "--format", "beancount", "--output", str(file))
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert os.listdir(tmp_path) == [file.name]
    assert complaints(file) == b""
    gains = export(environment, "gains", "--method", "average", "--until", show(past.now))
    assert gains.returncode == 0, gains.stderr
    assert gains.stdout.startswith(b"seq,entry,at,kind,asset,")
    assert b",fill,ETH,3,true," in gains.stdout


def test_wrong_use_is_said_and_leaves_no_file(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "out"
    assert export(environment, "journal", "--since", "2026-01-01T00:00:00").returncode == 2
    done = export(environment, "lots", "--format", "beancount", "--output", str(file))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"bezant: format: beancount is for the journal")
    assert list(tmp_path.iterdir()) == []
