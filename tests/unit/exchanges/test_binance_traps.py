"""The traps of python-binance 1.0.37 (VENUES 4): each shown in the SDK itself, then that our client
does not fall into it. A test that fails after an update of the SDK names what has changed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
from binance import AsyncClient
from binance.exceptions import (
    BinanceAPIException,
    BinanceOrderException,
    BinanceRequestException,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from core.errors import Misconfigured, OrderRefused, OutcomeUnknown, VenueUnavailable
from exchanges.numbers import ONE
from exchanges.types import LimitOrder, Side, WithdrawalOrder
from tests.unit.exchanges.binance_stub import KEY, SECRET, Stub, recorded, stub

ED25519 = Ed25519PrivateKey.generate()
PEM = ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ADDRESS = "0x94df8b352de7f46f64b01d3666bf6e936e44ce60"
ORDER = LimitOrder(client_id="ord_1", symbol="BTC-USDT", side=Side.SELL, quantity=ONE, price=ONE)


@asynccontextmanager
async def sdk(told: Stub, **given: Any) -> AsyncIterator[AsyncClient]:
    """The SDK itself, its addresses ours."""
    here = type(
        "Here",
        (AsyncClient,),
        {
            "API_URL": f"{told.url}/api",
            "MARGIN_API_URL": f"{told.url}/sapi",
            "WS_API_URL": f"ws://127.0.0.1:{told.port}/ws-api/v3",
        },
    )
    client = here(KEY, **({"api_secret": SECRET} | given))
    try:
        yield client
    finally:
        await client.close_connection()


def payload(sent: str) -> tuple[str, str]:
    """What was signed, and the signature."""
    signed, _, signature = sent.partition("&signature=")
    return signed, unquote(signature)


def hmac_of(signed: str) -> str:
    return hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()


def test_the_version_that_this_was_seen_in() -> None:
    assert version("python-binance") == "1.0.37"


async def test_testnet_still_sends_the_wallets_calls_to_production() -> None:
    client = AsyncClient(KEY, SECRET, testnet=True)
    assert client._create_margin_api_uri("capital/withdraw/apply").startswith(
        "https://api.binance.com/sapi/"
    )
    await client.close_connection()
    async with stub() as told, told.client() as ours:
        addresses = {name: getattr(ours, name) for name in dir(ours) if name.endswith("_URL")}
        assert addresses.pop("API_URL") == f"{told.url}/api"
        assert addresses.pop("MARGIN_API_URL") == f"{told.url}/sapi"
        assert addresses.pop("WS_API_URL").startswith("ws://127.0.0.1:")
        assert len(addresses) > 10
        assert set(addresses.values()) == {"https://unused.invalid"}
        assert "binance.com" not in ours.ws_api._url + ours.ws_future._url


async def test_it_signs_before_it_encodes() -> None:
    sent = {"symbol": "BTCUSDT", "newClientOrderId": "a b+ü"}
    async with stub(api__v3__order=recorded("order_result")) as told:
        async with sdk(told) as client:
            await client.create_order(**sent)
        signed, signature = payload(told.asked[-1].body)
        assert hmac_of(signed) != signature  # -1022 at the venue
        async with told.client() as ours:
            await ours.create_order(**sent)
            signed, signature = payload(told.asked[-1].body)
            assert hmac_of(signed) == signature
            assert "newClientOrderId=a+b%2B%C3%BC" in signed
            # its GET is not encoded at all: what cannot stand in a request line
            await ours.get_order(symbol="BTCUSDT", origClientOrderId="a b+ü")
            signed, signature = payload(told.asked[-1].query)
            assert hmac_of(signed) == signature
            assert "origClientOrderId=a+b%2B%C3%BC" in signed


@pytest.mark.parametrize("pem", [PEM, PEM.replace("\n", "\r\n") + "\r\n", f"\n {PEM}\n\n"])
async def test_ed25519_signs_what_is_sent_by_get_and_by_post(pem: str) -> None:
    async with stub(
        api__v3__order=recorded("order_result") | {"clientOrderId": "ord_1"},
        api__v3__account=recorded("account"),
    ) as told:
        async with told.adapter(pem) as exchange:
            await exchange.place(ORDER)
            await exchange.balances()
        for sent in (told.of("/api/v3/order")[0].body, told.of("/api/v3/account")[0].query):
            signed, signature = payload(sent)
            ED25519.public_key().verify(base64.b64decode(signature), signed.encode())


async def test_a_longer_pem_is_taken_for_rsa() -> None:
    longer = PEM.replace("\n", "\r\n") + "\r\n"
    with pytest.raises(ValueError, match="RSA"):
        AsyncClient(KEY, private_key=longer)
    rsa_key = rsa.generate_private_key(65537, 2048)
    rsa_pem = rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = ED25519.public_key()
    public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    broken = PEM.replace("MC4C", "AAAA")
    async with stub() as told:
        for wrong in (rsa_pem, public_pem, broken, broken + broken):
            with pytest.raises(Misconfigured) as refused:
                await told.adapter(wrong).__aenter__()
            assert wrong.splitlines()[1] not in str(refused.value)


async def test_it_overwrites_recv_window_with_10000() -> None:
    async with stub(api__v3__account=recorded("account")) as told:
        async with sdk(told) as client:
            await client.get_account(recvWindow=3000)
        assert "recvWindow=10000&" in told.asked[-1].query
        async with told.client() as ours:
            await ours.get_account()
        assert "recvWindow=10000&" in told.asked[-1].query


async def test_it_measures_the_clock_once() -> None:
    skewed: Any = (400, {"code": -1021, "msg": "Timestamp for this request..."}, {})
    fine: Any = (200, recorded("account"), {})
    async with stub(api__v3__account=[skewed, fine]) as told:
        async with sdk(told) as client:
            with pytest.raises(BinanceAPIException):
                await client.get_account()
            await client.get_account()
        assert told.of("/api/v3/time") == []  # only `create` ever asks, and only once
        told.answers["/api/v3/account"] = [skewed, fine]
        told.answers["/api/v3/time"] = {"serverTime": 1_700_000_000_000}
        async with told.adapter() as exchange:
            with pytest.raises(VenueUnavailable):
                await exchange.balances()
            assert len(told.of("/api/v3/time")) == 1
            await exchange.balances()
            await exchange.balances()
            assert len(told.of("/api/v3/time")) == 2  # after -1021, not for each call
        assert "timestamp=1700000" in told.asked[-1].query


async def test_an_order_without_an_id_gets_an_invented_one() -> None:
    async with stub(api__v3__order=recorded("order_result")) as told:
        async with sdk(told) as client:
            await client.create_order(symbol="BTCUSDT", side="SELL")
        assert "newClientOrderId=x-HNA2TXFJ" in told.asked[-1].body
        said = len(told.asked)
        async with told.adapter() as exchange:
            for wrong in ("", "x" * 37, "ord 1"):
                with pytest.raises(OrderRefused):
                    await exchange.place(
                        LimitOrder(
                            client_id=wrong,
                            symbol=ORDER.symbol,
                            side=ORDER.side,
                            quantity=ONE,
                            price=ONE,
                        )
                    )
        assert len(told.asked) == said


def test_its_three_exceptions_share_no_base() -> None:
    several = (BinanceAPIException, BinanceRequestException, BinanceOrderException)
    assert {error.__bases__ for error in several} == {(Exception,)}


async def test_an_error_that_is_no_object_breaks_its_exception() -> None:
    async with stub(api__v3__account=(500, [], {})) as told:
        async with sdk(told) as client:
            with pytest.raises(AttributeError):
                await client.get_account()
        async with told.adapter() as exchange:
            with pytest.raises(VenueUnavailable):
                await exchange.balances()


async def test_html_in_an_error_is_told_with_the_signed_address() -> None:
    async with stub(api__v3__account=(502, "<html>", {})) as told, sdk(told) as client:
        with pytest.raises(BinanceAPIException) as caught:
            await client.get_account()
        assert "signature=" in str(caught.value)
        async with told.adapter() as exchange:
            with pytest.raises(VenueUnavailable) as ours:
                await exchange.balances()
        assert "signature" not in repr(ours.value)
        assert ours.value.__context__ is None


async def test_numbers_come_in_as_floats() -> None:
    async with stub(api__v3__depth='{"price": 0.10000000000000000001}') as told:
        async with sdk(told) as client:
            assert isinstance((await client.get_order_book())["price"], float)
        async with told.client() as ours:
            answer = await ours.get_order_book()
        assert answer["price"] == Decimal("0.10000000000000000001")
        told.answers["/api/v3/depth"] = '{"price": NaN}'
        async with told.client() as ours:
            with pytest.raises(VenueUnavailable):
                await ours.get_order_book()


async def test_a_withdrawal_is_named_in_the_address_book() -> None:
    async with stub(
        sapi__v1__capital__withdraw__apply=recorded("withdraw_apply"),
        sapi__v1__capital__config__getall=recorded("coins"),
    ) as told:
        async with sdk(told) as client:
            await client.withdraw(coin="USDT", address=ADDRESS, amount="10")
        assert "name=USDT" in told.asked[-1].body
        async with told.adapter() as exchange:
            await exchange.withdraw(
                WithdrawalOrder(
                    client_id="mov_1",
                    asset="USDT",
                    network="eip155:1",
                    address=ADDRESS,
                    amount=10 * ONE,
                )
            )
        assert "name=" not in told.asked[-1].body


async def test_the_listen_key_is_gone_and_the_sdk_still_asks_for_it() -> None:
    async with stub(api__v3__userDataStream=(410, "<html>", {})) as told:
        async with sdk(told) as client:
            with pytest.raises(BinanceAPIException) as gone:
                await client.stream_get_listen_key()
        assert gone.value.status_code == 410
        async with told.client() as ours:
            await ours.keep_time()
            asked = ours.sign_subscription()
        signature = asked.pop("signature")
        assert set(asked) == {"apiKey", "recvWindow", "timestamp"}
        assert signature == hmac_of(urlencode(sorted(asked.items())))


async def test_an_answer_may_be_redirected_to_anywhere() -> None:
    async with stub(
        elsewhere=recorded("order_result"),
        api__v3__order=(307, "", {"Location": "/elsewhere"}),
    ) as told:
        async with sdk(told) as client:
            await client.create_order(symbol="BTCUSDT", newClientOrderId="ord_1")
        assert [one.path for one in told.asked] == ["/api/v3/order", "/elsewhere"]
        async with told.adapter() as exchange:
            with pytest.raises(OutcomeUnknown):
                await exchange.place(ORDER)
        assert len(told.of("/elsewhere")) == 1


async def test_only_calls_that_are_known_are_made() -> None:
    async with stub() as told, told.client() as ours:
        with pytest.raises(NotImplementedError):
            await ours.cancel_order(symbol="ETHEUR", orderId=1)
        assert told.asked == []


async def test_the_last_answer_of_any_call_is_one_attribute() -> None:
    """Headers of concurrent calls would be read from it, each other's."""
    async with stub(api__v3__ping={}) as told, sdk(told) as client:
        await asyncio.gather(*(client.ping() for _ in range(3)))
        assert client.response is not None
    async with (
        stub(api__v3__account=(200, recorded("account"), {"X-MBX-USED-WEIGHT-1M": "3000"})) as told,
        told.client() as ours,
    ):
        await asyncio.gather(*(ours.get_account() for _ in range(3)))
        assert ours.response is None
        assert ours.limits.used_percent == 50


async def test_the_documented_signature() -> None:
    """rest-api.md, "SIGNED Endpoint Examples for POST /api/v3/order", HMAC Keys."""
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    signed = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
        "&recvWindow=5000&timestamp=1499827319559"
    )
    async with stub() as told, told.client(secret) as ours:
        assert ours._hmac_signature(signed) == (
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
        )
