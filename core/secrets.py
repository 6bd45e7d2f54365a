"""Stored secrets under AES-256-GCM (CHAIN 4): table, column and row id are authenticated too.

A sealed value moved to another row does not open.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import Misconfigured

_NONCE = 12


class SecretBox:
    """Seals with the newest key, opens with any: `keys` maps key ids (1-255) to 32 bytes."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        for number, key in keys.items():
            if len(key) != 32 or not 1 <= number <= 255:
                raise Misconfigured("BEZANT_SECRET_KEY: each key is 32 bytes, ids go from 1 to 255")
        self._keys = {number: AESGCM(key) for number, key in keys.items()}
        self._newest = max(keys)

    @classmethod
    def of(cls, text: str) -> SecretBox:
        """`base64` or `1:base64,2:base64` -> SecretBox. Raises Misconfigured."""
        keys: dict[int, bytes] = {}
        try:
            for part in text.strip().split(","):
                number, _, key = part.rpartition(":")
                keys[int(number or 1)] = base64.b64decode(key, validate=True)
        except ValueError:
            raise Misconfigured(
                "BEZANT_SECRET_KEY is not base64 of 32 bytes (or id:base64,id:base64)"
            ) from None
        return cls(keys)

    def seal(self, secret: bytes, place: str) -> bytes:
        """`place` is `table.column:row id`."""
        nonce = os.urandom(_NONCE)
        sealed = self._keys[self._newest].encrypt(nonce, secret, place.encode())
        return bytes([self._newest]) + nonce + sealed

    def open(self, sealed: bytes, place: str) -> bytes:
        """Raises Misconfigured when the key is missing or the value belongs elsewhere."""
        key = self._keys.get(sealed[0])
        if key is None:
            raise Misconfigured(f"BEZANT_SECRET_KEY has no key {sealed[0]} for {place}")
        try:
            return key.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], place.encode())
        except InvalidTag:
            raise Misconfigured(f"BEZANT_SECRET_KEY does not open {place}") from None
