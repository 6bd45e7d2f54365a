"""Structured logs: JSON for machines, colours for people, secrets for nobody."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

HIDDEN = "[hidden]"

_SECRET_NAMES = re.compile(
    r"secret|password|passphrase|authorization|private_key|api_key$|token$|cookie|signature",
    re.IGNORECASE,
)
# Our own keys and webhook secrets, bearer tokens, and passwords inside URLs.
_SECRET_TEXT = re.compile(
    r"\b(?:sk|ok)_[A-Za-z0-9_-]{20,}|\bwhsec_[A-Za-z0-9+/=]+|(?<=Bearer )\S+|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)


def hide(text: str) -> str:
    """Text without the secrets that can be told by their shape."""
    return _SECRET_TEXT.sub(HIDDEN, text)


def _hide_value(value: Any) -> Any:
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {
            k: HIDDEN if isinstance(k, str) and _SECRET_NAMES.search(k) else _hide_value(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [_hide_value(item) for item in value]
    return value


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: secrets by the name of their field or by their shape."""
    hidden: dict[str, Any] = _hide_value(dict(event))
    return hidden


def configure(*, json: bool, level: int = logging.INFO) -> None:
    """Sets structlog up for this process, to stderr. The standard library's loggers follow."""
    structlog.configure(
        processors=_processors(json),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_common(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_processors(json)[len(_common()) :],
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _common() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _processors(json: bool) -> list[Any]:
    if json:
        return [
            *_common(),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ]
    return [
        *_common(),
        structlog.processors.format_exc_info,
        redact,
        structlog.dev.ConsoleRenderer(),
    ]
