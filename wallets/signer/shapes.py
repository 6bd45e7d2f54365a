"""How everything in an order must look before bytes are made of it."""

from __future__ import annotations

import re

from core.networks import NATIVE
from wallets.intents import (
    ZERO,
    Allowance,
    Cancel,
    Deploy,
    Intent,
    Move,
    Order,
    PayoutBatch,
    Relay,
    RelayTransfer,
    Sweep,
    SweepKnown,
    payments_of,
)
from wallets.signer.facts import Denied

WORD = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
U256 = 1 << 256
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_ID = re.compile(r"[a-z]{2,8}_[0-9A-Za-z_-]{1,64}", re.ASCII)
_I64 = 1 << 63  # what the store's integers hold


def check(order: Order) -> None:
    """Raises Denied (`malformed`)."""
    if not (0 < order.gas < _I64 and 0 <= order.nonce < _I64 and 0 < order.chain_id < _I64):
        raise Denied("malformed", "gas, nonce or chain_id")
    if not (0 < order.max_fee < U256 and 0 <= order.priority_fee <= order.max_fee):
        raise Denied("malformed", "max_fee or priority_fee")
    for text, pattern in ((order.id, _ID), *_ids(order.intent), *_texts(order.intent)):
        if not pattern.fullmatch(text):
            raise Denied("malformed", f"{text[:80]!r}")


def _ids(intent: Intent) -> list[tuple[str, re.Pattern[str]]]:
    payments = payments_of(intent)
    return [(p.id, _ID) for p in payments] if payments else [(getattr(intent, "id", ""), _ID)]


def _texts(intent: Intent) -> list[tuple[str, re.Pattern[str]]]:
    """Everything in an intent that becomes bytes, and how it must look."""
    match intent:
        case Sweep(factory=factory, batches=batches):
            salts = [(salt, WORD) for batch in batches for salt in batch.salts]
            return [(factory, _ADDRESS), *salts, *(_token(b.token) for b in batches)]
        case SweepKnown(factory=factory, token=token, known=known):
            salts = [(one.salt, WORD) for one in known]
            return [(factory, _ADDRESS), (token, _ADDRESS), *salts]
        case Move(token=token, to=to):
            return [_token(token), (to, _ADDRESS)]
        case Allowance(token=token, spender=spender):
            return [(token, _ADDRESS), (spender, _ADDRESS)]
        case Deploy(salt=salt, init_code=init_code):
            return [(salt, WORD), (init_code, _HEX)]
        case Relay(router=router, call=call):
            words, codes = [call.invoice], [call.quote_signature, call.authorization]
            addresses = [router, call.asset, call.payer]
            return [
                *((one, WORD) for one in words),
                *((one, _HEX) for one in codes),
                *((one, _ADDRESS) for one in addresses),
            ]
        case RelayTransfer() as call:
            addresses = [call.token, call.payer, call.to]
            words = [call.salt, call.nonce]
            return [
                *((one, WORD) for one in words),
                *((one, _ADDRESS) for one in addresses),
                (call.signature, _HEX),
            ]
        case Cancel():
            return []
        case _:
            payments = payments_of(intent)
            more = [(intent.multisend, _ADDRESS)] if isinstance(intent, PayoutBatch) else []
            return [*more, *(x for p in payments for x in (_token(p.token), (p.to, _ADDRESS)))]


def _token(token: str) -> tuple[str, re.Pattern[str]]:
    return (ZERO if token == NATIVE else token, _ADDRESS)
