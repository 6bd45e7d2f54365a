"""Intents and orders as JSON values and back: for the signer's socket and for our own tables.

Every integer is a decimal string, an intent carries its kind as `type`. Reading is strict: an
unknown field, a missing one, a number in place of a string is an error.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from wallets import intents

T = TypeVar("T")

_NUMBER = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)
_LONGEST_LIST = 5_000


def plain(value: Any) -> Any:
    """A dataclass of `wallets.intents` -> JSON values."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if is_dataclass(value):
        shown = {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        kind = _KIND_OF.get(type(value))
        return {"type": kind, **shown} if kind else shown
    return value


def read(kind: type[T], value: Any) -> T:
    """JSON values -> a dataclass. Raises ValueError naming the field."""
    found: T = _read(kind, value, kind.__name__)
    return found


def read_intent(value: Any) -> intents.Intent:
    """What `plain` made of an intent. Raises ValueError."""
    found: intents.Intent = _read(intents.Intent, value, "intent")
    return found


def kind_of(intent: intents.Intent) -> str:
    """`payout`, `payout_batch`, `sweep`, ...: the name in policies, logs and JSON."""
    return _KIND_OF[type(intent)]


def _read(kind: Any, value: Any, at: str) -> Any:
    if kind is str:
        if not isinstance(value, str):
            raise ValueError(f"{at}: text is allowed")
        return value
    if kind is int:
        if not isinstance(value, str) or not _NUMBER.fullmatch(value):
            raise ValueError(f"{at}: a decimal string is allowed")
        return int(value)
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or len(value) > _LONGEST_LIST:
            raise ValueError(f"{at}: a list of at most {_LONGEST_LIST} is allowed")
        return tuple(_read(get_args(kind)[0], one, at) for one in value)
    if not isinstance(value, dict):
        raise ValueError(f"{at}: an object is allowed")
    if isinstance(kind, UnionType):
        found = KINDS.get(str(value.get("type")))
        if found is None:
            raise ValueError(f"{at}.type: one of {', '.join(KINDS)} is allowed")
        return _object(found, {k: v for k, v in value.items() if k != "type"}, at)
    return _object(kind, value, at)


def _object(kind: Any, value: dict[str, Any], at: str) -> Any:
    hints = _hints(kind)
    if value.keys() != hints.keys():
        wrong = sorted(str(name) for name in value.keys() ^ hints.keys())
        raise ValueError(f"{at}: missing or unknown: {', '.join(wrong)[:200]}")
    return kind(**{name: _read(hint, value[name], f"{at}.{name}") for name, hint in hints.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


KINDS: dict[str, Any] = {
    "".join("_" + c.lower() if c.isupper() else c for c in kind.__name__).lstrip("_"): kind
    for kind in get_args(intents.Intent)
}
_KIND_OF = {kind: name for name, kind in KINDS.items()}
