"""One invoice, one address: every network must have the factory that can empty it."""

from __future__ import annotations

from typing import Any

import pytest

from bezant.configuration import parse
from core.errors import Misconfigured

FACTORY, OTHER = "0x" + "ab" * 20, "0x" + "cd" * 20


def document(*factories: str | None) -> dict[str, Any]:
    network = {
        "name": "Test", "rpc_urls": ["http://127.0.0.1:1"], "block_seconds": 0, "poll_ms": 1000,
    }  # fmt: skip
    networks = {
        f"eip155:{n}": {**network, **({"factory": factory} if factory else {})}
        for n, factory in enumerate(factories, 1)
    }
    return {"networks": networks}


def test_the_same_factory_everywhere_or_none() -> None:
    _, catalog = parse(document(FACTORY, None, FACTORY.replace("ab", "AB")))
    assert [n.factory for n in catalog.networks.values()] == [FACTORY, None, FACTORY]


def test_another_factory_is_refused() -> None:
    with pytest.raises(Misconfigured) as refused:
        parse(document(None, FACTORY, OTHER))
    told = str(refused.value)
    assert "networks.eip155:3.factory" in told
    assert OTHER in told
    assert FACTORY in told
