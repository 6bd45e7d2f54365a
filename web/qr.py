"""QR codes as SVG."""

from __future__ import annotations

import html
import io
from functools import lru_cache

import segno


@lru_cache(maxsize=1024)
def svg(text: str, label: str) -> str:
    """A QR code with its quiet zone, as inline SVG without a size of its own.

    No `style` attribute: the stylesheet decides, and the page's policy forbids one. `label` is
    what screen readers say; it is escaped here, so templates put the whole in as it is.
    """
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=False, nl=False, omitsize=True, svgclass="qr"
    )
    drawing = out.getvalue().decode().removeprefix("<svg")
    return f'<svg role="img" aria-label="{html.escape(label)}"{drawing}'
