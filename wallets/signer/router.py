"""What the quote key signs: EIP-712 as PaymentRouter.sol reads it."""

from __future__ import annotations

from core.keccak import keccak
from core.networks import NATIVE
from wallets.abi import encode
from wallets.intents import ZERO, RouterQuote

_DOMAIN = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_QUOTE = keccak(
    b"Quote(bytes32 invoice,address asset,uint256 amount,uint256 deadline,uint256 nonce)"
)
_NAME, _VERSION = keccak(b"Bezant PaymentRouter"), keccak(b"1")


def quote_digest(quote: RouterQuote) -> bytes:
    """32 bytes, equal to the router's `quoteHash`; also the nonce of an EIP-3009 authorization
    for this quote. Raises ValueError for what no field holds."""
    domain = encode(
        ["bytes32", "bytes32", "bytes32", "uint256", "address"],
        [_DOMAIN, _NAME, _VERSION, quote.chain_id, quote.router],
    )
    message = encode(
        ["bytes32", "bytes32", "address", "uint256", "uint256", "uint256"],
        [
            _QUOTE,
            bytes.fromhex(quote.invoice.removeprefix("0x")),
            ZERO if quote.asset == NATIVE else quote.asset,
            quote.amount,
            quote.deadline,
            quote.nonce,
        ],
    )
    return keccak(b"\x19\x01" + keccak(domain) + keccak(message))
