"""Numbers as venues write them: decimal strings in, integers of 10**-18 inside, strings out.

Venues count every asset more finely than its chain or its coins do (a fee of 0.00000123 EUR), so
what they hold is counted in one unit, `core.money.VENUE_DECIMALS`. No float passes through here.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from core.errors import UnreadableAnswer
from core.money import VENUE_DECIMALS, written
from core.nesting import is_deep

ONE: int = 10**VENUE_DECIMALS
_NUMBER = re.compile(r"(-?)([0-9]{1,60})(?:\.([0-9]{1,60}))?", re.ASCII)


def parse(text: object) -> int:
    """A venue's decimal string (or a Decimal, or an int) -> units of 10**-18. Exact.

    Raises UnreadableAnswer for anything else, a float above all, and for what is finer than
    10**-18.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal):
        raise UnreadableAnswer(f"{text!r} is not a decimal string")
    written = format(text, "f") if isinstance(text, Decimal) else str(text)
    match = _NUMBER.fullmatch(written)
    if match is None:
        raise UnreadableAnswer(f"{written[:80]!r} is not a decimal number")
    sign, whole, fraction = match[1], match[2], (match[3] or "").rstrip("0")
    if len(fraction) > VENUE_DECIMALS:
        raise UnreadableAnswer(f"{written[:80]!r} is finer than 10**-{VENUE_DECIMALS}")
    units = int(whole) * ONE + int(fraction.ljust(VENUE_DECIMALS, "0") or "0")
    return -units if sign else units


def read_json(text: bytes | str) -> Any:
    """A venue's JSON: 0.1 is Decimal("0.1"). Raises ValueError, also for NaN, and for what is
    nested too deep to be an answer."""
    if is_deep(text):
        raise ValueError("nested too deep")
    return json.loads(text, parse_float=Decimal, parse_constant=_no_number)


def _no_number(constant: str) -> object:
    raise ValueError(f"{constant} is no number of JSON's")


def show(units: int) -> str:
    """Units of 10**-18 -> the shortest decimal string: 2500, 0.0001, -1.5."""
    return written(units, VENUE_DECIMALS)


def times(quantity: int, price: int) -> int:
    """quantity * price, all in units of 10**-18; rounded down."""
    return quantity * price // ONE


def times_up(quantity: int, price: int) -> int:
    """quantity * price, rounded up: what may be needed."""
    return -(-quantity * price // ONE)


def down(value: int, step: int) -> int:
    """The largest multiple of `step` that is not above `value`."""
    return value - value % step


def up(value: int, step: int) -> int:
    """The smallest multiple of `step` that is not below `value`."""
    return -(-value // step) * step
