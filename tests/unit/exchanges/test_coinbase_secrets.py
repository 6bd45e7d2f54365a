"""A canary: neither key nor secret nor a token is in any log, error, traceback or repr."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from core import ids
from core.errors import VenueError
from exchanges.coinbase.adapter import Coinbase
from exchanges.numbers import ONE
from exchanges.types import LimitOrder, Side, WithdrawalOrder
from tests.unit.exchanges.coinbase_stand import KEY, NETWORK, SECRET, Stand, pem, plain, stand

ORDER = LimitOrder(client_id="x", symbol="ETH-EUR", side=Side.BUY, quantity=ONE, price=ONE)
SENT = WithdrawalOrder(
    client_id=ids.show("mov", ids.new()),
    asset="ETH",
    network=NETWORK,
    address="0x00",
    amount=ONE,
)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
CALLS: list[Callable[[Coinbase], Awaitable[object]]] = [
    lambda exchange: exchange.health(),
    lambda exchange: exchange.balances(),
    lambda exchange: exchange.place(ORDER),
    lambda exchange: exchange.order("ETH-EUR", "x", SINCE),
    lambda exchange: exchange.withdraw(SENT),
    lambda exchange: anext(exchange.books(["ETH-EUR"])),
    lambda exchange: anext(exchange.account()),
]
ANSWERS = [
    plain("Unauthorized\n", 401),
    plain("<html>", 500),
    plain('{"error":"INVALID_ARGUMENT","message":"no"}', 400),
    plain('{"success":tr'),
]


@pytest.fixture
async def venue(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.getbasetemp() / "tls") as there:
        there.said = ['{"type":"error","message":"authentication failure"}']
        yield there


@pytest.mark.parametrize("secret", [SECRET, pem(ed25519.Ed25519PrivateKey.generate())])
async def test_nothing_of_them_is_written_down(
    venue: Stand,
    secret: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    written: list[str] = []
    for answer in [*ANSWERS, None]:
        venue.answers = [answer]
        for nobody in (False, True):
            more = {"url": "https://127.0.0.1:1"} if nobody else {}
            async with venue.exchange(secret=secret, timeout=0.1, **more) as exchange:
                written += [repr(exchange), str(exchange)]
                for call in CALLS:
                    with pytest.raises(VenueError) as raised:
                        await call(exchange)
                    written.append(repr(raised.value))
                    written += traceback.format_exception(raised.value)
    told = capfd.readouterr()
    text = "\n".join([*written, caplog.text, told.out, told.err])
    assert "401" in text  # something was written
    lines = [line for line in secret.splitlines() if line and not line.startswith("-----")]
    for canary in [KEY, KEY.split("/")[-1], *lines]:
        assert canary not in text
    assert "Bearer" not in text
    assert "eyJ" not in text  # how every token begins
