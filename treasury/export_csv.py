"""The journal as CSV (RFC 4180): a line for each posting."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence

from core.context import Context
from core.ids import show
from ledger.reads import exact, symbol
from treasury.export_period import Numbered, Period, entries, instant

JOURNAL = (
    "seq", "hash", "entry", "posted_at", "kind", "reference", "merchant", "n", "account", "asset",
    "amount", "key", "evidence",
)  # fmt: skip


def written(rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


async def journal(context: Context, period: Period) -> AsyncIterator[bytes]:
    """`amount` is signed, debit positive, exact; what venues count more finely (`EUR@18`) is shown
    as what it is (`EUR`). `hash` is the entry's in the ledger's chain."""
    yield written([JOURNAL])
    async for page in entries(context.database, period):
        if page:
            yield written(row for entry in page for row in _rows(context, entry))


def _rows(context: Context, entry: Numbered) -> Iterable[Sequence[object]]:
    merchant = show("mer", entry.merchant_id) if entry.merchant_id else ""
    before = (
        entry.seq, entry.hash.hex(), show("je", entry.id), instant(entry.posted_at), entry.kind,
        entry.reference, merchant,
    )  # fmt: skip
    for n, line in enumerate(entry.lines):
        amount = exact(context.catalog, line.asset, line.amount)
        yield (
            *before, n, line.account, symbol(line.asset), amount, entry.key, entry.evidence,
        )  # fmt: skip
