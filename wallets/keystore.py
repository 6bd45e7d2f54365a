"""Keys on disk: web3 secret storage, version 3, under scrypt; one file an address.

The directory is 0700, files are 0600; they are opened once, when the signer starts, since scrypt
takes seconds on purpose.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from eth_account import Account

from core.errors import Invalid, Misconfigured
from wallets.keys import LocalKey, wipe

WORK = 1 << 18  # scrypt's n: about two seconds; r and p are eth-account's (8 and 1)
_RAW = re.compile(r"(0x)?[0-9a-fA-F]{64}", re.ASCII)
_LARGEST = 64 * 1024


class Keystore:
    """`directory` is the signer's own (`Place.keys`)."""

    def __init__(self, directory: Path, password: str, *, work: int = WORK) -> None:
        if not password:
            raise Misconfigured("the keystore's password is empty: any other is allowed")
        self._directory = directory
        self._password = password
        self._work = work

    def file(self, address: str) -> Path:
        return self._directory / f"{address}.json"

    def keep(self, secret: bytearray) -> str:
        """Writes a key and wipes it -> its address. The file is whole or not there."""
        document = Account.encrypt(
            bytes(secret), self._password, kdf="scrypt", iterations=self._work
        )
        key = LocalKey(secret)
        address = key.address
        key.close()
        path = self.file(address)
        hidden = path.with_name(f".{address}.new")
        file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "w") as opened:
            json.dump(document, opened)
            opened.flush()
            os.fsync(opened.fileno())
        hidden.rename(path)
        _sync(self._directory)
        return address

    def open(self, address: str) -> LocalKey:
        """Raises Misconfigured when file or password is wrong."""
        path = self.file(address)
        key = LocalKey(opened(path, self._password))
        if key.address != address:
            key.close()
            raise Misconfigured(f"{path} holds the key of another address")
        return key


def read_secret(path: Path, password: str | None) -> bytearray:
    """A key that somebody brings: a keystore file of version 3, or 64 hex digits.

    Raises Misconfigured, Invalid.
    """
    text = _text(path)
    if _RAW.fullmatch(text.strip()):
        return bytearray.fromhex(text.strip()[-64:])
    if password is None:
        raise Invalid(f"{path} is a keystore: its password is needed")
    return opened(path, password)


def is_raw(path: Path) -> bool:
    """64 hex digits, no keystore. Raises Misconfigured when it cannot be read."""
    return bool(_RAW.fullmatch(_text(path).strip()))


def opened(path: Path, password: str) -> bytearray:
    """Raises Misconfigured, without a trace of what was tried."""
    document = _document(path)
    secret: bytearray | None = None
    with suppress(ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
        secret = bytearray(Account.decrypt(document, password))
    if secret is None:  # out here, so that no exception keeps the frames with the password
        raise Misconfigured(f"{path} does not open: wrong password, or no keystore of version 3")
    if len(secret) != 32:
        wipe(secret)
        raise Misconfigured(f"{path} holds no key of 32 bytes")
    return secret


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_text(path))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Misconfigured(f"{path} is no keystore file (JSON, version 3)")
    return found


def _text(path: Path) -> str:
    try:
        with path.open() as file:
            return file.read(_LARGEST)
    except (OSError, UnicodeDecodeError):
        raise Misconfigured(f"{path} cannot be read") from None


def _sync(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
