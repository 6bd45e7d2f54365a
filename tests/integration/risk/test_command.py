"""`bezant screening load F`, as a person runs it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from risk.lists import SAMPLE

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    return os.environ | {
        "BEZANT_CONFIG": str(ROOT / "bezant.example.toml"),
        "BEZANT_DATABASE_URL": database_url,
        "BEZANT_SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
    }


def load(
    environment: dict[str, str], file: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bezant.cli", "screening", "load", str(file), *options]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_list_is_loaded_and_told(environment: dict[str, str], database_url: str) -> None:
    done = load(environment, SAMPLE, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told.pop("digest")) == 64
    assert told == {"list": "ofac-sdn", "kind": "sanctions", "entries": 3, "before": 0, "others": 1}
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select count(*) from screening_addresses").fetchone()
    assert rows == (3,)


def test_a_bad_file_is_one_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html><body>Try later")
    done = load(environment, page)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bezant: file: it is not whole XML")
    assert done.stderr.count("\n") == 1
    assert load(environment, tmp_path / "missing").returncode == 2
