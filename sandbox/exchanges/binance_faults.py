"""Switched faults in Binance's dialect, over HTTP (API 2, Sandbox)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from sandbox.exchanges import binance_errors as errors
from sandbox.exchanges import endings
from sandbox.exchanges.binance_errors import Problem
from sandbox.exchanges.faults import SENDS, SILENT, Fault, Operation

RETRY_AFTER = 1  # seconds
BAN = 2  # seconds; the venue's own begin with two minutes
_CONTENT = {"Content-Type": "text/html"}
_FIREWALL = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN" "http://www.w3.org/TR/html4/loose.dtd">
<HTML><HEAD><META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=iso-8859-1">
<TITLE>ERROR: The request could not be satisfied</TITLE>
</HEAD><BODY>
<H1>403 ERROR</H1>
<H2>The request could not be satisfied.</H2>
<HR noshade size="1px">
Request blocked.
</BODY></HTML>
"""


def page(status: HTTPStatus) -> web.Response:
    """A gateway's page instead of JSON."""
    title = f"{status.value} {status.phrase}"
    text = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return web.Response(status=status, text=text, headers=_CONTENT)


def answer(content: Any, *, status: int = 200, headers: dict[str, str]) -> web.Response:
    """JSON as the venue sends it."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(content),
        headers={"Content-Type": "application/json;charset=UTF-8", **headers},
    )


def refused(problem: Problem, headers: dict[str, str]) -> web.Response:
    return answer(problem.body(), status=problem.status, headers={**headers, **problem.headers})


def before(fault: Fault) -> Problem | None:
    """The refusal of a fault that lets nothing be done; None for the others."""
    match fault:
        case Fault.TIMEOUT_BEFORE_EXECUTION:
            return errors.engine_timeout()
        case Fault.SERVER_ERROR_BEFORE_EXECUTION:
            return errors.disconnected()
        case Fault.RATE_LIMITED:
            return errors.too_much_weight(6000, RETRY_AFTER)
        case Fault.BANNED:
            return errors.banned(int((time.time() + BAN) * 1000), BAN)
        case Fault.CLOCK_SKEW:
            return errors.outside_window()
        case Fault.BAD_SIGNATURE:
            return errors.bad_signature()
        case Fault.DUPLICATE_ORDER:
            return errors.duplicate_order()
        case Fault.UNAUTHORIZED_FLAP:
            return errors.key_refused()
        case _:
            return None


def firewall() -> web.Response:
    return web.Response(status=HTTPStatus.FORBIDDEN, text=_FIREWALL, headers=_CONTENT)


async def spoil(
    fault: Fault,
    operation: Operation,
    request: web.Request,
    execute: Callable[[], web.Response],
    closing: asyncio.Event,
) -> web.StreamResponse:
    """The answer under a fault; `execute` does what was asked. "After" faults do it first."""
    problem = before(fault)
    if problem is not None:
        return refused(problem, {})
    if fault is Fault.FORBIDDEN:
        return firewall()
    if fault is Fault.NOT_FOUND_LAG and operation not in SENDS:
        return (
            answer([], headers={})
            if operation is Operation.FILLS
            else refused(errors.no_such_order(), {})
        )
    done = execute()
    match fault:
        case Fault.TIMEOUT_AFTER_EXECUTION | Fault.NOT_FOUND_LAG:
            return refused(errors.engine_timeout(), {})
        case Fault.SERVER_ERROR_AFTER_EXECUTION:
            return refused(errors.unexpected_response(), {})
        case Fault.HTML_BODY:
            return page(HTTPStatus.BAD_GATEWAY)
        case Fault.TRUNCATED_BODY:
            return endings.truncated(done)
        case _ if fault in SILENT:
            await endings.silence(request, closing)
        case Fault.RESET_AFTER_SEND:
            endings.reset(request)
        case _:
            pass
    return done
