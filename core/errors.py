"""Everything Bezant refuses or fails at, as one tree.

BezantError
|- Refused                 the caller can mend it
|  |- Invalid             422: a field is wrong (code names how)
|  |  `- InvalidAmount
|  |- Unauthorized        401
|  |- Forbidden           403
|  |- NotFound            404
|  |- Conflict            409: the state does not allow it
|  |- TooLarge            413
|  `- TooMany             429
|- Unavailable            503: the world does not answer now, nothing was done
|  `- PriceUnavailable
|- Misconfigured          a setting is wrong: one sentence with key, value and what is allowed
|- ChainError             a node's answer cannot be used
|  |- EndpointFailed      transport, 5xx, rate limit
|  |  |- TimedOut          no answer in time
|  |  `- BlockUnknown      the node has no such block, or no longer its state
|  |- RangeTooLarge       -32005, -32602: ask for less
|  |- Inconsistent        answers that contradict each other or their own header
|  `- ForkBelowFinalized  a finalized block changed: a person must decide
|- VenueError             an exchange did not do what was asked (VENUES 2)
|  |- VenueUnavailable    nothing was done; asking again is safe
|  |  `- UnreadableAnswer it answered with what cannot be read
|  |- OrderRefused        final: nothing was done, and the same would be refused again
|  `- OutcomeUnknown      it may have been done: ask, never repeat blindly
|- SignerError            no signature, so nothing can have left (CHAIN 4)
|  |- SignerRefused       against its policy; its code says which rule
|  |- NeedsApproval       allowed once enough approvers have signed
|  `- SignerAway          no answer in time: it may have signed, and asking again is safe
|     `- KeyUnavailable   it answers, one wallet's key does not; other wallets go on
`- LedgerError            a posting that must never happen (a bug, or tampering)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class BezantError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "internal_error"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: its path in the body or query, and what is allowed."""

    field: str
    message: str


class Refused(BezantError):
    """The request cannot be done as asked. `code` is stable; `detail` is for people."""

    status: ClassVar[int] = 400
    code = "bad_request"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers or {}
        self.extra = extra or {}
        if code is not None:
            self.code = code  # type: ignore[misc]


class Invalid(Refused):
    """A field is wrong."""

    status = 422
    code = "invalid_request"

    @classmethod
    def of(cls, field: str, message: str, *, code: str | None = None) -> Invalid:
        """The usual case: one field, and what it may hold."""
        return cls(f"{field}: {message}", code=code, errors=[FieldError(field, message)])


class InvalidAmount(Invalid):
    """Text that is no amount of this asset."""

    code = "invalid_amount"


class Unauthorized(Refused):
    """No key, or one that is not valid."""

    status = 401
    code = "unauthorized"


class Forbidden(Refused):
    """The key is valid and may not do this."""

    status = 403
    code = "forbidden"


class NotFound(Refused):
    """No such thing for this caller."""

    status = 404
    code = "not_found"


class Conflict(Refused):
    """The state does not allow it (now)."""

    status = 409
    code = "conflict"


class TooLarge(Refused):
    """The body is above the limit."""

    status = 413
    code = "too_large"


class TooMany(Refused):
    """The rate limit is reached."""

    status = 429
    code = "rate_limited"


class Unavailable(Refused):
    """Something outside does not answer; nothing was done."""

    status = 503
    code = "unavailable"


class PriceUnavailable(Unavailable):
    """No price passes its checks; nothing is guessed."""

    code = "price_unavailable"


class Misconfigured(BezantError):
    """A setting is wrong: says the key, the value and what is allowed."""

    code = "misconfigured"


class ChainError(BezantError):
    """A node's answer cannot be used."""

    code = "chain_error"


class EndpointFailed(ChainError):
    """Transport error, timeout, server error or rate limit: nothing is known."""


class TimedOut(EndpointFailed):
    """No answer in time: whether less would have been answered is not known."""


class BlockUnknown(EndpointFailed):
    """The node does not have this block (yet, or after a fork), or dropped its state."""


class RangeTooLarge(ChainError):
    """The node wants a smaller range (-32005, -32602)."""


class Inconsistent(ChainError):
    """Answers contradict each other, or the header's own bloom or hash."""


class ForkBelowFinalized(ChainError):
    """A finalized block changed; crediting stops until a person decides."""

    def __init__(self, network: str, number: int) -> None:
        super().__init__(f"{network}: the chain changed below the finalized block {number}")
        self.network = network
        self.number = number


class VenueError(BezantError):
    """An exchange did not do what was asked."""

    code = "venue_error"


class VenueUnavailable(VenueError):
    """Nothing was done: no connection, a limit, a clock that differs, maintenance. Asking again is
    safe, after `retry_after` seconds where the venue named them."""

    code = "venue_unavailable"

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class UnreadableAnswer(VenueUnavailable):
    """The venue answered with what cannot be read. After an order or a withdrawal that is an
    unknown outcome instead."""

    code = "unreadable_answer"


class OrderRefused(VenueError):
    """Final: nothing was done. `reason` is our stable word for why."""

    code = "order_refused"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class OutcomeUnknown(VenueError):
    """Sent, and not known whether it was done: ask by our id, never repeat blindly."""

    code = "outcome_unknown"


class SignerError(BezantError):
    """The signer gave no signature."""

    code = "signer_error"


class SignerRefused(SignerError):
    """Against the signer's policy. `code` is stable and stands in its audit log as well."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"the signer refuses ({code}): {detail}")
        self.code = code  # type: ignore[misc]
        self.detail = detail


class NeedsApproval(SignerError):
    """Above the unattended limits: `given` of `needed` approvals are there."""

    code = "approval_needed"

    def __init__(self, needed: int, given: int) -> None:
        super().__init__(f"{given} of {needed} approvals are given")
        self.needed = needed
        self.given = given


class SignerAway(SignerError):
    """The signer does not answer. Whether it signed is not known; the same order may be repeated,
    at the same nonce, and counts once."""

    code = "signer_away"


class KeyUnavailable(SignerAway):
    """One wallet's key lies in a KMS or a vault that does not answer: nothing was signed. Other
    wallets are not concerned."""

    code = "key_unavailable"


class LedgerError(BezantError):
    """A posting that must never happen."""

    code = "ledger_error"
