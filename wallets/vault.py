"""HashiCorp Vault's Transit engine: makes data keys and unwraps them (its HTTP API, /v1/transit).

Vault has no secp256k1, so it cannot sign for us; it holds the key that holds the key.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from core.errors import KeyUnavailable, Misconfigured
from wallets.keys import wipe

TIMEOUT_SECONDS = 1.2  # a key that is opened late is opened within the signer's own limit
MOUNT = "transit"
_NAME = re.compile(r"(\w[\w.-]{0,99}/){0,3}\w[\w.-]{0,99}", re.ASCII)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSettings:
    """`address` is VAULT_ADDR, `ca_file` VAULT_CACERT, `namespace` VAULT_NAMESPACE."""

    address: str
    token: str = field(repr=False)
    namespace: str | None = None
    ca_file: str | None = None


class Vault:
    """One Vault. Every call raises KeyUnavailable, with a sentence that holds no secret."""

    def __init__(
        self, settings: VaultSettings, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        url = urlsplit(settings.address)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise Misconfigured(
                f"VAULT_ADDR is {settings.address!r}: an https URL is allowed, http on this machine"
            )
        self._base = settings.address.rstrip("/")
        self._headers = {"X-Vault-Token": settings.token, "X-Vault-Request": "true"}
        if settings.namespace:
            self._headers["X-Vault-Namespace"] = settings.namespace
        try:
            self._ssl = ssl.create_default_context(cafile=settings.ca_file)
        except OSError:
            raise Misconfigured(
                f"VAULT_CACERT is {settings.ca_file!r}: a file with certificates is allowed"
            ) from None
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def data_key(self, name: str) -> tuple[bytearray, str]:
        """A new key of 32 bytes, and the same wrapped by the Transit key `name`."""
        data = await self._ask(path(name, "datakey/plaintext"), name, {"bits": 256})
        wrapped = data.get("ciphertext")
        if not isinstance(wrapped, str) or not wrapped:
            raise KeyUnavailable(f"Vault at {self._base} gave no wrapped key")
        return self._key(data), wrapped

    async def unwrap(self, name: str, wrapped: str) -> bytearray:
        """The data key of 32 bytes that was wrapped by `name`."""
        return self._key(await self._ask(path(name, "decrypt"), name, {"ciphertext": wrapped}))

    async def renew(self) -> int | None:
        """Renews the token -> the seconds that it is good for; None: it has no end to move."""
        auth = await self._ask("auth/token/renew-self", "the token itself", {}, within="auth")
        seconds = auth.get("lease_duration")
        return seconds if auth.get("renewable") and isinstance(seconds, int) and seconds else None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _key(self, data: dict[str, Any]) -> bytearray:
        try:
            key = bytearray(base64.b64decode(data["plaintext"], validate=True))
        except (KeyError, TypeError, ValueError):
            key = bytearray()
        if len(key) != 32:
            wipe(key)
            raise KeyUnavailable(f"Vault at {self._base} gave no key of 32 bytes")
        return key

    async def _ask(
        self, where: str, what: str, body: dict[str, Any], *, within: str = "data"
    ) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers)
        try:
            # A redirect would carry the token to wherever it points.
            async with self._session.post(
                f"{self._base}/v1/{where}", json=body, ssl=self._ssl, allow_redirects=False
            ) as answer:
                status, raw = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = type(error).__name__
            raise KeyUnavailable(f"Vault at {self._base} does not answer ({why})") from None
        try:
            said = json.loads(raw)
        except ValueError:
            said = None
        if status != 200:
            raise KeyUnavailable(self._sentence(status, said, what))
        found = said.get(within) if isinstance(said, dict) else None
        if not isinstance(found, dict):
            raise KeyUnavailable(f"Vault at {self._base} gave an answer that is none of Vault's")
        return found

    def _sentence(self, status: int, said: Any, what: str) -> str:
        errors = said.get("errors") if isinstance(said, dict) else None
        if status == 503 and errors == ["Vault is sealed"]:
            return f"Vault at {self._base} is sealed: unseal it, nothing else is needed"
        if status in (401, 403):
            return f"Vault at {self._base} refuses VAULT_TOKEN for {what}: it ended, or may not"
        if status in (400, 404):
            return f"Vault at {self._base} cannot do it for {what} ({status}): is it there?"
        return f"Vault at {self._base} does not answer ({status})"


def path(name: str, action: str) -> str:
    """`name` of a Transit key, with its mount before it where that is not `transit`.

    Raises Misconfigured.
    """
    if not _NAME.fullmatch(name):
        raise Misconfigured(f"{name!r} is no name of a Transit key: NAME or MOUNT/NAME is allowed")
    mount, _, key = name.rpartition("/")
    return f"{mount or MOUNT}/{action}/{key}"
