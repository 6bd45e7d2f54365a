"""The public checkout pages. An invoice's id cannot be guessed: who has the link may look."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qs, urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy import select
from sse_starlette import EventSourceResponse, ServerSentEvent

from core import ids
from core.context import Context
from core.errors import Invalid, NotFound, Refused, TooMany
from core.limiter import Limiter
from merchants.tables import Merchant
from payments import invoices, refund_reads, refunds
from payments.tables import Invoice
from web import live, texts
from web.assets import FOREVER, Assets
from web.pages import HEADERS, Pages
from web.view import View, view_of
from web.visitors import Streams, visitor_of
from web.wallet import Wallet, news

FORM = "application/x-www-form-urlencoded"
FULL_SECONDS = 10  # whoever has too many streams open may ask again after this


def router(context: Context) -> APIRouter:
    """GET /pay/{invoice}, its state as JSON, its events, and /static; none of it in the OpenAPI."""
    checkout = Checkout(context)
    routes = APIRouter(include_in_schema=False)
    routes.add_api_route("/pay/{invoice}.json", checkout.state)
    routes.add_api_route("/pay/{invoice}", checkout.page, methods=["GET", "HEAD"])
    routes.add_api_route("/pay/{invoice}/events", checkout.events)
    routes.add_api_route("/pay/{invoice}/refund", checkout.refund, methods=["POST"])
    Wallet(context, checkout.wait).add(routes)
    routes.add_api_route("/static/{name}", checkout.static)
    return routes


async def look(context: Context, invoice_id: UUID) -> View | None:
    """The invoice as it is now, for the payer; None when there is none."""
    async with context.database.read() as session:
        try:
            invoice = await invoices.show(session, context, invoice_id, None)
        except NotFound:
            return None
        merchant = await session.scalar(
            select(Merchant.name).join(Invoice).where(Invoice.id == invoice_id)
        )
        given_back = await refund_reads.newest(session, context, invoice_id)
    return view_of(invoice, merchant or "", context.catalog, context.clock.now(), given_back)


class Checkout:
    """The handlers, and what they share: the limits count for all of them together."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._assets = Assets()
        self._pages = Pages(self._assets)
        self._streams = Streams()
        self._limiter = Limiter(context.limits.public_per_second, context.limits.public_burst)

    async def page(self, invoice: str, request: Request) -> Response:
        """People get refusals as pages, programs as problem documents."""
        wait = self.wait(request)
        readable = "text/html" in request.headers.get("accept", "")
        if wait:
            if readable:
                return self._pages.busy(wait)
            raise _too_many(wait)
        view = await self._look(ids.read("inv", invoice))
        if view is None:
            if readable:
                return self._pages.missing()
            raise _nothing()
        return self._pages.checkout(_with_refusal(view, request))

    async def state(self, invoice: str, request: Request) -> Response:
        """What the events say, for pages whose stream does not get through."""
        wait = self.wait(request)
        if wait:
            raise _too_many(wait)
        view = await self._look(ids.read("inv", invoice))
        if view is None:
            raise _nothing()
        return JSONResponse(self._pages.state(view), headers=HEADERS)

    async def events(self, invoice: str, request: Request) -> Response:
        wait = self.wait(request)
        visitor = visitor_of(request)
        if wait or not self._streams.has_room(visitor):
            raise _too_many(wait or FULL_SECONDS)
        invoice_id = ids.read("inv", invoice)
        if invoice_id is None or await self._look(invoice_id) is None:
            raise _nothing()
        # nginx would hold events back until its buffer is full
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return EventSourceResponse(
            self._stream(invoice_id, visitor), headers=headers, ping=live.STREAM_SECONDS
        )

    async def refund(self, invoice: str, request: Request) -> Response:
        """The payer says where his money should go back to; the shop confirms. A form leads back
        to the page, JSON `{"address": "0x..."}` answers with what was asked for."""
        wait = self.wait(request)
        if wait:
            raise _too_many(wait)
        invoice_id = ids.read("inv", invoice)
        view = await self._look(invoice_id)
        if invoice_id is None or view is None:
            raise _nothing()
        address, is_form = await _address(request)
        try:
            async with self._context.database.begin() as session:
                asked = await refunds.ask(session, self._context, invoice_id, address)
        except Refused as error:
            if not is_form:
                raise
            query = urlencode({"refused": error.code, "address": address[:64]})
            return RedirectResponse(f"../{view.id}?{query}", 303, headers=HEADERS)
        if is_form:
            return RedirectResponse(f"../{view.id}", 303, headers=HEADERS)
        return JSONResponse({"data": asked}, 201, headers=HEADERS)

    async def static(self, name: str) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            raise _nothing()
        headers = {**HEADERS, "Cache-Control": FOREVER}
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    async def _look(self, invoice_id: UUID | None) -> View | None:
        return None if invoice_id is None else await look(self._context, invoice_id)

    async def _stream(self, invoice_id: UUID, visitor: str) -> AsyncIterator[ServerSentEvent]:
        with self._streams.one(visitor):
            async for event in live.events(
                self._context,
                self._pages,
                invoice_id,
                lambda: self._look(invoice_id),
                lambda: news(self._context, invoice_id),
            ):
                yield event

    def wait(self, request: Request) -> int:
        """Seconds until this visitor may ask again; 0 when it may now."""
        allowance = self._limiter.take(("visitor", visitor_of(request)))
        request.state.allowance = allowance  # the answer's RateLimit headers tell it
        return allowance.retry_after


def _with_refusal(view: View, request: Request) -> View:
    """After a form that was refused: the address as it was typed, and what is wrong with it."""
    code = request.query_params.get("refused")
    if code is None or view.refund is None:
        return view
    said = texts.REFUSED_ADDRESS.get(code, texts.REFUSED_ADDRESS["other"])
    typed = request.query_params.get("address", "")[:64]
    return replace(view, refund=replace(view.refund, typed=typed, error=said))


async def _address(request: Request) -> tuple[str, bool]:
    """The `address` that came, and whether a form brought it. Raises Invalid."""
    body = await request.body()
    if request.headers.get("content-type", "").partition(";")[0] == FORM:
        fields = parse_qs(body.decode("latin-1"), max_num_fields=10)
        return fields.get("address", [""])[0].strip(), True
    try:
        found = json.loads(body)
        address = found["address"] if isinstance(found, dict) else None
    except (ValueError, KeyError):
        address = None
    if not isinstance(address, str):
        raise Invalid.of("address", "is required: where the money should go back to")
    return address, False


def _nothing() -> NotFound:
    return NotFound("there is nothing at this path", headers=HEADERS)


def _too_many(seconds: int) -> TooMany:
    return TooMany("too many requests; slow down", headers={**HEADERS, "Retry-After": str(seconds)})
