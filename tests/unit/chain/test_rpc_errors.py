"""Providers' error texts -> our types: one row for each shape seen."""

from __future__ import annotations

import pytest

from chain.rpc import classify, host_of
from chain.wire import Fault
from core.errors import BlockUnknown, ChainError, EndpointFailed, RangeTooLarge

LARGE, FAILED, UNKNOWN = RangeTooLarge, EndpointFailed, BlockUnknown


@pytest.mark.parametrize(
    ("code", "message", "error", "kind"),
    [
        (-32005, "limit exceeded", LARGE, "range_too_large"),
        (-32005, "query returned more than 10000 results", LARGE, "range_too_large"),
        (-32602, "", LARGE, "range_too_large"),
        (-32602, "query exceeds max results 20000", LARGE, "range_too_large"),
        (-32602, "eth_getLogs is limited to a 10,000 range", LARGE, "range_too_large"),
        (-32000, "block range is too wide", LARGE, "range_too_large"),
        (-32600, "You can make eth_getLogs requests with up to a 10 block range", LARGE, None),
        (-32008, "Log response size exceeded", LARGE, None),
        (-32600, "batch too large", LARGE, None),
        (-32003, "response too large", LARGE, None),
        (-32000, "query timeout exceeded", LARGE, None),
        (-32000, "exceed maximum block range: 5000", LARGE, None),
        (-32005, "daily request count exceeded, request rate limited", FAILED, "rate_limited"),
        (429, "Your app has exceeded its compute units per second capacity", FAILED, None),
        (-32016, "over rate limit", FAILED, "rate_limited"),
        (-32601, "Method not found", FAILED, "unsupported"),
        (-32600, "debug_traceBlockByHash method is not supported", FAILED, "unsupported"),
        (-32000, "the method debug_traceBlockByHash does not exist/is not available", FAILED, None),
        (-32000, "unknown block", UNKNOWN, "unknown_block"),
        (-32001, "Resource not found", UNKNOWN, "unknown_block"),
        (-32000, "header not found", UNKNOWN, "unknown_block"),
        (-32000, "missing trie node 4cd0 (path ) state 0x4cd0 is not available", UNKNOWN, None),
        (-32602, "BlockOutOfRangeError: block height is 4 but requested was 2457", UNKNOWN, None),
        (-32603, "Internal error", FAILED, "fault"),
        (-32000, "execution reverted", FAILED, "fault"),
    ],
)
def test_each_refusal_has_one_meaning(
    code: int, message: str, error: type[ChainError], kind: str | None
) -> None:
    found, word = classify(Fault(code, message))
    assert found is error
    assert kind in (None, word)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://mainnet.example/v3/0123456789abcdef", "mainnet.example"),
        ("https://user:password@node.example:8545/?key=abc", "node.example:8545"),
        ("http://127.0.0.1:8545", "127.0.0.1:8545"),
        ("http://[::1]:8545/x", "::1:8545"),
    ],
)
def test_a_url_shows_its_host_only(url: str, shown: str) -> None:
    assert host_of(url) == shown
