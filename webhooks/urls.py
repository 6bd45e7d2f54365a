"""Which URLs a webhook may go to (API 2, Webhooks): public https, and nothing that only looks so.

One strict pattern reads the URL, so that no other parser can see another host in it. Names are
not resolved here; `webhooks.guard` judges their addresses at each send.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from core.errors import Invalid

LONGEST = 2048
SANDBOX_HOSTS = frozenset({"127.0.0.1", "localhost"})

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>[/?][!\"$-\[\]-~]*)?",  # printable ASCII without space, # and backslash
    re.ASCII,
)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
# Names that never belong to the public internet (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal).
_PRIVATE_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa",
                  "localdomain")  # fmt: skip

_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service is 192.0.0.192
        "192.88.99.0/24",  # the 6to4 relay
        "168.63.129.16/32",  # Azure's metadata service, on a public address
    )
)
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, with Teredo
        "2001:db8::/32",
        "2002::/16",  # 6to4: carries any IPv4 address
        "3fff::/20",
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL's parts. `host` is lower case, without brackets and final dot."""

    scheme: str
    host: str
    port: int


def is_public(address: str) -> bool:
    """Is this literal IP address one of the public internet's?

    IPv4-mapped, NAT64, 6to4 and Teredo addresses are refused whatever they carry.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_multicast or ip.is_reserved or not ip.is_global:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_4)
    return ip in _GLOBAL_6 and not any(ip in network for network in _NOT_PUBLIC_6)


def check(url: str, sandbox: bool) -> Target:
    """Judges scheme, port and host by text alone. Raises Invalid on `url`.

    `sandbox` adds http://127.0.0.1 and http://localhost on any port, nothing else.
    """
    match = _URL.fullmatch(url) if len(url) <= LONGEST else None
    if match is None:
        raise _wrong(
            f"must be an absolute https URL of at most {LONGEST} ASCII characters,"
            " without user name and fragment"
        )
    scheme, host = match["scheme"], match["host"].lower().strip("[]").removesuffix(".")
    port = int(match["port"] or (443 if scheme == "https" else 80))
    if not 1 <= port <= 65535:
        raise _wrong("the port must be between 1 and 65535")
    target = Target(scheme, host, port)
    if sandbox and scheme == "http" and host in SANDBOX_HOSTS:
        return target
    if scheme != "https":
        raise _wrong("must be https")
    if port < 1024 and port != 443:
        raise _wrong("the port must be 443 or above 1023")
    _check_host(host, bracketed=match["host"].startswith("["))
    return target


def _check_host(host: str, *, bracketed: bool) -> None:
    if is_address(host):
        if not is_public(host) or bracketed != (":" in host):
            raise _wrong("must not be a private, local or reserved address")
        return
    labels = host.split(".")
    # 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to some resolvers.
    if bracketed or _NUMBER.fullmatch(labels[-1]) or not all(map(_LABEL.fullmatch, labels)):
        raise _wrong("the host must be a domain name or a plain IP address")
    if len(labels) == 1 or len(host) > 253 or _is_private_name(host):
        raise _wrong("must be a name of the public internet")


def is_address(host: str) -> bool:
    """A literal IP address, in the one plain notation."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_private_name(host: str) -> bool:
    return any(host == name or host.endswith(f".{name}") for name in _PRIVATE_NAMES)


def _wrong(message: str) -> Invalid:
    return Invalid.of("url", message)
