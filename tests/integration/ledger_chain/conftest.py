"""The served API over a ledger with entries in it."""

from __future__ import annotations

import pytest
from fastapi import APIRouter

from api import app, ledger
from tests.integration.api.conftest import context, limits, world

__all__ = ["context", "limits", "world"]


@pytest.fixture
def extra_routers() -> list[APIRouter]:
    return [r for r in (ledger.router,) if r not in app.ROUTERS]
