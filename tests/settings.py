"""What a run of the tests may be told from outside; read here only.

BEZANT_SOAK: 0 (or unset) for the few examples of `make test`; 1 for the full numbers that an issue
names; a larger one is a factor on them. BEZANT_SEED: what everything random is drawn from.
"""

from __future__ import annotations

import os

SOAK = int(os.environ.get("BEZANT_SOAK") or 0)
SEED = int(os.environ.get("BEZANT_SEED") or 1)


def numbers(few: int, full: int) -> int:
    """`few` in `make test`, else `full` as often as BEZANT_SOAK says."""
    return full * SOAK if SOAK else few
