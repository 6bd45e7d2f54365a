"""Our own stylesheet, script and icon, under names that carry the hash of their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served."""

    content: bytes
    media_type: str


class Assets:
    """Read once; a changed file is another name, so each may be kept for ever."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._names: dict[str, str] = {}
        self._by_name: dict[str, Asset] = {}
        for path in sorted(folder.iterdir()):
            content = path.read_bytes()
            name = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"
            self._names[path.name] = name
            self._by_name[name] = Asset(content, _TYPES[path.suffix])

    def name(self, plain: str) -> str:
        """`checkout.css` -> `checkout.0123456789ab.css`."""
        return self._names[plain]

    def get(self, name: str) -> Asset | None:
        return self._by_name.get(name)
