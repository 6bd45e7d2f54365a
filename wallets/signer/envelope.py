"""EIP-1559 transactions as bytes (EIP-2718, EIP-1559; RLP as in the yellow paper, appendix B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from core.keccak import keccak
from wallets.intents import Order, Unsigned
from wallets.signer.approvals import recover

Item: TypeAlias = "bytes | Sequence[Item]"

_TYPE = b"\x02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What signed bytes say, and whose signature they carry."""

    chain_id: int
    nonce: int
    priority_fee: int
    max_fee: int
    gas: int
    call: Unsigned
    sender: str


def signing_hash(order: Order, call: Unsigned) -> bytes:
    """What the wallet's key signs: 32 bytes."""
    return keccak(_TYPE + _rlp(_fields(order, call)))


def envelop(order: Order, call: Unsigned, v: int, r: int, s: int) -> bytes:
    """The signed transaction; `v` is the y parity, 0 or 1."""
    return _TYPE + _rlp([*_fields(order, call), _int(v), _int(r), _int(s)])


def hash_of(raw: bytes) -> str:
    return "0x" + keccak(raw).hex()


def opened(raw: bytes) -> Envelope:
    """Reads signed bytes back, from nothing but themselves.

    Raises ValueError unless they are one plain EIP-1559 transaction in canonical form.
    """
    if raw[:1] != _TYPE:
        raise ValueError("not of type 2")
    items, rest = _read(raw[1:])
    if rest or isinstance(items, bytes) or len(items) != 12:
        raise ValueError("not twelve fields")
    *plain, access = [items[i] for i in range(9)]
    if access != [] or not all(isinstance(one, bytes) for one in [*plain, *items[9:]]):
        raise ValueError("an access list, or a list in place of a value")
    chain, nonce, priority, most, gas, to, value, data = [bytes(one) for one in plain]  # type: ignore[arg-type]
    v, r, s = (_number(bytes(one)) for one in items[9:])  # type: ignore[arg-type]
    if _TYPE + _rlp(list(items)) != raw:
        raise ValueError("not in canonical form")
    signature = "0x" + (r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])).hex()
    return Envelope(
        chain_id=_number(chain),
        nonce=_number(nonce),
        priority_fee=_number(priority),
        max_fee=_number(most),
        gas=_number(gas),
        call=Unsigned(to="0x" + to.hex(), value=_number(value), data=data),
        sender=recover(keccak(_TYPE + _rlp(list(items[:9]))), signature),
    )


def _fields(order: Order, call: Unsigned) -> list[Item]:
    return [
        _int(order.chain_id),
        _int(order.nonce),
        _int(order.priority_fee),
        _int(order.max_fee),
        _int(order.gas),
        bytes.fromhex(call.to[2:]),
        _int(call.value),
        call.data,
        [],  # no access list
    ]


def _int(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _number(text: bytes) -> int:
    if len(text) > 32:
        raise ValueError("a number above 256 bits")
    return int.from_bytes(text, "big")


def _rlp(item: Item) -> bytes:
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < 0x80:
            return item
        return _head(len(item), 0x80) + item
    body = b"".join(_rlp(one) for one in item)
    return _head(len(body), 0xC0) + body


def _head(length: int, base: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    size = _int(length)
    return bytes([base + 55 + len(size)]) + size


def _read(raw: bytes) -> tuple[Item, bytes]:
    """One item and what stands behind it."""
    if not raw:
        raise ValueError("nothing to read")
    first = raw[0]
    if first < 0x80:
        return raw[:1], raw[1:]
    base = 0x80 if first < 0xC0 else 0xC0
    start, length = 1, first - base
    if length > 55:
        start = 1 + length - 55
        length = int.from_bytes(raw[1:start], "big")
    body, rest = raw[start : start + length], raw[start + length :]
    if len(body) != length:
        raise ValueError("cut off")
    if base == 0x80:
        return body, rest
    items: list[Item] = []
    while body:
        item, body = _read(body)
        items.append(item)
    return items, rest
