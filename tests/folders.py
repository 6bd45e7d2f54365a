"""Where tests keep databases and sandboxes: in memory, where there is room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs on Linux
ROOM = 4 * 2**30  # bytes: two workers' servers with their logs, and a sandbox each


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """An empty directory that others may enter, gone at the end. A new database in memory takes a
    tenth of the time that a busy disk takes."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    where = MEMORY if roomy else None
    with tempfile.TemporaryDirectory(prefix=prefix, dir=where, ignore_cleanup_errors=True) as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
