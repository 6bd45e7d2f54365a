"""Funds at two scripted venues."""

from __future__ import annotations

import pytest

from core.db import Database
from tests.integration.treasury.converting import Converting, converting


@pytest.fixture
async def desk(database: Database) -> Converting:
    made = converting(database)
    await made.open()
    return made
