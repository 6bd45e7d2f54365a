"""Switchable faults, by operation and count (API 2, Sandbox). The servers spell them in their
venue's dialect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """What a fault may hit."""

    PLACE = "place"
    """Sending an order."""
    ORDER = "order"
    """Asking for orders."""
    FILLS = "fills"
    """Asking for executions."""
    BALANCES = "balances"
    """Asking for the account's balances."""
    WITHDRAW = "withdraw"
    """Sending a withdrawal."""
    BOOK = "book"
    """Asking for a book."""
    STREAM = "stream"
    """Public and private streams."""
    ANY = "any"
    """Whatever comes next."""


class Fault(StrEnum):
    """What goes wrong. "After execution": it is done first, then the answer is this."""

    TIMEOUT_AFTER_EXECUTION = "timeout_after_execution"
    """Done; the venue says that it does not know (-1007, 504)."""
    TIMEOUT_BEFORE_EXECUTION = "timeout_before_execution"
    """The same answer, nothing done."""
    SERVER_ERROR_AFTER_EXECUTION = "server_error_after_execution"
    """Done; 5xx."""
    SERVER_ERROR_BEFORE_EXECUTION = "server_error_before_execution"
    """5xx, nothing done."""
    RATE_LIMITED = "rate_limited"
    """429 with Retry-After."""
    BANNED = "banned"
    """418 with Retry-After (where the venue has it, else 429)."""
    FORBIDDEN = "forbidden"
    """403 of a firewall."""
    CLOCK_SKEW = "clock_skew"
    """The timestamp is outside of the window."""
    BAD_SIGNATURE = "bad_signature"
    """The signature is said to be wrong."""
    DUPLICATE_ORDER = "duplicate_order"
    """Refused as a duplicate, nothing done."""
    NOT_FOUND_LAG = "not_found_lag"
    """Done, the answer lost; `times` queries do not find it."""
    HTML_BODY = "html_body"
    """Done, and a gateway's page instead of JSON."""
    TRUNCATED_BODY = "truncated_body"
    """Done, and half of the answer."""
    HANG = "hang"
    """Done, and no answer at all."""
    RESET_AFTER_SEND = "reset_after_send"
    """Done, and the connection is cut."""
    PARTIAL_FILL_THEN_SILENCE = "partial_fill_then_silence"
    """A part is filled; no answer and no news."""
    EXPIRED = "expired"
    """The order expires with nothing or a part filled."""
    SUCCESS_WITH_FAILURE_REASON = "success_with_failure_reason"
    """`success: true` beside a failure reason, nothing done."""
    UNAUTHORIZED_FLAP = "unauthorized_flap"
    """401 that goes away by itself."""
    DUPLICATED_EVENTS = "duplicated_events"
    """A stream's news come twice and out of order."""


PLAYED = frozenset({Fault.EXPIRED, Fault.PARTIAL_FILL_THEN_SILENCE})
"""What the engine does itself while it places."""
SILENT = frozenset({Fault.HANG, Fault.PARTIAL_FILL_THEN_SILENCE})
"""Nothing is said any more."""
SENDS = frozenset({Operation.PLACE, Operation.WITHDRAW})
"""What moves money."""


@dataclass(slots=True)
class _Waiting:
    operation: Operation
    fault: Fault
    times: int


class FaultBox:
    """Faults that wait for their operation, first in, first out. In memory only."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._lag = 0
        self._hidden: dict[str, int] = {}

    def add(self, operation: str, fault: str, times: int = 1) -> None:
        """Raises ValueError for an unknown operation or fault."""
        self._waiting.append(_Waiting(Operation(operation), Fault(fault), times))

    def clear(self) -> None:
        self._waiting.clear()
        self._hidden.clear()

    def take(self, operation: str) -> Fault | None:
        """The fault of this call, if one waits. A `not_found_lag` of what is sent is taken whole:
        call `hide` with its client id, and `hidden` in each query of it."""
        for waiting in self._waiting:
            if waiting.operation not in (operation, Operation.ANY):
                continue
            lags = waiting.fault is Fault.NOT_FOUND_LAG and operation in SENDS
            self._lag = waiting.times if lags else self._lag
            waiting.times -= waiting.times if lags else 1
            if waiting.times <= 0:
                self._waiting.remove(waiting)
            return waiting.fault
        return None

    def hide(self, client_id: str) -> None:
        """After a `not_found_lag`: its queries find nothing, as often as was wished."""
        self._hidden[client_id] = self._lag

    def hidden(self, client_id: str) -> bool:
        """Whether this query is to find nothing."""
        left = self._hidden.get(client_id, 0)
        if left <= 1:
            self._hidden.pop(client_id, None)
        else:
            self._hidden[client_id] = left - 1
        return left > 0

    @property
    def hiding(self) -> frozenset[str]:
        """Client ids that lists of executions leave out."""
        return frozenset(self._hidden)

    def hidden_ids(self) -> frozenset[str]:
        """Client ids that this list of orders leaves out: it was one query of each."""
        return frozenset(client_id for client_id in self.hiding if self.hidden(client_id))

    @property
    def waiting(self) -> list[tuple[Operation, Fault, int]]:
        return [(w.operation, w.fault, w.times) for w in self._waiting]
