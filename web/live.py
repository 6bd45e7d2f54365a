"""An open checkout page hears what happens: server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from time import monotonic
from typing import Any
from uuid import UUID

import msgspec
from sse_starlette import ServerSentEvent

from core.context import Context
from core.listen import Subscription
from web.pages import Pages
from web.view import View

BEAT_SECONDS = 15  # something is sent at least this often; the page reconnects when it is not
STREAM_SECONDS = 600  # then the page connects anew: no stream outlives a deployment by much
RETRY_MS = 2_000

Look = Callable[[], Awaitable[View | None]]
News = Callable[[], Awaitable[list[dict[str, Any]]]]
# What else is told of an invoice, by the object's name.
EVENTS = {"router_quote": "quote", "router_authorization": "authorization"}


class Wake:
    """One event out of several channels. A notification is a hint: what counts is the look."""

    def __init__(self, context: Context, invoice_id: UUID) -> None:
        self._context = context
        self._invoice = invoice_id.hex
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._event = asyncio.Event()
        self.networks: frozenset[str] = frozenset()  # whose blocks matter now

    async def __aenter__(self) -> Wake:
        for channel in ("invoice", "block", "clock"):
            subscription = await self._stack.enter_async_context(
                self._context.listener.subscribe(channel)
            )
            self._tasks.append(asyncio.create_task(self._pump(channel, subscription)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._stack.aclose()

    async def wait(self, seconds: float) -> None:
        """Returns when something happened, at the latest after `seconds`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), max(0.0, seconds))
        self._event.clear()

    async def _pump(self, channel: str, subscription: Subscription) -> None:
        while True:
            payload = await subscription.next(None)
            if payload == "" or self._matters(channel, payload or ""):
                self._event.set()

    def _matters(self, channel: str, payload: str) -> bool:
        if channel == "invoice":
            return payload == self._invoice
        return channel == "clock" or payload in self.networks


async def events(
    context: Context, pages: Pages, invoice_id: UUID, look: Look, news: News
) -> AsyncIterator[ServerSentEvent]:
    """`state` at once and at each change (only the regions that changed), `beat` in between;
    `quote` and `authorization` for each of `news` that is new or changed.

    Ends by itself: with `over` once nothing changes any more, silently after STREAM_SECONDS
    (the browser then connects anew and gets the whole state).
    """
    sent: dict[str, object] = {}
    ends_at = monotonic() + STREAM_SECONDS
    async with Wake(context, invoice_id) as wake:
        under_way: frozenset[str] = frozenset()  # networks of relayed payments
        while (view := await look()) is not None:
            wake.networks = view.pending_networks | under_way
            state = pages.state(view)
            regions = {k: v for k, v in state["regions"].items() if sent.get(k) != v}
            if regions or sent.get("stage") != view.stage:
                yield _event("state", {**state, "regions": regions})
                sent |= {**regions, "stage": view.stage}
            else:
                yield _event("beat", {"seconds_left": view.seconds_left})
            told = await news() if view.options or wake.networks else []
            for one in told:
                if sent.get(one["id"]) != one:
                    sent[one["id"]] = one
                    yield _event(EVENTS[one["object"]], one)
            if view.is_over:
                yield _event("over", {})
                return
            if monotonic() >= ends_at:
                return
            under_way = frozenset(one["network"] for one in told if one["status"] == "sending")
            # Nobody notifies at the deadline itself.
            await wake.wait(
                min(view.seconds_left or BEAT_SECONDS, BEAT_SECONDS, ends_at - monotonic())
            )


def _event(name: str, data: dict[str, object]) -> ServerSentEvent:
    return ServerSentEvent(msgspec.json.encode(data).decode(), event=name, retry=RETRY_MS)
