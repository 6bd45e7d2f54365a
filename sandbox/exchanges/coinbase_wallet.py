"""Coinbase App's /v2: wallets, their addresses, what came in and went out.

Source: docs.cdp.coinbase.com, "Transactions" and "Onchain Addresses" of the Coinbase App API.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from core.addresses import checksum
from core.errors import UnreadableAnswer
from exchanges.numbers import parse, show
from sandbox.exchanges import coinbase_shapes as shapes
from sandbox.exchanges import coinbase_transactions as money
from sandbox.exchanges.coinbase_answers import Refused, say, wallet_error
from sandbox.exchanges.coinbase_gate import TRANSFER, VIEW, Call, Endpoint, Gate
from sandbox.exchanges.coinbase_market_data import OPENED, listed_balances
from sandbox.exchanges.engine import now_ms
from sandbox.exchanges.faults import Fault, Operation
from sandbox.exchanges.markets import NETWORK_WORDS
from sandbox.exchanges.types import Reason, Rejected, SimBalance

PER_PAGE, MOST_PER_PAGE = 25, 300
FINEST = 8  # decimals
_REFUSALS = {
    Reason.INSUFFICIENT: (400, "validation_error", "You don't have that much."),
    Reason.MINIMUM: (400, "validation_error", "Amount is below the minimum or too precise."),
    Reason.BAD_ADDRESS: (400, "validation_error", "Please enter a valid address"),
    Reason.UNKNOWN_NETWORK: (400, "validation_error", "Network is not supported for this currency"),
    Reason.DUPLICATE_CLIENT_ID: (400, "validation_error", "idem is used already"),
}


class Wallet:
    """A wallet is an asset's; its id is the Advanced Trade account's."""

    def __init__(self, gate: Gate) -> None:
        self._simulator = gate.simulator
        self._words = NETWORK_WORDS[self._simulator.venue]

    def endpoints(self) -> list[Endpoint]:
        one, wallet = Operation.ANY, "/v2/accounts/{id}"
        return [
            Endpoint("GET", "/v2/time", one, None, self.time),
            Endpoint("GET", "/v2/accounts", Operation.BALANCES, VIEW, self.wallets),
            Endpoint("GET", wallet, Operation.BALANCES, VIEW, self.wallet),
            Endpoint("GET", f"{wallet}/addresses", one, VIEW, self.addresses),
            Endpoint("POST", f"{wallet}/addresses", one, TRANSFER, self.new_address),
            Endpoint("GET", f"{wallet}/transactions", one, VIEW, self.transactions),
            Endpoint("POST", f"{wallet}/transactions", Operation.WITHDRAW, TRANSFER, self.send),
            Endpoint("GET", f"{wallet}/transactions/{{tx}}", one, VIEW, self.transaction),
        ]

    def time(self, call: Call) -> web.Response:
        at = now_ms()
        return say({"data": {"iso": shapes.second(at), "epoch": at // 1000}})

    # -- wallets

    def wallets(self, call: Call) -> web.Response:
        balances = listed_balances(self._simulator)
        return _page(call, [self._shape(asset, balances[asset]) for asset in sorted(balances)])

    def wallet(self, call: Call) -> web.Response:
        asset = self._asset(call)
        return say({"data": self._shape(asset, listed_balances(self._simulator)[asset])})

    def _shape(self, asset: str, balance: SimBalance) -> dict[str, Any]:
        """No finer than the coarsest of its networks, nor than the venue writes coins."""
        rules = [rule.decimals for rule in self._simulator.rules.values() if rule.asset == asset]
        return _wallet(asset, balance, min([FINEST, *rules]))

    def _asset(self, call: Call) -> str:
        """Of the wallet in the path; its currency is taken for its id. Raises Refused (404)."""
        wanted = call.request.match_info["id"]
        for asset in listed_balances(self._simulator):
            if wanted in (asset, shapes.account_uuid(asset)):
                return asset
        raise Refused(wallet_error(404, "not_found", "Not found"))

    # -- addresses

    def addresses(self, call: Call) -> web.Response:
        asset = self._asset(call)
        networks = [network for known, network in self._simulator.rules if known == asset]
        return _page(call, [self._address(asset, network) for network in networks])

    def new_address(self, call: Call) -> web.Response:
        """The one of the asset's first network, or of `network`; always the same here."""
        asset = self._asset(call)
        network = self._network(asset, call.body.get("network"))
        return say({"data": self._address(asset, network)}, 201)

    def _network(self, asset: str, word: Any) -> str:
        """CAIP-2 of the venue's word; the asset's default one for None. Raises Refused (400)."""
        for known, network in self._simulator.rules:
            if known == asset and word in (None, self._words.get(network)):
                return network
        raise Refused(wallet_error(*_REFUSALS[Reason.UNKNOWN_NETWORK]))

    def _address(self, asset: str, network: str) -> dict[str, Any]:
        address = checksum(self._simulator.deposit_address(asset, network))
        id_ = shapes.stable_uuid("address", asset, network)
        word = self._words[network]
        return {
            "id": id_,
            "address": address,
            "address_info": {"address": address},
            "name": "",
            "created_at": shapes.second(OPENED),
            "updated_at": shapes.second(OPENED),
            "network": word,
            "uri_scheme": "ethereum",
            "resource": "address",
            "resource_path": f"/v2/accounts/{shapes.account_uuid(asset)}/addresses/{id_}",
            "warnings": [],
            "deposit_uri": f"ethereum:{address}",
            "callback_url": None,
        }

    # -- transactions

    def send(self, call: Call) -> web.Response:
        """A known `idem` creates nothing and gives the first transaction again."""
        asset, body = self._asset(call), call.body
        for name in ("type", "to", "amount", "currency"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise Refused(wallet_error(400, "param_required", f"Missing parameter: {name}"))
        if body["type"] != "send":
            raise Refused(wallet_error(400, "invalid_request", "type is not supported"))
        if body["currency"] != asset:
            raise Refused(wallet_error(400, "validation_error", "Invalid currency"))
        idem = body.get("idem")
        if idem is not None and not _is_uuid(idem):
            raise Refused(wallet_error(400, "validation_error", "idem must be a valid UUID"))
        network = self._network(asset, body.get("network"))
        try:
            sent = self._simulator.withdraw(
                client_id=idem,
                asset=asset,
                network=network,
                address=body["to"],
                amount=parse(body["amount"]),
            )
        except Rejected as rejected:
            raise Refused(wallet_error(*_REFUSALS[rejected.reason])) from None
        except UnreadableAnswer:
            raise Refused(wallet_error(400, "validation_error", "Invalid amount")) from None
        if call.fault is Fault.NOT_FOUND_LAG:
            self._simulator.faults.hide(str(idem))
        return say({"data": money.withdrawal(sent, self._words)}, 201)

    def transactions(self, call: Call) -> web.Response:
        """Newest first: what came, what was sent, and fills of Advanced Trade, in one list."""
        return _page(call, self._all(self._asset(call)))

    def transaction(self, call: Call) -> web.Response:
        wanted = call.request.match_info["tx"]
        for known in self._all(self._asset(call)):
            if known["id"] == wanted:
                return say({"data": known})
        raise Refused(wallet_error(404, "not_found", "Not found"))

    def _all(self, asset: str) -> list[dict[str, Any]]:
        here = self._simulator
        dated: list[tuple[int, dict[str, Any]]] = []
        dated += [
            (d.at, money.deposit(d, self._words)) for d in here.deposits() if d.asset == asset
        ]
        dated += [
            (w.at, money.withdrawal(w, self._words))
            for w in here.withdrawals()
            if w.asset == asset and not here.faults.hidden(w.client_id or "")
        ]
        dated += [(d.at, money.fiat_deposit(d)) for d in here.fiat_deposits() if d.asset == asset]
        for fill in here.fills():
            if asset in fill.symbol.split("-"):
                dated.append((fill.at, money.fill(fill, asset)))
        dated.sort(key=lambda one: (one[0], one[1]["id"]), reverse=True)
        return [shape for _, shape in dated]


def _wallet(asset: str, balance: SimBalance, decimals: int) -> dict[str, Any]:
    id_, fiat = shapes.account_uuid(asset), asset in shapes.FIAT
    return {
        "id": id_,
        "name": f"{asset} Wallet",
        "primary": True,
        "type": "fiat" if fiat else "wallet",
        "currency": {
            "code": asset,
            "name": shapes.NAMES.get(asset, asset),
            "color": "#627EEA",
            "sort_index": 100,
            "exponent": 2 if fiat else decimals,
            "type": "fiat" if fiat else "crypto",
            "asset_id": shapes.stable_uuid("asset", asset),
            "slug": shapes.NAMES.get(asset, asset).lower(),
        },
        "balance": {"amount": show(balance.free + balance.locked), "currency": asset},
        "created_at": shapes.second(OPENED),
        "updated_at": shapes.second(OPENED),
        "resource": "account",
        "resource_path": f"/v2/accounts/{id_}",
        "allow_deposits": True,
        "allow_withdrawals": True,
    }


def _page(call: Call, rows: Sequence[dict[str, Any]]) -> web.Response:
    """`limit` rows after the one whose id is `starting_after`."""
    limit, after = call.limit(PER_PAGE, MOST_PER_PAGE), call.value("starting_after")
    ids = [row["id"] for row in rows]
    if after is not None:
        if after not in ids:
            raise Refused(wallet_error(400, "invalid_request", "Invalid starting_after"))
        rows = rows[ids.index(after) + 1 :]
    page, more = rows[:limit], len(rows) > limit
    last = page[-1]["id"] if more else None
    uri = f"{call.request.path}?limit={limit}&starting_after={last}" if more else None
    return say(
        {
            "pagination": {
                "ending_before": None,
                "starting_after": after,
                "previous_ending_before": None,
                "next_starting_after": last,
                "limit": limit,
                "order": "desc",
                "previous_uri": None,
                "next_uri": uri,
            },
            "data": page,
        }
    )


def _is_uuid(text: Any) -> bool:
    """As documented: valid and in lower case."""
    try:
        return isinstance(text, str) and str(uuid.UUID(text)) == text
    except ValueError:
        return False
