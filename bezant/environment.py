"""What the environment says: secrets, and where things lie on this machine.

Apart from `settings`, because the signer needs nothing else: neither bezant.toml nor a database.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bezant.places import data_dir
from core.errors import Misconfigured

LONGEST_SOCKET = 100  # bytes; the kernel takes 107 of a Unix socket's path


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerSettings:
    """All that `bezant signer` is told; it reads no bezant.toml and no database."""

    directory: Path
    socket: Path
    service_key: bytes = field(repr=False)


def load_signer(
    directory: Path | None, socket: Path | None, environment: Mapping[str, str] = os.environ
) -> SignerSettings:
    """`directory` else `signer` in the data directory; `socket` else BEZANT_SIGNER_SOCKET, else
    in that directory. Raises Misconfigured."""
    directory = directory or data_dir(environment) / "signer"
    named = {"BEZANT_SIGNER_SOCKET": str(socket.absolute())} if socket else environment
    key = service_key(environment)
    if key is None:
        raise Misconfigured(
            "BEZANT_SERVICE_KEY is not set: the same 32 bytes in base64 as API and worker have"
            " are allowed, or BEZANT_SERVICE_KEY_FILE with a file's name"
        )
    return SignerSettings(
        directory=directory,
        socket=signer_socket(named) or directory / "run" / "signer.sock",
        service_key=key,
    )


def keystore_password(environment: Mapping[str, str] = os.environ) -> str:
    """Opens the keystore's files: read by the signer and `bezant wallet` only. Raises
    Misconfigured."""
    password = secret(environment, "BEZANT_KEYSTORE_PASSWORD")
    if password is None:
        raise Misconfigured(
            "BEZANT_KEYSTORE_PASSWORD is not set: the password of the keystore's files is allowed,"
            " or BEZANT_KEYSTORE_PASSWORD_FILE with a file's name"
        )
    return password


def secret(environment: Mapping[str, str], name: str) -> str | None:
    """`NAME`, or the contents of the file that `NAME_FILE` names."""
    value, file = environment.get(name), environment.get(f"{name}_FILE")
    if value and file:
        raise Misconfigured(f"{name} and {name}_FILE are both set: one of them is allowed")
    if not file:
        return value or None
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError):
        raise Misconfigured(
            f"{name}_FILE is {file!r}, which cannot be read: a text file is allowed"
        ) from None


def signer_socket(environment: Mapping[str, str]) -> Path | None:
    name = environment.get("BEZANT_SIGNER_SOCKET")
    if not name:
        return None
    path = Path(name)
    if not path.is_absolute() or len(os.fsencode(name)) > LONGEST_SOCKET:
        raise Misconfigured(
            f"BEZANT_SIGNER_SOCKET is {name!r}: an absolute path of at most {LONGEST_SOCKET} bytes"
            " is allowed"
        )
    return path


def service_key(environment: Mapping[str, str]) -> bytes | None:
    text = secret(environment, "BEZANT_SERVICE_KEY")
    if text is None:
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Misconfigured("BEZANT_SERVICE_KEY is not base64 of 32 bytes: that is allowed")
    return key
