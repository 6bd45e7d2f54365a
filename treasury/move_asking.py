"""What venues are asked and told of moves; no transaction of the database is open meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from core.clock import wall
from core.context import Context
from core.errors import OrderRefused, OutcomeUnknown, VenueUnavailable
from core.ids import show
from exchanges.numbers import show as show_units
from exchanges.protocol import Exchange
from exchanges.types import TransferStatus, Venue, VenueDeposit, WithdrawalOrder
from ledger.units import fine
from treasury import fundings
from treasury.answers import Absent, Away, NoAnswer, Nothing, Refusal, Unsent
from treasury.funding import EARLY
from treasury.move_answers import Address, Allowed, Answer, FromBank
from treasury.move_machine import Way
from treasury.move_tables import Move

log = structlog.get_logger(__name__)

CLOCKS = timedelta(minutes=5)  # how far a venue's times may lie before ours


class FiatHistory:
    """What banks brought to one venue. Moves that ask at about the same time share an answer, no
    older than `lasts`; one at a time asks."""

    def __init__(self, exchange: Exchange, lasts: timedelta) -> None:
        self._exchange = exchange
        self._lasts = lasts
        self._asking = asyncio.Lock()
        self._answer: tuple[datetime, datetime, list[VenueDeposit]] | None = None

    async def since(self, begins: datetime) -> list[VenueDeposit]:
        async with self._asking:
            now = wall()
            if self._answer is not None:
                begun, asked_at, shown = self._answer
                if begun <= begins and asked_at <= now <= asked_at + self._lasts:
                    return shown
            shown = await self._exchange.fiat_deposits(begins)
            self._answer = begins, now, shown
            return shown


class Asking:
    """`patience`: seconds until a call counts as unanswered. `fiat`: how long an answer about
    deposits from banks is used for all moves: it costs much (see `Exchange.fiat_deposits`)."""

    def __init__(
        self,
        context: Context,
        exchanges: Mapping[Venue, Exchange],
        patience: float,
        fiat: timedelta,
    ) -> None:
        self._context = context
        self._exchanges = exchanges
        self._patience = patience
        self._fiat = {venue: FiatHistory(exchanges[venue], fiat) for venue in exchanges}

    def is_resend_safe(self, row: Move) -> bool:
        """Whether a withdrawal that is not shown may be sent again under its id."""
        return row.way == Way.WITHDRAW and self._exchange(row).resend_returns_original

    async def check(self, row: Move) -> Answer:
        """Address, network and rules by the venue's own answer, before money moves."""
        if row.way == Way.SHIFT:
            return Allowed()
        exchange, network = self._exchange(row), str(row.network)
        try:
            async with asyncio.timeout(self._patience):
                if row.way == Way.SEND:
                    return Address(await exchange.deposit_address(row.asset, network))
                rule = await exchange.withdrawal_rule(row.asset, network)
        except OrderRefused as error:
            return Refusal(error.reason)
        except VenueUnavailable as error:
            return Away(error.retry_after)
        except TimeoutError:
            return Away(None)
        amount = self._amount(row)
        if not rule.enabled:
            return Refusal("withdrawals_closed")
        if amount < rule.minimum or amount <= rule.fee:
            log.warning(
                "move_below_minimum", move=show("mov", row.id), least=show_units(rule.minimum)
            )
            return Refusal("below_minimum")
        return Refusal("bad_step") if amount % rule.step else Allowed()

    async def withdraw(self, row: Move, until: datetime) -> Answer:
        """Sends it once, unless it is later than `until`: a process that was stopped."""
        if wall() > until:
            return Unsent(None)
        order = WithdrawalOrder(
            client_id=show("mov", row.id),
            asset=row.asset,
            network=str(row.network),
            address=str(row.address),
            amount=self._amount(row),
        )
        try:
            async with asyncio.timeout(self._patience):
                await self._exchange(row).withdraw(order)
        except VenueUnavailable as error:
            log.warning("withdrawal_not_sent", move=order.client_id, error=str(error))
            return Unsent(error.retry_after)
        except OrderRefused as error:
            return Refusal(error.reason)
        except (OutcomeUnknown, TimeoutError) as error:
            log.warning("withdrawal_unknown", move=order.client_id, error=str(error))
            return NoAnswer()
        answer = await self.ask(row)
        return NoAnswer() if isinstance(answer, Absent | Away) else answer

    async def ask(self, row: Move) -> Answer:
        """What the venue holds of it: a deposit by our transaction, a withdrawal by our id, what a
        bank brought by its amount."""
        exchange = self._exchange(row)
        try:
            async with asyncio.timeout(self._patience):
                if row.way == Way.FUND:
                    return await self._from_bank(row)
                if row.way == Way.SEND:
                    return await self._deposit(row, exchange) or Nothing()
                since = (row.sent_at or wall()) - CLOCKS
                return await exchange.withdrawal(show("mov", row.id), since) or Absent()
        except VenueUnavailable as error:
            log.warning("move_not_asked", move=show("mov", row.id), error=str(error))
            return Away(error.retry_after)
        except OrderRefused as error:  # a right was taken from the key: nothing is known by that
            log.warning("move_not_asked", move=show("mov", row.id), error=str(error))
            return Away(None)
        except TimeoutError:
            return Away(None)

    async def _deposit(self, row: Move, exchange: Exchange) -> VenueDeposit | None:
        """What the venue has credited of our transaction."""
        for one in await exchange.deposits((row.sent_at or wall()) - CLOCKS):
            is_ours = (one.tx_hash, one.asset, one.network) == (row.tx_hash, row.asset, row.network)
            there = one.address is None or one.address.lower() == row.address
            if is_ours and there and one.status is TransferStatus.DONE:
                return one
        return None

    async def _from_bank(self, row: Move) -> VenueDeposit | FromBank:
        venue = Venue(str(row.venue))
        async with self._context.database.read() as session:
            waiting = await fundings.waiting(session, self._context, venue)
        if not waiting:
            return FromBank(None)
        shown = await self._fiat[venue].since(min(one.asked_at for one in waiting) - EARLY)
        async with self._context.database.read() as session:
            found = await fundings.find(session, self._context, venue, shown)
        return found.same.get(row.id) or FromBank(found.less.get(row.id))

    def _exchange(self, row: Move) -> Exchange:
        return self._exchanges[Venue(str(row.venue))]

    def _amount(self, row: Move) -> int:
        asset = self._context.catalog.asset(row.asset)
        assert asset is not None  # noqa: S101  (it was configured when the move was asked for)
        return fine(asset, row.amount)
