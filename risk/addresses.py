"""Where money must not be sent: one pure check of a destination, each refusal with its own code.

What only the chain can tell is not known here: whether a contract stands there (`kind_of` reads the
answer) and whether it refuses money.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from core.addresses import checksum
from core.errors import Invalid
from core.networks import Network
from risk.rules import AddressKind

# EIP-1352 reserves these for precompiles and what comes after them.
LAST_RESERVED = 0xFFFF
# The deterministic deployer (CHAIN 2): a contract without a way out.
DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c"
# Nobody has their keys; what is sent there is gone. An address of one repeated digit is as well.
BURNS = frozenset(
    {
        "0x000000000000000000000000000000000000dead",
        "0xdead000000000000000042069420694206942069",
        "0xdeaddeaddeaddeaddeaddeaddeaddeaddeaddead",
        "0xdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        "0xdead00000000000000000000000000000000dead",
    }
)
# People compare the ends of an address, so a poisoner makes those alike.
SHOWN_DIGITS = 4

# EIP-7702: no contract's code begins with 0xef (EIP-3541).
_DELEGATION = re.compile(r"0xef0100[0-9a-f]{40}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def check(
    network: Network | Sequence[Network],
    address: str,
    *,
    own: Collection[str] = (),
    recent: Collection[str] = (),
) -> str:
    """The destination in lower case, if money may go there on the network (or on any of several).

    `own` holds those of our deposit and house addresses that may be meant, `recent` the merchant's
    recent destinations, all in lower case. Raises Invalid naming `address`, with a code:
    not_an_address, wrong_checksum, zero_address, precompile, burn_address, own_address,
    token_contract, system_contract, looks_like_recent.
    """
    lower = read(address)
    networks = [network] if isinstance(network, Network) else network
    number = int(lower, 16)
    if number == 0:
        raise _refused("zero_address", "is the zero address: nobody has its key")
    if lower in BURNS or len(set(lower[2:])) == 1:
        raise _refused("burn_address", "is a burn address: nobody has its key")
    if number <= LAST_RESERVED:
        raise _refused("precompile", "is reserved for precompiled contracts")
    if lower in own or any(lower in _ours(n) for n in networks):
        raise _refused("own_address", "is one of our own addresses")
    if any(lower in n.by_address() for n in networks):
        raise _refused("token_contract", "is a token's contract: tokens sent to it are lost")
    if any(lower in _machinery(n) for n in networks):
        raise _refused("system_contract", "is a contract that gives nothing back")
    twin = look_alike(lower, recent)
    if twin is not None:
        raise _refused(
            "looks_like_recent",
            f"looks like {checksum(twin)}, which was paid recently, and is another address:"
            " it may have been planted in a history to be copied",
        )
    return lower


def read(address: str) -> str:
    """Text -> lower-case 0x hex. All lower or all upper case is fine; a mixed case is a checksum
    (EIP-55) and must be right. Raises Invalid: not_an_address, wrong_checksum."""
    if not _ADDRESS.fullmatch(address):
        raise _refused("not_an_address", "must be 0x and 40 hexadecimal digits")
    digits = address[2:]
    lower = "0x" + digits.lower()
    if digits not in (digits.lower(), digits.upper()) and address != checksum(lower):
        raise _refused(
            "wrong_checksum", "its mixed case is a checksum (EIP-55), and it is wrong: mistyped?"
        )
    return lower


def kind_of(code: str) -> AddressKind:
    """What an address is by its code, 0x hex."""
    if code == "0x":
        return AddressKind.ACCOUNT
    if _DELEGATION.fullmatch(code.lower()):
        return AddressKind.DELEGATED
    return AddressKind.CONTRACT


def look_alike(address: str, recent: Collection[str]) -> str | None:
    """A recent destination with the same ends that is not this one; all in lower case.

    One that was paid itself is no look-alike, whatever it resembles.
    """
    if address in recent:
        return None
    return next((other for other in recent if _ends(other) == _ends(address)), None)


def _ends(address: str) -> tuple[str, str]:
    return address[2 : 2 + SHOWN_DIGITS], address[-SHOWN_DIGITS:]


def _ours(network: Network) -> set[str | None]:
    return {network.factory, network.router, network.multisend}


def _machinery(network: Network) -> set[str | None]:
    feeds = {feed.address for feed in network.feeds}
    return {network.multicall, network.sequencer_feed, network.sanctions_oracle, DEPLOYER} | feeds


def _refused(code: str, message: str) -> Invalid:
    return Invalid.of("address", message, code=code)
