"""Fakes of protocols: small, and honest about what they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from eth_account import Account

from core.errors import KeyUnavailable, SignerAway, SignerRefused
from wallets.intents import Order, RouterQuote, Signed, transaction
from wallets.signer.client import SignerWallet, Verdict


@dataclass
class LocalSigner:
    """A `Signer` in this process, with keys and without a policy.

    `away` and `silent`: no answer, at once or never. `refuse`: every order, with this code.
    `locked`: wallets whose keys do not answer.
    `told` are the hashes it was told of; bytes it was not told of must never be on a chain.
    """

    keys: dict[str, str]
    away: bool = False
    silent: bool = False
    refuse: str | None = None
    locked: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    signed: list[Order] = field(default_factory=list)

    async def sign(self, order: Order) -> Signed:
        await self._answer()
        if order.wallet in self.locked:
            raise KeyUnavailable("switched off")
        call = transaction(order)
        self.signed.append(order)
        made = Account.sign_transaction(
            {
                "type": 2,
                "chainId": order.chain_id,
                "nonce": order.nonce,
                "gas": order.gas,
                "maxFeePerGas": order.max_fee,
                "maxPriorityFeePerGas": order.priority_fee,
                "to": bytes.fromhex(call.to[2:]),
                "value": call.value,
                "data": call.data,
            },
            self.keys[order.wallet],
        )
        return Signed(raw="0x" + made.raw_transaction.hex(), tx_hash="0x" + made.hash.hex())

    async def broadcast(self, order_id: str, tx_hash: str) -> None:
        await self._answer()
        self.told.append(tx_hash)

    async def check(self, order: Order) -> Verdict:
        return Verdict(allowed=True, needed=0, approvers=(), code=None, detail="")

    async def quote(self, quote: RouterQuote) -> str:
        raise NotImplementedError

    async def wallets(self) -> list[SignerWallet]:
        return []

    async def _answer(self) -> None:
        if self.silent:
            await asyncio.Event().wait()
        if self.away:
            raise SignerAway("switched off")
        if self.refuse is not None:
            raise SignerRefused(self.refuse, "switched to refuse")
