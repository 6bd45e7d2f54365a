"""A key that never leaves AWS KMS: ECC_SECG_P256K1, asked for each signature (AWS KMS API, `Sign`).

KMS gives DER without a recovery bit and with s in either half: both are put right here, and an
answer that does not recover to the wallet's own address is worth nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from core.errors import KeyUnavailable, Misconfigured
from wallets.signer.approvals import ORDER, address_of, recover

CONNECT_SECONDS, READ_SECONDS = 1.0, 1.5
SPEC, ALGORITHM = "ECC_SECG_P256K1", "ECDSA_SHA_256"
_ARN = re.compile(r"arn:[a-z-]+:kms:([a-z0-9-]+):\d{12}:(key|alias)/.+", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}", re.ASCII)

T = TypeVar("T")


class Kms:
    """Clients for KMS, one a region. Credentials, region and AWS_ENDPOINT_URL_KMS are found as
    AWS's own tools find them. Raises Misconfigured where the library is missing."""

    def __init__(self) -> None:
        try:
            import botocore.session  # here only: no other kind of key needs it
        except ImportError:
            raise Misconfigured(
                "a wallet's key is in AWS KMS, and botocore is not installed: install bezant[kms]"
            ) from None
        self._session = botocore.session.Session()
        self._region = os.environ.get("AWS_REGION") or None
        self._clients: dict[str | None, Any] = {}

    def client(self, key_id: str) -> Any:
        """For a key's id, ARN or alias. Raises Misconfigured."""
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        arn = _ARN.fullmatch(key_id)
        region = arn[1] if arn else self._region
        if region not in self._clients:
            # The sender tries again by itself, so one attempt is all that there is time for.
            config = Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"total_max_attempts": 1},
            )
            try:
                self._clients[region] = self._session.create_client(
                    "kms", region_name=region, config=config
                )
            except (BotoCoreError, ValueError) as error:
                raise Misconfigured(
                    f"AWS KMS cannot be asked for {key_id} ({type(error).__name__}): a key's ARN,"
                    " or AWS_REGION beside its id, is allowed, and a URL in AWS_ENDPOINT_URL_KMS"
                ) from None
        return self._clients[region]

    def find(self, key_id: str) -> tuple[str, str]:
        """(ARN, address) of the key that an id, an ARN or an alias names now. Blocks.

        Raises Misconfigured for a key of another kind, KeyUnavailable.
        """
        return public(self.client(key_id), key_id)


class KmsKey:
    """`reference` is the key's ARN. Its calls have a thread of their own, so that one that hangs is
    in nobody's way."""

    def __init__(self, kms: Kms, reference: str, address: str) -> None:
        self._client = kms.client(reference)
        self._reference, self._address = reference, address
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kms")

    @property
    def address(self) -> str:
        return self._address

    async def open(self) -> None:
        """Asks whose key it is. Raises KeyUnavailable, and Misconfigured when it is another's."""
        _, address = await self._call(lambda: public(self._client, self._reference))
        if address != self._address:
            raise Misconfigured(
                f"{self._reference} is the key of {address}, where {self._address} is allowed"
            )

    async def sign(self, digest: bytes) -> tuple[int, int, int]:
        """As `Key.sign`. Raises KeyUnavailable, also for a signature that is not this address's."""
        if len(digest) != 32:
            raise ValueError("a digest is 32 bytes")
        answer = await self._call(
            lambda: ask(
                self._client.sign,
                self._reference,
                Message=digest,
                MessageType="DIGEST",  # it is hashed already; RAW would hash it again
                SigningAlgorithm=ALGORITHM,
            )
        )
        try:
            return recoverable(answer.get("Signature", b""), digest, self._address)
        except ValueError as error:
            raise KeyUnavailable(f"AWS KMS gave {error} for {self._reference}") from None

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _call(self, ask: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, ask)

    def __repr__(self) -> str:
        return f"KmsKey({self._address})"


def recoverable(signature: bytes, digest: bytes, address: str) -> tuple[int, int, int]:
    """DER (SEC 1, C.8) -> (y parity, r, low s) of this address. Raises ValueError."""
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        raise ValueError("no DER signature") from None
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise ValueError("no signature of this curve")
    s = min(s, ORDER - s)
    for parity in (0, 1):
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
        with suppress(ValueError):  # no point of the curve has this r and parity
            if recover(digest, "0x" + raw.hex()) == address:
                return parity, r, s
    raise ValueError("a signature by another key")


def public(client: Any, key_id: str) -> tuple[str, str]:
    """(ARN, address). Raises KeyUnavailable, Misconfigured."""
    answer = ask(client.get_public_key, key_id)
    kind = (answer.get("KeySpec"), answer.get("KeyUsage"))
    if kind != (SPEC, "SIGN_VERIFY") or ALGORITHM not in answer.get("SigningAlgorithms", ()):
        raise Misconfigured(f"{key_id} is no key of spec {SPEC} for signing: only such is allowed")
    arn = str(answer.get("KeyId"))
    if not _ARN.fullmatch(arn):
        raise Misconfigured(f"AWS KMS names no ARN for {key_id}")
    try:
        found = load_der_public_key(answer.get("PublicKey", b""))
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, EllipticCurvePublicKey) or not isinstance(found.curve, SECP256K1):
        raise Misconfigured(f"the public key of {key_id} is none of secp256k1")
    return arn, address_of(found.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def ask(call: Callable[..., Any], key_id: str, **said: Any) -> Mapping[str, Any]:
    """One request. Raises KeyUnavailable: by AWS's own code for it, never by its text."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer: Mapping[str, Any] = call(KeyId=key_id, **said)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        why = code if _CODE.fullmatch(code) else "an error without a code"
    except (BotoCoreError, ValueError) as error:  # ValueError: an answer that is no JSON or base64
        why = type(error).__name__
    else:
        return answer
    raise KeyUnavailable(f"AWS KMS does not answer for {key_id} ({why})")
