"""What a process that holds secrets asks of the kernel, first of all."""

from __future__ import annotations

import ctypes
import resource

_PR_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)


def harden() -> None:
    """This process leaves no core dump, and others of its user cannot read its memory.

    What it starts leaves no core dump either, but can be read again: `exec` makes it dumpable.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
