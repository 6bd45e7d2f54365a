"""Binance's history of fiat (/sapi/v1/fiat/orders): what banks brought."""

from __future__ import annotations

from typing import Any

from exchanges.numbers import ONE
from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges.binance_desk import Call
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.types import SimFiatDeposit, TransferStatus

_DEFAULT_MS = 30 * 86_400_000
_ROWS, _MOST_ROWS = 100, 500
_STATUS = {TransferStatus.PENDING: "Processing", TransferStatus.CREDITED: "Successful"}


def orders(call: Call) -> dict[str, Any]:
    """Newest first, by when each was made. Nothing of fiat leaves here: a person orders that."""
    parameters = call.parameters
    kind = parameters.text("transactionType")
    if kind not in ("0", "1"):
        raise errors.invalid("transactionType")
    begin, end = parameters.whole("beginTime"), parameters.whole("endTime")
    if begin is None and end is None:
        begin = now_ms() - _DEFAULT_MS
    rows = min(parameters.whole("rows") or _ROWS, _MOST_ROWS)
    page = parameters.whole("page") or 1
    found = [
        _order(deposit)
        for deposit in reversed(call.desk.simulator.fiat_deposits(begin or 0))
        if kind == "0" and (end is None or deposit.at <= end)
    ]
    return {
        "code": "000000",
        "message": "success",
        "data": found[(page - 1) * rows : page * rows],
        "total": len(found),
        "success": True,
    }


def _order(deposit: SimFiatDeposit) -> dict[str, Any]:
    return {
        "orderNo": deposit.id,
        "fiatCurrency": deposit.asset,
        "indicatedAmount": _cents(deposit.amount),
        "amount": _cents(deposit.credited),
        "totalFee": _cents(deposit.fee),
        "method": "BankAccount",
        "status": _STATUS[deposit.status],
        "createTime": deposit.at,
        "updateTime": deposit.changed_at,
    }


def _cents(units: int) -> str:
    return f"{units // ONE}.{units % ONE * 100 // ONE:02d}"
