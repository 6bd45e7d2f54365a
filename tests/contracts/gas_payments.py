"""What a payment through the router and a payout through Multisend cost, beside plain transfers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak

from tests.contracts.chain import Chain, Contract

ETHER = "0x" + "00" * 20
PAYER_KEY, QUOTE_KEY = "0x" + "41" * 32, "0x" + "42" * 32
PAID = 123_456_789  # base units: 123.456789 of a token with 6 decimals
DEADLINE = 2**40
CALL_GAS = 100_000
BATCHES = (1, 2, 3, 4, 20, 100)
QUOTE_TYPE = [
    {"name": "invoice", "type": "bytes32"},
    {"name": "asset", "type": "address"},
    {"name": "amount", "type": "uint256"},
    {"name": "deadline", "type": "uint256"},
    {"name": "nonce", "type": "uint256"},
]
PERMIT_TYPE = [
    {"name": "owner", "type": "address"},
    {"name": "spender", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "nonce", "type": "uint256"},
    {"name": "deadline", "type": "uint256"},
]
AUTHORIZATION_TYPE = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]


@dataclass(frozen=True)
class Row:
    """Gas of the whole transaction, per payment, and of a plain transfer to the same account."""

    name: str
    size: int
    gas: int
    plain: int


class Shop:
    """A router over `factory` with its quote key, a dollar with permits, and a funded payer."""

    def __init__(self, chain: Chain, factory: Contract, owner: str) -> None:
        self.chain = chain
        self.chain_id = int(chain.rpc("eth_chainId"), 16)
        self.treasury = factory.call("treasury")
        self.dollar = chain.create("PermitToken", "USD Coin", "USDC", 6)
        self.router = chain.create("PaymentRouter", factory.address)
        self.router.send(
            "setQuoteKey", Account.from_key(QUOTE_KEY).address, 0, sender=owner, gas=200_000
        )
        self.payer: str = Account.from_key(PAYER_KEY).address
        chain.rpc("anvil_setBalance", self.payer, hex(10**20))
        chain.rpc("anvil_impersonateAccount", self.payer)
        self.dollar.send("mint", self.payer, 10**12)
        self.dollar.send("mint", self.treasury, 1)

    def quote(self, asset: str, number: int) -> tuple[Any, ...]:
        return (keccak(text=f"invoice {number}"), asset, PAID, DEADLINE, number)

    def signed(self, quote: tuple[Any, ...]) -> bytes:
        """The quote key's EIP-712 signature."""
        names = [entry["name"] for entry in QUOTE_TYPE]
        domain = self._domain("Bezant PaymentRouter", "1", self.router.address)
        message = dict(zip(names, quote, strict=True))
        return _sign(QUOTE_KEY, domain, {"Quote": QUOTE_TYPE}, message)

    def permit(self) -> tuple[int, int, bytes, bytes]:
        message = {
            "owner": self.payer,
            "spender": self.router.address,
            "value": PAID,
            "nonce": self.dollar.call("nonces", self.payer),
            "deadline": DEADLINE,
        }
        return (DEADLINE, *_split(self._payer_signs("Permit", PERMIT_TYPE, message)))

    def authorization(self, quote: tuple[Any, ...]) -> tuple[Any, ...]:
        """EIP-3009, bound to the quote by its nonce."""
        message = {
            "from": self.payer,
            "to": self.router.address,
            "value": PAID,
            "validAfter": 0,
            "validBefore": DEADLINE,
            "nonce": self.router.call("quoteHash", quote),
        }
        proof = self._payer_signs("ReceiveWithAuthorization", AUTHORIZATION_TYPE, message)
        return (self.payer, 0, DEADLINE, *_split(proof))

    def _payer_signs(self, kind: str, fields: Any, message: dict[str, Any]) -> bytes:
        domain = self._domain("USD Coin", "2", self.dollar.address)
        return _sign(PAYER_KEY, domain, {kind: fields}, message)

    def _domain(self, name: str, version: str, contract: str) -> dict[str, Any]:
        return {
            "name": name,
            "version": version,
            "chainId": self.chain_id,
            "verifyingContract": contract,
        }


def measure(chain: Chain, factory: Contract, owner: str) -> list[Row]:
    """Router first, then payouts."""
    shop = Shop(chain, factory, owner)
    return [*_router(shop), *_payouts(shop)]


