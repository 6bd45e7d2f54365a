"""`[banks.<id>]` of bezant.toml: bank accounts of the house, and how their exports are read."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from core.banks import BankAccount, CsvMapping
from core.errors import Misconfigured
from core.money import FIAT

Column = Annotated[str, Field(min_length=1, max_length=200)]
_DAY = date(2026, 12, 31)


class Section(BaseModel):
    """As bezant.sections.Section, which knows these."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CsvSection(Section):
    """core.banks.CsvMapping."""

    date: Column
    amount: Column
    debit: Column | None = None
    balance: Column | None = None
    value_date: Column | None = None
    currency: Column | None = None
    reference: Column | None = None
    text: list[Column] = []
    date_format: Annotated[str, Field(min_length=2, max_length=40)] = "%Y-%m-%d"
    delimiter: Annotated[str, Field(pattern=r"^[,;|\t]$")] = ","
    decimal: Annotated[str, Field(pattern=r"^[.,]$")] = "."
    thousands: Annotated[str, Field(pattern=r"^[.,' ]?$")] = ""
    encoding: Annotated[str, Field(min_length=1, max_length=40)] = "utf-8"
    skip_lines: Annotated[int, Field(ge=0, le=100)] = 0
    newest_first: bool = False


class BankSection(Section):
    """One account, in one currency. `iban` as camt.053 names it."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    iban: Annotated[str, Field(pattern=r"^[0-9A-Za-z ]{4,50}$")] | None = None
    csv: CsvSection | None = None


BankName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


def accounts(sections: Mapping[str, BankSection]) -> dict[str, BankAccount]:
    """By id. Raises Misconfigured."""
    found: dict[str, BankAccount] = {}
    for id_, section in sections.items():
        asset = FIAT.get(section.currency)
        if asset is None:
            raise Misconfigured(
                f"banks.{id_}.currency is {section.currency!r}: an ISO 4217 code is allowed"
            )
        found[id_] = BankAccount(
            id=id_,
            name=section.name or id_,
            asset=asset,
            iban=re.sub(r"\s", "", section.iban).upper() if section.iban else None,
            csv=_csv(f"banks.{id_}.csv", section.csv) if section.csv else None,
        )
    return found


def _csv(place: str, section: CsvSection) -> CsvMapping:
    try:
        codecs.lookup(section.encoding)
    except LookupError:
        raise Misconfigured(
            f"{place}.encoding is {section.encoding!r}: a codec such as utf-8 or cp1252 is allowed"
        ) from None
    if not _tells_a_day(section.date_format):
        raise Misconfigured(
            f"{place}.date_format is {section.date_format!r}: year, month and day as strptime takes"
            " them are allowed, such as %d.%m.%Y"
        )
    if section.thousands == section.decimal:
        raise Misconfigured(
            f"{place}.thousands is {section.thousands!r}: another character than decimal is allowed"
        )
    return CsvMapping(**{**section.model_dump(), "text": tuple(section.text)})


def _tells_a_day(date_format: str) -> bool:
    try:
        said = _DAY.strftime(date_format)
        return datetime.strptime(said, date_format).date() == _DAY  # noqa: DTZ007 - a day only
    except ValueError:
        return False
