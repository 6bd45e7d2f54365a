"""What is signed, byte by byte, against eth-account and the contracts' own ABIs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.keccak import keccak
from core.networks import NATIVE
from tests.unit.wallets.signer import world as w
from wallets.encoding import plain, read, read_intent
from wallets.intents import Order, Payment, Unsigned, transaction
from wallets.keys import LocalKey
from wallets.signer import effects, envelope
from wallets.signer.approvals import ORDER, digest, payment_of, recover, typed_data
from wallets.signer.router import quote_digest

ARTIFACTS = Path(__file__).resolve().parents[4] / "contracts" / "artifacts"
amounts = st.integers(0, 2**256 - 1)
addresses = st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex())
texts = st.text(max_size=40)
payments = st.builds(
    Payment,
    id=texts,
    token=st.one_of(st.just(NATIVE), addresses.filter(lambda a: int(a, 16) != 0)),
    to=addresses,
    amount=amounts,
    fee_cap=amounts,
    expires_at=amounts,
    nonce=amounts,
    initiator=texts,
    approvals=st.just(()),
)


def typed_hash(data: dict[str, Any]) -> bytes:
    known = {name: value for name, value in data.items() if name != "summary"}
    message = encode_typed_data(full_message=known)
    return keccak(b"\x19" + message.version + message.header + message.body)


@given(payments, st.integers(1, 2**63))
def test_a_digest_is_that_of_any_wallet(payment: Payment, chain_id: int) -> None:
    data = typed_data(payment, chain_id, "USDC", 6)
    assert digest(payment, chain_id) == typed_hash(data)
    assert payment_of(json.loads(json.dumps(data))) == (payment, chain_id)


def test_each_field_changes_the_digest() -> None:
    one = w.payment()
    others: dict[str, Any] = {
        "id": "pay_x",
        "token": w.USDC,
        "to": w.MALLORY,
        "amount": one.amount + 1,
        "fee_cap": one.fee_cap + 1,
        "expires_at": one.expires_at + 1,
        "nonce": one.nonce + 1,
        "initiator": "",
    }
    digests = {digest(replace(one, **{name: value}), 1) for name, value in others.items()}
    assert len(digests | {digest(one, 1), digest(one, 2)}) == len(others) + 2


@pytest.mark.parametrize(
    "change",
    [
        {"primaryType": "Permit"},
        {"domain": {"name": "Bezant payout approval", "version": "1", "chainId": "1"}},
        {"domain": {"name": "USD Coin", "version": "1", "chainId": 1}},
        {"message": {}},
        {"message": {**typed_data(w.payment(), 1, "ETH", 18)["message"], "initiator": 5}},
        {"types": {}},
        {"more": 1},
    ],
)
def test_what_we_would_not_write_is_not_signed(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        payment_of({**typed_data(w.payment(), 1, "ETH", 18), **change})


@given(st.binary(min_size=32, max_size=32), st.sampled_from([w.ADA_KEY, w.BOB_KEY]))
def test_recovered_is_who_signed(hashed: bytes, key: bytes) -> None:
    signed = Account.unsafe_sign_hash(hashed, key)
    assert recover(hashed, "0x" + bytes(signed.signature).hex()) == w.address_of(key)
    v, r, s = LocalKey(bytearray(key)).sign_now(hashed)
    assert (v + 27, r, s) == (signed.v, signed.r, signed.s)


def test_the_twin_of_a_signature_is_refused() -> None:
    """High s recovers to the same address by itself: only the rule of EIP-2 tells them apart."""
    hashed = keccak(b"one")
    signed = Account.unsafe_sign_hash(hashed, w.ADA_KEY)
    twin = signed.r.to_bytes(32, "big") + (ORDER - signed.s).to_bytes(32, "big")
    for v in (0, 1, 27, 28):
        with pytest.raises(ValueError, match="lower half"):
            recover(hashed, "0x" + (twin + bytes([v])).hex())


@pytest.mark.parametrize("text", ["", "0x", "0x" + "zz" * 65, "0x" + "00" * 65, "0x" + "ff" * 65])
def test_no_signature_at_all(text: str) -> None:
    with pytest.raises(ValueError):
        recover(bytes(32), text)


@pytest.mark.parametrize("intent", w.every_intent(), ids=lambda i: type(i).__name__)
def test_bytes_are_those_of_eth_account(intent: Any) -> None:
    """Deterministic signatures (RFC 6979), so equality is to the last byte."""
    asked = w.order(intent, nonce=0)
    call = transaction(asked)
    v, r, s = LocalKey(bytearray(w.HOT_KEY)).sign_now(envelope.signing_hash(asked, call))
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": asked.chain_id,
            "nonce": asked.nonce,
            "maxPriorityFeePerGas": asked.priority_fee,
            "maxFeePerGas": asked.max_fee,
            "gas": asked.gas,
            "to": bytes.fromhex(call.to[2:]),
            "value": call.value,
            "data": call.data,
        },
        w.HOT_KEY,
    )
    raw = envelope.envelop(asked, call, v, r, s)
    assert raw == bytes(theirs.raw_transaction)
    assert envelope.hash_of(raw) == "0x" + bytes(theirs.hash).hex()
    found = envelope.opened(raw)
    assert (found.sender, found.call, found.gas) == (w.HOT, call, asked.gas)


def test_other_bytes_are_not_opened() -> None:
    asked = w.pay()
    call = transaction(asked)
    key = LocalKey(bytearray(w.HOT_KEY))
    raw = envelope.envelop(asked, call, *key.sign_now(envelope.signing_hash(asked, call)))
    v, r, s = key.sign_now(envelope.signing_hash(asked, call))
    twin = envelope.envelop(asked, call, 1 - v, r, ORDER - s)
    for wrong in (b"", b"\x01" + raw[1:], raw + b"\0", raw[:-1], b"\x02\xc0", twin):
        with pytest.raises(ValueError):
            envelope.opened(wrong)


@pytest.mark.parametrize("intent", w.every_intent(), ids=lambda i: type(i).__name__)
def test_what_bytes_do_is_what_the_intent_says(intent: Any) -> None:
    asked = w.order(intent)
    assert effects.read(transaction(asked), asked.wallet) == effects.meant(asked)


@pytest.mark.parametrize("intent", w.every_intent(), ids=lambda i: type(i).__name__)
def test_any_other_byte_does_something_else(intent: Any) -> None:
    asked = w.order(intent)
    call = transaction(asked)
    meant = effects.meant(asked)
    calls = [replace(call, to=w.MALLORY), replace(call, value=call.value + 1)]
    for at in range(len(call.data)):
        data = bytearray(call.data)
        data[at] ^= 1
        calls.append(Unsigned(to=call.to, value=call.value, data=bytes(data)))
    for other in calls:
        try:
            read_back = effects.read(other, asked.wallet)
        except ValueError:
            continue
        assert read_back != meant


@pytest.mark.parametrize(
    ("contract", "method", "intent"),
    [
        ("DepositFactory", "sweep", w.sweep()),
        ("DepositFactory", "sweepKnown", w.sweep_known()),
        ("Multisend", "send", w.batch(w.payment(), w.payment(token=w.USDC)).intent),
        ("PaymentRouter", "payWithAuthorization", w.relay()),
        ("PermitToken", "transferWithAuthorization", w.relay_transfer()),
        ("SandboxToken", "approve", w.allowance()),
        ("SandboxToken", "transfer", w.move(token=w.USDC)),
    ],
)
def test_methods_are_those_of_the_contracts(contract: str, method: str, intent: Any) -> None:
    abi = json.loads((ARTIFACTS / f"{contract}.json").read_text())["abi"]
    (found,) = [one for one in abi if one.get("name") == method]
    signature = f"{method}({','.join(_type(one) for one in found['inputs'])})"
    assert transaction(w.order(intent)).data[:4] == keccak(signature.encode())[:4]


def _type(one: dict[str, Any]) -> str:
    if not one["type"].startswith("tuple"):
        return str(one["type"])
    inner = ",".join(_type(part) for part in one["components"])
    return f"({inner}){one['type'].removeprefix('tuple')}"


def test_a_quote_is_hashed_as_the_router_does() -> None:
    quote = w.quote(asset=NATIVE)
    data = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Quote": [
                {"name": "invoice", "type": "bytes32"},
                {"name": "asset", "type": "address"},
                {"name": "amount", "type": "uint256"},
                {"name": "deadline", "type": "uint256"},
                {"name": "nonce", "type": "uint256"},
            ],
        },
        "primaryType": "Quote",
        "domain": {
            "name": "Bezant PaymentRouter",
            "version": "1",
            "chainId": quote.chain_id,
            "verifyingContract": quote.router,
        },
        "message": {
            "invoice": bytes.fromhex(quote.invoice[2:]),
            "asset": "0x" + "00" * 20,
            "amount": quote.amount,
            "deadline": quote.deadline,
            "nonce": quote.nonce,
        },
    }
    assert quote_digest(quote) == typed_hash(data)


@pytest.mark.parametrize("intent", w.every_intent(), ids=lambda i: type(i).__name__)
def test_orders_survive_json(intent: Any) -> None:
    asked = w.order(intent)
    there = json.loads(json.dumps(plain(asked)))
    assert read(Order, there) == asked
    assert read_intent(there["intent"]) == intent


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": 1},
        {"nonce": "01"},
        {"nonce": "-1"},
        {"nonce": "1.0"},
        {"nonce": "１"},
        {"nonce": None},
        {"more": "1"},
        {"intent": {"type": "delegatecall", "to": w.MALLORY, "data": "0x"}},
        {"intent": {"type": "raw_hash", "hash": "0x" + "00" * 32}},
        {"intent": {"type": "personal_message", "text": "hello"}},
        {"intent": {"type": "cancel"}},
        {"intent": []},
        {"wallet": 5},
    ],
)
def test_json_is_read_strictly(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read(Order, {**plain(w.order(w.cancel())), **change})
