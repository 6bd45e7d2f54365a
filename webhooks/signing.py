"""Signatures of Standard Webhooks 1.0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook


def headers(message: str, body: str, secrets: Sequence[str], at: datetime) -> dict[str, str]:
    """The three headers. `at` is aware UTC wall time of this attempt (the library would take any
    other zone's digits for UTC); one signature for each secret, the newest first.
    """
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(
            Webhook(secret).sign(message, at, body) for secret in secrets
        ),
    }
