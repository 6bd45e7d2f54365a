"""A canary in the cage: key and secret are in no log, error, traceback or repr, whatever fails."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from core.errors import VenueError
from exchanges.numbers import ONE
from exchanges.types import LimitOrder, Side
from tests.unit.exchanges.binance_stub import KEY, SECRET, recorded, stub
from tests.unit.exchanges.test_binance_traps import PEM

ORDER = LimitOrder(client_id="ord_1", symbol="BTC-USDT", side=Side.BUY, quantity=ONE, price=ONE)
ECHO = f"<html>{KEY}</html>"
FAILURES: list[Any] = [
    (500, {"code": -1007, "msg": "Timeout"}, {}),
    (502, ECHO, {}),
    (200, ECHO, {}),
    (200, "{", {}),
    (200, {}, {}),
    (429, "", {"Retry-After": "1"}),
    (401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, {}),
    (307, "", {"Location": "http://127.0.0.1:1/"}),
]
BODY = "".join(PEM.splitlines()[1:-1])


def written(error: BaseException) -> str:
    """All that a reporter could make of an error, locals too: without the test's own frame, which
    knows them."""
    assert error.__traceback__ is not None
    told = traceback.TracebackException(
        type(error), error, error.__traceback__.tb_next, capture_locals=True
    )
    return "".join(told.format()) + repr(error) + str(vars(error))


@pytest.mark.parametrize("secret", [SECRET, PEM])
@pytest.mark.parametrize("failure", FAILURES)
async def test_no_failure_tells_them(
    failure: Any, secret: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said = ""
    async with stub(api__v3__order=failure, api__v3__account=failure) as told:
        adapter = told.adapter(secret)
        async with adapter as exchange:
            for call in (exchange.place(ORDER), exchange.balances(), _first(exchange.account())):
                with pytest.raises(VenueError) as caught:
                    await call
                said += written(caught.value) + repr(exchange) + repr(exchange._client)
        said += repr(adapter)
    said += caplog.text + "".join(capsys.readouterr())
    assert "VenueUnavailable" in said  # the report is one
    for canary in (KEY, SECRET, BODY):
        assert canary not in said


async def _first(news: Any) -> object:
    return await anext(news)


async def test_nor_does_a_server_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with stub(api__v3__account=recorded("account")) as told:
        gone = told.adapter()
    async with gone as exchange:
        with pytest.raises(VenueError) as caught:
            await exchange.balances()
    said = written(caught.value) + caplog.text
    assert KEY not in said
    assert SECRET not in said
