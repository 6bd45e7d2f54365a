"""A payer's own wallet pays through our router: quotes and authorizations of an open invoice.

Both are rows that the worker answers; the answer comes by the invoice's events, or is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from core import ids
from core.context import Context
from core.errors import Invalid, NotFound, Refused, TooMany
from payments import relays, router_quotes
from web.pages import HEADERS

T = TypeVar("T")

Address = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{40}$")]
Seconds = Annotated[str, msgspec.Meta(pattern="^[0-9]{1,78}$")]


class QuoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /pay/{invoice}/quote. `payer`: the address that he means to pay from."""

    asset: Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{2,12}$")]
    network: Annotated[str, msgspec.Meta(pattern="^eip155:[0-9]{1,32}$")]
    payer: Address | None = None


class AuthorizationBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /pay/{invoice}/authorizations: EIP-3009's fields as the wallet signed them, whose value
    and nonce are the quote's. Times are unix seconds as text, as in signed data."""

    quote: Annotated[str, msgspec.Meta(max_length=64)]
    payer: Address
    valid_after: Seconds
    valid_before: Seconds
    signature: Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{130}$")]


class Wallet:
    """`wait` says how many seconds a visitor must wait: the checkout's limit counts for both."""

    def __init__(self, context: Context, wait: Callable[[Request], int]) -> None:
        self._context = context
        self._wait = wait

    def add(self, routes: APIRouter) -> None:
        for path, handler, method in (
            ("/quote", self.ask_quote, "POST"),
            ("/quotes/{quote}", self.quote, "GET"),
            ("/authorizations", self.authorize, "POST"),
            ("/authorizations/{authorization}", self.authorization, "GET"),
        ):
            routes.add_api_route(f"/pay/{{invoice}}{path}", handler, methods=[method])

    async def ask_quote(self, invoice: str, request: Request) -> Response:
        """202 while the worker has not signed it, 200 for one that is there."""
        invoice_id = self._admit(invoice, request)
        body = await _read(request, QuoteBody)
        wish = router_quotes.Wish(asset=body.asset, network=body.network, payer=body.payer)
        async with self._context.database.begin() as session:
            row = await router_quotes.ask(session, self._context, invoice_id, wish)
            shown = router_quotes.quote_json(row, self._context)
        return _answer(shown, invoice, "quotes")

    async def quote(self, invoice: str, quote: str, request: Request) -> Response:
        invoice_id = self._admit(invoice, request)
        async with self._context.database.read() as session:
            row = await router_quotes.find(session, invoice_id, ids.read("qte", quote))
            return JSONResponse(router_quotes.quote_json(row, self._context), headers=HEADERS)

    async def authorize(self, invoice: str, request: Request) -> Response:
        """202: the worker looks whether it can be sent, and the invoice's events say so."""
        invoice_id = self._admit(invoice, request)
        body = await _read(request, AuthorizationBody)
        given = relays.Signed(
            payer=body.payer,
            valid_after=int(body.valid_after),
            valid_before=int(body.valid_before),
            signature=body.signature,
        )
        async with self._context.database.begin() as session:
            quote_id = ids.read("qte", body.quote)
            row = await relays.ask(session, self._context, invoice_id, quote_id, given)
            shown = await relays.shown(session, row)
        return _answer(shown, invoice, "authorizations")

    async def authorization(self, invoice: str, authorization: str, request: Request) -> Response:
        invoice_id = self._admit(invoice, request)
        async with self._context.database.read() as session:
            row = await relays.find(session, invoice_id, ids.read("rel", authorization))
            return JSONResponse(await relays.shown(session, row), headers=HEADERS)

    def _admit(self, invoice: str, request: Request) -> UUID:
        """The invoice's id. Raises TooMany, NotFound."""
        if wait := self._wait(request):
            headers = {**HEADERS, "Retry-After": str(wait)}
            raise TooMany("too many requests; slow down", headers=headers)
        found = ids.read("inv", invoice)
        if found is None:
            raise NotFound("there is nothing at this path", headers=HEADERS)
        return found


async def news(context: Context, invoice_id: UUID) -> list[dict[str, Any]]:
    """Quotes that are given out and authorizations of an invoice, as its events tell them."""
    if not any(network.router for network in context.catalog.networks.values()):
        return []
    async with context.database.read() as session:
        quotes = await router_quotes.of_invoice(session, invoice_id)
        told = [router_quotes.quote_json(row, context) for row in quotes]
        return told + await relays.of_invoice(session, invoice_id)


async def _read(request: Request, kind: type[T]) -> T:
    """The body, exactly as `kind` says. Raises Refused (400) for what is no JSON, Invalid."""
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$.")
        raise Invalid.of(place.rstrip("`") or "body", said) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused("the body is not JSON", code="invalid_json") from None


def _answer(shown: dict[str, Any], invoice: str, folder: str) -> Response:
    waiting = shown["status"] == "requested"
    headers = {**HEADERS, "Location": f"/pay/{invoice}/{folder}/{shown['id']}"}
    return JSONResponse(shown, 202 if waiting else 200, headers=headers)
