"""The worker's word on what `verify` asks: is the authorization good, covered and worth its gas?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from chain.endpoints import Endpoints
from core.context import Context
from core.errors import ChainError, PriceUnavailable
from core.network_rows import NetworkRows
from core.networks import Network
from payments import x402_checks as checks
from payments.x402_carrying import NoRelayer, ready
from payments.x402_tables import Check
from payments.x402_terms import NotPaid

log = structlog.get_logger()

ASKED_SECONDS = 2 * checks.SECONDS  # nobody waits for an older one any more
KEPT = timedelta(hours=1)

_CLAIM = """
with old as (
    delete from x402_checks where id in (
        select id from x402_checks where asked_at < %(old)s limit 100 for update skip locked)
), due as (
    select id from x402_checks
    where network = %(network)s and status = 'requested' and asked_at > %(asked)s
        and (leased_until is null or leased_until <= %(wall)s)
    order by asked_at limit %(limit)s for update skip locked
)
update x402_checks c set leased_until = %(leased_until)s from due where c.id = due.id
returning c.id
"""
_ANSWER = """
with answered as (
    update x402_checks set status = %s, reason = %s, detail = %s
    where id = %s and status = 'requested' returning id
)
select pg_notify(%s, id::text) from answered
"""


class Checking(NetworkRows):
    """Checks of one network."""

    name = "x402 checks"
    channel = checks.CHANNEL
    claiming = _CLAIM
    lease_seconds = ASKED_SECONDS

    def __init__(
        self,
        context: Context,
        network: Network,
        endpoints: Endpoints,
        *,
        parallel: int = 16,
        poll_seconds: float = 1.0,
    ) -> None:
        super().__init__(context, network, parallel=parallel, poll_seconds=poll_seconds)
        self._endpoints = endpoints

    def values(self, now: datetime) -> dict[str, Any]:
        asked = now - timedelta(seconds=ASKED_SECONDS)
        return {**super().values(now), "old": now - KEPT, "asked": asked}

    async def step(self, check_id: UUID) -> None:
        """Valid, invalid, or unknown where nobody can tell now."""
        async with self._context.database.read() as session:
            row = await session.get_one(Check, check_id)
        try:
            await ready(self._context, self._network, self._endpoints, row)
        except NotPaid as refused:
            await self._answer(check_id, "invalid", refused.reason, refused.message)
        except (ChainError, PriceUnavailable, NoRelayer) as error:
            log.warning("x402_check_unknown", check=str(check_id), error=str(error))
            await self._answer(check_id, "unknown")
        else:
            await self._answer(check_id, "valid")

    async def _answer(
        self, check_id: UUID, status: str, reason: str | None = None, detail: str | None = None
    ) -> None:
        async with self._context.database.statement() as connection:
            values = (status, reason, detail, check_id, checks.ANSWERS)
            await connection.execute(_ANSWER, values)
