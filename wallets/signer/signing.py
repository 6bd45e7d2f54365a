"""Judge, count, sign, log, keep, answer: in this order, so that no signature is ever outside of
what is written down.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from core.errors import KeyUnavailable, NeedsApproval, SignerError, SignerRefused
from wallets.encoding import plain
from wallets.intents import Order, RouterQuote, Signed, payments_of
from wallets.keys import Key
from wallets.signer import envelope, register, shapes
from wallets.signer.audit import AuditLog, Mark
from wallets.signer.client import SignerWallet, Verdict
from wallets.signer.facts import Allowed, Denied
from wallets.signer.judge import judge, judge_quote
from wallets.signer.policy import Policy, parse
from wallets.signer.router import quote_digest
from wallets.signer.store import Store

KEY_SECONDS = 1.5  # less than its clients wait, so that they learn that only one key is away


def unix_time() -> int:
    """Wall time: nobody else's clock moves the signer's windows."""
    return int(time.time())


class Signing:
    """Everything the signer does, apart from its socket. `keys` by address, the quote key apart."""

    def __init__(
        self,
        store: Store,
        log: AuditLog,
        keys: Mapping[str, Key],
        quote_key: Key | None,
        now: Callable[[], int] = unix_time,
        key_seconds: float = KEY_SECONDS,
    ) -> None:
        self._store, self._log = store, log
        self._keys, self._quote_key = dict(keys), quote_key
        self._now = now
        self._key_seconds = key_seconds
        self._in_force: tuple[int, Policy] | None = None
        # A key in a KMS takes its time: its own wallet waits for it, the others do not.
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def sign(self, order: Order) -> Signed:
        """Raises SignerRefused, NeedsApproval, KeyUnavailable."""
        try:
            async with asyncio.timeout(self._key_seconds), self._locks[order.wallet]:
                return await self._sign(order)
        except (TimeoutError, KeyUnavailable) as error:
            away = self._away(error)
        self._log.write("sign", order=plain(order), code=away.code, detail=str(away))
        raise away

    async def _sign(self, order: Order) -> Signed:
        try:
            version, policy = self._policy()
            shapes.check(order)
            key = self._keys.get(order.wallet)
            if key is None:
                raise Denied("unknown_wallet", f"{order.wallet} has no key here")
            now = self._now()
            allowed = judge(policy, order, self._store.facts(order, now), now)
        except Denied as denied:
            raise self._refuse("sign", denied, order=plain(order)) from None
        if allowed.again is not None and allowed.again.raw is not None:
            signed = _signed(bytes.fromhex(allowed.again.raw[2:]))
            self._tell(order, signed, version, "repeated")
            return signed
        self._store.reserve(order, allowed, now)
        try:
            signed = await self._make(order, allowed, key)
        except (KeyUnavailable, asyncio.CancelledError):
            self._store.release(order, allowed)  # no signature came, so none can ever leave
            raise
        mark = self._tell(order, signed, version, "signed")
        self._store.finish(order, allowed, signed, mark)
        return signed

    def check(self, order: Order) -> Verdict:
        """As `sign` would judge; the nonce is not looked at, since it may not be chosen yet."""
        try:
            _, policy = self._policy()
        except Denied as denied:
            return self._verdict(order, (), denied)
        approvers = _eligible(policy, order)
        now = self._now()
        try:
            shapes.check(order)
            allowed = judge(policy, order, self._store.facts_anywhere(order, now), now)
        except Denied as denied:
            return self._verdict(order, approvers, denied)
        attended = any(one.attended and not one.is_move for one in allowed.spends)
        self._log.write("check", order=plain(order), code="allowed")
        return Verdict(
            allowed=True,
            needed=policy.needed if attended else 0,
            approvers=approvers,
            code=None,
            detail="",
        )

    def broadcast(self, order_id: str, tx_hash: str) -> None:
        """Raises SignerRefused."""
        said = {"order_id": order_id[:80], "tx_hash": tx_hash[:80]}
        if not self._store.broadcast(order_id, tx_hash, self._now()):
            raise self._refuse("broadcast", Denied("unknown_signature", "never signed"), **said)
        self._log.write("broadcast", code="noted", **said)

    async def quote(self, quote: RouterQuote) -> str:
        """Raises SignerRefused, KeyUnavailable."""
        try:
            version, policy = self._policy()
            judge_quote(policy, quote, self._now())
            if self._quote_key is None:
                raise Denied("unknown_wallet", "there is no quote key")
            digest = quote_digest(quote)
        except Denied as denied:
            raise self._refuse("quote", denied, quote=plain(quote)) from None
        except ValueError:
            wrong = Denied("malformed", "a field of the quote")
            raise self._refuse("quote", wrong, quote=plain(quote)) from None
        try:
            async with asyncio.timeout(self._key_seconds):
                v, r, s = await self._quote_key.sign(digest)
        except (TimeoutError, KeyUnavailable) as error:
            away = self._away(error)
            self._log.write("quote", quote=plain(quote), code=away.code, detail=str(away))
            raise away from None
        self._log.write("quote", quote=plain(quote), code="signed", policy=version)
        return "0x" + (r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + v])).hex()

    def wallets(self) -> list[SignerWallet]:
        return [
            SignerWallet(
                address=one.address,
                label=one.label,
                kind=one.kind,
                created_at=datetime.fromtimestamp(one.created_at, UTC),
            )
            for one in register.entries(self._store)
        ]

    def peers(self) -> frozenset[int] | None:
        """Uids that may connect by the policy in force; None: it names none."""
        try:
            return self._policy()[1].peers
        except Denied:
            return None

    def refuse_peer(self, uid: int, why: str) -> None:
        self._log.write("peer", code="peer_refused", uid=uid, detail=why)

    def refuse_request(self, what: str, detail: str) -> SignerError:
        """For what is not even an order."""
        return self._refuse("request", Denied("malformed", detail[:200]), asked=what[:40])

    async def _make(self, order: Order, allowed: Allowed, key: Key) -> Signed:
        """Signs, and reads back what was signed from nothing but the bytes."""
        v, r, s = await key.sign(envelope.signing_hash(order, allowed.call))
        raw = envelope.envelop(order, allowed.call, v, r, s)
        found = envelope.opened(raw)
        wanted = envelope.Envelope(
            chain_id=order.chain_id,
            nonce=order.nonce,
            priority_fee=order.priority_fee,
            max_fee=order.max_fee,
            gas=order.gas,
            call=allowed.call,
            sender=order.wallet,
        )
        if found != wanted:
            wrong = Denied("misbuilt", "the signed bytes do not say what was asked")
            raise self._refuse("sign", wrong, order=plain(order))
        return _signed(raw)

    def _away(self, error: TimeoutError | KeyUnavailable) -> KeyUnavailable:
        if isinstance(error, KeyUnavailable):
            return error
        return KeyUnavailable(f"the key did not sign within {self._key_seconds} s")

    def _tell(self, order: Order, signed: Signed, version: int, code: str) -> Mark:
        return self._log.write(
            "sign", order=plain(order), code=code, tx_hash=signed.tx_hash, policy=version
        )

    def _refuse(self, event: str, denied: Denied, **said: Any) -> SignerError:
        """Writes it down -> what to raise."""
        self._log.write(event, **said, code=denied.code, detail=denied.detail)
        if denied.code == "approval_needed":
            return NeedsApproval(denied.needed, denied.given)
        return SignerRefused(denied.code, denied.detail)

    def _verdict(self, order: Order, approvers: tuple[str, ...], denied: Denied) -> Verdict:
        self._log.write("check", order=plain(order), code=denied.code, detail=denied.detail)
        return Verdict(
            allowed=False,
            needed=denied.needed,
            approvers=approvers,
            code=denied.code,
            detail=denied.detail,
        )

    def _policy(self) -> tuple[int, Policy]:
        """The one in force, also when it was applied a moment ago by another process."""
        version = self._store.policy_version()
        if self._in_force is None or self._in_force[0] != version:
            found = self._store.policy()
            if found is None:
                raise Denied("no_policy", "no policy was applied: bezant signer policy apply FILE")
            self._in_force = (found[0], parse(found[2]))
        return self._in_force


def _signed(raw: bytes) -> Signed:
    return Signed(raw="0x" + raw.hex(), tx_hash=envelope.hash_of(raw))


def _eligible(policy: Policy, order: Order) -> tuple[str, ...]:
    """Who may approve all of it: nobody approves what was asked for with a key of theirs."""
    asked = {p.initiator for p in payments_of(order.intent)} - {""}
    return tuple(a.address for a in policy.approvers if not asked & a.api_keys)
