"""A running signer for each test that asks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from tests.integration.wallets.signer.process import SignerProcess, open_signer
from tests.unit.wallets.signer import world
from wallets.signer.client import SignerClient


@pytest.fixture(autouse=True)
def wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's clock is the wall's; orders of the tests' world are made for it."""
    monkeypatch.setattr(world, "NOW", int(time.time()))


@pytest.fixture
async def signer() -> AsyncIterator[SignerProcess]:
    async with open_signer() as found:
        yield found


@pytest.fixture
async def client(signer: SignerProcess) -> AsyncIterator[SignerClient]:
    found = signer.client()
    yield found
    await found.close()
