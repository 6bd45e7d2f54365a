"""Where the signer keeps what is its own: one directory, 0700, nobody else's."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from core.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Place:
    """The signer's directory."""

    directory: Path

    @property
    def keys(self) -> Path:
        return self.directory / "keys"

    @property
    def store(self) -> Path:
        return self.directory / "signer.db"

    @property
    def log(self) -> Path:
        return self.directory / "audit.jsonl"

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def socket(self) -> Path:
        return self.directory / "run" / "signer.sock"

    def prepare(self) -> None:
        """Makes the directories. Raises Misconfigured when somebody else owns or reads them."""
        for one in (self.directory, self.keys):
            private_directory(one)


def private_directory(path: Path, *, group: int | None = None) -> None:
    """Makes it, 0700; with a `group` 0710, so that its members reach what is in it.

    Raises Misconfigured when it is another's or others may enter it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        raise Misconfigured(f"{path} cannot be made ({error.strerror})") from None
    if group is not None and found.st_uid == os.geteuid():
        os.chown(path, -1, group)
        path.chmod(0o710)
        return
    if not stat.S_ISDIR(found.st_mode):
        raise Misconfigured(f"{path} is no directory")
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise Misconfigured(
            f"{path} is mode {stat.S_IMODE(found.st_mode):04o} of user {found.st_uid}:"
            f" 0700 of user {os.geteuid()} is allowed"
        )
