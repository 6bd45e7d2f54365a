"""Who asks: `Authorization: Bearer sk_...` (a merchant's key) or `ok_...` (an operator's)."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request

from api import limits
from core.errors import Forbidden, Unauthorized
from merchants.keys import Principal

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="bezant"'}


class Check:
    """A dependency that answers with the Principal, or refuses: 401, 403, 429."""

    def __init__(self, scope: str | None, *, operator_only: bool = False) -> None:
        self.scope = scope
        self.operator_only = operator_only

    async def __call__(self, request: Request) -> Principal:
        principal = await _principal(request)
        if self.operator_only and not principal.is_operator:
            raise Forbidden("this path takes an operator's key")
        if self.scope is not None and not principal.may(self.scope):
            raise Forbidden(f"this key lacks the scope {self.scope}", code="missing_scope")
        return principal


def require(scope: str) -> Any:
    """`caller: Annotated[Principal, require("invoices:write")]`."""
    return Depends(Check(scope))


def require_operator(scope: str | None = None) -> Any:
    """An operator's key, with this scope if one is named."""
    return Depends(Check(scope, operator_only=True))


operator = require_operator()

# Any valid key.
Caller = Annotated[Principal, Depends(Check(None))]
Operator = Annotated[Principal, operator]


def merchant_of(principal: Principal) -> UUID:
    """The merchant on whose behalf something is written. Raises Forbidden for an operator."""
    if principal.merchant_id is None:
        raise Forbidden("this path takes a merchant's key")
    return principal.merchant_id


async def _principal(request: Request) -> Principal:
    app_state = request.app.state
    header = request.headers.get("authorization", "")
    kind, _, token = header.partition(" ")
    try:
        if kind.lower() != "bearer" or not token.strip():
            raise Unauthorized("send your API key as Authorization: Bearer sk_...")
        principal: Principal = await app_state.authenticator.authenticate(token.strip())
    except Unauthorized as error:
        # Each wrong key costs a look-up, so strangers are counted by their address.
        host = request.client.host if request.client else ""
        limits.take(request.scope, app_state.stranger_limiter, host)
        error.headers = _CHALLENGE
        raise
    limits.take(request.scope, app_state.limiter, principal.key_id)
    return principal
