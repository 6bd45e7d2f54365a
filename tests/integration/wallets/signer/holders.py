"""Vault's Transit and AWS KMS as far as we speak to them: their JSON over real HTTP.

Signatures are made by `cryptography`, low or high s at random, as KMS makes them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.settings import SEED
from wallets.signer.approvals import ORDER

TOKEN = "hvs.canary-token-5e1d"
ACCESS, SECRET = "AKIACANARY0000000000", "canary-aws-secret-0b7e"
REGION = "eu-central-1"
ARN = f"arn:aws:kms:{REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
_JSON = "application/x-amz-json-1.1"
_SIGV4 = re.compile(
    rf"AWS4-HMAC-SHA256 Credential={ACCESS}/\d{{8}}/{REGION}/kms/aws4_request,"
    r" SignedHeaders=[a-z;-]*host;[a-z0-9;-]*x-amz-target[a-z0-9;-]*, Signature=[0-9a-f]{64}"
)
_DEFAULT = ec.derive_private_key(0x51, ec.SECP256K1())

Answer = Callable[[web.Request], web.Response]


class Holders:
    """`fault`: answers in place of what is asked. `stuck`: nothing is answered until it is set."""

    def __init__(self) -> None:
        self.url = ""
        self.fault: Answer | None = None
        self.stuck: asyncio.Event | None = None
        self.asked = asyncio.Event()  # somebody asked
        self.calls: list[str] = []
        self.data_keys: list[bytes] = []
        self.lease = 0
        self.kms_key: ec.EllipticCurvePrivateKey = _DEFAULT  # signs
        self.public: ec.EllipticCurvePrivateKey = _DEFAULT  # is shown
        self.described: dict[str, Any] = {}  # over what GetPublicKey says
        self.highs: list[bool] = []
        self._wrapping = {"payments": AESGCM(os.urandom(32)), "other": AESGCM(os.urandom(32))}
        self._draw = random.Random(SEED)

    async def _handle(self, request: web.Request, what: str, answer: Any) -> web.Response:
        self.calls.append(what)
        body = await request.json()
        self.asked.set()
        if self.stuck is not None:
            await self.stuck.wait()
        if self.fault is not None:
            return self.fault(request)
        found: web.Response = answer(body)
        return found

    # -- Vault -----------------------------------------------------------------------------------

    async def vault(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Vault-Token") != TOKEN:
            return errors(403, "permission denied")
        action, name = request.match_info["action"], request.match_info.get("name", "")
        return await self._handle(request, action, lambda body: self._transit(action, name, body))

    def _transit(self, action: str, name: str, body: dict[str, Any]) -> web.Response:
        if action == "token/renew-self":
            auth = {"lease_duration": self.lease, "renewable": self.lease > 0}
            return web.json_response({"auth": auth})
        wrapping = self._wrapping.get(name)
        if wrapping is None:
            return errors(404 if action == "datakey/plaintext" else 400, "encryption key not found")
        if action == "datakey/plaintext":
            key = os.urandom(body["bits"] // 8)
            self.data_keys.append(key)
            data = {"plaintext": base64.b64encode(key).decode(), "ciphertext": self.wrap(name, key)}
            return web.json_response({"data": {**data, "key_version": 1}})
        try:
            raw = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"), validate=True)
            key = wrapping.decrypt(raw[:12], raw[12:], None)
        except Exception:  # noqa: BLE001 - whatever is wrong, Vault says no more
            return errors(400, "invalid ciphertext")
        return web.json_response({"data": {"plaintext": base64.b64encode(key).decode()}})

    def wrap(self, name: str, key: bytes) -> str:
        nonce = os.urandom(12)
        sealed = nonce + self._wrapping[name].encrypt(nonce, key, None)
        return f"vault:v1:{base64.b64encode(sealed).decode()}"

    # -- KMS -------------------------------------------------------------------------------------

    async def kms(self, request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        if not _SIGV4.fullmatch(request.headers.get("Authorization", "")):
            return refusal("IncompleteSignatureException")
        if request.headers.get("Content-Type") != _JSON or "X-Amz-Date" not in request.headers:
            return refusal("SerializationException")
        return await self._handle(request, target, lambda body: self._service(target, body))

    def _service(self, target: str, body: dict[str, Any]) -> web.Response:
        if body["KeyId"] not in (ARN, ARN.partition("/")[2], "alias/hot"):
            return refusal("NotFoundException")
        if target == "TrentService.GetPublicKey":
            return amazon(self._public())
        if target == "TrentService.Sign":
            return self._sign(body)
        return refusal("UnknownOperationException")

    def _public(self) -> dict[str, Any]:
        der = self.public.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {
            "KeyId": ARN,
            "KeySpec": "ECC_SECG_P256K1",
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": ["ECDSA_SHA_256"],
            "PublicKey": base64.b64encode(der).decode(),
            **self.described,
        }

    def _sign(self, body: dict[str, Any]) -> web.Response:
        digest = base64.b64decode(body["Message"])
        wanted = ("DIGEST", "ECDSA_SHA_256", 32)
        if (body.get("MessageType"), body.get("SigningAlgorithm"), len(digest)) != wanted:
            return refusal("ValidationException")
        algorithm = ec.ECDSA(Prehashed(hashes.SHA256()))
        r, s = decode_dss_signature(self.kms_key.sign(digest, algorithm))
        if self._draw.random() < 0.5:
            s = ORDER - s
        self.highs.append(s > ORDER // 2)
        signature = base64.b64encode(encode_dss_signature(r, s)).decode()
        return amazon({"KeyId": ARN, "Signature": signature, "SigningAlgorithm": "ECDSA_SHA_256"})


def errors(status: int, *said: str) -> web.Response:
    """As Vault says what is wrong."""
    return web.json_response({"errors": list(said)}, status=status)


def amazon(said: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(said), status=status, content_type=_JSON)


def refusal(code: str, status: int = 400) -> web.Response:
    """As KMS says what is wrong; its text may hold anything, so here it holds a canary."""
    return amazon({"__type": code, "message": f"no, {SECRET}"}, status)


@asynccontextmanager
async def open_holders() -> AsyncIterator[Holders]:
    holders = Holders()
    app = web.Application()
    app.router.add_post("/v1/transit/{action:datakey/plaintext|decrypt}/{name}", holders.vault)
    app.router.add_post("/v1/auth/{action:token/renew-self}", holders.vault)
    app.router.add_post("/", holders.kms)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    holders.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield holders
    finally:
        if holders.stuck is not None:
            holders.stuck.set()
        await runner.cleanup()
