"""What stands in another process: its memory, its environment, the files that it maps.

Its own user may not look (core.hardening), root may: as root, or by sudo, which runs this file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CHUNK = 1 << 20
PARTS = ("memory", "environ", "maps")

Found = dict[str, set[str]]  # part -> names of what stands there


def search(pid: int, needles: Mapping[str, bytes]) -> Found:
    """Which of these byte strings stand where. Skips, or fails under CI, where only root may."""
    if os.geteuid() == 0:
        return _search(pid, needles)
    from tests.settings import unable  # not where this file is a program

    if shutil.which("sudo") is None:
        unable("reading another process's memory takes root, or sudo without a password")
    said = json.dumps({name: needle.hex() for name, needle in needles.items()})
    command = ["sudo", "-n", sys.executable, __file__, str(pid)]
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False)
    if done.returncode:
        unable(f"reading another process's memory takes root: {done.stderr.strip()}")
    return {part: set(names) for part, names in json.loads(done.stdout).items()}


def _search(pid: int, needles: Mapping[str, bytes]) -> Found:
    found: Found = {"memory": _in_memory(pid, needles)}
    for part in PARTS[1:]:
        content = Path(f"/proc/{pid}/{part}").read_bytes()
        found[part] = {name for name, needle in needles.items() if needle in content}
    return found


def _in_memory(pid: int, needles: Mapping[str, bytes]) -> set[str]:
    """In what it has written or may write: heap, stacks, data."""
    found: set[str] = set()
    longest = max(len(needle) for needle in needles.values())
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in _regions(pid):
            at, tail = start, b""
            while at < end:
                try:
                    memory.seek(at)
                    chunk = memory.read(min(CHUNK, end - at))
                except OSError:
                    break  # gone meanwhile
                if not chunk:
                    break
                window = tail + chunk
                found |= {name for name, needle in needles.items() if needle in window}
                tail, at = window[-longest:], at + len(chunk)
    return found


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if match and "[v" not in line:
            yield int(match[1], 16), int(match[2], 16)


if __name__ == "__main__":
    wanted = {name: bytes.fromhex(text) for name, text in json.load(sys.stdin).items()}
    parts = _search(int(sys.argv[1]), wanted)
    print(json.dumps({part: sorted(names) for part, names in parts.items()}))
