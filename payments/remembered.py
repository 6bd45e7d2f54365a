"""What the chain loop knows of its own last batches, so that it does not ask for it again."""

from __future__ import annotations

from typing import NamedTuple

from chain.types import Batch
from payments.batch import Applied

HASHES = 256  # beyond what is safe and final on most networks


class At(NamedTuple):
    """What the guard row says before a batch is read."""

    number: int
    hash: str
    finalized: int | None
    halted: str | None


class Remembered:
    """True as long as nobody else applies batches. Should somebody, then the guard row is another
    one, whatever is read on this ground is dropped, and all of it is forgotten.

    `at` None: ask the guard row; `sending`: transactions of ours may be under way.
    """

    def __init__(self) -> None:
        self.at: At | None = None
        self.sending = True
        self._hashes: dict[int, str] = {}

    def learn(self, batch: Batch, applied: Applied | None) -> None:
        """After the commit; None: the batch was dropped."""
        if applied is None:
            self.forget()
            return
        self.at = At(applied.number, applied.hash, applied.finalized, None)
        self.sending = applied.sending
        if batch.fork is not None:
            self._hashes = {n: h for n, h in self._hashes.items() if n <= batch.fork}
        self._hashes |= {block.number: block.hash for block in batch.blocks[-HASHES:]}
        for number in list(self._hashes)[:-HASHES]:
            del self._hashes[number]

    def forget(self) -> None:
        self.at, self.sending, self._hashes = None, True, {}

    def hash_at(self, number: int) -> str | None:
        """The stored hash of a recent block."""
        return self._hashes.get(number)
