"""Private keys: read by the signer's process and by nothing else (CHAIN 4).

A key is a `Key` wherever it lies: here in memory, or in a KMS that never gives it out.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache
from typing import Protocol

import structlog
from coincurve import PublicKey
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]
from coincurve.context import GLOBAL_CONTEXT

from core.errors import Invalid
from wallets.signer.approvals import ORDER, address_of

# BIP-44, coin type 60; `i` counts the addresses of an account.
PATH = "m/44'/60'/0'/0/{}"

_libc = ctypes.CDLL(None, use_errno=True)

log = structlog.get_logger()


class Key(Protocol):
    """Signs 32-byte digests that the signer made itself; there is no way to ask it from outside."""

    @property
    def address(self) -> str:
        """Lower-case 0x."""
        ...

    async def sign(self, digest: bytes) -> tuple[int, int, int]:
        """(y parity 0 or 1, r, s), s in the lower half (EIP-2).

        A key that lies elsewhere raises KeyUnavailable when it does not answer.
        """
        ...

    def close(self) -> None:
        """It signs nothing from here on; what of it is in memory is overwritten."""
        ...


class LocalKey:
    """A key in locked memory of this process. Takes `secret` (32 bytes) over: nobody else keeps it.

    libsecp256k1 reads that very memory, so no copy of it is made to sign. Deterministic (RFC 6979).
    """

    def __init__(self, secret: bytearray) -> None:
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < ORDER:
            wipe(secret)
            raise Invalid("a private key is 32 bytes, below the order of secp256k1")
        self._secret = secret
        self._memory = ffi.from_buffer("unsigned char[32]", secret)
        _lock(secret)
        public = ffi.new("secp256k1_pubkey *")
        lib.secp256k1_ec_pubkey_create(GLOBAL_CONTEXT.ctx, public, self._memory)
        self._address = address_of(PublicKey(public).format(compressed=False))

    @property
    def address(self) -> str:
        return self._address

    async def sign(self, digest: bytes) -> tuple[int, int, int]:
        return self.sign_now(digest)

    def sign_now(self, digest: bytes) -> tuple[int, int, int]:
        """As `sign`; this key answers at once."""
        if len(digest) != 32:
            raise ValueError("a digest is 32 bytes")
        signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
        context = GLOBAL_CONTEXT.ctx
        if not lib.secp256k1_ecdsa_sign_recoverable(
            context, signature, digest, self._memory, ffi.NULL, ffi.NULL
        ):
            raise ValueError("the key was wiped")
        compact, parity = ffi.new("unsigned char[64]"), ffi.new("int *")
        lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(
            context, compact, parity, signature
        )
        raw = bytes(ffi.buffer(compact, 64))
        return parity[0], int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")

    def close(self) -> None:
        """Overwrites the key; it signs nothing from here on."""
        wipe(self._secret)

    def __repr__(self) -> str:
        return f"LocalKey({self._address})"


def wipe(secret: bytearray) -> None:
    """Overwrites it in place."""
    secret[:] = bytes(len(secret))


def new_mnemonic(words: int = 24) -> str:
    """BIP-39, English."""
    from eth_account.hdaccount import generate_mnemonic  # in commands only: it loads much
    from eth_account.types import Language

    return generate_mnemonic(words, Language.ENGLISH)


def derive(mnemonic: str, path: str) -> bytearray:
    """The private key at a derivation path. Raises Invalid, without a word of what was given."""
    from eth_account import Account

    Account.enable_unaudited_hdwallet_features()
    secret: bytearray | None = None
    with suppress(Exception):  # any of them: eth-account puts the mnemonic into what it raises
        secret = bytearray(Account.from_mnemonic(mnemonic, account_path=path).key)
    if secret is None:  # raised out here, so that nothing hangs on to that exception
        raise Invalid("no BIP-39 mnemonic (12 to 24 English words), or no derivation path")
    return secret


def _lock(secret: bytearray) -> None:
    """Keeps the page out of swap, where the limit (RLIMIT_MEMLOCK) allows it."""
    place = (ctypes.c_char * len(secret)).from_buffer(secret)
    if _libc.mlock(ctypes.c_void_p(ctypes.addressof(place)), ctypes.c_size_t(len(secret))) != 0:
        _unlocked(os.strerror(ctypes.get_errno()))


@cache
def _unlocked(why: str) -> None:
    """Said once: what keeps one key from being locked keeps the others from it."""
    log.warning("keys_not_locked", error=why, hint="raise the limit of locked memory (ulimit -l)")
