"""`bezant approve`: a person reads what a payout does, and signs that with a key of their own."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from bezant import naming
from bezant.client import find
from bezant.naming import Names
from bezant.printing import show
from core.errors import BezantError, Refused
from core.hardening import harden
from core.money import crypto
from core.networks import NATIVE, Catalog
from sandbox.shop import Shop
from wallets.addresses import checksum
from wallets.intents import Payment
from wallets.keys import LocalKey
from wallets.keystore import is_raw, read_secret
from wallets.signer.approvals import digest, payment_of

PASSWORD = "BEZANT_APPROVER_PASSWORD"  # noqa: S105
_COIN = crypto("ETH", 18)


def run(
    payout: str,
    yes: bool,
    as_json: bool,
    *,
    key: Path,
    url: str | None,
    api_key: str | None,
    data_dir: Path | None,
    config: Path | None = None,
) -> None:
    """Raises Invalid when what the service hands out is no approval of this very payout, Refused
    when it shows another one than what is to be signed."""
    harden()
    known = naming.catalog(config, url, data_dir)

    async def work() -> None:
        async with find(url, api_key, data_dir).enter() as shop:
            await _approve(shop, payout, key, yes, as_json, known)

    asyncio.run(work())


async def _approve(
    shop: Shop, payout: str, key: Path, yes: bool, as_json: bool, known: Catalog | None
) -> None:
    standing = await shop.get(f"/payouts/{payout}")
    if standing["approval"] is None:
        raise Refused(f"{payout} waits for nobody's approval: it is {standing['status']}")
    asked = await shop.get(f"/approvals/{standing['approval']}")
    payment, chain_id = payment_of(asked["typed_data"])
    if payment.id != payout:
        raise Refused(f"the service hands out {payment.id} for {payout}: nothing was signed")
    named = naming.names(payment, chain_id, known, standing)
    payee = await _payee(shop, standing["merchant"], payment.to)
    kind = naming.destination(asked, standing)
    for line in words(payment, chain_id, named, kind, payee):
        click.echo(line, err=True)
    if not yes:
        click.confirm("Sign this?", abort=True, err=True)
    approver, signature = sign(payment, chain_id, key)
    body = {"approver": checksum(approver), "signature": signature}
    show(await shop.post(f"/payouts/{payout}/approve", body), as_json)


async def _payee(shop: Shop, merchant: str, address: str) -> str:
    """As the merchant's address book calls it; "" where it does not. Only an operator's key may
    read it: a merchant's signs without the name."""
    try:
        found = (await shop.get(f"/addressbook?merchant={merchant}&address={address}"))["data"]
    except BezantError:
        return ""
    return naming.clean(found[0]["label"]) if found else ""


def words(payment: Payment, chain_id: int, named: Names, kind: str, payee: str = "") -> list[str]:
    """What is signed, field by field, and beside it what it is called and who calls it so."""
    asset = named.asset
    of = "the network's coin" if payment.token == NATIVE else f"token {checksum(payment.token)}"
    until = datetime.fromtimestamp(payment.expires_at, UTC)
    book = [f"           {payee!r} in the service's address book"] if payee else []
    chain = f"{chain_id} ({named.network})" if named.network else f"{chain_id}"
    return [
        f"Payout {payment.id} on chain {chain}",
        f"  pays     {asset.format(payment.amount)} {asset.symbol}",
        f"           {payment.amount} base units of {of}; name and decimals by {named.source}",
        f"  to       {checksum(payment.to)}",
        f"           {kind}",
        *book,
        f"  fee      at most {_COIN.format(payment.fee_cap)} of the network's coin",
        f"  until    {until:%Y-%m-%d %H:%M:%S} UTC",
        f"  asked by {payment.initiator or 'a rule'}",
    ]


def sign(payment: Payment, chain_id: int, file: Path) -> tuple[str, str]:
    """(the key's address, its signature over the digest that is made here). Raises Misconfigured,
    Invalid."""
    password = None
    if not is_raw(file):
        password = os.environ.get(PASSWORD) or click.prompt(
            f"Password of {file}", hide_input=True, err=True
        )
    key = LocalKey(read_secret(file, password))
    try:
        v, r, s = key.sign_now(digest(payment, chain_id))
    finally:
        key.close()
    return key.address, "0x" + (r.to_bytes(32, "big") + s.to_bytes(32, "big")).hex() + f"{27 + v:x}"
