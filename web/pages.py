"""Templates to HTML, and the headers that every page carries."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from web import texts
from web.assets import Assets
from web.view import View

# The parts of the page that change while it is open; each is a template of its own.
REGIONS: Final = ("status", "pay", "payments", "refund")

# The address of a page is a secret of payer and shop: it is neither cached nor referred to.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}


class Pages:
    """Renders; escaping is always on, and an unknown name in a template is an error."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # attributes, not a dict: `t.copy` must be our text
        self._environment.globals.update(
            t=SimpleNamespace(**texts.PAGE), wallet=texts.WALLET, static=assets.name
        )

    def checkout(self, view: View) -> HTMLResponse:
        return self._page("checkout.html", 200, view=view)

    def missing(self) -> HTMLResponse:
        """Somebody mistyped, or is guessing: the same friendly page."""
        return self._page(
            "message.html", 404, title=texts.PAGE["missing_title"], text=texts.PAGE["missing_text"]
        )

    def busy(self, retry_seconds: int) -> HTMLResponse:
        page = self._page(
            "message.html", 429, title=texts.PAGE["busy_title"], text=texts.PAGE["busy_text"]
        )
        page.headers["Retry-After"] = str(retry_seconds)
        return page

    def state(self, view: View) -> dict[str, Any]:
        """What an open page needs to be up to date: the regions' HTML comes ready-made."""
        return {
            "stage": view.stage,
            "title": f"{view.title} · {view.merchant}",
            "announcement": self._announcement(view),
            "seconds_left": view.seconds_left,
            "over": view.is_over,
            "regions": {
                name: self._environment.get_template(f"_{name}.html").render(view=view)
                for name in REGIONS
            },
        }

    def _announcement(self, view: View) -> str:
        """What a screen reader says when something happened."""
        said = [view.title, view.explanation, *view.notes]
        if view.progress:
            said.insert(1, view.progress.label)
        return ". ".join(part.rstrip(".") for part in said)

    def _page(self, template: str, status: int, **values: Any) -> HTMLResponse:
        html = self._environment.get_template(template).render(**values)
        return HTMLResponse(html, status_code=status, headers=HEADERS)
