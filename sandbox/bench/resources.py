"""Memory of all that an installation runs, and what it costs to do nothing."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

from core.errors import BezantError
from sandbox.bench.house import House
from sandbox.bench.result import Aim, Row

BITCART_MEMORY, BITCART_CPU = "1,040 MB", "8.5 %"
SETTLE_SECONDS = 20  # what came before is done, and loops have found nothing for a while
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/<pid>/stat; CPU times in ticks."""

    pid: int
    parent: int
    own: int
    with_ended_children: int


async def measure(house: House) -> list[Row]:
    """API, worker, signer and PostgreSQL; Anvil stands for somebody's node."""
    await house.tidy()
    await asyncio.sleep(SETTLE_SECONDS)
    pids = {
        "api": [house.sandbox.services.api.pid],
        "worker": [house.sandbox.services.worker.pid],
        "signer": [house.sandbox.services.signer.pid],
        "PostgreSQL": family(_postmaster(house)),
    }
    memory = {name: sum(pss(pid) for pid in members) / 1e6 for name, members in pids.items()}
    seconds = house.number(20, 5)
    before, started = _ticks(house), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = _ticks(house), time.monotonic() - started
    idle = {name: 100 * (after[name] - before[name]) / TICKS / took for name in before}
    parts = [Row(what=f"memory (PSS): {name}", unit="MB", ours=mb) for name, mb in memory.items()]
    return [
        *parts,
        Row(what="memory (PSS) in all", unit="MB", ours=sum(memory.values()),
            aim=Aim(500, at_least=False, of="ours"), peer=BITCART_MEMORY),
        *(Row(what=f"idle CPU: {name}", unit="%", ours=p) for name, p in idle.items()),
        Row(what=f"idle CPU in all, of one core, over {seconds} s", unit="%",
            ours=sum(idle.values()), aim=Aim(3, at_least=False, of="ours"), peer=BITCART_CPU),
    ]  # fmt: skip


def _postmaster(house: House) -> int:
    child = house.sandbox.postgres.child
    if child is None:
        raise BezantError("the database is not running")
    return child.pid


def processes() -> dict[int, Process]:
    """All that run on this machine."""
    found = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        parent, times = int(fields[1]), [int(field) for field in fields[11:15]]
        pid = int(directory.name)
        found[pid] = Process(pid, parent, sum(times[:2]), sum(times))
    return found


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *(p.pid for p in processes().values() if p.parent == pid)]


def pss(pid: int) -> int:
    """Bytes in memory, shared pages divided among those who share them; of a process that lets
    only root look closer (core.hardening) all that is resident, which is never less."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return resident * os.sysconf("SC_PAGE_SIZE")
    for line in lines:
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    raise BezantError(f"/proc/{pid}/smaps_rollup has no Pss")


def _ticks(house: House) -> dict[str, int]:
    """CPU so far. The postmaster's includes backends that have ended."""
    now = processes()
    postmaster = _postmaster(house)
    return {
        "api": now[house.sandbox.services.api.pid].own,
        "worker": now[house.sandbox.services.worker.pid].own,
        "signer": now[house.sandbox.services.signer.pid].own,
        "PostgreSQL": sum(
            p.with_ended_children
            for p in now.values()
            if p.pid == postmaster or p.parent == postmaster
        ),
    }
