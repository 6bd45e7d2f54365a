"""The signer of an installation that has none."""

from __future__ import annotations

from typing import NoReturn

from core.errors import SignerAway


class NoSigner:
    """Answers nothing: what is asked of it waits, as for a signer that is away."""

    async def sign(self, _order: object) -> NoReturn:
        self._away()

    async def check(self, _order: object) -> NoReturn:
        self._away()

    async def broadcast(self, _order_id: str, _tx_hash: str) -> NoReturn:
        self._away()

    async def quote(self, _quote: object) -> NoReturn:
        self._away()

    async def wallets(self) -> NoReturn:
        self._away()

    def _away(self) -> NoReturn:
        raise SignerAway("no signer is configured (BEZANT_SIGNER_SOCKET)")
