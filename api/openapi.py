"""The OpenAPI 3.1 document: FastAPI's, plus what is true of every operation."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import PROBLEM

DESCRIPTION = """
Authenticate with `Authorization: Bearer sk_...`. Amounts are decimal strings with their asset
beside them, times RFC 3339 UTC, ids carry a prefix that says what they name.

Every refusal is `application/problem+json` with a stable `code` and the request's id, which is
also in `X-Request-Id`; send one of your own (1-128 printable ASCII characters) to find a request
again.
"""

_PROBLEM_SCHEMA = {
    "type": "object",
    "title": "Problem",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people; may change."},
        "code": {"type": "string", "description": "For programs; does not change."},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "description": "Such as `metadata.key`."},
                    "message": {"type": "string"},
                },
            },
        },
    },
}
_HEADERS = {
    "X-Request-Id": "The caller's id of this request, or ours.",
    "RateLimit-Limit": "Requests that may come at once.",
    "RateLimit-Remaining": "How many of them are left.",
    "RateLimit-Reset": "Seconds until all of them are there again.",
}
_REFUSALS = {
    "400": "The body is not JSON.",
    "401": "No API key, or one that is not valid.",
    "403": "The key may not do this.",
    "404": "No such thing for this key.",
    "409": "The state does not allow it, or the same Idempotency-Key is running.",
    "413": "The body is above 256 KiB.",
    "422": "A field, a parameter or the Idempotency-Key is refused.",
    "429": "Too many requests; `Retry-After` says how many seconds to wait.",
    "503": "Something we need does not answer; nothing was done.",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeat the request with the same key and it happens once; the first answer "
    "comes again with `Idempotency-Replayed: true`. Kept at least 24 hours.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
}

# Where a request without a key is refused.
_MONEY = frozenset(
    (
        "/v1/payouts",
        "/v1/payout_batches",
        "/v1/invoices/{invoice}/refunds",
        "/v1/refunds/{refund}/confirm",
        "/v1/transfers",
        "/v1/wallets/{wallet}/payouts",
        "/v1/conversions",
        "/v1/treasury/moves",
    )
)
# Whose bodies name things that must be there.
_NAMING = frozenset(("/v1/transfers", "/v1/wallets", "/v1/conversions"))
# Where the body tells a repetition: an authorization is settled once, and a check does nothing.
_BY_BODY = frozenset(("/v1/x402/verify", "/v1/x402/settle"))


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="Bezant",
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
        )
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if path.startswith("/v1/"):
                    _complete(path, method, operation)
        _add_components(document)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    refused = {"401", "403", "422", "429", "503"}
    if "{" in path or (method == "post" and path in _NAMING):
        refused.add("404")
    if method != "get":
        refused |= {"400", "413"}
    if method in ("post", "put"):
        refused.add("409")
    if method == "post" and path not in _BY_BODY:
        name = "IdempotencyKeyRequired" if path in _MONEY else "IdempotencyKey"
        operation.setdefault("parameters", []).append({"$ref": f"#/components/parameters/{name}"})
    responses = operation["responses"]
    for answer in responses.values():
        answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    for status in sorted(refused):
        responses[status] = {"$ref": f"#/components/responses/{status}"}
    operation["security"] = [{"apiKey": []}]


def _add_components(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM_SCHEMA
    components["headers"] = {
        name: {
            "description": text,
            "schema": {"type": "string" if name == "X-Request-Id" else "integer"},
        }
        for name, text in _HEADERS.items()
    }
    components["responses"] = {
        status: {
            "description": text,
            "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, text in _REFUSALS.items()
    }
    components["parameters"] = {
        "IdempotencyKey": _IDEMPOTENCY_KEY,
        "IdempotencyKeyRequired": _IDEMPOTENCY_KEY | {"required": True},
    }
    components["securitySchemes"] = {
        "apiKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "A merchant's key (`sk_...`) or an operator's (`ok_...`).",
        }
    }
