"""Where things lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def default_data_dir() -> Path:
    """In a checkout its own `.bezant`, so that the command works from any folder."""
    return (ROOT if (ROOT / "pyproject.toml").is_file() else Path.home()) / ".bezant"


def data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """BEZANT_DATA_DIR, or the default."""
    return Path(environment.get("BEZANT_DATA_DIR") or default_data_dir()).expanduser().absolute()


def sandbox_dir(given: Path | None) -> Path:
    """Where a sandbox keeps everything: as said, else `sandbox` in the data directory."""
    return given.expanduser().absolute() if given else data_dir() / "sandbox"
