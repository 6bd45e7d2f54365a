"""Our own stylesheet, script and icon, under names that carry the hash of their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "static"
FOREVER: Final = "public, max-age=31536000, immutable"
# One file for each part of the page, one request for all: in this order.
STYLES: Final = ("base", "summary", "status", "options", "qr", "payments", "refund", "wallet")
SCRIPTS: Final = ("checkout", "router", "wallet")
_TYPES: Final = {
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
        styles = b"\n".join((folder / f"{name}.css").read_bytes() for name in STYLES)
        self._add("checkout.css", styles)
        scripts = b"\n".join((folder / f"{name}.js").read_bytes() for name in SCRIPTS)
        self._add("checkout.js", scripts)
        self._add("bezant.svg", (folder / "bezant.svg").read_bytes())

    def name(self, plain: str) -> str:
        """`checkout.css` -> `checkout.0123456789ab.css`."""
        return self._names[plain]

    def get(self, name: str) -> Asset | None:
        return self._by_name.get(name)

    def _add(self, plain: str, content: bytes) -> None:
        stem, dot, kind = plain.partition(".")
        name = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{kind}"
        self._names[plain] = name
        self._by_name[name] = Asset(content, _TYPES[dot + kind])
