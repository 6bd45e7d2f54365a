"""What every process part is handed by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.banks import BankAccount
from core.clock import Clock
from core.db import Database
from core.listen import Listener
from core.networks import Catalog
from core.secrets import SecretBox


@dataclass(slots=True, kw_only=True)
class Limits:
    """Requests per second and burst, per key and per address of a public page's visitor."""

    key_per_second: int = 100
    key_burst: int = 200
    public_per_second: int = 5
    public_burst: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSettings:
    """What is asked before money counts or leaves. Times in seconds.

    `list_max_age`: a local list that was loaded longer ago (or never) holds everything; None: a
    list is consulted where there is one, and none is demanded. `provider_url`: a commercial
    provider, asked by the worker with `provider_key`.
    """

    cooling: int = 86_400  # before a new entry of an address book counts
    list_max_age: int | None = None
    verdict_lifetime: int = 86_400  # how long an answer from outside is believed
    retry: int = 30  # a source that did not answer is asked again
    provider_url: str | None = None
    provider_key: str | None = field(default=None, repr=False)
    provider_timeout: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteSettings:
    """What a quote of the treasury may be. All but `valid_seconds` in basis points.

    `worst`: how much worse than Chainlink, all fees in, is refused. `tolerance`: how far a limit
    price lies behind the worst level of the book that a quote uses. `agreement`: how far the
    venues' mid prices may lie from Chainlink's, `stable_agreement` where that is a stablecoin's.
    """

    valid_seconds: int = 15
    worst: int = 100
    tolerance: int = 10
    agreement: int = 100
    stable_agreement: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveSettings:
    """`hold_new_addresses`: a venue's address that was never seen before waits for a person."""

    hold_new_addresses: bool = True


@dataclass(slots=True, kw_only=True)
class Context:
    """Read-only after start. `public_url` has no slash at its end."""

    database: Database
    clock: Clock
    listener: Listener
    catalog: Catalog
    secrets: SecretBox
    public_url: str
    sandbox: bool = False  # http://127.0.0.1 and http://localhost are fit for webhooks
    monitoring_seconds: int = 86_400
    limits: Limits = field(default_factory=Limits)
    risk: RiskSettings = field(default_factory=RiskSettings)
    quotes: QuoteSettings = field(default_factory=QuoteSettings)
    moves: MoveSettings = field(default_factory=MoveSettings)
    banks: Mapping[str, BankAccount] = field(default_factory=dict)  # by id
