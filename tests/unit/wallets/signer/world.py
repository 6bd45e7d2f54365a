"""A policy, the people in it, and orders that it allows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data

from core.keccak import keccak
from core.networks import NATIVE
from wallets.addresses import DEPOSIT_INIT_CODE_HASH, create2
from wallets.intents import (
    Allowance,
    Approval,
    Cancel,
    Deploy,
    Intent,
    Known,
    Move,
    Order,
    Payment,
    Payout,
    PayoutBatch,
    PayWithAuthorization,
    Relay,
    RelayTransfer,
    RouterQuote,
    Sweep,
    SweepBatch,
    SweepKnown,
)
from wallets.signer.approvals import typed_data

NETWORK, CHAIN_ID = "eip155:31337", 31337
NOW = 1_800_000_000
ETHER, GWEI = 10**18, 10**9

HOT_KEY, RELAYER_KEY, QUOTE_KEY = (bytes([n]) * 32 for n in (0x11, 0x12, 0x13))
ADA_KEY, BOB_KEY, EVE_KEY, MALLORY_KEY = (bytes([n]) * 32 for n in (0x21, 0x22, 0x23, 0x24))
ADA_API_KEY, BOB_API_KEY, SHOP_API_KEY = "key_ada", "key_bob", "key_shop"


def address_of(key: bytes) -> str:
    return str(Account.from_key(key).address).lower()


HOT, RELAYER, QUOTER = map(address_of, (HOT_KEY, RELAYER_KEY, QUOTE_KEY))
ADA, BOB, EVE, MALLORY = map(address_of, (ADA_KEY, BOB_KEY, EVE_KEY, MALLORY_KEY))
USDC, FOREIGN = "0x" + "c0" * 20, "0x" + "c1" * 20
FACTORY, MULTISEND, ROUTER = ("0x" + byte * 20 for byte in ("f0", "f1", "f2"))
TREASURY, CUSTOMER = "0x" + "aa" * 20, "0x" + "bb" * 20
INIT_CODE = "0x6001600155"
INIT_HASH = "0x" + keccak(bytes.fromhex(INIT_CODE[2:])).hex()

POLICY = f"""
needed = 2

[[approvers]]
name = "Ada"
address = "{ADA}"
api_keys = ["{ADA_API_KEY}"]

[[approvers]]
name = "Bob"
address = "{BOB}"
api_keys = ["{BOB_API_KEY}"]

[[approvers]]
name = "Eve"
address = "{EVE}"

[networks."{NETWORK}"]
chain_id = {CHAIN_ID}
factory = "{FACTORY}"
multisend = "{MULTISEND}"
router = "{ROUTER}"
quote_seconds = 3600
fee = "0.05"
fees_per_day = "1"
destinations = ["{TREASURY}"]
init_codes = ["{INIT_HASH}"]

[networks."{NETWORK}".wallets]
"{HOT}" = ["payout", "payout_batch", "move", "allowance", "cancel"]
"{RELAYER}" = ["sweep", "sweep_known", "relay", "relay_transfer", "deploy", "cancel"]

[networks."{NETWORK}".assets.ETH]
token = "native"
decimals = 18
single = "1"
per_hour = "3"
per_day = "10"
largest = "50"
moves_per_day = "100"

