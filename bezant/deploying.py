"""`bezant deploy`: our contracts on a network, by transactions of a wallet of ours like any others.

The worker sends them and its chain loop ends them; the signer's policy names their init codes. Each
lies where the deterministic deployer puts it (CHAIN 2): what is there already is ours, whoever sent
it, and is left alone. So the command may be broken off and given again at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from chain.contracts import Contracts
from chain.endpoints import Endpoints
from chain.standing import deployed
from core.context import Context
from core.errors import BezantError, Invalid, Refused
from core.keccak import keccak
from core.networks import Network
from sandbox.contracts import deployment
from wallets import transactions
from wallets.addresses import checksum
from wallets.intents import DEPLOYER, Deploy, Order
from wallets.signer.client import Signer, SignerWallet
from wallets.transactions import ENDED, Own, Purpose, Status

Say = Callable[[str], None]

LOOK_SECONDS = 0.2
TAKEN_SECONDS = 30  # by then a worker has looked at the first one, if there is one
UNUSED_NONCE = 2**62


@dataclass(frozen=True, slots=True)
class Contract:
    """`key`: its name in bezant.toml and in the signer's policy; addresses lower case."""

    name: str
    key: str
    address: str
    intent: Deploy

    @property
    def reference(self) -> str:
        return self.intent.id

    @property
    def code_hash(self) -> str:
        """As the signer's policy names it."""
        return "0x" + keccak(bytes.fromhex(self.intent.init_code[2:])).hex()


@dataclass(frozen=True, slots=True)
class Stood:
    """A contract that is there; `tx_hash` None: it was there before."""

    contract: Contract
    tx_hash: str | None


def ours(owner: str) -> tuple[Contract, ...]:
    """The three of them for this owner of the factory, in the order in which they are made."""
    factory = _contract("DepositFactory", "factory", owner)
    router = _contract("PaymentRouter", "router", factory.address)
    return factory, router, _contract("Multisend", "multisend")


def _contract(name: str, key: str, *arguments: str) -> Contract:
    salt = keccak(f"bezant.{name}.v1".encode())  # contracts/README.md
    address, data = deployment(name, *arguments, salt=salt)
    intent = Deploy(id=f"dpl_{address[2:]}", salt=data[:66], init_code="0x" + data[66:])
    return Contract(name, key, address, intent)


async def owner_of(networks: Sequence[Network], given: str | None) -> str:
    """The factory's: the one that is given, else that of the factory which bezant.toml names.

    Raises Invalid when there is neither, or when this owner's factory is not the one that is named:
    an invoice has the same address on every network, so every network has the same factory.
    """
    named = next((n for n in networks if n.factory is not None), None)
    owner = given
    if owner is None and named is not None and named.factory is not None:
        async with Contracts(named.rpc_urls[0]) as contracts:
            state = await contracts.factory(named.factory)
        owner = state.owner.lower() if state is not None and state.owner else None
    if owner is None:
        raise Invalid("--owner is needed: who decides on the treasury, a cold key or a multisig")
    if named is not None and ours(owner)[0].address != named.factory:
        raise Invalid(
            f"the factory of owner {checksum(owner)} would be {checksum(ours(owner)[0].address)},"
            f" but networks.{named.id} has {checksum(named.factory or '')}: only the same factory"
            " makes the same deposit addresses (--owner is the one it was first deployed with)"
        )
    return owner


