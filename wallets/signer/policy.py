"""The signer's own policy: a TOML file, read strictly. What it does not name is refused.

Amounts are written in major units ("1.5") and kept in base units; fees in the network's coin.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import InvalidAmount, Misconfigured
from core.money import crypto
from core.networks import NATIVE
from wallets.addresses import checksum
from wallets.encoding import KINDS

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_HASH = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_COIN = crypto("ETH", 18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """`api_keys`: with these keys this person asks for payouts, and so does not approve them."""

    name: str
    address: str
    api_keys: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetPolicy:
    """Limits in base units. Above `single`, or above what may leave unattended in a rolling hour
    or day, approvals are needed; above `largest` they do not help. `moves_per_day`: to the listed
    destinations, None: no moves."""

    symbol: str
    token: str
    decimals: int
    single: int
    per_hour: int
    per_day: int
    largest: int | None = None
    moves_per_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """`wallets` maps addresses to the kinds of intent they may sign; fees are wei."""

    id: str
    chain_id: int
    wallets: Mapping[str, frozenset[str]]
    assets: Mapping[str, AssetPolicy]  # by token
    fee: int
    fees_per_day: int
    factory: str | None = None
    multisend: str | None = None
    router: str | None = None
    quote_seconds: int = 0
    sweep_any_token: bool = False
    destinations: frozenset[str] = frozenset()
    init_codes: frozenset[str] = frozenset()

    @property
    def own(self) -> frozenset[str]:
        """Addresses that no payout may go to: money sent there is lost, or never left."""
        contracts = {self.factory, self.multisend, self.router} - {None}
        return frozenset(self.wallets) | frozenset(self.assets) | {a for a in contracts if a}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`needed` approvals (0: nobody can approve). `peers`: uids that may connect."""

    networks: Mapping[str, NetworkPolicy]
    approvers: tuple[Approver, ...]
    needed: int
    peers: frozenset[int] | None = None

    def approver(self, address: str) -> Approver | None:
        return next((a for a in self.approvers if a.address == address), None)


def parse(text: str) -> Policy:
    """Raises Misconfigured: one sentence with the key, its value and what is allowed."""
    try:
        document = _Table("policy", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"the policy is no TOML: {error}") from None
    approvers = tuple(_approver(one) for one in document.tables("approvers"))
    needed = document.number("needed", 0)
    _distinct("approvers.address", [a.address for a in approvers])
    if approvers and not 1 <= needed <= len(approvers):
        raise Misconfigured(f"needed is {needed}: 1 to {len(approvers)} (approvers) is allowed")
    if needed and not approvers:
        raise Misconfigured(f"needed is {needed} without approvers: 0 is allowed")
    peers = document.take("peers", None)
    if peers is not None and not (isinstance(peers, list) and all(type(p) is int for p in peers)):
        raise Misconfigured(f"peers is {peers!r}: a list of user ids is allowed")
    networks = {n.name: _network(n) for n in document.children("networks")}
    document.end()
    keys = {a.address for a in approvers}
    for name, network in networks.items():
        if both := keys & network.wallets.keys():
            raise Misconfigured(f"{name}: {min(both)} signs and approves: one of them is allowed")
    return Policy(
        networks={network.id: network for network in networks.values()},
        approvers=approvers,
        needed=needed,
        peers=None if peers is None else frozenset(peers),
    )


def _approver(table: _Table) -> Approver:
    found = Approver(
        name=table.text("name"),
        address=table.address("address"),
        api_keys=frozenset(table.texts("api_keys", [])),
    )
    table.end()
    return found


def _network(table: _Table) -> NetworkPolicy:
    assets = [_asset(one) for one in table.children("assets")]
    _distinct(f"{table.at}.assets.token", [a.token for a in assets])
    wallets: dict[str, frozenset[str]] = {}
    named = table.child("wallets")
    for name in list(named.rest):
        kinds = frozenset(named.texts(name))
        if unknown := kinds - set(KINDS):
            raise Misconfigured(f"{named.at}.{name}: {min(unknown)!r} is no kind of intent")
        wallets[address_in(f"{named.at}.{name}", name)] = kinds
    found = NetworkPolicy(
        id=table.name,
        chain_id=table.number("chain_id"),
        wallets=wallets,
        assets={a.token: a for a in assets},
        fee=table.amount("fee", _COIN.decimals),
        fees_per_day=table.amount("fees_per_day", _COIN.decimals),
        factory=table.optional_address("factory"),
        multisend=table.optional_address("multisend"),
        router=table.optional_address("router"),
        quote_seconds=table.number("quote_seconds", 0),
        sweep_any_token=table.flag("sweep_any_token"),
        destinations=frozenset(
            address_in(f"{table.at}.destinations", a) for a in table.texts("destinations", [])
        ),
        init_codes=frozenset(table.texts("init_codes", [])),
    )
    table.end()
    if found.id != f"eip155:{found.chain_id}":
        raise Misconfigured(f"{table.at}.chain_id is {found.chain_id}: the one in its name is")
    if wrong := [h for h in found.init_codes if not _HASH.fullmatch(h)]:
        raise Misconfigured(f"{table.at}.init_codes: {wrong[0]!r} is no keccak hash in 0x hex")
    return found


