"""What a person reads has everything that he needs to act."""

from __future__ import annotations

import pytest

from bezant.printing import show_reconciliation

BREAK = {
    "id": "brk_01m82wa57peh4t4smjz92b4y8m",
    "kind": "missing_in_ledger",
    "place": "exchange:binance",
    "asset": "ETH",
    "expected": None,
    "actual": "-0.250000000000000000",
    "created_at": "2026-11-23T00:18:50.000Z",
    "owner": "anna",
    "resolutions": ["explained", "book_trade"],
}


def test_a_break_is_named_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = {
        "id": "rec_1", "status": "breaks", "compared": 3, "blocks": [], "venues": [],
        "unread": [], "parts": {"ledger": {"compared": 3, "differences": 1}}, "breaks": [BREAK],
    }  # fmt: skip
    show_reconciliation(found, as_json=False)
    said = capsys.readouterr().out
    assert (
        "brk_01m82wa57peh4t4smjz92b4y8m  missing_in_ledger at exchange:binance: nothing in the"
        " books, -0.250000000000000000 ETH there, since 2026-11-23T00:18:50.000Z,"
        " anna looks after it; to be resolved by explained, book_trade\n"
    ) in said
    assert "breaks: 3 compared." in said