async def deploy(
    context: Context,
    network: Network,
    endpoints: Endpoints,
    signer: Signer,
    owner: str,
    say: Say,
    *,
    label: str | None = None,
    taken_seconds: float = TAKEN_SECONDS,
) -> list[Stood]:
    """Puts there what is missing, and waits until it is deep enough in the chain.

    label: the wallet that pays, else the first one that the policy allows to. Raises Refused where
    the signer's policy does not, or the network has no deterministic deployer; BezantError when a
    transaction fails or no worker sends it; ChainError, SignerError.
    """
    wanted = ours(owner)
    standing = await deployed(endpoints, [DEPLOYER, *(c.address for c in wanted)])
    missing = [c for c in wanted if c.address not in standing]
    if missing and DEPLOYER not in standing:
        raise Refused(f"{network.id} has no deterministic deployer at {checksum(DEPLOYER)}")
    under_way: dict[str, Own] = {}
    if missing:
        wallet = await _payer(signer, network, missing, label)
        say(f"{checksum(wallet)} pays for {', '.join(c.name for c in missing)}.")
        under_way = {c.name: await _ask(context, network, wallet, c) for c in missing}
    found = [Stood(c, None) for c in wanted if c.name not in under_way]
    for contract in missing:
        ended = await _wait(context, under_way[contract.name], contract, say, taken_seconds)
        if contract.address not in await deployed(endpoints, [contract.address]):
            raise BezantError(f"{contract.name} was not deployed: {ended.reason or ended.status}")
        found.append(Stood(contract, ended.tx_hash))
    return sorted(found, key=lambda one: wanted.index(one.contract))


async def _payer(
    signer: Signer, network: Network, missing: Sequence[Contract], label: str | None
) -> str:
    wallets = [w for w in await signer.wallets() if w.kind in ("hot", "relayer")]
    if label is not None:
        wallets = [w for w in wallets if w.label == label]
    if not wallets:
        raise Refused("the signer has no such wallet: bezant wallet list")
    refused = ""
    for wallet in wallets:
        why = await _refusal(signer, network, wallet, missing)
        if why is None:
            return wallet.address
        refused = refused or f"{wallet.label}: {why}"
    codes = ", ".join(f'"{contract.code_hash}"' for contract in missing)
    raise Refused(
        f"the signer's policy does not allow it ({refused}). In [networks.{network.id!r}] add"
        f" init_codes = [{codes}] and give a wallet the intent deploy; then bezant signer policy"
        " apply"
    )


async def _refusal(
    signer: Signer, network: Network, wallet: SignerWallet, missing: Sequence[Contract]
) -> str | None:
    """Why the signer would not; judged, not signed and not counted."""
    for contract in missing:
        order = Order(
            id="tx_" + "0" * 26, network=network.id, chain_id=network.chain_id,
            wallet=wallet.address, nonce=UNUSED_NONCE, gas=1, max_fee=1, priority_fee=0,
            intent=contract.intent,
        )  # fmt: skip
        verdict = await signer.check(order)
        if not verdict.allowed:
            return f"{verdict.code}, {verdict.detail}"
    return None


async def _ask(context: Context, network: Network, wallet: str, contract: Contract) -> Own:
    """One that is under way already is waited for: nobody pays twice for the same contract."""
    async with context.database.begin() as session:
        named = f"{network.id} {contract.reference}"
        await session.execute(
            text("select pg_advisory_xact_lock(hashtextextended(:n, 0))"), {"n": named}
        )
        for one in await transactions.of_reference(session, contract.reference):
            if one.network == network.id and one.status not in ENDED:
                return one
        number = await transactions.prepare(
            session, context, network=network.id, wallet=wallet, purpose=Purpose.DEPLOY,
            intent=contract.intent, reference=contract.reference, now=context.clock.now(),
        )  # fmt: skip
        found = await transactions.find(session, number)
        assert found is not None  # noqa: S101  (made in this session)
        return found


async def _wait(
    context: Context, asked: Own, contract: Contract, say: Say, taken_seconds: float
) -> Own:
    """Says what changes, until a block that is deep enough has decided."""
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + taken_seconds, ""
    while True:
        async with context.database.read() as session:
            found = await transactions.find(session, asked.id)
        assert found is not None  # noqa: S101  (rows of transactions are never deleted)
        if (now := _words(found)) != told:
            say(f"{contract.name}: {now}")
            told = now
        if found.status in ENDED:
            return found
        if found.status is Status.PREPARED and found.reason is None and loop.time() > deadline:
            raise BezantError(
                f"no worker sends {contract.name}: is one running with this bezant.toml"
                " (bezant worker)? The transaction stays asked for"
            )
        await asyncio.sleep(LOOK_SECONDS)


def _words(own: Own) -> str:
    if own.status is Status.MINED:
        return f"in block {own.block_number} ({own.tx_hash}), waiting for its depth"
    return f"{own.status}" + (f" ({own.reason})" if own.reason else "")
