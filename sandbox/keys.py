"""Who signs for the sandbox's house: keys of its own in the signer's keystore, and its policy."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from core.clock import wall
from exchanges.types import Venue
from sandbox.deploy import Keys, address_of
from sandbox.exchanges.addresses import deposit_address, purse_address
from sandbox.policy import policy
from sandbox.state import State
from sandbox.world import Chain
from wallets.signer import register
from wallets.signer.audit import AuditLog
from wallets.signer.place import Place
from wallets.signer.policy import parse
from wallets.signer.store import Store

SCRYPT_WORK = 1 << 12  # milliseconds: what they guard is worth nothing, and each start opens them
LONGEST_SOCKET = 100  # bytes, as BEZANT_SIGNER_SOCKET


def socket_in(directory: Path) -> Path:
    """Where the signer listens; in a directory of ours under /tmp where the path is too long."""
    inside = Place(directory).socket
    if len(os.fsencode(inside)) <= LONGEST_SOCKET:
        return inside
    name = sha256(os.fsencode(directory)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"bezant-{name}" / inside.name


def house(state: State, directory: Path) -> Keys:
    """Makes the wallets that are not there yet in the signer's directory; nobody sees their keys.

    The treasury is only watched: what is in it leaves by its owner's own means.
    """
    place = Place(directory)
    place.prepare()
    owner, treasury = bytes.fromhex(state.owner_key), bytes.fromhex(state.treasury_key)
    with closing(Store(place.store)) as store, closing(AuditLog(place.log)) as audit:
        known = {one.label: one.address for one in register.entries(store)}
        for kind in ("hot", "relayer", "quote", "treasury"):
            if kind in known:
                continue
            is_ours = kind != "treasury"
            known[kind] = _make(place, state) if is_ours else address_of(treasury)
            now = int(wall().timestamp())
            entry = register.Entry(
                address=known[kind], label=kind, kind=kind, path=None, created_at=now
            )
            register.add(store, entry)
            audit.write("wallet", address=entry.address, label=kind, kind=kind)
    return Keys(
        owner=owner,
        treasury=treasury,
        hot=known["hot"],
        relayer=known["relayer"],
        quote=known["quote"],
        venues=tuple(purse_address(state.simulator_seed, venue) for venue in Venue),
    )


def _make(place: Place, state: State) -> str:
    """A new key in the keystore; its address."""
    from wallets.keystore import Keystore  # at the first start only: eth-account is slow to import

    keystore = Keystore(place.keys, state.keystore_password, work=SCRYPT_WORK)
    return keystore.keep(bytearray(os.urandom(32)))


def authorise(directory: Path, state: State, chains: Sequence[Chain], keys: Keys) -> None:
    """Puts the sandbox's policy in force where none is that knows these networks: one that was
    applied by hand stays."""
    place = Place(directory)
    with closing(Store(place.store)) as store, closing(AuditLog(place.log)) as audit:
        standing = store.policy()
        if standing and {chain.id for chain in chains} <= parse(standing[2]).networks.keys():
            return
        venues = [deposit_address(state.simulator_seed, venue) for venue in Venue]
        text = policy(chains, keys, bytes.fromhex(state.approver_key), venues)
        (directory / "policy.toml").write_text(text)
        version, hashed = store.apply_policy(text, int(wall().timestamp()))
        audit.write("policy", version=version, sha256=hashed)
