"""Deposits and withdrawals, from Binance's words to ours (developers.binance.com, wallet/capital).
Pure: values in, values out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from core.errors import OrderRefused
from exchanges.binance.orders import moment
from exchanges.numbers import parse, show
from exchanges.types import (
    TransferStatus,
    VenueDeposit,
    VenueWithdrawal,
    WithdrawalOrder,
    WithdrawalRule,
)

_DAY_MS = 86_400_000
# "must be less than 90 days", and less than 7 with withdrawOrderId
WINDOW_MS = 90 * _DAY_MS - 1000
OWN_ID_WINDOW_MS = 7 * _DAY_MS - 1000
# a status that is new to us is not final, and hides no other row
_DEPOSIT = {
    0: TransferStatus.PENDING,
    8: TransferStatus.PENDING,  # a person has to confirm it
    1: TransferStatus.DONE,
    6: TransferStatus.DONE,  # in the balance, and may be traded, only not withdrawn yet
    2: TransferStatus.FAILED,
    7: TransferStatus.FAILED,
}
_WITHDRAWAL = {
    0: TransferStatus.PENDING,
    2: TransferStatus.PENDING,
    4: TransferStatus.PENDING,
    6: TransferStatus.DONE,
    1: TransferStatus.FAILED,
    3: TransferStatus.FAILED,
    5: TransferStatus.FAILED,
}
_HASH = re.compile(r"(?:0x)?([0-9a-f]{64})", re.ASCII)


class Networks:
    """Between CAIP-2 and the venue's words. What Bezant does not know keeps the venue's word, so
    that nothing the venue holds is hidden: `binance:TRX`."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = dict(words)
        self._networks = {word: network for network, word in words.items()}

    def word(self, network: str) -> str:
        """Raises OrderRefused: `unknown_network`."""
        word = self._words.get(network)
        if word is None:
            raise OrderRefused("unknown_network", f"no name for {network} at binance is configured")
        return word

    def network(self, word: str) -> str:
        return self._networks.get(word, f"binance:{word}")


def windows(since_ms: int, until_ms: int, longest_ms: int) -> Iterator[tuple[int, int]]:
    """Spans that cover [since, until], both ends included, oldest first."""
    start = since_ms
    while start <= until_ms:
        end = min(start + longest_ms, until_ms)
        yield start, end
        start = end + 1


def _hash(text: object) -> str | None:
    """None for a transfer inside the venue, which has words instead."""
    match = _HASH.fullmatch(str(text).lower()) if text else None
    return f"0x{match[1]}" if match else None


def parse_deposit(raw: Mapping[str, Any], networks: Networks) -> VenueDeposit:
    """One of an answer of capital/deposit/hisrec."""
    return VenueDeposit(
        id=str(raw["id"]),
        asset=raw["coin"],
        network=networks.network(raw["network"]),
        address=raw.get("address") or None,
        amount=parse(raw["amount"]),
        tx_hash=_hash(raw.get("txId")),
        status=_DEPOSIT.get(raw["status"], TransferStatus.PENDING),
        at=moment(raw["insertTime"]),
    )


def parse_withdrawal(raw: Mapping[str, Any], networks: Networks) -> VenueWithdrawal:
    """One of an answer of capital/withdraw/history: `amount` is what arrives, the fee besides."""
    return VenueWithdrawal(
        id=str(raw["id"]),
        client_id=raw.get("withdrawOrderId") or None,
        asset=raw["coin"],
        network=networks.network(raw.get("network", "")),
        address=raw["address"],
        amount=parse(raw["amount"]),
        fee=parse(raw["transactionFee"]),
        tx_hash=_hash(raw.get("txId")),
        status=_WITHDRAWAL.get(raw["status"], TransferStatus.PENDING),
        at=datetime.strptime(raw["applyTime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC),
    )


def find_network(coins: Sequence[Mapping[str, Any]], asset: str, word: str) -> Mapping[str, Any]:
    """An asset's entry for a network, of an answer of capital/config/getall. Raises OrderRefused:
    `unknown_network`."""
    for coin in coins:
        for entry in coin["networkList"] if coin["coin"] == asset else ():
            if entry["network"] == word and entry["coin"] == asset:
                return dict(entry)
    raise OrderRefused("unknown_network", f"binance has no {asset} on {word}")


def parse_rule(entry: Mapping[str, Any], asset: str, network: str) -> WithdrawalRule:
    return WithdrawalRule(
        asset=asset,
        network=network,
        fee=parse(entry["withdrawFee"]),
        minimum=parse(entry["withdrawMin"]),
        step=parse(entry["withdrawIntegerMultiple"]) or 1,
        enabled=bool(entry["withdrawEnable"]),
    )


def check(order: WithdrawalOrder, rule: WithdrawalRule, entry: Mapping[str, Any]) -> None:
    """A withdrawal against what the venue itself says of this network. Raises OrderRefused."""
    if not rule.enabled:
        raise OrderRefused("withdrawals_closed", f"{order.asset} on {order.network} at binance")
    if order.amount < rule.minimum or order.amount <= rule.fee:
        raise OrderRefused("below_minimum", f"at least {show(rule.minimum)} {order.asset}")
    if order.amount % rule.step:
        raise OrderRefused("bad_step", f"a multiple of {show(rule.step)} {order.asset}")
    most = parse(entry.get("withdrawMax") or 0)
    if most and order.amount > most:
        raise OrderRefused("above_maximum", f"at most {show(most)} {order.asset}")
    shape = entry.get("addressRegex")
    if shape and re.fullmatch(str(shape), order.address) is None:
        raise OrderRefused("bad_address", f"{order.address} is none on {order.network}")
