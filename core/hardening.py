"""What a process that holds secrets asks of the kernel, first of all."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import MutableMapping

_PR_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)
_libc.getenv.restype = ctypes.c_void_p


def harden() -> None:
    """This process leaves no core dump, and others of its user cannot read its memory.

    What it starts leaves no core dump either, but can be read again: `exec` makes it dumpable.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def forget(environment: MutableMapping[str, str], name: str) -> None:
    """Takes a variable out. Where it is the process's own, its bytes are overwritten as well: the
    kernel shows those that it was started with for as long as it runs (/proc/PID/environ)."""
    if environment is os.environ and (at := _libc.getenv(os.fsencode(name))):
        ctypes.memset(at, 0, len(ctypes.string_at(at)))
    environment.pop(name, None)
