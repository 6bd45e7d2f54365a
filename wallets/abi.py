"""Solidity's ABI encoding; whatever does not fit is a ValueError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi import abi
from eth_abi.exceptions import DecodingError, EncodingError

from core.keccak import selector


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


def call_data(signature: str, *arguments: object) -> bytes:
    """`transfer(address,uint256)` and its arguments -> calldata. Raises ValueError."""
    kinds = _split(signature[signature.index("(") + 1 : -1])
    return selector(signature) + encode(kinds, arguments)


def _split(kinds: str) -> list[str]:
    """The types of a signature at its top level."""
    found, depth, start = [], 0, 0
    for at, character in enumerate(kinds):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            found.append(kinds[start:at])
            start = at + 1
    return [*found, kinds[start:]]


def from_hex(text: str) -> bytes:
    """0x hex -> bytes. Raises ValueError."""
    return bytes.fromhex(text.removeprefix("0x"))
