"""Deposit addresses: computed, not created (CHAIN 2). No private key exists for them."""

from __future__ import annotations

from uuid import UUID

from core.addresses import checksum as checksum
from core.keccak import keccak

# keccak256 of DepositProxy's init code (contracts/src/DepositProxy.sol); `bezant doctor` compares
# it with the factory's own constant.
DEPOSIT_INIT_CODE_HASH = "0xaaf3d4f7026b4e3cecc8341c4c4688061ed0dcb00f2faadd4905fa7f7b47ff1c"


def salt_of(address_id: UUID) -> bytes:
    """The CREATE2 salt of a deposit address: its id in 32 bytes."""
    return address_id.int.to_bytes(32, "big")


def create2(factory: str, salt: bytes, init_code_hash: str) -> str:
    """EIP-1014: keccak256(0xff ++ factory ++ salt ++ keccak256(init code))[12:], lower case."""
    packed = b"\xff" + bytes.fromhex(factory[2:]) + salt + bytes.fromhex(init_code_hash[2:])
    return "0x" + keccak(packed)[12:].hex()


def deposit_address(factory: str, init_code_hash: str, address_id: UUID) -> str:
    """Where the customer pays: depends on factory and id only, so it is the same everywhere."""
    return create2(factory, salt_of(address_id), init_code_hash)
