"""The sandbox's child processes: started, watched, started again, and gone when we are gone."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Gate:
    """Holds children back: each imports everything at once, then waits until this is opened.

    They wait for the end of a pipe, so once it is open it is open for whoever comes later.
    """

    def __init__(self) -> None:
        self.fd, self._ours = os.pipe()

    def open(self) -> None:
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def close(self) -> None:
        """Nobody will be started any more."""
        self.open()
        os.close(self.fd)


def _end_with_parent(number: int) -> Callable[[], None]:
    """For the child, after its user was set (which would clear it) and before it becomes the
    program: the kernel sends it `number` when the supervisor dies, however that happens."""

    def prepare() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, number)

    return prepare


@dataclass(slots=True)
class Child:
    """One program. `user` is the account it runs as (None: ours)."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: int = signal.SIGTERM
    user: str | None = None
    pass_fds: Sequence[int] = ()
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_surroundings(), **self.environment},
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
                cwd="/",
                pass_fds=self.pass_fds,
                start_new_session=True,  # Ctrl-C is ours: children stop in order
                preexec_fn=_end_with_parent(self.stop_signal),
            )

    @property
    def pid(self) -> int:
        """0 before the start."""
        return self.process.pid if self.process else 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def wait(self) -> int:
        """Until it ends. A stopped (SIGSTOP) process has not ended."""
        return await self.process.wait() if self.process else 0

    async def stop(self, patience: float) -> None:
        """Asks, also one that is stopped (SIGSTOP); after `patience` seconds kills."""
        if not self.running or self.process is None:
            return
        with suppress(ProcessLookupError):
            self.process.send_signal(self.stop_signal)
            self.process.send_signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(self.process.wait(), patience)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _surroundings() -> dict[str, str]:
    """Our own environment, without what is meant for another installation, and without the wish
    to keep no bytecode: compiling anew what it imports is two thirds of a process's start."""
    unwanted = "PYTHONDONTWRITEBYTECODE"
    return {k: v for k, v in os.environ.items() if not k.startswith(("BEZANT_", unwanted))}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now, for programs that take no socket."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def end_leftovers(file: Path, mark: str, patience: float = 5) -> None:
    """Ends what an earlier supervisor left behind (it was killed): pids noted in `file` whose
    command line still names `mark`, so that no stranger with a reused pid is touched."""
    pids = [pid for pid in _noted(file) if mark in _command_line(pid)]
    deadline = asyncio.get_running_loop().time() + patience
    while pids and asyncio.get_running_loop().time() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
                os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.2)
        pids = [pid for pid in pids if mark in _command_line(pid)]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def note(file: Path, pids: Sequence[int]) -> None:
    file.write_text(" ".join(str(pid) for pid in pids))


def _noted(file: Path) -> list[int]:
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
