"""Server-side request forgery: a corpus of URLs that must not pass, and names that rebind."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.errors import Invalid
from webhooks.attempt import post
from webhooks.guard import GuardedResolver, NotPublic, SystemLookup, client
from webhooks.urls import check, is_public

REFUSED = [
    # schemes
    "", "shop.example", "//shop.example/", "http://shop.example/", "ftp://shop.example/",
    "file:///etc/passwd", "gopher://shop.example/", "javascript:alert(1)", "data:text/plain,x",
    "HTTPS://shop.example", "https:/shop.example", "https:shop.example", "https://",
    # user names, fragments, white space, other parsers' doors
    "https://user@shop.example/", "https://user:pass@shop.example/", "https://a@b@shop.example/",
    "https://shop.example@127.0.0.1/", "https://127.0.0.1#@shop.example/",
    "https://shop.example/#frag", "https://shop.example\\@127.0.0.1/", "https:\\\\shop.example/",
    "https://shop.example /", " https://shop.example/", "https://shop.example/\r\nX: y",
    "https://shop.example/\0", "https://shop.exam\tple/", "https://shop%2eexample/",
    "https://127.0.0.1%00.shop.example/", "https://shop.example:443:22/", "https://?x",
    # ports
    "https://shop.example:0/", "https://shop.example:22/", "https://shop.example:25/",
    "https://shop.example:80/", "https://shop.example:65536/", "https://shop.example:-1/",
    "https://shop.example:٤٤٣/",
    # loopback in every notation
    "https://127.0.0.1/", "https://127.0.0.1:8443/", "https://127.1/", "https://127.0.1/",
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0x7F.1/",
    "https://0177.0.0.1/", "https://017700000001/", "https://127.0.0.01/", "https://127.0.0.1./",
    "https://[::1]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/", "https://localhost/", "https://LOCALHOST/", "https://localhost./",
    "https://shop.localhost/", "https://localhost.localdomain/",
    # private, shared, link-local, metadata, reserved
    "https://0.0.0.0/", "https://0/", "https://10.0.0.1/", "https://172.16.0.1/",
    "https://172.31.255.255/", "https://192.168.1.1/", "https://100.64.0.1/",
    "https://100.100.100.200/", "https://169.254.169.254/latest/meta-data/",
    "https://168.63.129.16/", "https://192.0.0.192/", "https://198.18.0.1/", "https://192.0.2.1/",
    "https://198.51.100.7/", "https://203.0.113.7/", "https://224.0.0.1/", "https://239.1.1.1/",
    "https://240.0.0.1/", "https://255.255.255.255/", "https://192.88.99.1/", "https://[::]/",
    "https://[fe80::1]/", "https://[fe80::1%25eth0]/", "https://[fc00::1]/",
    "https://[fd00:ec2::254]/", "https://[fec0::1]/", "https://[ff02::1]/",
    "https://[64:ff9b::7f00:1]/", "https://[64:ff9b:1::a00:1]/", "https://[2002:7f00:1::]/",
    "https://[2001::1]/", "https://[2001:db8::1]/", "https://[3fff::1]/", "https://[100::1]/",
    # names of no public host
    "https://intranet/", "https://postgres/", "https://metadata.google.internal/",
    "https://printer.local/", "https://nas.lan/", "https://a.b.corp/", "https://router.home.arpa/",
    "https://.example/", "https://shop..example/", "https://-shop.example/", "https://shop.123/",
    "https://[shop.example]/", "https://" + "a" * 64 + ".example/",
    "https://shop.example/" + "a" * 2048,
]  # fmt: skip
ACCEPTED = [
    "https://shop.example", "https://shop.example/hooks?a=b&c=%20d", "https://shop.example:8443/",
    "https://Shop.Example./", "https://xn--bcher-kva.example/x", "https://8.8.8.8/",
    "https://[2606:4700::1111]/hook", "https://a_b.example/", "https://shop.example:65535?x=1",
]  # fmt: skip
SANDBOX = [
    "http://127.0.0.1/", "http://127.0.0.1:1/", "http://localhost:9000/hook",
    "http://localhost", "http://127.0.0.1:65535/a?b",
]  # fmt: skip


def test_the_corpus_is_large_enough() -> None:
    assert len(set(REFUSED)) >= 60


@pytest.mark.parametrize("sandbox", [False, True])
@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str, sandbox: bool) -> None:
    with pytest.raises(Invalid) as refused:
        check(url, sandbox)
    assert [error.field for error in refused.value.errors] == ["url"]


@pytest.mark.parametrize("url", ACCEPTED)
def test_accepted(url: str) -> None:
    assert check(url, sandbox=False) == check(url, sandbox=True)


@pytest.mark.parametrize("url", SANDBOX)
def test_the_sandbox_adds_loopback_over_http_and_nothing_else(url: str) -> None:
    check(url, sandbox=True)
    with pytest.raises(Invalid):
        check(url, sandbox=False)
    with pytest.raises(Invalid):
        check(url.replace("http:", "https:"), sandbox=True)
    with pytest.raises(Invalid):
        check(url.replace("127.0.0.1", "127.0.0.2").replace("localhost", "[::1]"), sandbox=True)


async def resolves(*addresses: str) -> Sequence[str]:
    return addresses


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["10.1.2.3"], ["169.254.169.254"], ["100.64.0.1"], ["::1"], ["fe80::1%eth0"],
        ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["2002:a00:1::"], ["8.8.8.8", "127.0.0.1"],
        ["2606:4700::1111", "fd00::1"], [],
    ],
)  # fmt: skip
async def test_a_name_with_one_private_address_is_refused_as_a_whole(addresses: list[str]) -> None:
    resolver = GuardedResolver(lambda _: resolves(*addresses), sandbox=True)
    with pytest.raises(NotPublic):
        await resolver.resolve("shop.example", 443)


async def test_the_connection_goes_to_the_judged_address() -> None:
    resolver = GuardedResolver(lambda _: resolves("8.8.8.8", "2606:4700::1111"), sandbox=False)
    found = await resolver.resolve("shop.example", 443)
    assert [(r["hostname"], r["host"], r["port"], r["family"]) for r in found] == [
        ("shop.example", "8.8.8.8", 443, socket.AF_INET),
        ("shop.example", "2606:4700::1111", 443, socket.AF_INET6),
    ]


async def test_a_name_that_rebinds_is_judged_at_every_connection() -> None:
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    resolver = GuardedResolver(lambda _: resolves(*next(answers)), sandbox=False)
    await resolver.resolve("rebind.example", 443)
    with pytest.raises(NotPublic):
        await resolver.resolve("rebind.example", 443)


async def test_localhost_is_only_the_sandboxs() -> None:
    outside = GuardedResolver(SystemLookup(), sandbox=False)
    with pytest.raises(NotPublic):
        await outside.resolve("localhost", 80)
    inside = GuardedResolver(lambda _: resolves("8.8.8.8"), sandbox=True)
    assert [r["host"] for r in await inside.resolve("localhost", 80)] == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "https://rebind.example:{port}/",
        "https://127.0.0.1:{port}/",
    ],
)
async def test_nothing_reaches_a_private_server(url: str) -> None:
    reached: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    server = TestServer(app)
    await server.start_server()
    try:
        async with client(lambda _: resolves("127.0.0.1"), sandbox=False, timeout=1) as http:
            attempt = await post(http, url.format(port=server.port), "{}", {}, sandbox=False)
    finally:
        await server.close()
    assert attempt.status_code is None
    assert attempt.error is not None
    assert attempt.error.startswith(("Invalid", "NotPublic", "ClientConnector"))
    assert reached == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=204, headers={"set-cookie": "tenant=1"})

    app = web.Application()
    app.router.add_post("/", handle)
    server = TestServer(app)
    await server.start_server()
    try:
        async with client(SystemLookup(), sandbox=True, timeout=1) as http:
            attempt = await post(http, f"http://127.0.0.1:{server.port}/", "{}", {}, sandbox=True)
            assert attempt.status_code == 204
            assert isinstance(http.cookie_jar, aiohttp.DummyCookieJar)
    finally:
        await server.close()


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "2a00:1450::1"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)
