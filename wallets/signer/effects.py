"""What a transaction does, read from its bytes alone; and what its intent said it would do.

The two are made by different code from different inputs. A signature is given only when they are
equal, so a mistake in building calldata cannot become a payment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.keccak import keccak
from core.networks import NATIVE
from wallets.abi import decode
from wallets.intents import (
    DEPLOYER,
    ZERO,
    Allowance,
    Cancel,
    Deploy,
    Move,
    Order,
    Payout,
    PayoutBatch,
    Relay,
    RelayTransfer,
    Sweep,
    SweepKnown,
    Unsigned,
)

# Written out, not computed from the signatures that intents.py encodes by.
_METHODS: dict[str, tuple[str, list[str]]] = {
    "a9059cbb": ("transfer", ["address", "uint256"]),
    "095ea7b3": ("approve", ["address", "uint256"]),
    "fe778400": ("send", ["(address,address,uint256)[]", "uint256"]),
    "4e780bfb": ("sweep", ["(address,uint256,bytes32[])[]", "uint256"]),
    "e98ce555": ("sweep_known", ["address", "uint256", "bytes32[]", "uint256"]),
    "e3ee160e": (
        "relay_transfer",
        [
            *("address", "address", "uint256", "uint256", "uint256", "bytes32"),
            *("uint8", "bytes32", "bytes32"),
        ],
    ),
    "afbabe72": (
        "relay",
        [
            "(bytes32,address,uint256,uint256,uint256)",
            "bytes",
            "(address,uint256,uint256,uint8,bytes32,bytes32)",
        ],
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """`amount` of `token` leaves the wallet for `to`; what else was said stands in `detail`."""

    kind: str
    via: str = ""  # the contract that is called
    token: str = ""
    to: str = ""
    amount: int = 0
    detail: tuple[Any, ...] = ()


def read(call: Unsigned, wallet: str) -> tuple[Effect, ...]:
    """From the bytes. Raises ValueError for calldata that none of our intents makes."""
    if call.to == DEPLOYER and len(call.data) > 32:
        salt, init_code = call.data[:32], call.data[32:]
        _no_value(call)
        return (Effect(kind="deploy", via=DEPLOYER, detail=(salt, keccak(init_code))),)
    if not call.data:
        if call.to == wallet and call.value == 0:
            return (Effect(kind="nothing"),)
        return (Effect(kind="pay", token=NATIVE, to=call.to, amount=call.value),)
    kind, types = _METHODS.get(call.data[:4].hex(), ("", []))
    if not kind:
        raise ValueError("no method that we call")
    values = decode(types, call.data[4:])
    if kind == "send":
        return _sent(call, *values)
    _no_value(call)
    if kind == "transfer":
        return (Effect(kind="pay", token=call.to, to=values[0], amount=values[1]),)
    if kind == "approve":
        return (Effect(kind="allow", token=call.to, to=values[0], amount=values[1]),)
    return (Effect(kind=kind, via=call.to, detail=values),)


def meant(order: Order) -> tuple[Effect, ...]:
    """From the intent."""
    match order.intent:
        case Payout(payment=p):
            return (Effect(kind="pay", token=p.token, to=p.to, amount=p.amount),)
        case Move(token=token, to=to, amount=amount):
            return (Effect(kind="pay", token=token, to=to, amount=amount),)
        case PayoutBatch(multisend=via, payments=payments, call_gas=call_gas):
            return tuple(
                Effect(
                    kind="pay", via=via, token=p.token, to=p.to, amount=p.amount, detail=(call_gas,)
                )
                for p in payments
            )
        case Sweep(factory=factory, batches=batches, call_gas=call_gas):
            rows = tuple(
                (ZERO if b.token == NATIVE else b.token, b.fresh, tuple(map(_raw, b.salts)))
                for b in batches
            )
            return (Effect(kind="sweep", via=factory, detail=(rows, call_gas)),)
        case SweepKnown(factory=factory, token=token, fresh=fresh, known=known, call_gas=call_gas):
            words = tuple(one.amount.to_bytes(16, "big") + _raw(one.salt)[16:] for one in known)
            detail: tuple[Any, ...] = (token, fresh, words, call_gas)
            return (Effect(kind="sweep_known", via=factory, detail=detail),)
        case Allowance(token=token, spender=spender, amount=amount):
            return (Effect(kind="allow", token=token, to=spender, amount=amount),)
        case Deploy(salt=salt, init_code=init_code):
            detail = (_raw(salt), keccak(_raw(init_code)))
            return (Effect(kind="deploy", via=DEPLOYER, detail=detail),)
        case Relay(router=router, call=c):
            quote = (_raw(c.invoice), c.asset, c.amount, c.deadline, c.nonce)
            r, s, v = (_raw(c.authorization)[at : at + 32] for at in (0, 32, 64))
            proof = (c.payer, c.valid_after, c.valid_before, v[0], r, s)
            detail = (quote, _raw(c.quote_signature), proof)
            return (Effect(kind="relay", via=router, detail=detail),)
        case RelayTransfer() as c:
            r, s, v = (_raw(c.signature)[at : at + 32] for at in (0, 32, 64))
            window = (c.valid_after, c.valid_before, _raw(c.nonce))
            detail = (c.payer, c.to, c.amount, *window, v[0], r, s)
            return (Effect(kind="relay_transfer", via=c.token, detail=detail),)
        case Cancel():
            return (Effect(kind="nothing"),)


def _sent(call: Unsigned, rows: Any, call_gas: int) -> tuple[Effect, ...]:
    if sum(amount for token, _, amount in rows if token == ZERO) != call.value:
        raise ValueError("the value is not the sum of what is sent")
    return tuple(
        Effect(
            kind="pay",
            via=call.to,
            token=NATIVE if token == ZERO else token,
            to=to,
            amount=amount,
            detail=(call_gas,),
        )
        for token, to, amount in rows
    )


def _no_value(call: Unsigned) -> None:
    if call.value:
        raise ValueError("a call that takes no ether carries some")


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])