def _asset(table: _Table) -> AssetPolicy:
    token, decimals = table.text("token"), table.number("decimals")
    found = AssetPolicy(
        symbol=table.name,
        token=NATIVE if token == NATIVE else address_in(f"{table.at}.token", token),
        decimals=decimals,
        single=table.amount("single", decimals),
        per_hour=table.amount("per_hour", decimals),
        per_day=table.amount("per_day", decimals),
        largest=table.optional_amount("largest", decimals),
        moves_per_day=table.optional_amount("moves_per_day", decimals),
    )
    table.end()
    if not found.single <= found.per_hour <= found.per_day:
        raise Misconfigured(f"{table.at}: single <= per_hour <= per_day is allowed")
    return found


def _distinct(at: str, values: list[str]) -> None:
    if len(set(values)) != len(values):
        raise Misconfigured(f"{at}: the same value stands there twice")


def address_in(at: str, text: str) -> str:
    """Any case of one kind, or a right EIP-55 checksum -> lower case."""
    if not _ADDRESS.fullmatch(text):
        raise Misconfigured(f"{at} is {text!r}: an address (0x and 40 hex digits) is allowed")
    mixed = text[2:] not in (text[2:].lower(), text[2:].upper())
    if mixed and text != checksum(text.lower()):
        raise Misconfigured(f"{at} is {text!r}: its checksum is wrong (EIP-55)")
    return text.lower()


@dataclass
class _Table:
    """A TOML table whose keys must all be taken."""

    at: str
    rest: dict[str, Any]
    name: str = field(default="")

    def __post_init__(self) -> None:
        if not isinstance(self.rest, dict):
            raise Misconfigured(f"{self.at}: a table is allowed")
        self.rest = dict(self.rest)

    def take(self, key: str, *default: Any) -> Any:
        if key not in self.rest and not default:
            raise Misconfigured(f"{self.at}.{key} is missing")
        return self.rest.pop(key, *default)

    def typed(self, kind: type, what: str, key: str, *default: Any) -> Any:
        found = self.take(key, *default)
        if type(found) is not kind:
            raise Misconfigured(f"{self.at}.{key} is {found!r}: {what} is allowed")
        return found

    def text(self, key: str) -> str:
        found: str = self.typed(str, "text", key)
        return found

    def texts(self, key: str, *default: list[str]) -> list[str]:
        found: list[str] = self.typed(list, "a list of texts", key, *default)
        if not all(isinstance(one, str) for one in found):
            raise Misconfigured(f"{self.at}.{key}: a list of texts is allowed")
        return found

    def number(self, key: str, *default: int) -> int:
        found: int = self.typed(int, "a whole number from 0 on", key, *default)
        if found < 0:
            raise Misconfigured(f"{self.at}.{key} is {found}: a whole number from 0 on is allowed")
        return found

    def flag(self, key: str) -> bool:
        found: bool = self.typed(bool, "true or false", key, False)
        return found

    def address(self, key: str) -> str:
        return address_in(f"{self.at}.{key}", self.text(key))

    def optional_address(self, key: str) -> str | None:
        return self.address(key) if key in self.rest else None

    def amount(self, key: str, decimals: int) -> int:
        try:
            return crypto("it", decimals).parse(self.text(key))
        except InvalidAmount as error:
            raise Misconfigured(f"{self.at}.{key}: {error}") from None

    def optional_amount(self, key: str, decimals: int) -> int | None:
        return self.amount(key, decimals) if key in self.rest else None

    def child(self, key: str) -> _Table:
        return _Table(f"{self.at}.{key}", self.take(key, {}), key)

    def children(self, key: str) -> list[_Table]:
        table = self.child(key)
        return [_Table(f"{table.at}.{name}", one, name) for name, one in table.rest.items()]

    def tables(self, key: str) -> list[_Table]:
        found: list[Any] = self.typed(list, "a list of tables", key, [])
        return [_Table(f"{self.at}.{key}", one) for one in found]

    def end(self) -> None:
        if self.rest:
            raise Misconfigured(f"{self.at}.{min(self.rest)} is no key of a policy")
