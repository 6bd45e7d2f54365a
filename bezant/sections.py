"""The tables of bezant.toml (API 4), as they are written there."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bezant.bank_sections import BankName, BankSection
from core.context import Limits, MoveSettings, QuoteSettings
from core.money import AMOUNT_PATTERN

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")]
Amount = Annotated[str, Field(pattern=AMOUNT_PATTERN)]
FileName = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


def _depth(value: int | str) -> int | str:
    if value in ("safe", "finalized") or (isinstance(value, int) and value >= 1):
        return value
    raise ValueError("be a number of blocks from 1, 'safe' or 'finalized'")


class Section(BaseModel):
    """A table of the file: unknown keys are refused, so that a typing error never passes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NativeSection(Section):
    """The network's own coin."""

    symbol: Symbol = "ETH"
    decimals: Annotated[int, Field(ge=0, le=30)] = 18
    quote_decimals: Annotated[int, Field(ge=0, le=30)] = 6
    slip44: Count = 60
    hot_target: Amount | None = None
    hot_max: Amount | None = None


class Eip3009Section(Section):
    """The token's own EIP-712 domain, as its contract says it."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    version: Annotated[str, Field(min_length=1, max_length=20)]


class TokenSection(Section):
    """An ERC-20. With `eip3009` requests can be paid in it by x402."""

    symbol: Symbol
    address: Address
    decimals: Annotated[int, Field(ge=0, le=30)]
    quote_decimals: Annotated[int, Field(ge=0, le=30)] = 6
    fee_on_transfer: bool = False
    eip3009: Eip3009Section | None = None
    hot_target: Amount | None = None
    hot_max: Amount | None = None


class FeedSection(Section):
    """A Chainlink feed, read through its proxy."""

    pair: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}/[A-Z0-9]{2,12}$")]
    address: Address
    decimals: Annotated[int, Field(ge=0, le=18)] = 8
    heartbeat_seconds: Positive
    grace_seconds: Count | None = None
    minimum: Amount
    maximum: Amount
    largest_jump_percent: Positive = 20
    description: str | None = None


class ConfirmationSection(Section):
    """How deep a sum must lie; without `up_to` it holds for every sum."""

    up_to: Amount | None = None
    required: Annotated[int | str, AfterValidator(_depth)]


class FeesSection(Section):
    """What a transaction of ours may offer, in gwei per gas, and when it is replaced."""

    max_fee_gwei: Amount = "300"
    max_priority_fee_gwei: Amount = "20"
    stuck_after_seconds: Positive = 90


class SweepsSection(Section):
    """When deposit addresses are emptied without a command; `minimum` in the house currency."""

    every_seconds: Positive = 600
    minimum: Amount = "0"
    max_gas_percent: Annotated[int, Field(ge=1, le=100)] = 2
    cheap_percent: Annotated[int, Field(ge=1, le=100)] = 25
    max_age_hours: Positive = 168
    max_gas: Annotated[int, Field(ge=500_000, le=16_000_000)] = 5_000_000


class RelaySection(Section):
    """What is given for payers who sign a payment and hold no coin for its gas."""

    enabled: bool = True
    per_invoice: Positive = 3
    per_payer: Positive = 5
    per_hour: Positive = 200
    max_gas_percent: Annotated[int, Field(ge=1, le=100)] = 10
    max_fee_gwei: Amount = "100"


class X402Section(Section):
    """What is given for requests paid by x402, to one merchant within an hour; gas in the coin."""

    enabled: bool = True
    per_hour: Positive = 1_000
    gas_per_hour: Amount = "0.05"
    max_gas_percent: Annotated[int, Field(ge=1, le=100)] = 20
    max_fee_gwei: Amount = "100"


class NetworkSection(Section):
    """One chain. Times in seconds, amounts in major units of the house currency."""

    name: str
    rpc_urls: Annotated[list[Annotated[str, Field(pattern=r"^https?://.+")]], Field(min_length=1)]
    public_rpc_url: Annotated[str, Field(pattern=r"^https?://.+")] | None = None
    push_url: Annotated[str, Field(pattern=r"^(wss?://.+|/.+)")] | None = None
    block_seconds: Count
    poll_ms: Positive
    traces: Literal["debug", "trace", "none"] = "debug"
    factory: Address | None = None
    router: Address | None = None
    multisend: Address | None = None
    sanctions_oracle: Address | None = None
    multicall: Address = "0xcA11bde05977b3631167028862bE2a173976CA11"
    sequencer_feed: Address | None = None
    sequencer_grace_seconds: Count = 3600
    second_endpoint_above: Amount | None = None
    stalled_after_seconds: Positive = 120
    native: NativeSection = NativeSection()
    fees: FeesSection = FeesSection()
    sweeps: SweepsSection | None = None
    relay: RelaySection = RelaySection()
    x402: X402Section = X402Section()
    confirmations: list[ConfirmationSection] = []
    tokens: list[TokenSection] = []
    feeds: list[FeedSection] = []


VenueUrl = Annotated[str, Field(pattern=r"^https?://[^\s]+[^/\s]$")]
VenueSocket = Annotated[str, Field(pattern=r"^wss?://[^\s]+[^/\s]$")]
VenueNetworks = dict[Annotated[str, Field(pattern=r"^eip155:[1-9][0-9]{0,31}$")], FileName]


class BinanceSection(Section):
    """Binance spot. `networks`: the venue's word for each of ours, by CAIP-2."""

    url: VenueUrl = "https://api.binance.com"
    ws_api_url: VenueSocket = "wss://ws-api.binance.com:443/ws-api/v3"
    stream_url: VenueSocket = "wss://stream.binance.com:9443"
    timeout_seconds: Positive = 10
    networks: VenueNetworks = {}


