"""Binance's wallet (/sapi/v1/capital): networks, addresses, deposits, withdrawals.

Its codes (-4xxx) are as clients report them; for a second withdrawal with a known withdrawOrderId
the venue documents none, and what is sent here is our choice.
"""

from __future__ import annotations

from typing import Any

from exchanges.numbers import show
from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges import binance_shapes as shapes
from sandbox.exchanges.binance_desk import Call
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.types import (
    Reason,
    Rejected,
    SimDeposit,
    SimNetworkRule,
    SimWithdrawal,
    TransferStatus,
)
from sandbox.world import CONFIRMATIONS

_DAY_MS = 86_400_000
_HISTORY_MS = 90 * _DAY_MS
_BY_ID_MS = 7 * _DAY_MS
_STEP = 10**10  # the venue's wallet counts 8 decimals
_FIAT = frozenset({"EUR", "USD"})
_ADDRESS = "^(0x)[0-9A-Fa-f]{40}$"
_DEPOSIT = {TransferStatus.PENDING: 0, TransferStatus.CREDITED: 1}
_WITHDRAWAL = {
    TransferStatus.PENDING: 4,
    TransferStatus.SENT: 4,
    TransferStatus.DONE: 6,
    TransferStatus.FAILED: 5,
}
_REFUSALS = {
    Reason.INSUFFICIENT: (-4026, "You have insufficient balance."),
    Reason.BAD_ADDRESS: (-4033, "Illegal address."),
    Reason.UNKNOWN_NETWORK: (-4019, "Current asset is not open for withdrawal."),
    Reason.DUPLICATE_CLIENT_ID: (-4001, "Invalid operation."),
}


def coins(call: Call) -> list[dict[str, Any]]:
    """config/getall: every asset with its networks."""
    desk = call.desk
    balances = desk.simulator.balances()
    traded = {asset for rules in desk.markets.values() for asset in (rules.base, rules.quote)}
    assets = traded | set(balances) | {asset for asset, _ in desk.simulator.rules}
    return [
        {
            "coin": asset,
            "depositAllEnable": asset not in _FIAT,
            "withdrawAllEnable": asset not in _FIAT,
            "name": asset,
            "free": show(balances[asset].free) if asset in balances else "0",
            "locked": show(balances[asset].locked) if asset in balances else "0",
            "freeze": "0",
            "withdrawing": "0",
            "ipoing": "0",
            "ipoable": "0",
            "storage": "0",
            "isLegalMoney": asset in _FIAT,
            "trading": asset in traded,
            "networkList": [
                _network(desk.words[rule.network], rule, is_default=i == 0)
                for i, rule in enumerate(_rules(call, asset))
            ],
        }
        for asset in sorted(assets)
    ]


def _rules(call: Call, asset: str) -> list[SimNetworkRule]:
    known = call.desk.words
    return [
        rule
        for (symbol, network), rule in call.desk.simulator.rules.items()
        if symbol == asset and network in known
    ]


def _network(word: str, rule: SimNetworkRule, *, is_default: bool) -> dict[str, Any]:
    return {
        "network": word,
        "coin": rule.asset,
        "withdrawIntegerMultiple": show(max(rule.step, _STEP)),
        "isDefault": is_default,
        "depositEnable": True,
        "withdrawEnable": True,
        "depositDesc": "",
        "withdrawDesc": "",
        "specialTips": "",
        "specialWithdrawTips": "",
        "name": word,
        "resetAddressStatus": False,
        "addressRegex": _ADDRESS,
        "memoRegex": "",
        "withdrawFee": show(rule.fee),
        "withdrawMin": show(rule.minimum),
        "withdrawMax": "9999999",
        "withdrawInternalMin": show(max(rule.step, _STEP)),
        "depositDust": show(max(rule.step, _STEP)),
        "minConfirm": CONFIRMATIONS,
        "unLockConfirm": CONFIRMATIONS,
        "sameAddress": False,
        "withdrawTag": False,
        "estimatedArrivalTime": 1,
        "busy": False,
        "contractAddressUrl": "",
        "contractAddress": rule.contract or "",
    }


def _rule(call: Call, absent: Problem) -> SimNetworkRule:
    """Of `coin` and `network`, or of the coin's default network. Raises `absent`."""
    coin, word = call.parameters.text("coin"), call.parameters.optional("network")
    for rule in _rules(call, coin):
        if word in (None, call.desk.words[rule.network]):
            return rule
    raise absent


def address(call: Call) -> dict[str, Any]:
    rule = _rule(call, _unknown_asset())
    try:
        found = call.desk.simulator.deposit_address(rule.asset, rule.network)
    except Rejected:
        raise _unknown_asset() from None
    return {"address": found, "coin": rule.asset, "tag": "", "url": ""}


def _unknown_asset() -> Problem:
    return Problem(-4018, "We don't have this asset.")


