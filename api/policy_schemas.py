"""What a policy may hold, and what answers about policies look like."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from api import queries, schemas

Name = Annotated[str, Field(min_length=1, max_length=100, examples=["big ones by two people"])]
Ids = Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=200)]
Assets = Annotated[list[schemas.Symbol], Field(min_length=1, max_length=200)]
Networks = Annotated[list[schemas.NetworkId], Field(min_length=1, max_length=200)]
Note = Annotated[str, Field(max_length=1000)]
Version = Annotated[int, Field(ge=0, le=2**31 - 1)]
Moment = Annotated[datetime, BeforeValidator(queries.read_time)]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["09:00"])]
EndClock = Annotated[
    str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", examples=["17:30"])
]
Effect = Literal["allow", "block", "approve"]


class Approvals(schemas.Body):
    """`needed` signatures, of these addresses. Without `of`: whoever the signer's policy names."""

    needed: Annotated[int, Field(ge=1, le=20)]
    of: (
        Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=20)]
        | None
    ) = None


class Default(schemas.Body):
    """What becomes of a request that no rule matches."""

    effect: Effect
    approvals: Approvals | None = None


class Who(schemas.Body):
    """Who asks: all that is given must hold."""

    merchants: Ids | None = None
    keys: Ids | None = None
    initiators: (
        Annotated[
            list[Literal["key", "customer"]],
            Field(
                min_length=1,
                max_length=2,
                description="customer: withdrawals of customers' wallets, and refunds that a"
                " customer asked for and the merchant confirmed. key: everything else.",
            ),
        ]
        | None
    ) = None


class Limit(schemas.Body):
    """above < amount <= up_to, in the house currency or in one asset. With `window_seconds` it is
    the sum of that long, this request included, of the merchant (or its destination, or the key).
    """

    asset: schemas.Symbol
    above: schemas.Amount | None = None
    up_to: schemas.Amount | None = None
    window_seconds: Annotated[int, Field(ge=1, le=366 * 86_400)] | None = None
    per: Literal["merchant", "destination", "key"] | None = None


class Hours(schemas.Body):
    """Local wall time in [from, to). Where `to` is not later than `from` it is the next day's."""

    model_config = ConfigDict(
        extra="forbid", strict=True, regex_engine="rust-regex", populate_by_name=False
    )

    timezone: Annotated[str, Field(min_length=1, max_length=64, examples=["Europe/Berlin"])]
    days: (
        Annotated[
            list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]],
            Field(min_length=1, max_length=7),
        ]
        | None
    ) = None
    start: Clock | None = Field(default=None, alias="from")
    to: EndClock | None = None


class Rule(schemas.Body):
    """All conditions must hold; one that is left out always does. The first rule that matches
    decides."""

    name: Name
    who: Who | None = None
    assets: Assets | None = None
    networks: Networks | None = None
    destination: Annotated[
        str,
        Field(
            pattern=r"^(any|known|unknown|group:[^\x00-\x1f]{1,64})$",
            description="known: in the merchant's address book and past its cooling.",
        ),
    ] = "any"
    address_kinds: Annotated[
        list[Literal["account", "delegated", "contract"]] | None,
        Field(
            min_length=1,
            max_length=3,
            description="What stands at the address. Where the chain has not said, rules that block"
            " or ask for approvals match, and rules that allow do not.",
        ),
    ] = None
    amount: Limit | None = None
    hours: Hours | None = None
    effect: Effect
    approvals: Approvals | None = None


class ScoreRule(schemas.Body):
    """What becomes of a deposit whose risk score (0-100) is `score` or more."""

    name: Name
    score: Annotated[int, Field(ge=0, le=100)]
    effect: Literal["hold", "reject"]
    merchants: Ids | None = None
    assets: Assets | None = None
    networks: Networks | None = None


class Document(schemas.Body):
    """A whole policy: rules in order."""

    default: Default
    rules: Annotated[list[Rule], Field(max_length=200)]
    deposits: Annotated[list[ScoreRule], Field(max_length=200)] = Field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As it is kept: what was left out stays out."""
        return self.model_dump(
            by_alias=True, exclude_none=True, include={"default", "rules", "deposits"}
        )


class Draft(Document):
    """`version`: of the draft that this replaces; 0 where there is none."""

    version: Version


class Publishing(schemas.Body):
    """`version`: of the draft that was read, so that nobody publishes what he has not seen."""

    version: Version
    note: Note | None = None


class RollingBack(schemas.Body):
    """`version`: of the published policy that comes back into force."""

    version: Version
    note: Note | None = None


class Replaying(schemas.Body):
    """The draft against what was asked for in [since, until): 30 days up to now, left out."""

    since: Moment | None = None
    until: Moment | None = None


class Policy(schemas.Shown):
    """A published policy. The newest one is in force."""

    id: str
    object: Literal["policy"]
    version: int
    default: dict[str, Any]
    rules: list[dict[str, Any]]
    deposits: list[dict[str, Any]]
    author: str | None
    note: str | None
    created_at: schemas.Time


class Remark(schemas.Shown):
    field: str
    message: str


class Caution(Remark):
    """`code`: unreachable, overlap, gap or unknown."""

    code: str


class Review(schemas.Shown):
    """`errors` forbid to publish; `warnings` are for people to look at."""

    object: Literal["policy_review"]
    errors: list[Remark]
    warnings: list[Caution]


class PolicyDraft(schemas.Shown):
    object: Literal["policy_draft"]
    version: int
    default: dict[str, Any]
    rules: list[dict[str, Any]]
    deposits: list[dict[str, Any]]
    author: str | None
    updated_at: schemas.Time
    errors: list[Remark]
    warnings: list[Caution]


class Policies(schemas.Shown):
    object: Literal["policies"]
    published: Policy | None
    draft: PolicyDraft | None


class Replay(schemas.Shown):
    """Requests that the draft decides otherwise than they were decided."""

    object: Literal["policy_replay"]
    since: schemas.Time
    until: schemas.Time
    compared: int
    has_more: bool = Field(description="There were more requests than were compared.")
    differences: list[dict[str, Any]]
