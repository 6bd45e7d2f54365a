"""What payers signed and we send for them: our gas, their money, to the house and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from core.networks import NATIVE
from wallets.abi import call_data, from_hex

ZERO = "0x" + "00" * 20
_PAY_WITH_AUTHORIZATION = (
    "payWithAuthorization((bytes32,address,uint256,uint256,uint256),bytes,"
    "(address,uint256,uint256,uint8,bytes32,bytes32))"
)
# https://eips.ethereum.org/EIPS/eip-3009
_TRANSFER = (
    "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,"
    "uint8,bytes32,bytes32)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayWithAuthorization:
    """A payer's EIP-3009 authorization for one router quote (IPaymentRouter.sol).

    `invoice` is 32 bytes, both signatures are 65 (r, s, v with 27 or 28), all as 0x hex.
    """

    invoice: str
    asset: str
    amount: int
    deadline: int
    nonce: int
    quote_signature: str
    payer: str
    valid_after: int
    valid_before: int
    authorization: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """We pay the gas of a payer who holds no ETH; the money goes from payer to treasury."""

    id: str
    router: str
    call: PayWithAuthorization


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayTransfer:
    """A payer's EIP-3009 authorization of a transfer to a deposit address of ours, which is that
    of `salt`; we pay the gas. `nonce` and `salt` are 32 bytes, `signature` 65, all as 0x hex."""

    id: str
    token: str
    payer: str
    to: str
    salt: str
    amount: int
    valid_after: int
    valid_before: int
    nonce: str
    signature: str


def pay_data(call: PayWithAuthorization) -> bytes:
    """To our router. Raises ValueError for what no calldata can hold."""
    asset = ZERO if call.asset == NATIVE else call.asset
    quote = (from_hex(call.invoice), asset, call.amount, call.deadline, call.nonce)
    payer = (call.payer, call.valid_after, call.valid_before, *_parts(call.authorization))
    return call_data(_PAY_WITH_AUTHORIZATION, quote, from_hex(call.quote_signature), payer)


def transfer_data(call: RelayTransfer) -> bytes:
    """To the token itself. Raises ValueError for what no calldata can hold."""
    window = (call.valid_after, call.valid_before, from_hex(call.nonce))
    proof = _parts(call.signature)
    return call_data(_TRANSFER, call.payer, call.to, call.amount, *window, *proof)


def _parts(signature: str) -> tuple[int, bytes, bytes]:
    proof = from_hex(signature)
    if len(proof) != 65:
        raise ValueError("an authorization is 65 bytes")
    return proof[64], proof[:32], proof[32:64]
