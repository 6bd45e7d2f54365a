"""The parameters of a request, read as strictly as Binance reads them (-1100 to -1131)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from exchanges.numbers import parse
from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges.binance_errors import Problem

SYMBOL = r"^[\w\-._&&[^a-z]]{1,50}$"
"""As the venue writes it (a Java class: upper case only); `_SYMBOL` is the same in ours."""
DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
WHOLE = r"^[0-9]{1,20}$"
CLIENT_ID = r"^[a-zA-Z0-9-_]{1,36}$"
_SYMBOL = re.compile(r"[A-Z0-9_.\-]{1,50}", re.ASCII)
_LONGEST = 2**63 - 1
_PLACES = 8
_DAY_MS = 86_400_000


def pairs(query: str, body: str) -> dict[str, str]:
    """Of a raw query string and a raw form body; the query wins. Raises Problem."""
    return {**_once(body), **_once(query)}


def _once(raw: str) -> dict[str, str]:
    given: dict[str, str] = {}
    try:
        found = parse_qsl(raw, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Problem(-1100, "Illegal characters found in a parameter.") from None
    for name, value in found:
        if name in given:
            raise Problem(-1101, "Duplicate values for a parameter detected.")
        given[name] = value
    return given


class Parameters:
    """What was sent, by name; each reader raises Problem as the venue would."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def check_known(self, known: Collection[str]) -> None:
        """-1104 for what the endpoint does not know."""
        read = sum(name in known for name in self._given)
        if read < len(self._given):
            raise Problem(
                -1104,
                f"Not all sent parameters were read; read '{read}' parameter(s) "
                f"but was sent '{len(self._given)}'.",
            )

    def optional(self, name: str, legal: str | None = None) -> str | None:
        value = self._given.get(name)
        if value is None:
            return None
        if not value:
            raise Problem(-1105, f"Parameter '{name}' was empty.")
        if legal is not None and re.fullmatch(legal, value, re.ASCII) is None:
            raise errors.illegal_characters(name, legal)
        return value

    def text(self, name: str, legal: str | None = None) -> str:
        value = self.optional(name, legal)
        if value is None:
            raise errors.missing(name)
        return value

    def symbol(self) -> str:
        """The venue's own name of a market; whether there is one is not looked at."""
        value = self.text("symbol")
        if _SYMBOL.fullmatch(value) is None:
            raise errors.illegal_characters("symbol", SYMBOL)
        return value

    def choice(self, name: str, allowed: Collection[str], problem: Problem) -> str:
        value = self.text(name)
        if value not in allowed:
            raise problem
        return value

    def whole(self, name: str) -> int | None:
        value = self.optional(name, WHOLE)
        if value is None:
            return None
        number = int(value)
        if number > _LONGEST:
            raise Problem(-1108, f"Parameter '{name}' overflowed.")
        return number

    def limit(self, default: int, most: int) -> int:
        """`limit`; more than the most is the most. Zero is refused."""
        number = self.whole("limit")
        if number == 0:
            raise errors.invalid("limit")
        return min(default if number is None else number, most)

    def window(self) -> tuple[int | None, int | None]:
        """startTime and endTime in ms, at most a day apart."""
        start, end = self.whole("startTime"), self.whole("endTime")
        if start is not None and end is not None:
            if start > end:
                raise Problem(-1102, "Start time is greater than end time.")
            if end - start > _DAY_MS:
                raise Problem(-1127, "More than 24 hours between startTime and endTime.")
        return start, end

    def decimal(self, name: str) -> int:
        """Units of 10**-18. At most 8 decimals that matter (-1111)."""
        value = self.text(name, DECIMAL)
        if len(value.partition(".")[2].rstrip("0")) > _PLACES:
            raise Problem(-1111, f"Parameter '{name}' has too much precision.")
        return parse(value)
