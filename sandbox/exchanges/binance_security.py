"""Who sends a request, and whether it is fresh: keys, signatures, timestamps (rest-api.md, Request
Security). The signature covers the percent-encoded payload as it was sent."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.types import Credential

_KEY = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)
_WINDOW = re.compile(r"([0-9]{1,5})(?:\.([0-9]{1,3}))?", re.ASCII)
_DEFAULT_WINDOW_US = 5_000_000
_LONGEST_WINDOW_US = 60_000_000
_AHEAD_US = 1_000_000
_MICROSECONDS = 10**14
"""From here on a timestamp counts microseconds: as milliseconds it were the year 5138."""


def known(credentials: Mapping[str, Credential], key: str | None) -> Credential:
    """The credential of an API key. Raises Problem -2014 or -2015."""
    if key is None or _KEY.fullmatch(key) is None:
        raise errors.bad_key_format()
    credential = credentials.get(key)
    if credential is None:
        raise errors.key_refused()
    return credential


def check_fresh(timestamp: str | None, window: str | None) -> None:
    """Against wall time. Raises Problem -1102, -1100, -1131, -1021."""
    if not timestamp:
        raise errors.missing("timestamp")
    if re.fullmatch(r"[0-9]{1,20}", timestamp, re.ASCII) is None:
        raise errors.illegal_characters("timestamp", "^[0-9]{1,20}$")
    allowed = _window_us(window)
    sent = int(timestamp) if int(timestamp) >= _MICROSECONDS else int(timestamp) * 1000
    now = time.time_ns() // 1000
    if sent >= now + _AHEAD_US:
        raise errors.ahead_of_server()
    if now - sent > allowed:
        raise errors.outside_window()


def _window_us(window: str | None) -> int:
    if window is None:
        return _DEFAULT_WINDOW_US
    match = _WINDOW.fullmatch(window)
    if match is None:
        raise errors.illegal_characters("recvWindow", r"^[0-9]{1,5}(\.[0-9]{1,3})?$")
    microseconds = int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))
    if microseconds > _LONGEST_WINDOW_US:
        raise Problem(-1131, "recvWindow must be less than 60000.")
    return microseconds


def rest_payload(query: str, body: str) -> tuple[str, str]:
    """What is signed (query and body without separator, without the signature), and the
    signature. Raises Problem -1102 where none was sent."""
    kept_query, first = _without_signature(query)
    kept_body, second = _without_signature(body)
    signature = first or second
    if not signature:
        raise errors.missing("signature")
    return kept_query + kept_body, signature


def _without_signature(raw: str) -> tuple[str, str | None]:
    parts = raw.split("&") if raw else []
    kept = [part for part in parts if not part.startswith("signature=")]
    found = [part for part in parts if part.startswith("signature=")]
    return "&".join(kept), unquote(found[0].partition("=")[2]) if found else None


def socket_payload(parameters: Mapping[str, str]) -> str:
    """What is signed of a WebSocket request: its parameters by name, percent-encoded."""
    return "&".join(
        f"{name}={quote(parameters[name], safe='')}"
        for name in sorted(parameters)
        if name != "signature"
    )


def check_signature(credential: Credential, payload: str, signature: str) -> None:
    """HMAC as hex in either case, Ed25519 as base64. Raises Problem -1022, also for a payload
    that was signed before it was percent-encoded."""
    if not payload.isascii():
        raise errors.bad_signature()
    if credential.secret is not None:
        mac = hmac.new(credential.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(mac, signature.lower().encode("ascii", "replace").decode()):
            raise errors.bad_signature()
        return
    if credential.public is None:
        raise errors.bad_signature()
    key = load_pem_public_key(credential.public.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise errors.bad_signature()
    try:
        key.verify(base64.b64decode(signature, validate=True), payload.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        raise errors.bad_signature() from None
