"""`bezant listen` and `bezant scenario`: what happens, line by line."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import click

from bezant.client import Service
from core.clock import wall
from core.errors import Refused
from sandbox import scenarios
from sandbox.shop import Shop
from webhooks.signing import headers

RECONNECT_SECONDS = 1
FORWARD_SECONDS = 15


async def listen(
    service: Service, forward_to: str | None, secret: str | None, kind: str | None, as_json: bool
) -> None:
    """Until Ctrl-C. A lost connection is taken up again where it was: nothing is left out."""
    if forward_to is not None:
        secret = secret or _own_secret(service)
        click.echo(f"Forwarding to {forward_to}, signed with {secret}", err=True)
    async with service.enter() as shop:
        async for body in _events(shop, kind):
            event = json.loads(body)
            click.echo(body if as_json else _line(event))
            if forward_to is not None and secret is not None:
                result = await _forward(shop, forward_to, secret, event["id"], body)
                click.echo(f"  -> {result}", err=True)


def _own_secret(service: Service) -> str:
    """The one that signs this merchant's webhooks in the sandbox, else one for this session."""
    from merchants.merchants import new_webhook_secret

    return service.sandbox["webhook_secret"] if service.sandbox else new_webhook_secret()


async def _events(shop: Shop, kind: str | None) -> AsyncIterator[str]:
    last: str | None = None
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    while True:
        seen = {"Last-Event-ID": last} if last else {}
        wanted = {"type": kind} if kind else {}
        try:
            async with shop.session.get(
                f"{shop.url}/v1/events/stream",
                params=wanted,
                headers={**shop.headers, **seen},
                timeout=timeout,
            ) as response:
                if response.status >= 400:
                    raise Refused((await response.json(content_type=None)).get("detail", ""))
                async for line in response.content:
                    field, _, value = line.decode().rstrip("\r\n").partition(": ")
                    if field == "id":
                        last = value
                    elif field == "data":
                        yield value
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(RECONNECT_SECONDS)


async def _forward(shop: Shop, url: str, secret: str, event_id: str, body: str) -> str:
    sent = {"Content-Type": "application/json", **headers(event_id, body, [secret], wall())}
    timeout = aiohttp.ClientTimeout(total=FORWARD_SECONDS)
    try:
        async with shop.session.post(url, data=body, headers=sent, timeout=timeout) as response:
            return str(response.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"{url} does not answer ({type(error).__name__})"


def _line(event: dict[str, Any]) -> str:
    thing = event["data"]["object"]
    details = [thing.get(name) for name in ("id", "status", "exception", "asset", "amount")]
    shown = "  ".join(str(d) for d in details if d not in (None, "none"))
    return f"{event['timestamp']}  {event['type']:<22} {shown}"


async def play(service: Service, name: str, as_json: bool, seed: int | None = None) -> int:
    """Plays one scenario or `all`, with a seed in an order drawn from it; returns how many failed.

    One follows the other on the same chain: what one leaves behind must not harm the next.
    """
    names = list(scenarios.SCENARIOS) if name == "all" else [name]
    if seed is not None:
        random.Random(seed).shuffle(names)  # noqa: S311 - no secret, and the same every time
    failed = 0
    async with service.enter() as shop:
        for each in names:
            try:
                told = await shop.post(f"/sandbox/scenarios/{each}")
            except Refused as error:
                told = {"scenario": each, "failed": error.detail}
                failed += 1
            if as_json:
                click.echo(json.dumps(told))
                continue
            click.echo(f"{each}: {told.get('failed', 'as it should be')}")
            for step in told.get("steps", ()):
                click.echo(f"  {step}")
    return failed