[networks."{NETWORK}".assets.USDC]
token = "{USDC}"
decimals = 6
single = "1000"
per_hour = "3000"
per_day = "10000"
"""

_numbers = itertools.count(1)


def payment(**said: Any) -> Payment:
    number = next(_numbers)
    usual: dict[str, Any] = {
        "id": f"pay_{number}",
        "token": NATIVE,
        "to": CUSTOMER,
        "amount": ETHER // 2,
        "fee_cap": ETHER // 20,
        "expires_at": NOW + 3600,
        "nonce": 10**30 + number,
        "initiator": SHOP_API_KEY,
    }
    return Payment(**{**usual, **said})


def signature(key: bytes, of: Payment, chain_id: int = CHAIN_ID) -> str:
    """By eth-account from the JSON that a wallet is given, so not by our own digest."""
    data = {k: v for k, v in typed_data(of, chain_id, "ETH", 18).items() if k != "summary"}
    signed = Account.sign_message(encode_typed_data(full_message=data), key)
    return "0x" + bytes(signed.signature).hex()


def approval(key: bytes, of: Payment, chain_id: int = CHAIN_ID) -> Approval:
    return Approval(approver=address_of(key), signature=signature(key, of, chain_id))


def approved(of: Payment, *keys: bytes) -> Payment:
    return replace(of, approvals=tuple(approval(key, of) for key in keys))


def order(intent: Intent | None = None, **said: Any) -> Order:
    number = next(_numbers)
    found = intent or Payout(payment=payment())
    relayed = isinstance(found, Sweep | SweepKnown | Relay | RelayTransfer | Deploy)
    usual: dict[str, Any] = {
        "id": f"tx_{number}",
        "network": NETWORK,
        "chain_id": CHAIN_ID,
        "wallet": RELAYER if relayed else HOT,
        "nonce": number,
        "gas": 21_000,
        "max_fee": 100 * GWEI,
        "priority_fee": GWEI,
        "intent": found,
    }
    return Order(**{**usual, **said})


def pay(**said: Any) -> Order:
    return order(Payout(payment=payment(**said)))


def batch(*payments: Payment, **said: Any) -> Order:
    return order(PayoutBatch(multisend=MULTISEND, payments=payments, **said))


def sweep(**said: Any) -> Sweep:
    salts = tuple("0x" + bytes([n]).rjust(32, b"\0").hex() for n in (1, 2, 3))
    usual: dict[str, Any] = {
        "id": f"swp_{next(_numbers)}",
        "factory": FACTORY,
        "batches": (
            SweepBatch(token=USDC, fresh=1, salts=salts),
            SweepBatch(token=NATIVE, fresh=0, salts=salts[:1]),
        ),
        "call_gas": 300_000,
    }
    return Sweep(**{**usual, **said})


def sweep_known(**said: Any) -> SweepKnown:
    usual: dict[str, Any] = {
        "id": f"swp_{next(_numbers)}",
        "factory": FACTORY,
        "token": USDC,
        "fresh": 1,
        "known": (
            Known(salt="0x" + "00" * 16 + "11" * 16, amount=2**128 - 1),
            Known(salt="0x" + "00" * 31 + "01", amount=1),
        ),
        "call_gas": 300_000,
    }
    return SweepKnown(**{**usual, **said})


def move(**said: Any) -> Move:
    usual: dict[str, Any] = {"id": "mov_1", "token": NATIVE, "to": TREASURY, "amount": 60 * ETHER}
    return Move(**{**usual, **said})


def allowance(**said: Any) -> Allowance:
    usual: dict[str, Any] = {
        "id": "alw_1",
        "token": USDC,
        "spender": MULTISEND,
        "amount": 2**256 - 1,
    }
    return Allowance(**{**usual, **said})


def deploy(**said: Any) -> Deploy:
    usual: dict[str, Any] = {"id": "dep_1", "salt": "0x" + "00" * 32, "init_code": INIT_CODE}
    return Deploy(**{**usual, **said})


def relay(**said: Any) -> Relay:
    call = PayWithAuthorization(
        invoice="0x" + "01" * 32,
        asset=USDC,
        amount=25_000_000,
        deadline=NOW + 600,
        nonce=7,
        quote_signature="0x" + "ab" * 65,
        payer=CUSTOMER,
        valid_after=0,
        valid_before=NOW + 600,
        authorization="0x" + "cd" * 64 + "1b",
    )
    usual: dict[str, Any] = {"id": "rly_1", "router": ROUTER, "call": replace(call, **said)}
    return Relay(**usual)


def relay_transfer(**said: Any) -> RelayTransfer:
    salt = "0x" + "00" * 16 + "51" * 16
    usual: dict[str, Any] = {
        "id": "xst_1",
        "token": USDC,
        "payer": CUSTOMER,
        "to": create2(FACTORY, bytes.fromhex(salt[2:]), DEPOSIT_INIT_CODE_HASH),
        "salt": salt,
        "amount": 5_000_000,
        "valid_after": 0,
        "valid_before": NOW + 600,
        "nonce": "0x" + "0e" * 32,
        "signature": "0x" + "cd" * 64 + "1b",
    }
    return RelayTransfer(**{**usual, **said})


def cancel(**said: Any) -> Cancel:
    return Cancel(**{"id": "can_1", **said})


def quote(**said: Any) -> RouterQuote:
    usual: dict[str, Any] = {
        "id": "qte_1",
        "network": NETWORK,
        "chain_id": CHAIN_ID,
        "router": ROUTER,
        "invoice": "0x" + "01" * 32,
        "asset": USDC,
        "amount": 25_000_000,
        "deadline": NOW + 600,
        "nonce": 7,
    }
    return RouterQuote(**{**usual, **said})


def every_intent() -> list[Intent]:
    """One of each kind, each of which the policy allows."""
    return [
        Payout(payment=payment()),
        Payout(payment=payment(token=USDC, amount=10**9)),
        PayoutBatch(
            multisend=MULTISEND,
            payments=(payment(), payment(token=USDC, amount=5), payment(amount=1)),
        ),
        sweep(),
        sweep_known(),
        move(),
        allowance(),
        deploy(),
        relay(),
        relay_transfer(),
        cancel(),
    ]
