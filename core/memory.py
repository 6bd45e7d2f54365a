"""The garbage collector of a process whose values are many, small and without cycles."""

from __future__ import annotations

import gc

# Blocks, movements and rows come by the ten thousand and go by their reference counts. At the
# usual threshold of 700 the collector looks at each of them several times for nothing.
YOUNG = 20_000


def tune() -> None:
    """What stands after the start stays; the rest is looked at seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