def _router(shop: Shop) -> list[Row]:
    dollar, router, payer = shop.dollar, shop.router, shop.payer
    dollar.send("approve", router.address, 10**12, sender=payer)
    transfer = _gas(dollar.send("transfer", shop.treasury, PAID, sender=payer))
    quotes = [shop.quote(dollar.address, number) for number in range(3)]
    ether = shop.quote(ETHER, 3)
    paid = [
        ("ETH: `pay`", router.send("pay", ether, shop.signed(ether), sender=payer, value=PAID)),
        (
            "ERC-20: `payToken`, allowance there",
            router.send("payToken", quotes[0], shop.signed(quotes[0]), sender=payer),
        ),
        (
            "ERC-20: `payWithAuthorization`, sent by another",
            router.send(
                "payWithAuthorization",
                quotes[2],
                shop.signed(quotes[2]),
                shop.authorization(quotes[2]),
            ),
        ),
    ]
    dollar.send("approve", router.address, 0, sender=payer)
    by_permit = router.send(
        "payWithPermit", quotes[1], shop.signed(quotes[1]), shop.permit(), sender=payer
    )
    paid.insert(2, ("ERC-20: `payWithPermit`", by_permit))
    for _, receipt in paid:
        assert receipt["logs"][-1]["address"] == router.address.lower()
    return [
        Row(name, 1, _gas(receipt), 21_000 if name.startswith("ETH") else transfer)
        for name, receipt in paid
    ]


def _payouts(shop: Shop) -> list[Row]:
    chain, dollar, payer = shop.chain, shop.dollar, shop.payer
    multisend = chain.create("Multisend")
    dollar.send("approve", multisend.address, 10**12, sender=payer)
    payees = ["0x" + keccak(text=f"payee {i}")[:20].hex() for i in range(max(BATCHES))]
    for payee in payees:
        chain.send(payee, value=1)
        dollar.send("mint", payee, 1)
    transfer = _gas(dollar.send("transfer", payees[0], PAID, sender=payer))
    rows = []
    for name, asset, plain in (
        ("ETH: `send`", ETHER, 21_000),
        ("ERC-20: `send`", dollar.address, transfer),
    ):
        for size in BATCHES:
            payments = [(asset, payee, PAID) for payee in payees[:size]]
            value = PAID * size if asset == ETHER else 0
            receipt = multisend.send("send", payments, CALL_GAS, sender=payer, value=value)
            told = [log for log in receipt["logs"] if log["address"] == multisend.address.lower()]
            assert len(told) == size
            rows.append(Row(name, size, _gas(receipt) // size, plain))
    new = ["0x" + keccak(text=f"new payee {i}")[:20].hex() for i in range(21)]
    payments = [(ETHER, payee, PAID) for payee in new[:20]]
    receipt = multisend.send("send", payments, CALL_GAS, sender=payer, value=PAID * 20)
    plain = _gas(chain.send(new[20], value=1))
    rows.append(Row("ETH: `send`, to new accounts", 20, _gas(receipt) // 20, plain))
    return rows


def report(rows: list[Row]) -> str:
    """The page's second half."""
    lines = [
        "| way | batch | gas | a plain transfer |",
        "|---|---|---|---|",
        *(f"| {row.name} | {row.size} | {row.gas:,} | {row.plain:,} |" for row in rows),
    ]
    return "\n".join((TITLE, *lines, ""))


TITLE = """
# Gas per payment and payout

Payments through `PaymentRouter`: the customer's whole transaction, and no sweep is needed after it.
Payouts through `Multisend`: the house's, per payee, to accounts that hold some already. A batch
goes through it from as many on as make it cheaper than plain transfers (`TOGETHER_FROM` in
`payments/payout_fees.py`, which a test compares with this table). An account that never held
anything costs a contract 25,000 more, which a plain transfer of ETH does not pay.
"""


def _gas(receipt: dict[str, Any]) -> int:
    return int(receipt["gasUsed"], 16)


def _sign(key: str, domain: dict[str, Any], types: Any, message: dict[str, Any]) -> bytes:
    signed = Account.sign_typed_data(
        key, domain_data=domain, message_types=types, message_data=message
    )
    return bytes(signed.signature)


def _split(signature: bytes) -> tuple[int, bytes, bytes]:
    return signature[64], signature[:32], signature[32:64]
