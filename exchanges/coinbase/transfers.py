"""Deposits and withdrawals by Coinbase App's v2, which the SDK signs and does not name.

Written after docs.cdp.coinbase.com (Onchain Addresses, Send Crypto, Transactions); not proved
against the real venue. A transaction's `amount` is what the wallet lost or got, the network's fee
included. A withdrawal is sent with the UUID of our move's id (`mov_...`) as `idem`: a known one
creates nothing and gives the first transaction again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from core import ids
from core.errors import OrderRefused, OutcomeUnknown, UnreadableAnswer
from exchanges import numbers
from exchanges.coinbase import accounts, reading
from exchanges.coinbase.pace import Lane
from exchanges.coinbase.rest import Params, Rest
from exchanges.types import (
    TransferStatus,
    VenueDeposit,
    VenueWithdrawal,
    WithdrawalOrder,
    WithdrawalRule,
)

WALLETS = "/v2/accounts"
_PAGE = 100
_MOVE = "mov"
_MOST_PAGES = 1000
_KINDS = ("send", "receive")
_FROM_BANK = ("fiat_deposit",)
_ENDED_BADLY = ("failed", "expired", "canceled", "cancelled")
_INSIDE = "off_blockchain"


class Transfers:
    """`networks`: CAIP-2 -> Coinbase's word, `eip155:1` -> `ethereum`."""

    def __init__(self, rest: Rest, networks: Mapping[str, str]) -> None:
        self._rest = rest
        self._networks = networks
        self._caip = {word: network for network, word in networks.items()}
        self._wallets: dict[str, str] = {}

    async def deposit_address(self, asset: str, network: str) -> str:
        """One that the wallet has on this network; where there is none, a new one."""
        word, path = self._word(network), f"{await self._wallet(asset)}/addresses"
        async for entry in self._pages(path):
            if entry.get("network") == word:
                return reading.text(entry, "address")
        made = await self._rest.create(path, {"name": "Bezant", "network": word}, Lane.APP)
        entry = reading.inner(made, "data")
        if entry.get("network") != word:
            raise OrderRefused("unknown_network", f"Coinbase takes no {asset} on {network}")
        return reading.text(entry, "address")

    async def rule(self, asset: str, network: str) -> WithdrawalRule:
        """The fee is the network's, told on the withdrawal only: 0 here; the least is one step."""
        self._word(network)
        answer = await self._rest.get(await self._wallet(asset), lane=Lane.APP)
        wallet = reading.inner(answer, "data")
        exponent = reading.inner(wallet, "currency").get("exponent")
        if type(exponent) is not int or not 0 <= exponent <= 18:
            raise UnreadableAnswer(f"Coinbase does not say how fine {asset} is")
        step = int(10 ** (18 - exponent))
        return WithdrawalRule(
            asset=asset,
            network=network,
            fee=0,
            minimum=step,
            step=step,
            enabled=wallet.get("allow_withdrawals") is True,
        )

    async def withdraw(self, order: WithdrawalOrder) -> str:
        idem = _idem(order.client_id)
        word, wallet = self._word(order.network), await self._wallet(order.asset)
        if order.amount <= 0:
            raise OrderRefused("below_minimum", "an amount to withdraw is above zero")
        body = {
            "type": "send",
            "to": order.address,
            "amount": numbers.show(order.amount),
            "currency": order.asset,
            "network": word,
            "idem": idem,
        }
        answer = await self._rest.send(f"{wallet}/transactions", body, Lane.APP)
        try:
            made = self._withdrawal(reading.inner(answer, "data"), order.asset)
        except UnreadableAnswer as error:
            raise OutcomeUnknown(f"the answer to a withdrawal cannot be read: {error}") from error
        if (made.network, made.address.lower()) != (order.network, order.address.lower()):
            raise OutcomeUnknown(f"Coinbase holds another withdrawal under {idem}")
        return made.id

    async def withdrawal(self, client_id: str, since: datetime) -> VenueWithdrawal | None:
        _idem(client_id)
        found = await self.withdrawals(since)
        return next((each for each in found if each.client_id == client_id), None)

    async def withdrawals(self, since: datetime) -> list[VenueWithdrawal]:
        """Sends of crypto wallets, oldest first."""
        found = [
            self._withdrawal(entry, asset)
            async for asset, entry, change in self._moved(since)
            if change < 0
        ]
        return sorted(found, key=lambda each: each.at)

    async def deposits(self, since: datetime) -> list[VenueDeposit]:
        """What came into crypto wallets, oldest first."""
        found = [
            self._deposit(entry, asset)
            async for asset, entry, change in self._moved(since)
            if change > 0
        ]
        return sorted(found, key=lambda each: each.at)

    async def fiat_deposits(self, since: datetime) -> list[VenueDeposit]:
        """What banks brought into fiat wallets, oldest first; a fee that was taken before is not
        told."""
        wallets = await accounts.wallets(self._rest, accounts.FIAT)
        found = [
            _fiat_deposit(entry, asset, change)
            async for asset, entry, change in self._changes(wallets, _FROM_BANK, since)
        ]
        return sorted(found, key=lambda each: each.at)

    # -- reading

    async def _moved(self, since: datetime) -> AsyncIterator[tuple[str, Mapping[str, Any], int]]:
        """Asset, transaction and change of each transfer of coins."""
        self._wallets = await accounts.wallets(self._rest)
        async for found in self._changes(self._wallets, _KINDS, since):
            yield found

    async def _changes(
        self, wallets: Mapping[str, str], kinds: Collection[str], since: datetime
    ) -> AsyncIterator[tuple[str, Mapping[str, Any], int]]:
        """Asset, transaction and change of each of these kinds; a list is newest first."""
        for asset, wallet in list(wallets.items()):
            async for entry in self._pages(f"{WALLETS}/{wallet}/transactions"):
                # Whole seconds: one that is dated before us may be of our second.
                if reading.moment(entry, "created_at") < since.replace(microsecond=0):
                    break
                if entry.get("type") in kinds:
                    yield asset, entry, _change(entry, asset)

    def _withdrawal(self, entry: Mapping[str, Any], asset: str) -> VenueWithdrawal:
        network = _on(entry)
        taken = -_change(entry, asset)
        fee = _fee(network, asset)
        if taken <= fee:
            raise UnreadableAnswer("a withdrawal gives nothing")
        return VenueWithdrawal(
            id=reading.text(entry, "id"),
            client_id=_client_id(reading.words(entry, "idem")),
            asset=asset,
            network=self._network(network),
            address=_address(entry),
            amount=taken - fee,
            fee=fee,
            tx_hash=_hash(network),
            status=_status(entry, network, needs_hash=True),
            at=reading.moment(entry, "created_at"),
        )

    def _deposit(self, entry: Mapping[str, Any], asset: str) -> VenueDeposit:
        network = _on(entry)
        return VenueDeposit(
            id=reading.text(entry, "id"),
            asset=asset,
            network=self._network(network),
            address=_address(entry) or None,
            amount=_change(entry, asset),
            tx_hash=_hash(network),
            status=_status(entry, network, needs_hash=False),
            at=reading.moment(entry, "created_at"),
        )

    async def _pages(self, path: str) -> AsyncIterator[Mapping[str, Any]]:
        """All entries of a v2 list: the next page begins after the last id of this one."""
        after: str | None = None
        for _ in range(_MOST_PAGES):
            fields: Params = {"limit": _PAGE, "order": "desc", "starting_after": after}
            answer = await self._rest.get(path, fields, Lane.APP)
            entries = reading.listed(answer, "data")
            for entry in entries:
                yield entry
            paging = answer.get("pagination")
            if not entries or not isinstance(paging, dict) or not paging.get("next_uri"):
                return
            last = reading.text(entries[-1], "id")
            if last == after:
                break
            after = last
        raise UnreadableAnswer(f"the pages of {path} do not lead to their end")

    async def _wallet(self, asset: str) -> str:
        """The path of an asset's wallet. Raises OrderRefused when there is none."""
        if asset not in self._wallets:
            self._wallets = await accounts.wallets(self._rest)
        if asset not in self._wallets:
            raise OrderRefused("unknown_asset", f"there is no wallet of {asset} at Coinbase")
        return f"{WALLETS}/{self._wallets[asset]}"

    def _word(self, network: str) -> str:
        word = self._networks.get(network)
        if word is None:
            raise OrderRefused(
                "unknown_network", f"no name for {network} at coinbase is configured"
            )
        return word

    def _network(self, on: Mapping[str, Any]) -> str:
        """CAIP-2; of a network that is not configured, Coinbase's word as it is."""
        word = reading.words(on, "network_name")
        return self._caip.get(word, word or _INSIDE)


