"""The SDK's client as we need it: it signs and shapes requests, we carry them.

coinbase-advanced-py 1.8.4 sends without a timeout, reads numbers as floats, follows redirects, logs
the venue's error bodies and lets proxies, certificates and .netrc of the environment decide. Its
documented `get` and `post` end in `send_request`; that one is ours.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from coinbase import jwt_generator
from coinbase.rest import RESTClient

from core.errors import Misconfigured, VenueUnavailable
from exchanges.coinbase.answers import Answer, Unanswered

_LARGEST_BODY = 32 * 2**20
_CHUNK = 65536
# On import the SDK gives its logger a handler of its own, for standard error.
_sdk_log = logging.getLogger("coinbase.RESTClient")
_sdk_log.handlers.clear()
_sdk_log.addHandler(logging.NullHandler())
_sdk_log.propagate = False


class Client(RESTClient):  # type: ignore[misc]
    """One thread's client, with a session (and so connections) of its own."""

    def __init__(
        self, *, key: str, secret: str, host: str, authorities: str, timeout: float
    ) -> None:
        super().__init__(api_key=key, api_secret=secret, base_url=host, timeout=timeout)
        self.session.trust_env = False
        self.session.verify = authorities

    def send_request(
        self,
        http_method: str,
        url_path: str,
        params: dict[str, Any] | None,
        headers: dict[str, str],
        data: dict[str, Any] | None = None,
    ) -> Answer:
        """Raises VenueUnavailable when nothing left, Unanswered when no answer came back."""
        deadline = time.monotonic() + self.timeout
        try:
            with self.session.request(
                http_method,
                f"https://{self.base_url}{url_path}",
                params=params,
                json=None if http_method == "GET" else data or {},
                headers=headers,
                timeout=self.timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                body = _body(response, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _failure(error) from None  # its own text and chain quote urls and headers
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, names, body)


def host_of(url: str) -> str:
    """`https://api.coinbase.com` -> what the SDK calls base_url. Raises Misconfigured."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        raise Misconfigured(
            f"exchanges.coinbase.url is {url!r}; it must be like https://api.coinbase.com:"
            " https, a host and perhaps a port"
        )
    return parts.netloc


def check_key(key: str, secret: str) -> None:
    """Signs once. Raises Misconfigured, without a word of the secret."""
    wrong = Misconfigured(
        "exchanges.coinbase: COINBASE_API_KEY must be a key's name and COINBASE_API_SECRET its"
        " private key: EC P-256 or Ed25519, as PEM, or an Ed25519 key in base64"
    )
    if not key or not secret:
        raise wrong
    try:
        jwt_generator.build_ws_jwt(key, plain_secret(secret))
    except Exception:  # noqa: BLE001 -- the SDK raises Exception itself
        raise wrong from None


def trusted(ca_file: Path | None) -> str:
    """The file of the authorities that are trusted: ours, or the public ones that come with
    `requests`, whatever the environment says. Raises Misconfigured."""
    if ca_file is None:
        return str(requests.utils.DEFAULT_CA_BUNDLE_PATH)
    if not ca_file.is_file():
        raise Misconfigured(f"exchanges.coinbase.ca_file: there is no file {str(ca_file)!r}")
    return str(ca_file)


def plain_secret(secret: str) -> str:
    r"""The secret with `\n` written out made line breaks, as the SDK's own clients take it."""
    return secret.replace("\\n", "\n")


def _body(response: requests.Response, deadline: float) -> bytes:
    """Whatever has come is looked at each time: a drip must not outlive the deadline."""
    pieces: list[bytes] = []
    size = 0
    while piece := response.raw.read1(_CHUNK, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > _LARGEST_BODY:
            raise Unanswered("Coinbase's answer is larger than any that we ask for")
        if time.monotonic() > deadline:
            raise Unanswered("Coinbase's answer did not end in time")
    return b"".join(pieces)


def _failure(error: Exception) -> VenueUnavailable | Unanswered:
    """What the client's error says of whether anything left."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", None)
    if isinstance(error, requests.ConnectTimeout) or isinstance(
        reason, urllib3.exceptions.NewConnectionError
    ):
        return VenueUnavailable("no connection to Coinbase")
    if isinstance(error, requests.exceptions.SSLError) and "certificate verify" in str(error):
        return VenueUnavailable("Coinbase shows a certificate that we do not trust")
    if isinstance(error, requests.Timeout | TimeoutError):
        return Unanswered("Coinbase did not answer in time")
    return Unanswered(f"the connection to Coinbase broke ({type(error).__name__})")
