"""What an approver signs (EIP-712), and whose signature something is.

The whole meaning of the payment is signed, its chain in the domain, so an approval is good for
nothing else; `nonce` makes it good once. Needs no key: recovery is libsecp256k1's.
"""

from __future__ import annotations

from typing import Any

from coincurve import PublicKey

from core.errors import Invalid
from core.keccak import keccak
from core.money import crypto
from core.networks import NATIVE
from wallets.abi import encode
from wallets.addresses import checksum
from wallets.intents import ZERO, Payment

# SEC 2, 2.4.1. Above half of it a signature has a twin that is as valid (EIP-2).
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_DOMAIN = (("name", "string"), ("version", "string"), ("chainId", "uint256"))
_PAYOUT = (
    ("payout", "string"),
    ("token", "address"),
    ("to", "address"),
    ("amount", "uint256"),
    ("feeCap", "uint256"),
    ("expiresAt", "uint256"),
    ("nonce", "uint256"),
    ("initiator", "string"),
)
NAME, VERSION = "Bezant payout approval", "1"


def typed_data(payment: Payment, chain_id: int, symbol: str, decimals: int) -> dict[str, Any]:
    """The JSON for `eth_signTypedData_v4`. `token` is zero for the network's coin.

    `summary` stands beside it for people and is not signed: whoever shows it, makes it anew.
    """
    amount = crypto(symbol, decimals).format(payment.amount)
    return {
        "types": {
            "EIP712Domain": [{"name": n, "type": t} for n, t in _DOMAIN],
            "Payout": [{"name": n, "type": t} for n, t in _PAYOUT],
        },
        "primaryType": "Payout",
        "domain": {"name": NAME, "version": VERSION, "chainId": chain_id},
        "message": {
            "payout": payment.id,
            "token": checksum(_word(payment.token)),
            "to": checksum(payment.to),
            "amount": str(payment.amount),
            "feeCap": str(payment.fee_cap),
            "expiresAt": str(payment.expires_at),
            "nonce": str(payment.nonce),
            "initiator": payment.initiator,
        },
        "summary": f"{amount} {symbol} to {checksum(payment.to)} on chain {chain_id}",
    }


def payment_of(data: dict[str, Any]) -> tuple[Payment, int]:
    """The payment and chain id that typed data speaks of, read back strictly.

    Raises Invalid for anything that `typed_data` would not have written.
    """
    try:
        message, chain_id = data["message"], data["domain"]["chainId"]
        token = message["token"].lower()
        payment = Payment(
            id=str(message["payout"]),
            token=NATIVE if token == ZERO else token,
            to=message["to"].lower(),
            amount=int(message["amount"]),
            fee_cap=int(message["feeCap"]),
            expires_at=int(message["expiresAt"]),
            nonce=int(message["nonce"]),
            initiator=str(message["initiator"]),
        )
        again = typed_data(payment, chain_id, "", 0)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Invalid("this is no approval of a payout as we write it") from None
    if type(chain_id) is not int or {**again, "summary": ""} != {**data, "summary": ""}:
        raise Invalid("this is no approval of a payout as we write it")
    return payment, chain_id


def digest(payment: Payment, chain_id: int) -> bytes:
    """32 bytes: keccak256(0x1901 . domain . struct). Raises ValueError for what no field holds."""
    message = encode(
        ["bytes32", "bytes32", "address", "address", *["uint256"] * 4, "bytes32"],
        [
            struct_type("Payout", _PAYOUT),
            keccak(payment.id.encode()),
            _word(payment.token),
            payment.to,
            payment.amount,
            payment.fee_cap,
            payment.expires_at,
            payment.nonce,
            keccak(payment.initiator.encode()),
        ],
    )
    domain = encode(
        ["bytes32", "bytes32", "bytes32", "uint256"],
        [
            struct_type("EIP712Domain", _DOMAIN),
            keccak(NAME.encode()),
            keccak(VERSION.encode()),
            chain_id,
        ],
    )
    return keccak(b"\x19\x01" + keccak(domain) + keccak(message))


def struct_type(name: str, members: tuple[tuple[str, str], ...]) -> bytes:
    """EIP-712 typeHash."""
    return keccak(f"{name}({','.join(f'{t} {n}' for n, t in members)})".encode())


def recover(hashed: bytes, signature: str) -> str:
    """65 bytes r, s, v (27 or 28, or 0 or 1) as 0x hex over 32 bytes -> the signer's address.

    Raises ValueError for anything else, and for the high-s twin of a signature (EIP-2).
    """
    if not signature.startswith("0x") or len(signature) != 132:
        raise ValueError("a signature is 65 bytes as 0x hex")
    raw = bytes.fromhex(signature[2:])
    v = raw[64] - 27 if raw[64] >= 27 else raw[64]
    if v not in (0, 1):
        raise ValueError("a signature's last byte is 27 or 28")
    if not 0 < int.from_bytes(raw[32:64], "big") <= ORDER // 2:
        raise ValueError("a signature's s is in the lower half (EIP-2)")
    public = PublicKey.from_signature_and_message(raw[:64] + bytes([v]), hashed, hasher=None)
    return address_of(public.format(compressed=False))


def address_of(public: bytes) -> str:
    """An uncompressed public key (65 bytes) -> its address, lower case."""
    return "0x" + keccak(public[1:])[12:].hex()


def _word(token: str) -> str:
    return ZERO if token == NATIVE else token
