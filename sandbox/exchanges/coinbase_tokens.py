"""The tokens that Coinbase's keys sign: a JWT of two minutes for one request (ES256 or EdDSA).

Source: docs.cdp.coinbase.com, "API Key Authentication"; coinbase/jwt_generator.py of the SDK.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sandbox.exchanges.types import Credential

LONGEST_SECONDS = 120
LEEWAY_SECONDS = 5
_ES256_BYTES = 64


class BadToken(Exception):
    """The token proves nothing; the venue says `Unauthorized` and no more."""


def verify(
    token: str, credentials: Mapping[str, Credential], *, uri: str | None, now: float
) -> Credential:
    """Whose token it is. `uri` is "METHOD host/path", None for a stream, whose token names none.
    `now`: seconds of the server's clock. Raises BadToken."""
    try:
        head, body, signature = token.split(".")
        header, claims = _read(head), _read(body)
        credential = credentials[str(header["kid"])]
        signed = f"{head}.{body}".encode()
        _check_signature(header.get("alg"), credential, signed, _decode(signature))
        begins, ends = int(claims["nbf"]), int(claims["exp"])
    except (ValueError, KeyError, TypeError, InvalidSignature) as error:
        raise BadToken(type(error).__name__) from error
    if claims.get("iss") != "cdp" or claims.get("sub") != credential.key:
        raise BadToken("issuer or subject")
    if not begins - LEEWAY_SECONDS <= now < ends + LEEWAY_SECONDS:
        raise BadToken("not in its time")
    if ends - begins > LONGEST_SECONDS:
        raise BadToken("longer than two minutes")
    if claims.get("uri") != uri:
        raise BadToken("made for another request")
    return credential


def _read(part: str) -> dict[str, Any]:
    read = json.loads(_decode(part))
    if not isinstance(read, dict):
        raise ValueError("no object")
    return read


def _decode(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("no base64url") from error


def _check_signature(algorithm: Any, credential: Credential, signed: bytes, given: bytes) -> None:
    if credential.public is None:
        raise ValueError("a key without a public part")
    public = serialization.load_pem_public_key(credential.public.encode())
    if algorithm == "EdDSA" and isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(given, signed)
    elif (
        algorithm == "ES256"
        and isinstance(public, ec.EllipticCurvePublicKey)
        and len(given) == _ES256_BYTES
    ):
        r, s = (int.from_bytes(half, "big") for half in (given[:32], given[32:]))
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    else:
        raise ValueError("another algorithm than the key's")
