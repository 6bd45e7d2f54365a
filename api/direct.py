"""A route that calls its endpoint itself wherever a request is plain.

The framework matches, documents and words refusals; what it does between a match and the endpoint
costs more than most of our endpoints do. For an endpoint that takes nothing but a body, parts of
its path, the caller and the request, those few steps are taken here. Whatever is not plain, a body
that is refused among it, goes the framework's way: the two can differ in speed only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from api.auth import Check
from api.limits import body_of
from api.schemas import Body

_JSON = b"application/json"


class Direct(APIRoute):
    """For `APIRouter(route_class=Direct)`. The endpoint is `async` and returns a Response."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._takes = _takes(endpoint, self.param_convertors)

    @property
    def is_direct(self) -> bool:
        """Whether plain requests go the short way."""
        return self._takes is not None

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = self._given(scope)
        if self._takes is None or given is None:
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive)
        for name in self._takes.request:
            given[name] = request
        for name, check in self._takes.callers:
            given[name] = await check(request)
        response = await self.endpoint(**given)
        await response(scope, receive, send)

    def _given(self, scope: Scope) -> dict[str, Any] | None:
        """Path and body, or None for what the framework shall look at."""
        takes = self._takes
        if takes is None or scope["method"] not in (self.methods or ()):
            return None
        given = {name: scope["path_params"][name] for name in takes.path}
        for name, model in takes.body:
            if not _is_json(scope):
                return None
            try:
                given[name] = model.model_validate_json(body_of(scope))
            except ValidationError:
                return None
        return given


@dataclass(frozen=True, slots=True)
class _Takes:
    """An endpoint's parameters by what is given for them."""

    request: list[str]
    path: list[str]
    body: list[tuple[str, type[Body]]]
    callers: list[tuple[str, Check]]


def _takes(endpoint: Callable[..., Any], in_path: dict[str, Any]) -> _Takes | None:
    """None when the endpoint takes something else as well: a query, a header."""
    takes = _Takes([], [], [], [])
    hints = get_type_hints(endpoint, include_extras=True)
    for name in inspect.signature(endpoint).parameters:
        hint = hints[name]
        depends = [getattr(each, "dependency", None) for each in get_args(hint)[1:]]
        if hint is Request:
            takes.request.append(name)
        elif hint is str and name in in_path:
            takes.path.append(name)
        elif inspect.isclass(hint) and issubclass(hint, Body):
            takes.body.append((name, hint))
        elif len(depends) == 1 and isinstance(depends[0], Check):
            takes.callers.append((name, depends[0]))
        else:
            return None
    return takes if len(takes.body) <= 1 else None


def _is_json(scope: Scope) -> bool:
    return any(n == b"content-type" and value == _JSON for n, value in scope["headers"])
