"""A simulated venue's own money on the chains: what it pays withdrawals from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from coincurve import PrivateKey

from core.errors import EndpointFailed
from core.networks import NATIVE
from sandbox.deploy import address_of
from sandbox.exchanges.engine import Simulator
from sandbox.exchanges.types import SimWithdrawal, TransferStatus
from sandbox.node import Node
from wallets.intents import Move, Order, transaction
from wallets.signer.envelope import envelop, hash_of, signing_hash

GAS = 150_000
MAX_FEE = 1_000 * 10**9  # wei; Anvil takes its base fee only
PRIORITY_FEE = 10**9
KNOWN = ("already known", "already imported", "nonce too low")  # it was sent before
WATCHED = 50  # withdrawals that a fork may take back, and that are then sent once more


@dataclass(frozen=True, slots=True)
class Purse:
    """On one network. A transaction is signed and kept before it is sent, so that after whatever
    happens in between the same bytes are sent again, never others."""

    simulator: Simulator
    network: str
    secret: bytes

    async def work(self, node: Node) -> None:
        """One look: signs and sends what is to leave, and asks what became of it. Raises
        EndpointFailed; nothing is lost then."""
        mine = [w for w in self.simulator.leaving if w.network == self.network]
        if not mine:
            return
        for withdrawal in mine:
            if withdrawal.status is TransferStatus.PENDING:
                await self._sign(node, withdrawal)
        await self._send(node, [self.simulator.transfers.withdrawals[w.id] for w in mine])

    async def after_fork(self, node: Node) -> None:
        """What the chain took back is sent again: the same bytes."""
        done = [
            w
            for w in self.simulator.withdrawals()[-WATCHED:]
            if w.network == self.network and w.status is TransferStatus.DONE
        ]
        await self._send(node, done)

    async def _sign(self, node: Node, withdrawal: SimWithdrawal) -> None:
        store = self.simulator.store
        last = store.last_nonce(self.network)
        if last is None:
            owner = address_of(self.secret)
            last = int(await node.call("eth_getTransactionCount", owner, "pending"), 16) - 1
        raw = self._signed(withdrawal, last + 1)
        with store.together():
            store.keep_signed(withdrawal.id, self.network, last + 1, "0x" + raw.hex())
            sent = replace(withdrawal, status=TransferStatus.SENT, tx_hash=hash_of(raw))
            self.simulator.transfers.update(sent)

    def _signed(self, withdrawal: SimWithdrawal, nonce: int) -> bytes:
        rule = self.simulator.rules[withdrawal.asset, withdrawal.network]
        move = Move(
            id=withdrawal.id,
            token=rule.contract or NATIVE,
            to=withdrawal.address,
            amount=withdrawal.amount // rule.step,
        )
        order = Order(
            id=withdrawal.id,
            network=self.network,
            chain_id=int(self.network.removeprefix("eip155:")),
            wallet=address_of(self.secret),
            nonce=nonce,
            gas=GAS,
            max_fee=MAX_FEE,
            priority_fee=PRIORITY_FEE,
            intent=move,
        )
        call = transaction(order)
        digest = signing_hash(order, call)
        signed = PrivateKey(self.secret).sign_recoverable(digest, hasher=None)
        r, s = (int.from_bytes(part, "big") for part in (signed[:32], signed[32:64]))
        return envelop(order, call, signed[64], r, s)

    async def _send(self, node: Node, withdrawals: Sequence[SimWithdrawal]) -> None:
        """Oldest first: their nonces follow on each other."""
        asked = [("eth_getTransactionReceipt", [w.tx_hash]) for w in withdrawals]
        for withdrawal, receipt in zip(withdrawals, await node.many(asked), strict=True):
            if receipt is None:
                await self._broadcast(node, withdrawal)
                receipt = await node.call("eth_getTransactionReceipt", withdrawal.tx_hash)
            if receipt is not None and withdrawal.status is TransferStatus.SENT:
                self._end(withdrawal, done=int(receipt["status"], 16) == 1)

    async def _broadcast(self, node: Node, withdrawal: SimWithdrawal) -> None:
        raw = self.simulator.store.signed(withdrawal.id)
        try:
            await node.call("eth_sendRawTransaction", raw)
        except EndpointFailed as error:
            if not any(text in str(error).lower() for text in KNOWN):
                raise

    def _end(self, withdrawal: SimWithdrawal, *, done: bool) -> None:
        status = TransferStatus.DONE if done else TransferStatus.FAILED
        ended = replace(withdrawal, status=status)
        self.simulator.transfers.update(ended, give_back=not done)
        self.simulator.tell_balances()
