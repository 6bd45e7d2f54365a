"""What x402 says on the wire, versions 1 and 2, and what must hold of it before a node is asked.

Scheme `exact` with EIP-3009 authorizations: https://github.com/x402-foundation/x402, specs.
Reasons are x402's own codes where it has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chain.domains import domain_separator
from core.keccak import keccak
from core.networks import Catalog, Network, Token
from wallets.abi import encode
from wallets.signer.approvals import recover

SCHEME = "exact"
EXPIRED = "invalid_exact_evm_payload_authorization_valid_before"
NONCE_USED = "invalid_exact_evm_nonce_already_used"
RECIPIENT = "invalid_exact_evm_payload_recipient_mismatch"
SIGNATURE = "invalid_exact_evm_payload_signature"
MARGIN_SECONDS = 6  # what must be left of an authorization, as in x402's own facilitator
U256 = 1 << 256
# Names of version 1; networks without one go by CAIP-2 there too.
V1_NAMES = {
    1: "ethereum", 137: "polygon", 8453: "base", 42220: "celo", 43113: "avalanche-fuji",
    43114: "avalanche", 80002: "polygon-amoy", 84532: "base-sepolia",
}  # fmt: skip
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_WORD = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,78}", re.ASCII)
_TYPE = keccak(
    b"TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,"
    b"uint256 validBefore,bytes32 nonce)"
)


class NotPaid(Exception):
    """The payment is not taken; `reason` is stable and goes to the payer."""

    def __init__(self, reason: str, message: str = "", payer: str | None = None) -> None:
        super().__init__(message or reason)
        self.reason, self.message, self.payer = reason, message, payer


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """EIP-3009's, as it was signed: base units, unix seconds, lower-case 0x hex."""

    payer: str
    to: str
    amount: int
    valid_after: int
    valid_before: int
    nonce: str
    signature: str

    def digest(self, token: Token, chain_id: int) -> bytes:
        """What the payer signed (EIP-712), in the token's own domain. Raises ValueError."""
        assert token.eip3009 is not None  # noqa: S101  (`offered` saw to it)
        domain = token.eip3009.name, token.eip3009.version, chain_id, token.address
        message = encode(
            ["bytes32", "address", "address", "uint256", "uint256", "uint256", "bytes32"],
            [
                _TYPE, self.payer, self.to, self.amount, self.valid_after, self.valid_before,
                bytes.fromhex(self.nonce[2:]),
            ],
        )  # fmt: skip
        return keccak(b"\x19\x01" + domain_separator(*domain) + keccak(message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a payer sent for what a resource demands. `said` is the network's name as it was given:
    answers repeat it."""

    said: str
    network: Network
    token: Token
    pay_to: str
    amount: int
    authorization: Authorization
    resource: str | None


def read(catalog: Catalog, version: int, payload: Any, requirements: Any) -> Payment:
    """Raises NotPaid for what is no payment of a kind that we settle."""
    if version not in (1, 2):
        raise NotPaid("invalid_x402_version", "versions 1 and 2 are spoken here")
    demanded = _table("invalid_payment_requirements", requirements)
    given = _table("invalid_payload", payload)
    chosen = given if version == 1 else _table("invalid_payload", given.get("accepted"))
    authorization = _authorization(_table("invalid_payload", given.get("payload")))
    payer, said = authorization.payer, str(demanded.get("network"))[:100]
    if demanded.get("scheme") != SCHEME or chosen.get("scheme") != SCHEME:
        raise NotPaid("unsupported_scheme", f"{SCHEME} is the scheme", payer)
    if chosen.get("network") != demanded.get("network"):
        raise NotPaid("network_mismatch", "the payer chose another network", payer)
    network, token = _offered(catalog, version, said, demanded, payer)
    price = demanded.get("maxAmountRequired" if version == 1 else "amount")
    about = demanded if version == 1 else (given.get("resource") or {})
    where = about.get("resource" if version == 1 else "url") if isinstance(about, dict) else None
    return Payment(
        said=said,
        network=network,
        token=token,
        pay_to=_text("invalid_payment_requirements", demanded, "payTo", _ADDRESS).lower(),
        amount=_number("invalid_payment_requirements", {"amount": price}, "amount"),
        authorization=authorization,
        resource=_printable(where),
    )


def judge(payment: Payment, own_address: str | None, now: int) -> None:
    """Whether the payer signed what is demanded, for the merchant's own address and in time.

    Pure; `now` is unix seconds. Raises NotPaid.
    """
    signed, network = payment.authorization, payment.network
    if own_address is None or payment.pay_to != own_address:
        said = "payTo is not this merchant's: POST /v1/x402/requirements tells it"
        raise NotPaid(RECIPIENT, said, signed.payer)
    if signed.to != payment.pay_to:
        raise NotPaid(RECIPIENT, "signed for another recipient", signed.payer)
    if signed.amount != payment.amount or payment.amount == 0:
        reason = "invalid_exact_evm_payload_authorization_value_mismatch"
        raise NotPaid(reason, "signed for another amount", signed.payer)
    if signed.valid_before < now + max(MARGIN_SECONDS, 2 * network.block_seconds):
        raise NotPaid(EXPIRED, "expired, or too soon to be mined in time", signed.payer)
    if signed.valid_after > now:
        reason = "invalid_exact_evm_payload_authorization_valid_after"
        raise NotPaid(reason, "not valid yet", signed.payer)
    try:
        signer = recover(signed.digest(payment.token, network.chain_id), signed.signature)
    except ValueError as error:
        raise NotPaid(SIGNATURE, str(error), signed.payer) from None
    if signer != signed.payer:
        said = "not the payer's signature (a contract's wallet cannot sign it)"
        raise NotPaid(SIGNATURE, said, signed.payer)


def name_of(network: Network, version: int) -> str:
    """As the protocol's version names it."""
    return V1_NAMES.get(network.chain_id, network.id) if version == 1 else network.id


def kinds(catalog: Catalog) -> list[tuple[Network, Token]]:
    """What can be paid in."""
    return [
        (network, token)
        for network, token in catalog.pairs()
        if token.eip3009 is not None and network.x402 is not None and network.factory is not None
    ]


def _offered(
    catalog: Catalog, version: int, said: str, demanded: Mapping[str, Any], payer: str
) -> tuple[Network, Token]:
    here = [(n, t) for n, t in kinds(catalog) if said in (n.id, name_of(n, version))]
    if not here:
        raise NotPaid("invalid_network", "nothing is settled on this network", payer)
    asset = str(demanded.get("asset")).lower()
    found = next(((n, t) for n, t in here if t.address == asset), None)
    if found is None or found[1].eip3009 is None:
        reason = "invalid_exact_evm_eip3009_not_supported"
        raise NotPaid(reason, "this asset is not taken", payer)
    extra, domain = demanded.get("extra"), found[1].eip3009
    if not isinstance(extra, dict) or not {"name", "version"} <= extra.keys():
        raise NotPaid("missing_eip712_domain", "extra has the token's name and version", payer)
    for key, ours in (("name", domain.name), ("version", domain.version)):
        if extra[key] != ours:
            raise NotPaid(f"invalid_exact_evm_token_{key}_mismatch", f"it is {ours!r}", payer)
    return found


def _authorization(payload: Mapping[str, Any]) -> Authorization:
    bad = "invalid_payload"
    signed = _table(bad, payload.get("authorization"))
    signature = payload.get("signature")
    if not isinstance(signature, str) or not re.fullmatch(r"0x[0-9a-fA-F]{130}", signature):
        payer = signed.get("from")
        said = "65 bytes of signature in 0x hex: wallets that are contracts cannot pay so"
        raise NotPaid(SIGNATURE, said, payer if isinstance(payer, str) else None)
    parity = int(signature[130:], 16)
    return Authorization(
        payer=_text(bad, signed, "from", _ADDRESS).lower(),
        to=_text(bad, signed, "to", _ADDRESS).lower(),
        amount=_number(bad, signed, "value"),
        valid_after=_number(bad, signed, "validAfter"),
        valid_before=_number(bad, signed, "validBefore"),
        nonce=_text(bad, signed, "nonce", _WORD).lower(),
        signature=signature[:130].lower() + f"{parity + 27 if parity < 27 else parity:02x}",
    )


def _table(reason: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotPaid(reason, "an object is missing")
    return value


def _text(reason: str, table: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise NotPaid(reason, f"{key} is malformed")
    return value


def _number(reason: str, table: Mapping[str, Any], key: str) -> int:
    value = table.get(key)
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not _NUMBER.fullmatch(text) or int(text) >= U256:
        raise NotPaid(reason, f"{key} is a whole number in base units or seconds, as text")
    return int(text)


def _printable(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return "".join(c if c.isprintable() else " " for c in value[:1000]).strip() or None
