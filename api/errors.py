"""Every refusal as problem details (RFC 9457), with a stable code and the request's id."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from core.errors import FieldError, Refused
from core.money import AMOUNT_PATTERN

log = structlog.get_logger()

PROBLEM = "application/problem+json"
_FIELD_LENGTH = 120
_AMOUNT = 'must be a decimal string such as "25.00"'
_WANTED = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}
# What pydantic says of the rest speaks of its inputs and their types.
_INPUT = re.compile(r"(Input|String|List|Dictionary) should ")
_AFTER = re.compile(r" after validation, not .*")
_CODES = {
    400: ("bad_request", "the request cannot be read"),
    404: ("not_found", "there is nothing at this path"),
    405: ("method_not_allowed", "this path does not take this method"),
}


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """A refusal as the caller gets it."""
    body: dict[str, Any] = {
        "type": f"urn:bezant:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request.scope["state"]["request_id"],
        **(extra or {}),
    }
    if status == 422 and not errors:
        errors = [FieldError("", detail)]  # nothing that one field could mend
    if errors:
        body["errors"] = [{"field": e.field[:_FIELD_LENGTH], "message": e.message} for e in errors]
    return Response(msgspec.json.encode(body), status, headers, PROBLEM)


def refusal(request: Request, error: Refused) -> Response:
    return problem(
        request,
        error.status,
        error.code,
        error.detail,
        errors=error.errors,
        headers=error.headers,
        extra=error.extra,
    )


def failure(request: Request, error: Exception) -> Response:
    """An answer to what nobody foresaw: logged in full, told without detail."""
    log.error(
        "request_failed",
        request_id=request.scope["state"]["request_id"],
        method=request.method,
        path=request.url.path,
        exc_info=error,
    )
    return problem(request, 500, "internal_error", "something failed on our side; it is logged")


def install(app: FastAPI) -> None:
    """Maps the branches of core.errors, the framework's refusals and a lost database to HTTP."""
    handlers: dict[Any, Any] = {
        Refused: _on_refused,
        HTTPException: _on_http,
        RequestValidationError: _on_invalid,
        psycopg.OperationalError: _on_database,
        DBAPIError: _on_database,
        PoolTimeout: _on_database,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _on_refused(request: Request, error: Refused) -> Response:
    return refusal(request, error)


async def _on_http(request: Request, error: HTTPException) -> Response:
    code, detail = _CODES.get(error.status_code, ("refused", str(error.detail)))
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = _allowed(request, headers["Allow"])
    return problem(request, error.status_code, code, detail, headers=headers)


def _allowed(request: Request, of_one_route: str) -> str:
    """Every method of the path: the framework names those of the first route that matches."""
    path = getattr(request.scope.get("route"), "path", "")
    documented: Mapping[str, Any] = request.app.openapi()["paths"].get(path, {})
    return ", ".join(sorted(method.upper() for method in documented)) or of_one_route


async def _on_database(request: Request, error: Exception) -> Response:
    """The database is away, or chose this transaction to end a deadlock: asking again helps."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(origin, psycopg.OperationalError | psycopg.InterfaceError | PoolTimeout):
        return failure(request, error)
    log.error(
        "database_unavailable",
        request_id=request.scope["state"]["request_id"],
        error=type(origin).__name__,
    )
    return problem(
        request,
        503,
        "unavailable",
        "the database does not answer; nothing was done, ask again",
        headers={"Retry-After": "1"},
    )


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    errors = error.errors()
    for item in errors:
        if item["type"] == "json_invalid":
            return problem(request, 400, "invalid_json", "the body is not JSON")
        if tuple(item["loc"]) == ("body",):
            return await _whole_body(request)
    fields = [FieldError(_path(e["loc"]), _message(e)) for e in errors[:50]]
    detail = "; ".join(f"{f.field[:_FIELD_LENGTH]}: {f.message}" for f in fields[:3])
    return problem(request, 422, "invalid_request", detail, errors=fields)


async def _whole_body(request: Request) -> Response:
    """The body as a whole is missing, of another type, or no object."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if not await request.body():
        return problem(request, 400, "invalid_json", "the body is empty where JSON is wanted")
    if kind.lower() != "application/json" and not kind.lower().endswith("+json"):
        return problem(
            request, 400, "invalid_json", "the body is not JSON (Content-Type: application/json)"
        )
    message = "must be a JSON object"
    return problem(
        request,
        422,
        "invalid_request",
        f"the body {message}",
        errors=[FieldError("", message)],
    )


def _path(location: Sequence[str | int]) -> str:
    """`("body", "metadata", "key")` -> `metadata.key`."""
    return ".".join(str(part) for part in location[1:] if part != "[key]")


def _message(error: Mapping[str, Any]) -> str:
    """What is wanted, in the words of a request."""
    if error.get("ctx", {}).get("pattern") == AMOUNT_PATTERN:
        return _AMOUNT
    if wanted := _WANTED.get(error["type"]):
        return wanted
    message = str(error["msg"]).removeprefix("Value error, ")
    return _AFTER.sub("", _INPUT.sub("must ", message))[:300]