class CoinbaseSection(Section):
    """Coinbase Advanced Trade. `ca_file`, relative to bezant.toml, stands for the world's own
    authorities."""

    url: VenueUrl = "https://api.coinbase.com"
    stream_url: VenueSocket = "wss://advanced-trade-ws.coinbase.com"
    ca_file: FileName | None = None
    timeout_seconds: Positive = 10
    networks: VenueNetworks = {}


class ExchangesSection(Section):
    """Venues that we have an account with: named is used."""

    binance: BinanceSection | None = None
    coinbase: CoinbaseSection | None = None


class LimitsSection(Section):
    """Requests per second and burst."""

    key_per_second: Positive = 100
    key_burst: Positive = 200
    public_per_second: Positive = 5
    public_burst: Positive = 30


class ReconciliationSection(Section):
    """Everything is compared `every_seconds` (0: on command only)."""

    every_seconds: Annotated[int, Field(ge=0)] = 900


class ScreeningSection(Section):
    """Whose money is held and who is not paid. Files are relative to bezant.toml."""

    lists: list[FileName] = []
    mixers: list[FileName] = []
    list_max_age_hours: Positive | None = None
    verdict_lifetime_hours: Positive = 24
    retry_seconds: Positive = 30
    address_book_cooling_hours: Count = 24
    provider_url: Annotated[str, Field(pattern=r"^https?://.+")] | None = None
    provider_timeout_seconds: Positive = 10


Percent = Annotated[str, Field(pattern=r"^[0-9]{1,2}(\.[0-9]{1,2})?$")]


class QuotesSection(Section):
    """How long a quote of the treasury stands and how good it must be, in percent as text."""

    valid_seconds: Annotated[int, Field(ge=1, le=300)] = 15
    worst_percent: Percent = "1"
    tolerance_percent: Percent = "0.1"
    agreement_percent: Percent = "1"
    stablecoin_agreement_percent: Percent = "0.5"

    @property
    def policy(self) -> QuoteSettings:
        return QuoteSettings(
            valid_seconds=self.valid_seconds,
            worst=basis_points(self.worst_percent),
            tolerance=basis_points(self.tolerance_percent),
            agreement=basis_points(self.agreement_percent),
            stable_agreement=basis_points(self.stablecoin_agreement_percent),
        )


class MovesSection(Section):
    """Money between the house's places. `hold_new_addresses`: a deposit address that a venue has
    never told before takes nothing until an operator has allowed it."""

    hold_new_addresses: bool = True

    @property
    def policy(self) -> MoveSettings:
        return MoveSettings(hold_new_addresses=self.hold_new_addresses)


def basis_points(percent: str) -> int:
    """`0.5` -> 50."""
    whole, _, fraction = percent.partition(".")
    return int(whole) * 100 + int(fraction.ljust(2, "0"))


class Configuration(Section):
    """The whole file."""

    house_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    sandbox: bool = False
    monitoring_seconds: Positive = 86_400
    limits: LimitsSection = LimitsSection()
    screening: ScreeningSection = ScreeningSection()
    exchanges: ExchangesSection = ExchangesSection()
    quotes: QuotesSection = QuotesSection()
    moves: MovesSection = MovesSection()
    banks: dict[BankName, BankSection] = {}
    reconciliation: ReconciliationSection = ReconciliationSection()
    networks: dict[Annotated[str, Field(pattern=r"^eip155:[1-9][0-9]{0,31}$")], NetworkSection]

    @property
    def request_limits(self) -> Limits:
        return Limits(**self.limits.model_dump())
