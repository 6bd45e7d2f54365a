"""What is told of each batch that was applied: metrics and the log."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from chain.types import Batch
from core import metrics
from payments.batch import Applied


def tell(log: FilteringBoundLogger, batch: Batch, applied: Applied) -> None:
    """`log` is bound to the network."""
    metrics.BLOCKS_APPLIED.labels(batch.network).inc(len(batch.blocks))
    if batch.fork is not None:
        metrics.FORKS.labels(batch.network).inc()
        log.warning("fork", ancestor=batch.fork, was=batch.start.number, orphaned=applied.orphaned)
    if applied.deposits or applied.orphaned:
        log.info(
            "batch_applied",
            number=applied.number,
            blocks=len(batch.blocks),
            deposits=applied.deposits,
            orphaned=applied.orphaned,
        )