def _fiat_deposit(entry: Mapping[str, Any], asset: str, change: int) -> VenueDeposit:
    if change <= 0:
        raise UnreadableAnswer("a deposit from a bank brings nothing")
    return VenueDeposit(
        id=reading.text(entry, "id"),
        asset=asset,
        network=None,
        address=None,
        amount=change,
        tx_hash=None,
        status=_status(entry, {}, needs_hash=False),
        at=reading.moment(entry, "created_at"),
    )


def _idem(client_id: str) -> str:
    """The id of a move -> its UUID, which is all that Coinbase takes."""
    move = ids.read(_MOVE, client_id)
    if move is None:
        raise OrderRefused("bad_client_id", f"a withdrawal's client id is a move's, {_MOVE}_...")
    return str(move)


def _client_id(idem: str) -> str | None:
    """None: not ordered through this interface."""
    try:
        return ids.show(_MOVE, UUID(idem))
    except ValueError:
        return None


def _change(entry: Mapping[str, Any], asset: str) -> int:
    change = reading.inner(entry, "amount")
    if reading.text(change, "currency") != asset:
        raise UnreadableAnswer(f"a transaction of {asset}'s wallet moves another asset")
    return reading.amount(change, "amount")


def _on(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    network = entry.get("network")
    return network if isinstance(network, dict) else {}


def _fee(network: Mapping[str, Any], asset: str) -> int:
    fee = network.get("transaction_fee")
    if not isinstance(fee, dict):
        return 0
    if reading.text(fee, "currency") != asset:
        raise UnreadableAnswer(f"the fee of a withdrawal of {asset} is in another asset")
    return reading.amount(fee, "amount")


def _address(entry: Mapping[str, Any]) -> str:
    to = entry.get("to")
    return reading.words(to, "address") if isinstance(to, dict) else ""


def _hash(network: Mapping[str, Any]) -> str | None:
    told = reading.words(network, "hash").lower()
    return f"0x{told.removeprefix('0x')}" if told else None


def _status(
    entry: Mapping[str, Any], network: Mapping[str, Any], *, needs_hash: bool
) -> TransferStatus:
    """Completed on chain means with a transaction; within Coinbase there is none."""
    told = reading.text(entry, "status")
    if told in _ENDED_BADLY:
        return TransferStatus.FAILED
    shown = bool(_hash(network)) or network.get("status") == _INSIDE
    if told == "completed" and (shown or not needs_hash):
        return TransferStatus.DONE
    return TransferStatus.PENDING
