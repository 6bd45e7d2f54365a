"""Fiat that banks bring, by the history of its orders (developers.binance.com, fiat/rest-api).

An order is made when somebody announces a transfer, or when it comes; the history is asked by that
time, and what counts is when the order last changed: then it was credited.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from exchanges.binance.client import Client
from exchanges.binance.errors import reading
from exchanges.binance.orders import milliseconds, moment
from exchanges.binance.transfers import WINDOW_MS, windows
from exchanges.numbers import parse
from exchanges.types import TransferStatus, VenueDeposit

DEPOSIT = "0"  # of both kinds of order
ANNOUNCED_MS = 14 * 86_400_000  # before the money came: no bank takes longer
_PAGE = 500
# "Order Partial credit Stopped", and what is on its way back, are for a person to look at
_STATUS = {
    "Successful": TransferStatus.DONE,
    "Finished": TransferStatus.DONE,
    "Failed": TransferStatus.FAILED,
    "Expired": TransferStatus.FAILED,
    "Refunded": TransferStatus.FAILED,
}


async def deposits(client: Client, since: datetime) -> list[VenueDeposit]:
    """Those that changed since then, oldest first."""
    found: dict[str, VenueDeposit] = {}
    begin, now = milliseconds(since) - ANNOUNCED_MS, client.clock.now_ms() + 1000
    for start, end in windows(begin, now, WINDOW_MS):
        size, page = _PAGE, 0
        while size == _PAGE:
            page += 1
            answer = await client.get_fiat_deposit_withdraw_history(
                transactionType=DEPOSIT, beginTime=start, endTime=end, page=page, rows=_PAGE
            )
            each = read(answer)
            size = len(each)
            found |= {one.id: one for one in each if one.at >= since}
    return sorted(found.values(), key=lambda deposit: (deposit.at, deposit.id))


def read(answer: Mapping[str, Any]) -> list[VenueDeposit]:
    """An answer of fiat/orders. Raises UnreadableAnswer, also where it says that it failed."""
    with reading("fiat deposits"):
        if answer["success"] is not True:
            raise ValueError(f"{answer['code']}")
        return [_deposit(row) for row in answer["data"]]


def _deposit(row: Mapping[str, Any]) -> VenueDeposit:
    """`amount` is what was credited, the fee taken off."""
    return VenueDeposit(
        id=str(row["orderNo"]),
        asset=row["fiatCurrency"],
        network=None,
        address=None,
        amount=parse(row["amount"]),
        fee=parse(row["totalFee"]),
        tx_hash=None,
        status=_STATUS.get(row["status"], TransferStatus.PENDING),
        at=moment(row["updateTime"]),
    )
