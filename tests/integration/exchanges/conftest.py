"""A chain for deposits and withdrawals; simulators are started by each venue's own fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.chain import Chain, anvil


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with anvil() as started:
        yield started
