"""What may be asked of the signer: typed intents, and the transaction that each one means.

There is no intent for unknown calldata, a delegate call, a raw hash or a message (CHAIN 4).
Amounts are base units, addresses lower-case 0x hex; a token is its address or NATIVE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from core.networks import NATIVE
from wallets import relayed
from wallets.abi import call_data, from_hex
from wallets.relayed import ZERO as ZERO
from wallets.relayed import PayWithAuthorization as PayWithAuthorization
from wallets.relayed import Relay as Relay
from wallets.relayed import RelayTransfer as RelayTransfer

# The deterministic deployer: `salt . init code` -> CREATE2, at this address on every network.
DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """`signature`: 65 bytes as 0x hex, the approver's own, over the payment's EIP-712 digest."""

    approver: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payout. `fee_cap`: wei for the whole transaction; `expires_at`: unix seconds.

    `nonce` makes the approvals good for this one time; `initiator` is `key_...`, or "" when no
    key asked for it (a rule).
    """

    id: str
    token: str
    to: str
    amount: int
    fee_cap: int
    expires_at: int
    nonce: int
    initiator: str
    approvals: tuple[Approval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """One payment as a transaction of its own."""

    payment: Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutBatch:
    """Many payments through our Multisend in one transaction; one that fails stops no other.

    `call_gas`: the most gas for one payment (Multisend.sol).
    """

    multisend: str
    payments: tuple[Payment, ...]
    call_gas: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepBatch:
    """`salts` are 32 bytes each as 0x hex; the first `fresh` are believed not to be deployed."""

    token: str
    fresh: int
    salts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Deposit addresses to the treasury, whatever they hold; `call_gas` is for each inner call."""

    id: str
    factory: str
    batches: tuple[SweepBatch, ...]
    call_gas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A deposit address by its salt (0x, 32 bytes, of which 16 are used), and what it holds."""

    salt: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepKnown:
    """The cheap sweep of one ERC-20 where the amounts are known: 16 bytes of salt and of amount."""

    id: str
    factory: str
    token: str
    fresh: int
    known: tuple[Known, ...]
    call_gas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Between places of ours; the signer's policy lists the destinations."""

    id: str
    token: str
    to: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """ERC-20 `approve`, for our Multisend only."""

    id: str
    token: str
    spender: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """One of our contracts through the deterministic deployer. Both are 0x hex."""

    id: str
    salt: str
    init_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Takes a nonce with a self-send of nothing."""

    id: str


Intent: TypeAlias = (
    Payout
    | PayoutBatch
    | Sweep
    | SweepKnown
    | Move
    | Allowance
    | Deploy
    | Relay
    | RelayTransfer
    | Cancel
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An intent with everything that the bytes depend on. Fees are wei per unit of gas."""

    id: str
    network: str
    chain_id: int
    wallet: str
    nonce: int
    gas: int
    max_fee: int
    priority_fee: int
    intent: Intent

    @property
    def fee(self) -> int:
        """The most that it can cost, in wei."""
        return self.gas * self.max_fee


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """An EIP-1559 transaction, ready to send, and its hash: 0x hex."""

    raw: str
    tx_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterQuote:
    """What a payer may pay through our router. `invoice`: 0x, 32 bytes; `deadline`: unix."""

    id: str
    network: str
    chain_id: int
    router: str
    invoice: str
    asset: str
    amount: int
    deadline: int
    nonce: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """What an order does on chain: `value` in wei."""

    to: str
    value: int
    data: bytes


def payments_of(intent: Intent) -> tuple[Payment, ...]:
    """Payments that the intent carries out; none for anything but payouts."""
    if isinstance(intent, Payout):
        return (intent.payment,)
    return intent.payments if isinstance(intent, PayoutBatch) else ()


def transaction(order: Order) -> Unsigned:
    """The very call that will be signed; also what eth_call and eth_estimateGas are asked with.

    Pure. Raises ValueError for what no calldata can hold.
    """
    match order.intent:
        case Payout(payment=payment):
            return _transfer(payment.token, payment.to, payment.amount)
        case Move(token=token, to=to, amount=amount):
            return _transfer(token, to, amount)
        case PayoutBatch(multisend=multisend, payments=payments, call_gas=call_gas):
            return _multisend(multisend, payments, call_gas)
        case Sweep(factory=factory, batches=batches, call_gas=call_gas):
            rows = [(_word(b.token), b.fresh, [from_hex(s) for s in b.salts]) for b in batches]
            data = call_data("sweep((address,uint256,bytes32[])[],uint256)", rows, call_gas)
            return Unsigned(to=factory, value=0, data=data)
        case SweepKnown() as sweep:
            return _sweep_known(sweep)
        case Allowance(token=token, spender=spender, amount=amount):
            data = call_data("approve(address,uint256)", spender, amount)
            return Unsigned(to=token, value=0, data=data)
        case Deploy(salt=salt, init_code=init_code):
            return Unsigned(to=DEPLOYER, value=0, data=from_hex(salt) + from_hex(init_code))
        case Relay(router=router, call=call):
            return Unsigned(to=router, value=0, data=relayed.pay_data(call))
        case RelayTransfer() as transfer:
            return Unsigned(to=transfer.token, value=0, data=relayed.transfer_data(transfer))
        case Cancel():
            return Unsigned(to=order.wallet, value=0, data=b"")


def call_of(move: Move) -> Unsigned:
    """The call that a move is, whoever signs it."""
    return _transfer(move.token, move.to, move.amount)


def _transfer(token: str, to: str, amount: int) -> Unsigned:
    if token == NATIVE:
        return Unsigned(to=to, value=amount, data=b"")
    return Unsigned(to=token, value=0, data=call_data("transfer(address,uint256)", to, amount))


def _multisend(multisend: str, payments: tuple[Payment, ...], call_gas: int) -> Unsigned:
    rows = [(_word(p.token), p.to, p.amount) for p in payments]
    value = sum(p.amount for p in payments if p.token == NATIVE)
    data = call_data("send((address,address,uint256)[],uint256)", rows, call_gas)
    return Unsigned(to=multisend, value=value, data=data)


def _sweep_known(sweep: SweepKnown) -> Unsigned:
    for one in sweep.known:
        if int(one.salt, 16) >> 128 or not 0 < one.amount < 1 << 128:
            raise ValueError(f"{one.salt} or its amount does not fit into 16 bytes")
    words = [(one.amount << 128 | int(one.salt, 16)).to_bytes(32, "big") for one in sweep.known]
    method = "sweepKnown(address,uint256,bytes32[],uint256)"
    data = call_data(method, sweep.token, sweep.fresh, words, sweep.call_gas)
    return Unsigned(to=sweep.factory, value=0, data=data)


def _word(token: str) -> str:
    return ZERO if token == NATIVE else token
