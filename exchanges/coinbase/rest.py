"""Calls of Coinbase's REST interface from the event loop, by a bounded pool of threads.

`requests.Session` is not promised to be safe for threads, so each thread has a client of its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from core import http_headers
from core.errors import OutcomeUnknown, UnreadableAnswer, VenueUnavailable
from exchanges.coinbase import answers
from exchanges.coinbase.answers import Answer, Unanswered
from exchanges.coinbase.client import Client, check_key, host_of, trusted
from exchanges.coinbase.pace import Lane, Pace
from exchanges.coinbase.reading import listed

_THREADS = 8
_MOST_PAGES = 10_000
# A Date header counts whole seconds: what is less than this may be rounding and travel.
_SKEW_SECONDS = 3.0

Params = Mapping[str, str | int | Sequence[str] | None]


class Rest:
    """Signed questions and orders. Every call ends within three timeouts."""

    def __init__(
        self, *, key: str, secret: str, url: str, ca_file: Path | None, timeout: float
    ) -> None:
        check_key(key, secret)
        host, authorities = host_of(url), trusted(ca_file)

        def make() -> Client:
            return Client(
                key=key, secret=secret, host=host, authorities=authorities, timeout=timeout
            )

        self._make = make
        self._timeout = timeout
        self._local = threading.local()
        self._clients: list[Client] = []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="coinbase")
        self.pace = Pace()
        self.skew_seconds = 0.0

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for client in list(self._clients):
            client.session.close()

    async def get(
        self, path: str, params: Params | None = None, lane: Lane = Lane.PRIVATE
    ) -> dict[str, Any]:
        """A question. Raises VenueUnavailable, or OrderRefused where Coinbase refuses it."""
        return await self._ask("GET", path, params or {}, lane)

    async def create(self, path: str, body: Mapping[str, Any], lane: Lane) -> dict[str, Any]:
        """A POST that may be done twice without harm; raises like `get`."""
        return await self._ask("POST", path, body, lane)

    async def send(self, path: str, body: Mapping[str, Any], lane: Lane) -> dict[str, Any]:
        """An order or a withdrawal, sent once. Raises VenueUnavailable (nothing was done),
        OrderRefused (final) or OutcomeUnknown."""
        try:
            return await self._call("POST", path, body, lane)
        except Unanswered as error:
            raise OutcomeUnknown(str(error)) from error

    async def pages(self, path: str, key: str, params: Params) -> AsyncIterator[Mapping[str, Any]]:
        """The entries of `key` on all pages of a v3 list, to the end."""
        cursor = ""
        seen = {cursor}
        for _ in range(_MOST_PAGES):
            answer = await self.get(path, {**params, "cursor": cursor or None})
            entries = listed(answer, key)
            for entry in entries:
                yield entry
            cursor = answer.get("cursor") or ""
            more = answer.get("has_next")
            if more is False or (more is None and not (cursor and entries)):
                return
            if not isinstance(cursor, str) or cursor in seen:  # "" is seen from the start
                raise UnreadableAnswer(f"the pages of {path} do not lead to their end")
            seen.add(cursor)
        raise UnreadableAnswer(f"{path} has more pages than can be")

    async def _ask(
        self, method: str, path: str, fields: Mapping[str, Any], lane: Lane
    ) -> dict[str, Any]:
        try:
            return await self._call(method, path, fields, lane)
        except Unanswered as error:
            raise VenueUnavailable(str(error), retry_after=error.retry_after) from error

    async def _call(
        self, method: str, path: str, fields: Mapping[str, Any], lane: Lane
    ) -> dict[str, Any]:
        async with self.pace.turn(lane, self._timeout):
            answer = await self._carry(method, path, fields)
        self.pace.heard(lane, answer.headers)
        self._see_clock(answer)
        try:
            return answers.read(answer)
        except (VenueUnavailable, Unanswered) as error:
            if error.retry_after is not None:
                self.pace.close(error.retry_after)
            if answer.status == 401 and abs(self.skew_seconds) >= _SKEW_SECONDS:
                raise VenueUnavailable(
                    f"{error}: its clock is {self.skew_seconds:+.0f} s from ours"
                ) from error
            raise

    async def _carry(self, method: str, path: str, fields: Mapping[str, Any]) -> Answer:
        """One request in a thread; what never began to run has not left."""
        future = self._pool.submit(self._request, method, path, dict(fields))
        try:
            async with asyncio.timeout(2 * self._timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if future.cancelled():
                raise VenueUnavailable("all connections to Coinbase are busy") from None
            raise Unanswered("Coinbase did not answer in time") from None

    def _request(self, method: str, path: str, fields: dict[str, Any]) -> Answer:
        """Runs in a thread of the pool."""
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._make()
            self._local.client = client
            self._clients.append(client)
        answer: Answer
        if method == "GET":
            answer = client.get(path, params=fields)
        else:
            answer = client.post(path, data=fields)
        return answer

    def _see_clock(self, answer: Answer) -> None:
        """Each answer's Date says how far its clock is from ours, to about a second."""
        there = http_headers.date(answer.headers.get("date"))
        if there is not None:
            self.skew_seconds = there.timestamp() - time.time()
