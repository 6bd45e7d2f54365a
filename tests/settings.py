"""What a run of the tests may be told from outside; read here only.

BEZANT_SOAK: 0 (or unset) for the few examples of `make test`; 1 for the full numbers that an issue
names; a larger one is a factor on them. BEZANT_SEED: what everything random is drawn from. CI:
`true` where nothing may be left out.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

SOAK = int(os.environ.get("BEZANT_SOAK") or 0)
SEED = int(os.environ.get("BEZANT_SEED") or 1)


def numbers(few: int, full: int) -> int:
    """`few` in `make test`, else `full` as often as BEZANT_SOAK says."""
    return full * SOAK if SOAK else few


def unable(why: str) -> NoReturn:
    """Skips a test that this machine cannot run; under CI it fails, so that none is lost there."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
