"""What every process part is handed by the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.clock import Clock
from core.db import Database
from core.listen import Listener
from core.networks import Catalog
from core.secrets import SecretBox


@dataclass(slots=True, kw_only=True)
class Limits:
    """Requests per second and burst, per key and per address of a public page's visitor."""

    key_per_second: int = 100
    key_burst: int = 200
    public_per_second: int = 5
    public_burst: int = 30


@dataclass(slots=True, kw_only=True)
class Context:
    """Read-only after start. `public_url` has no slash at its end."""

    database: Database
    clock: Clock
    listener: Listener
    catalog: Catalog
    secrets: SecretBox
    public_url: str
    sandbox: bool = False  # http://127.0.0.1 and http://localhost are fit for webhooks
    monitoring_seconds: int = 86_400
    limits: Limits = field(default_factory=Limits)
