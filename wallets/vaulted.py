"""Keys on disk, each under a data key that only HashiCorp Vault can unwrap (envelope encryption).

One file an address: AES-256-GCM of the private key; address and Transit key are associated data,
so a file under another's name, or wrapped by another key, does not open.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from core.errors import KeyUnavailable, Misconfigured
from wallets.keys import LocalKey, wipe
from wallets.keystore import read_document, write_private
from wallets.vault import Vault

_NONCE, _TAG = 12, 16


class VaultKey:
    """In memory once Vault unwrapped it: at the start, or later if it was away then."""

    def __init__(self, directory: Path, vault: Vault, name: str, address: str) -> None:
        self._path = file(directory, address)
        self._vault, self._name, self._address = vault, name, address
        self._key: LocalKey | None = None

    @property
    def address(self) -> str:
        return self._address

    async def open(self) -> LocalKey:
        """Raises KeyUnavailable, and Misconfigured when the file is not what was written."""
        document = read_document(self._path)
        wrapped = document.get("wrapped")
        if document.get("transit") != self._name or not isinstance(wrapped, str):
            raise Misconfigured(f"{self._path} is not wrapped by Vault's {self._name}")
        data_key = await self._vault.unwrap(self._name, wrapped)
        try:
            secret = _unseal(document, data_key, _bound(self._address, self._name))
        finally:
            wipe(data_key)
        if secret is None:
            raise Misconfigured(f"{self._path} does not open: it is not what was written")
        key = LocalKey(secret)
        if key.address != self._address:
            key.close()
            raise Misconfigured(f"{self._path} holds the key of another address")
        self._key = key
        return key

    async def sign(self, digest: bytes) -> tuple[int, int, int]:
        try:
            key = self._key or await self.open()
        except Misconfigured as error:
            raise KeyUnavailable(str(error)) from None
        return key.sign_now(digest)

    def close(self) -> None:
        if self._key is not None:
            self._key.close()

    def __repr__(self) -> str:
        return f"VaultKey({self._address})"


async def keep(directory: Path, vault: Vault, name: str, secret: bytearray) -> str:
    """Writes a key under a new data key and wipes both -> its address. The file is whole or not
    there. Raises KeyUnavailable, Invalid, Misconfigured."""
    key = LocalKey(secret)
    try:
        data_key, wrapped = await vault.data_key(name)
        sealed = _seal(secret, data_key, _bound(key.address, name))
        wipe(data_key)
    finally:
        key.close()
    document = {
        "version": 1,
        "address": key.address,
        "transit": name,
        "wrapped": wrapped,
        "cipher": "aes-256-gcm",
        **sealed,
    }
    write_private(file(directory, key.address), document)
    return key.address


def file(directory: Path, address: str) -> Path:
    """Beside the keystore's files, and none of them."""
    return directory / f"{address}.vault"


def _bound(address: str, name: str) -> bytes:
    return f"bezant key, 1\n{address}\n{name}".encode()


def _seal(secret: bytearray, data_key: bytearray, bound: bytes) -> dict[str, str]:
    nonce = os.urandom(_NONCE)
    encryptor = Cipher(AES(data_key), GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(bound)
    sealed = encryptor.update(secret) + encryptor.finalize()
    return {"nonce": nonce.hex(), "ciphertext": sealed.hex(), "tag": encryptor.tag.hex()}


def _unseal(document: dict[str, Any], data_key: bytearray, bound: bytes) -> bytearray | None:
    """Into memory that can be wiped. None: it does not open."""
    secret = bytearray(32 + 15)  # as long as the library asks
    try:
        nonce, sealed, tag = (bytes.fromhex(document[k]) for k in ("nonce", "ciphertext", "tag"))
        if (document["version"], len(nonce), len(sealed), len(tag)) != (1, _NONCE, 32, _TAG):
            raise ValueError("another layout")
        decryptor = Cipher(AES(data_key), GCM(nonce, tag)).decryptor()
        decryptor.authenticate_additional_data(bound)
        decryptor.update_into(sealed, secret)
        decryptor.finalize()
    except (InvalidTag, ValueError, KeyError, TypeError):
        wipe(secret)
        return None
    del secret[32:]
    return secret