def _window(call: Call, longest: int) -> tuple[int, int]:
    """startTime and endTime, by default the last so many ms. Raises Problem -4047."""
    start, end = call.parameters.whole("startTime"), call.parameters.whole("endTime")
    end = now_ms() if end is None else end
    start = end - longest if start is None else start
    if not 0 <= end - start <= longest:
        days = longest // _DAY_MS
        raise Problem(-4047, f"Time interval must be within 0-{days} days")
    return start, end


def _page(call: Call, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    offset = call.parameters.whole("offset") or 0
    return found[offset : offset + call.parameters.limit(1000, 1000)]


def deposits(call: Call) -> list[dict[str, Any]]:
    """Newest first."""
    parameters = call.parameters
    start, end = _window(call, _HISTORY_MS)
    coin, tx_hash = parameters.optional("coin"), parameters.optional("txId")
    status = parameters.whole("status")
    found = [
        _deposit(call, deposit)
        for deposit in reversed(call.desk.simulator.deposits(start))
        if start <= deposit.at <= end
        and coin in (None, deposit.asset)
        and tx_hash in (None, deposit.tx_hash)
        and status in (None, _DEPOSIT[deposit.status])
    ]
    return _page(call, found)


def _deposit(call: Call, deposit: SimDeposit) -> dict[str, Any]:
    credited = deposit.status is TransferStatus.CREDITED
    return {
        "id": deposit.id,
        "amount": shapes.number(deposit.amount),
        "coin": deposit.asset,
        "network": call.desk.words[deposit.network],
        "status": _DEPOSIT[deposit.status],
        "address": deposit.address,
        "addressTag": "",
        "txId": deposit.tx_hash,
        "insertTime": deposit.at,
        "completeTime": deposit.at if credited else None,
        "transferType": 0,
        "confirmTimes": f"{min(deposit.confirmations, CONFIRMATIONS)}/{CONFIRMATIONS}",
        "unlockConfirm": CONFIRMATIONS,
        "walletType": 0,
    }


def withdraw(call: Call) -> dict[str, Any]:
    """The fee comes out of the amount. Raises Problem."""
    parameters = call.parameters
    coin = parameters.text("coin")
    destination = parameters.text("address")
    amount = parameters.decimal("amount")
    rule = _rule(call, Problem(*_REFUSALS[Reason.UNKNOWN_NETWORK]))
    step = max(rule.step, _STEP)
    if amount % step:
        raise Problem(-4021, f"Asset withdrawal must be an integer multiple of {show(step)}.")
    try:
        sent = call.desk.simulator.withdraw(
            client_id=parameters.optional("withdrawOrderId"),
            asset=coin,
            network=rule.network,
            address=destination,
            amount=amount,
        )
    except Rejected as rejected:
        raise _refusal(rejected, rule) from None
    return {"id": sent.id}


def _refusal(rejected: Rejected, rule: SimNetworkRule) -> Problem:
    if rejected.reason is Reason.MINIMUM:
        return Problem(-4022, f"Not less than the minimum pick-up quantity {show(rule.minimum)}.")
    return Problem(*_REFUSALS[rejected.reason])


def withdrawals(call: Call) -> list[dict[str, Any]]:
    """Newest first; by withdrawOrderId within 7 days, else within 90."""
    parameters = call.parameters
    client_id = parameters.optional("withdrawOrderId")
    start, end = _window(call, _BY_ID_MS if client_id is not None else _HISTORY_MS)
    coin, status = parameters.optional("coin"), parameters.whole("status")
    listed = parameters.optional("idList")
    wanted = None if listed is None else listed.split(",")
    if wanted is not None and len(wanted) > 45:
        raise errors.invalid("idList")
    found = [
        _withdrawal(call, sent)
        for sent in reversed(call.desk.simulator.withdrawals(start))
        if start <= sent.at <= end
        and client_id in (None, sent.client_id)
        and coin in (None, sent.asset)
        and status in (None, _WITHDRAWAL[sent.status])
        and (wanted is None or sent.id in wanted)
        and not call.desk.simulator.faults.hidden(sent.client_id or "")
    ]
    return _page(call, found)


def _withdrawal(call: Call, sent: SimWithdrawal) -> dict[str, Any]:
    done = sent.status is TransferStatus.DONE
    return {
        "id": sent.id,
        "amount": show(sent.amount),
        "transactionFee": show(sent.fee),
        "coin": sent.asset,
        "status": _WITHDRAWAL[sent.status],
        "address": sent.address,
        "txId": sent.tx_hash or "",
        "applyTime": shapes.utc(sent.at),
        "network": call.desk.words[sent.network],
        "transferType": 0,
        **({} if sent.client_id is None else {"withdrawOrderId": sent.client_id}),
        "info": "",
        "confirmNo": 1 if done else 0,
        "walletType": 0,
        "txKey": "",
        **({"completeTime": shapes.utc(sent.at)} if done else {}),
    }
