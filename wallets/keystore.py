"""Keys on disk: web3 secret storage, version 3, under scrypt; one file an address.

The directory is 0700, files are 0600; they are opened once, when the signer starts, since scrypt
takes seconds on purpose.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from core.errors import Invalid, Misconfigured
from core.keccak import keccak
from wallets.keys import LocalKey, wipe

WORK = 1 << 18  # scrypt's n: a second or two, and 256 MB for as long
_R, _P = 8, 1
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
        crypto = _seal(secret, self._password, self._work)
        key = LocalKey(secret)
        address = key.address
        key.close()
        document = {
            "version": 3,
            "id": str(uuid.uuid4()),
            "address": address[2:],
            "crypto": crypto,
        }
        write_private(self.file(address), document)
        return address

    def open(self, address: str) -> LocalKey:
        """Raises Misconfigured when file or password is wrong."""
        path = self.file(address)
        secret: bytearray | None = None
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            secret = _unseal(read_document(path)["crypto"], self._password)
        if secret is None:  # out here, so that no exception keeps the frames with the password
            raise Misconfigured(f"{path} does not open: wrong password, or not written by us")
        key = LocalKey(secret)
        if key.address != address:
            key.close()
            raise Misconfigured(f"{path} holds the key of another address")
        return key


def write_private(path: Path, document: dict[str, Any]) -> None:
    """JSON, 0600, on the disk when this returns."""
    hidden = path.with_name(f".{path.name}.new")
    file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "w") as opened:
        json.dump(document, opened)
        opened.flush()
        os.fsync(opened.fileno())
    hidden.rename(path)
    _sync(path.parent)


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
    """Anybody's keystore of version 3, by eth-account. Raises Misconfigured, without a trace of
    what was tried."""
    from eth_account import Account  # in commands only: it loads much

    document = read_document(path)
    secret: bytearray | None = None
    with suppress(ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
        secret = bytearray(Account.decrypt(document, password))
    if secret is None:  # out here, so that no exception keeps the frames with the password
        raise Misconfigured(f"{path} does not open: wrong password, or no keystore of version 3")
    if len(secret) != 32:
        wipe(secret)
        raise Misconfigured(f"{path} holds no key of 32 bytes")
    return secret


def _seal(secret: bytearray, password: str, work: int) -> dict[str, Any]:
    """Web3 secret storage, version 3: scrypt, AES-128-CTR, Keccak over the rest of the key."""
    salt, start = os.urandom(32), os.urandom(16)
    derived = _scrypt(password, salt, work, _R, _P)
    sealed = Cipher(AES(derived[:16]), CTR(start)).encryptor().update(secret)
    return {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": start.hex()},
        "ciphertext": sealed.hex(),
        "kdf": "scrypt",
        "kdfparams": {"dklen": 32, "n": work, "r": _R, "p": _P, "salt": salt.hex()},
        "mac": keccak(derived[16:] + sealed).hex(),
    }


def _unseal(crypto: dict[str, Any], password: str) -> bytearray:
    """Raises ValueError, KeyError or TypeError for whatever is wrong."""
    if (crypto["cipher"], crypto["kdf"]) != ("aes-128-ctr", "scrypt"):
        raise ValueError("another cipher")
    settings, sealed = crypto["kdfparams"], bytes.fromhex(crypto["ciphertext"])
    salt = bytes.fromhex(settings["salt"])
    derived = _scrypt(password, salt, settings["n"], settings["r"], settings["p"])
    if not hmac.compare_digest(keccak(derived[16:] + sealed), bytes.fromhex(crypto["mac"])):
        raise ValueError("wrong password")
    secret = bytearray(len(sealed) + 15)  # as long as the library asks
    start = bytes.fromhex(crypto["cipherparams"]["iv"])
    Cipher(AES(derived[:16]), CTR(start)).decryptor().update_into(sealed, secret)
    del secret[len(sealed) :]
    return secret


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    memory = 129 * n * r + 1024 * p * r  # what OpenSSL needs, and a little
    return hashlib.scrypt(
        password.encode(), salt=salt, n=n, r=r, p=p, dklen=32, maxmem=min(memory, 1 << 31)
    )


def read_document(path: Path) -> dict[str, Any]:
    """Raises Misconfigured."""
    try:
        found = json.loads(_text(path))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Misconfigured(f"{path} is no key file (JSON)")
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
