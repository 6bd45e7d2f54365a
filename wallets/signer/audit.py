"""The signer's audit log: JSON lines, each with the SHA-256 of the one before it.

A line is on the disk before the answer that it is about leaves. Append-only; a lock on the file
lets the commands of the same machine write beside the running signer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from core.clock import show, wall
from core.errors import Misconfigured

_FIRST = "0" * 64
_TAIL = 1 << 24  # longer than any line


@dataclass(frozen=True, slots=True)
class Mark:
    """A line: its number from 1 on, and its SHA-256 in hex."""

    number: int
    hash: str


class AuditLog:
    """Opens or creates `path` (0600)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = -1
        self._last = Mark(0, _FIRST)

    def write(self, event: str, **said: Any) -> Mark:
        """One line, synced. Raises OSError when the disk does not take it."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._catch_up()
            line = msgspec.json.encode(
                {
                    "number": self._last.number + 1,
                    "at": show(wall()),
                    "event": event,
                    **said,
                    "before": self._last.hash,
                }
            )
            self._append(line + b"\n")
            self._last = Mark(self._last.number + 1, hashlib.sha256(line).hexdigest())
            return self._last
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)

    def _catch_up(self) -> None:
        """Another process of this machine may have written since; a crash may have cut a line."""
        size = os.fstat(self._file).st_size
        if size == self._size:
            return
        start = max(0, size - _TAIL)
        tail = os.pread(self._file, size - start, start)
        whole, _, cut = tail.rpartition(b"\n")
        if cut:
            size -= len(cut)
            os.ftruncate(self._file, size)
        if whole:
            line = whole.rpartition(b"\n")[2]
            number = msgspec.json.decode(line)["number"]
            self._last = Mark(number, hashlib.sha256(line).hexdigest())
        self._size = size

    def _append(self, line: bytes) -> None:
        at, whole = self._size, self._size + len(line)
        self._size = -1  # unless all of it is there, the next write looks again
        while line:
            written = os.pwrite(self._file, line, at)
            at, line = at + written, line[written:]
        os.fsync(self._file)
        self._size = whole


def read(path: Path) -> Iterator[tuple[Mark, dict[str, Any]]]:
    """Every line, checked against the one before. Raises Misconfigured at the first wrong one."""
    before = _FIRST
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    said = msgspec.json.decode(line, type=dict[str, Any])
                except msgspec.DecodeError:
                    said = {}
                if said.get("number") != number or said.get("before") != before:
                    raise Misconfigured(f"{path}: line {number} does not follow the one before it")
                before = hashlib.sha256(line.removesuffix(b"\n")).hexdigest()
                yield Mark(number, before), said
    except FileNotFoundError:
        return
