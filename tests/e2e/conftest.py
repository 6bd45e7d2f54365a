"""One sandbox for all tests of a run (of an xdist worker) that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.town import Town, open_town


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Town]:
    """A running sandbox. Its clock may have moved; make merchants of your own for exact sums."""
    with open_town() as town:
        yield town
