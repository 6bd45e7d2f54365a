"""What a run of the tests may be told from outside; read here only.

BEZANT_SOAK: 0 (or unset) for the few examples of `make test`; 1 for the full numbers that an issue
names; a larger one is a factor on them. BEZANT_SEED: what everything random is drawn from; unset,
it follows the commit, so that each has seeds of its own and can be asked again. CI: `true` where
nothing may be left out.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

SOAK = int(os.environ.get("BEZANT_SOAK") or 0)


def _commit() -> int:
    """The first eight digits of its hash; 1 where there is no repository."""
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=8", "HEAD"]
    try:
        return int(subprocess.run(git, capture_output=True, check=True, text=True).stdout, 16)
    except (OSError, subprocess.CalledProcessError):
        return 1


SEED = int(os.environ.get("BEZANT_SEED") or _commit())
os.environ["BEZANT_SEED"] = str(SEED)  # for pytest's workers: a commit may come meanwhile


def numbers(few: int, full: int) -> int:
    """`few` in `make test`, else `full` as often as BEZANT_SOAK says."""
    return full * SOAK if SOAK else few


def unable(why: str) -> NoReturn:
    """Skips a test that this machine cannot run; under CI it fails, so that none is lost there."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
