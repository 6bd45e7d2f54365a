"""The simulated venues' keys on the chains, all from one seed."""

from __future__ import annotations

from hashlib import sha256

from exchanges.types import Venue
from sandbox.deploy import address_of


def secret_of(seed: str, venue: Venue, use: str) -> bytes:
    """A private key of a venue; `use` is `purse` or `deposits`."""
    return sha256(f"{seed}:{venue}:{use}".encode()).digest()


def purse_address(seed: str, venue: Venue) -> str:
    """What withdrawals are paid from."""
    return address_of(secret_of(seed, venue, "purse"))


def deposit_address(seed: str, venue: Venue) -> str:
    """The same on every network. Nothing ever leaves it."""
    return address_of(secret_of(seed, venue, "deposits"))
