"""QR codes as SVG."""

from __future__ import annotations

import io
from functools import lru_cache

import segno
from markupsafe import Markup


@lru_cache(maxsize=1024)
def svg(text: str, label: str) -> Markup:
    """A QR code with its quiet zone, as inline SVG without a size of its own.

    No `style` attribute: the stylesheet decides, and the page's policy forbids one. `label` is
    what screen readers say.
    """
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=False, nl=False, omitsize=True, svgclass="qr"
    )
    drawing = out.getvalue().decode()
    opening = Markup('<svg role="img" aria-label="{}"').format(label)
    return opening + Markup(drawing.removeprefix("<svg"))  # noqa: S704 - segno's own drawing
