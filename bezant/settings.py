"""Settings: bezant.toml for what is structure, the environment for what is secret or of the place.

Read here only, and handed down. A wrong value is one sentence naming the key, the value and what
is allowed (a secret's value is never shown).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bezant.environment import secret, service_key, signer_socket
from bezant.places import data_dir
from core.banks import BankAccount
from core.context import RiskSettings
from core.errors import Misconfigured
from core.networks import Catalog
from core.secrets import SecretBox
from exchanges.types import Venue

if TYPE_CHECKING:  # the signer reads no bezant.toml and so starts without pydantic
    from bezant.sections import Configuration

DEFAULT_PUBLIC_URL = "http://127.0.0.1:8000"
HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`database_url` None: the embedded PostgreSQL under `data_dir`. `signer_socket` None: nothing
    is signed here, what is to leave waits. `service_key`: 32 bytes, the Ed25519 seed by which our
    processes know each other."""

    file: Path
    configuration: Configuration
    catalog: Catalog
    database_url: str | None
    data_dir: Path
    public_url: str
    secret_key: str | None = field(repr=False)
    signer_socket: Path | None = None
    service_key: bytes | None = field(default=None, repr=False)
    screening_key: str | None = field(default=None, repr=False)

    @property
    def sanctions_lists(self) -> tuple[Path, ...]:
        """Files of addresses; a relative one lies beside bezant.toml."""
        return self._beside(self.configuration.screening.lists)

    @property
    def mixer_lists(self) -> tuple[Path, ...]:
        """As `sanctions_lists`."""
        return self._beside(self.configuration.screening.mixers)

    @property
    def risk(self) -> RiskSettings:
        """What is asked before money counts or leaves."""
        section = self.configuration.screening
        age = section.list_max_age_hours
        return RiskSettings(
            cooling=section.address_book_cooling_hours * HOUR,
            list_max_age=None if age is None else age * HOUR,
            verdict_lifetime=section.verdict_lifetime_hours * HOUR,
            retry=section.retry_seconds,
            provider_url=section.provider_url,
            provider_key=self.screening_key,
            provider_timeout=section.provider_timeout_seconds,
        )

    @property
    def venues(self) -> tuple[Venue, ...]:
        """Exchanges that are configured."""
        sections = self.configuration.exchanges
        return tuple(venue for venue in Venue if getattr(sections, venue) is not None)

    @property
    def banks(self) -> dict[str, BankAccount]:
        """Bank accounts of the house, by id."""
        from bezant.bank_sections import accounts

        return accounts(self.configuration.banks)

    @property
    def coinbase_ca_file(self) -> Path | None:
        """As `sanctions_lists`."""
        section = self.configuration.exchanges.coinbase
        if section is None or section.ca_file is None:
            return None
        return self._beside([section.ca_file])[0]

    def _beside(self, names: Sequence[str]) -> tuple[Path, ...]:
        return tuple(self.file.absolute().parent / Path(name).expanduser() for name in names)

    def secrets(self) -> SecretBox:
        """Raises Misconfigured when there is no key."""
        if self.secret_key is None:
            raise Misconfigured(
                "BEZANT_SECRET_KEY is not set: 32 random bytes in base64 are allowed"
                " (openssl rand -base64 32), or BEZANT_SECRET_KEY_FILE with a file's name"
            )
        return SecretBox.of(self.secret_key)

    def service(self) -> bytes:
        """Raises Misconfigured when there is no key."""
        if self.service_key is None:
            raise Misconfigured(
                "BEZANT_SERVICE_KEY is not set: 32 random bytes in base64 are allowed"
                " (openssl rand -base64 32), or BEZANT_SERVICE_KEY_FILE with a file's name"
            )
        return self.service_key


def load(file: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads `file`, else BEZANT_CONFIG, else ./bezant.toml. Raises Misconfigured."""
    path = file or Path(environment.get("BEZANT_CONFIG") or "bezant.toml")
    configuration, catalog = _read(path)
    secret_key = secret(environment, "BEZANT_SECRET_KEY")
    if secret_key is not None:
        SecretBox.of(secret_key)
    return Settings(
        file=path,
        configuration=configuration,
        catalog=catalog,
        database_url=_database_url(environment),
        data_dir=data_dir(environment),
        public_url=_public_url(environment),
        secret_key=secret_key,
        signer_socket=signer_socket(environment),
        service_key=service_key(environment),
        screening_key=secret(environment, "BEZANT_SCREENING_KEY"),
    )


def _read(path: Path) -> tuple[Configuration, Catalog]:
    from bezant.configuration import parse

    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise Misconfigured(
            f"--config is {str(path)!r}, which cannot be read ({error.strerror}): the path of a"
            " bezant.toml is allowed (start from bezant.example.toml)"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: {error}; TOML is allowed") from None
    try:
        return parse(document)
    except Misconfigured as error:
        raise Misconfigured(f"{path}: {error}") from None


def _database_url(environment: Mapping[str, str]) -> str | None:
    url = environment.get("BEZANT_DATABASE_URL")
    if url and not re.match(r"postgres(ql)?(\+psycopg)?://", url):
        scheme = url.partition("://")[0] if "://" in url else "no scheme"
        raise Misconfigured(
            f"BEZANT_DATABASE_URL begins with {scheme!r}: postgresql://user:password@host/database"
            " is allowed"
        )
    return url or None


def _public_url(environment: Mapping[str, str]) -> str:
    url = environment.get("BEZANT_PUBLIC_URL") or DEFAULT_PUBLIC_URL
    if not re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", url):
        raise Misconfigured(
            f"BEZANT_PUBLIC_URL is {url!r}: http:// or https:// with a host is allowed"
        )
    return url.rstrip("/")
