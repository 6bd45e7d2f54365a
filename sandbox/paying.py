"""Paying as a customer does: from one of Anvil's unlocked accounts."""

from __future__ import annotations

import secrets
from typing import Any

from core import ids
from core.context import Context
from core.errors import Invalid, InvalidAmount
from core.networks import Network, Token
from sandbox import contracts, quoted
from sandbox.node import Node


async def pay(
    context: Context,
    invoice: dict[str, Any],
    *,
    asset: str | None,
    network: str | None,
    amount: str | None,
    via: str,
) -> dict[str, Any]:
    """Sends a payment for `invoice` (the API's JSON). Raises Invalid, EndpointFailed.

    Left out: the first option that fits, and what is still due of it. What the invoice does not
    offer can be paid too, with an amount: customers do.
    """
    option = _option(invoice, asset, network)
    where, token = _token(context, invoice, option, asset, network)
    to = invoice["payment_options"][0]["address"].lower()
    units = _units(token, option, amount)
    node = Node(where.rpc_urls[0])
    payer = secrets.choice(await node.accounts())
    if via == "router":
        tx_hash = await _by_router(context, invoice, node, payer, where, token, units)
        return _told(tx_hash, where, token, units)
    if via == "contract":
        if not token.is_native:
            raise Invalid.of("via", f"contract pays {where.tokens[0].asset.symbol} only")
        await _afford(node, payer, units)
        data = contracts.call("pay(address)", to)
        transaction = {"from": payer, "to": contracts.payer(), "value": hex(units), "data": data}
    elif token.is_native:
        await _afford(node, payer, units)
        transaction = {"from": payer, "to": to, "value": hex(units)}
    else:
        await _mint(node, token, payer, units)
        data = contracts.call("transfer(address,uint256)", to, units)
        transaction = {"from": payer, "to": token.address, "data": data}
    return _told((await node.send([transaction]))[0], where, token, units)


def _told(tx_hash: str, where: Network, token: Token, units: int) -> dict[str, Any]:
    return {
        "tx_hash": tx_hash,
        "network": where.id,
        "asset": token.asset.symbol,
        "amount": token.asset.format(units),
    }


async def _by_router(
    context: Context,
    invoice: dict[str, Any],
    node: Node,
    payer: str,
    where: Network,
    token: Token,
    units: int,
) -> str:
    """By a quote that the worker signs. Raises Invalid, Conflict, Unavailable."""
    invoice_id = ids.read("inv", invoice["id"])
    assert invoice_id is not None  # noqa: S101  (our own JSON)
    row = await quoted.quote(context, invoice_id, where, token)
    quoted.check_amount(units, row)
    if token.is_native:
        await _afford(node, payer, units)
    else:
        await _mint(node, token, payer, units)
    return await quoted.pay(node, payer, row, where, token)


def _option(
    invoice: dict[str, Any], asset: str | None, network: str | None
) -> dict[str, Any] | None:
    """The first option of the invoice that is meant; None when it is not offered."""
    for option in invoice["payment_options"]:
        if asset in (None, option["asset"]) and network in (None, option["network"]):
            found: dict[str, Any] = option
            return found
    return None


def _token(
    context: Context,
    invoice: dict[str, Any],
    option: dict[str, Any] | None,
    asset: str | None,
    network: str | None,
) -> tuple[Network, Token]:
    id_ = option["network"] if option else network or invoice["payment_options"][0]["network"]
    where = context.catalog.networks.get(id_)
    if where is None:
        raise Invalid.of("network", f"is one of {', '.join(context.catalog.networks)}")
    symbol = option["asset"] if option else asset or where.tokens[0].asset.symbol
    token = where.token(symbol)
    if token is None:
        known = ", ".join(t.asset.symbol for t in where.tokens)
        raise Invalid.of("asset", f"is one of {known}")
    return where, token


def _units(token: Token, option: dict[str, Any] | None, amount: str | None) -> int:
    if amount is None and option is None:
        raise Invalid.of("amount", "is needed for what the invoice does not offer")
    try:
        units = token.asset.parse(amount if amount is not None else option["amount_due"])  # type: ignore[index]
    except InvalidAmount as error:
        raise Invalid.of("amount", error.detail, code=error.code) from None
    if units == 0 and amount is None:
        raise Invalid.of("amount", "nothing is due any more: say how much")
    return units


async def _afford(node: Node, payer: str, units: int) -> None:
    """Anvil's accounts are left as they are, unless one cannot pay a very large invoice."""
    balance = int(await node.call("eth_getBalance", payer, "latest"), 16)
    if balance < units + 10**18:
        await node.call("anvil_setBalance", payer, hex(balance + units + 10**18))


async def _mint(node: Node, token: Token, payer: str, units: int) -> None:
    """What the deployment gave is enough for all but absurd amounts."""
    held = await node.read(token.address, contracts.call("balanceOf(address)", payer))
    if int.from_bytes(held, "big") < units:
        data = contracts.call("mint(address,uint256)", payer, units)
        await node.send_as_faucet([(token.address, data)])
