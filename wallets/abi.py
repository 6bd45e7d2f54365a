"""Solidity's ABI encoding; whatever does not fit is a ValueError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi import abi
from eth_abi.exceptions import DecodingError, EncodingError


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Raises ValueError for a value that its type cannot hold."""
    try:
        return abi.encode(types, values)
    except (EncodingError, OverflowError, TypeError) as error:
        raise ValueError(f"no {', '.join(types)}: {error}") from None


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Raises ValueError for anything but the canonical encoding of such values."""
    try:
        values = abi.decode(types, data)
    except (DecodingError, OverflowError) as error:
        raise ValueError(f"no {', '.join(types)}: {error}") from None
    if encode(types, values) != data:
        raise ValueError("not in canonical form")
    return values
