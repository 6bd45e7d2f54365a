"""Paying through our router as a browser's wallet does: a quote first, then the router's call."""

from __future__ import annotations

import asyncio
from uuid import UUID

from core.context import Context
from core.errors import Conflict, Invalid, Unavailable
from core.networks import NATIVE, Network, Token
from payments import router_quotes
from payments.router_tables import Quote
from sandbox import contracts
from sandbox.node import Node
from wallets.intents import RouterQuote

ANSWER_SECONDS = 10
_STRUCT = "(bytes32,address,uint256,uint256,uint256)"


async def quote(context: Context, invoice_id: UUID, network: Network, token: Token) -> Quote:
    """Asked for and answered by the worker. Raises Invalid, Conflict, Unavailable."""
    wish = router_quotes.Wish(asset=token.asset.symbol, network=network.id)
    async with context.listener.subscribe("invoice") as told:
        async with context.database.begin() as session:
            row = await router_quotes.ask(session, context, invoice_id, wish)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while row.status == "requested":
                    await told.next(1)
                    async with context.database.read() as session:
                        row = await router_quotes.find(session, invoice_id, row.id)
        except TimeoutError:
            raise Unavailable("the worker did not answer with a signed quote") from None
    if row.status != "signed":
        raise Conflict(f"the quote was refused: {row.reason}", code=row.reason)
    return row


async def pay(node: Node, payer: str, row: Quote, network: Network, token: Token) -> str:
    """From an unlocked account that has enough; the hash of the payment."""
    said = router_quotes.terms(row, network)
    if token.is_native:
        call = {"from": payer, "to": row.router, "value": hex(row.amount), "data": _data(row, said)}
        return (await node.send([call]))[0]
    approve = contracts.call("approve(address,uint256)", row.router, row.amount)
    await node.send([{"from": payer, "to": token.address, "data": approve}])
    return (await node.send([{"from": payer, "to": row.router, "data": _data(row, said)}]))[0]


def _data(row: Quote, said: RouterQuote) -> str:
    native = row.token == NATIVE
    asset = "0x" + "00" * 20 if native else row.token
    struct = (bytes.fromhex(said.invoice[2:]), asset, said.amount, said.deadline, said.nonce)
    signature = bytes.fromhex((row.signature or "0x")[2:])
    method = "pay" if native else "payToken"
    return contracts.call(f"{method}({_STRUCT},bytes)", struct, signature)


def check_amount(amount: int, row: Quote) -> None:
    """Raises Invalid: a quote is over what is due, no more and no less."""
    if amount != row.amount:
        raise Invalid.of("amount", "the router takes exactly what is due: leave it out")
