"""The signer's own directory, opened by whoever runs its machine: policy, wallets, audit log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from bezant.environment import keystore_password
from bezant.places import data_dir
from core.errors import Invalid, Misconfigured, NotFound
from wallets.addresses import checksum
from wallets.signer import audit, register
from wallets.signer.audit import AuditLog
from wallets.signer.place import Place
from wallets.signer.policy import address_in, parse
from wallets.signer.register import Entry
from wallets.signer.signing import unix_time
from wallets.signer.store import Store


@dataclass(frozen=True, slots=True)
class _House:
    place: Place
    store: Store
    log: AuditLog


@contextmanager
def _enter(directory: Path | None) -> Iterator[_House]:
    place = Place(directory or data_dir() / "signer")
    place.prepare()
    with closing(Store(place.store)) as store, closing(AuditLog(place.log)) as log:
        yield _House(place, store, log)


def apply_policy(directory: Path | None, file: Path) -> dict[str, Any]:
    """Raises Misconfigured for a policy that is wrong anywhere; nothing is changed then."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError):
        raise Misconfigured(f"{file} cannot be read: a text file is allowed") from None
    policy = parse(text)
    with _enter(directory) as house:
        version, hashed = house.store.apply_policy(text, unix_time())
        house.log.write("policy", version=version, sha256=hashed, text=text)
    return {
        "version": version,
        "sha256": hashed,
        "networks": sorted(policy.networks),
        "approvals": f"{policy.needed} of {len(policy.approvers)}",
    }


def policy_text(directory: Path | None) -> str:
    """Raises NotFound when none was applied."""
    with _enter(directory) as house:
        found = house.store.policy()
    if found is None:
        raise NotFound("no policy was applied yet: the signer refuses everything")
    return found[2]


def verify(directory: Path | None) -> dict[str, Any]:
    """Raises Misconfigured at the first wrong line, or for a signature that the log does not tell.

    The store knows which line tells of each signature, so a log that was cut off, or written anew
    as a whole, does not pass.
    """
    with _enter(directory) as house:
        told = {line: (tx_hash, hashed) for tx_hash, line, hashed in house.store.marks()}
        last = audit.Mark(0, "")
        for mark, said in audit.read(house.place.log):
            last = mark
            tx_hash, hashed = told.pop(mark.number, (None, None))
            if hashed and (hashed != mark.hash or said.get("tx_hash") != tx_hash):
                raise Misconfigured(
                    f"{house.place.log}: line {mark.number} is not the one that was written when"
                    f" {tx_hash} was signed"
                )
    if told:
        number, (tx_hash, _) = min(told.items())
        raise Misconfigured(
            f"{house.place.log} ends before line {number}, which tells of {tx_hash}"
        )
    return {"lines": last.number, "sha256": last.hash, "verdict": "the log is whole"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    """A wallet to be: `old` is the one whose label it takes over, `vault` the Transit key that is
    to wrap its key, else the keystore takes it."""

    label: str
    kind: str
    path: str | None = None
    old: Entry | None = None
    vault: str | None = None


def new_wallet(
    directory: Path | None,
    label: str,
    kind: str,
    mnemonic_file: Path | None,
    index: int,
    vault: str | None,
) -> dict[str, Any]:
    """Raises Conflict, Invalid, Misconfigured, KeyUnavailable."""
    with _enter(directory) as house:
        register.check(house.store, label, kind)
        return _make(house, _New(label=label, kind=kind, vault=vault), mnemonic_file, index)


def rotate(
    directory: Path | None,
    label: str,
    mnemonic_file: Path | None,
    index: int,
    *,
    vault: str | None,
    kms: str | None,
) -> dict[str, Any]:
    """A new key where the old one lies, or where it is said. Raises NotFound, Invalid, Conflict,
    Misconfigured, KeyUnavailable."""
    with _enter(directory) as house:
        old = register.labelled(house.store, label)
        if not old.has_key:
            raise Invalid(f"{old.label!r} is only watched: it has no key here to rotate")
        if kms is None and vault is None and old.holder == register.KMS:
            raise Invalid(f"the key of {old.label!r} is in AWS KMS: make a new one, and --kms it")
        if vault is None and old.holder == register.VAULT:
            vault = old.reference
        new = _New(label=old.label, kind=old.kind, old=old, vault=vault)
        if kms is not None:
            return _shown(_from_kms(house, new, kms))
        return _make(house, new, mnemonic_file, index)


def import_key(
    directory: Path | None, label: str, kind: str, key: Path, vault: str | None
) -> dict[str, Any]:
    """Raises Conflict, Invalid, Misconfigured, KeyUnavailable."""
    from wallets.keystore import is_raw, read_secret

    with _enter(directory) as house:
        register.check(house.store, label, kind)
        password = None
        if not is_raw(key):
            password = click.prompt(f"Password of {key}", hide_input=True, err=True)
        new = _New(label=label, kind=kind, vault=vault)
        return _shown(_keep(house, new, read_secret(key, password)))


def import_kms(directory: Path | None, label: str, kind: str, key_id: str) -> dict[str, Any]:
    """Raises Conflict, Invalid, Misconfigured, KeyUnavailable."""
    with _enter(directory) as house:
        register.check(house.store, label, kind)
        return _shown(_from_kms(house, _New(label=label, kind=kind), key_id))


def watch(directory: Path | None, label: str, kind: str, address: str) -> dict[str, Any]:
    """An address without a key here. Raises Conflict, Invalid, Misconfigured."""
    found = address_in("--address", address)
    with _enter(directory) as house:
        register.check(house.store, label, kind)
        register.check_new(house.store, found)
        entry = Entry(address=found, label=label, kind=kind, path=None, created_at=unix_time())
        register.add(house.store, entry)
        house.log.write("wallet", address=found, label=label, kind=kind)
    return _shown(entry)


def show_wallets(directory: Path | None, retired: bool, as_json: bool) -> None:
    with _enter(directory) as house:
        found = [_shown(one) for one in register.entries(house.store, retired=retired)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        gone = "  retired" if one["retired"] else ""
        holder = (one["key"] or "").partition(" ")[0]
        click.echo(f"{one['address']}  {one['kind']:<9} {holder:<9} {one['label']}{gone}")


def _make(house: _House, new: _New, file: Path | None, index: int) -> dict[str, Any]:
    from wallets.keys import PATH, derive, new_mnemonic

    if file is not None:
        try:
            mnemonic = " ".join(file.read_text().split())
        except (OSError, UnicodeDecodeError):
            raise Misconfigured(f"{file} cannot be read: a text file is allowed") from None
    else:
        mnemonic = new_mnemonic()
    path = PATH.format(index)
    shown = _shown(_keep(house, replace(new, path=path), derive(mnemonic, path)))
    return shown if file is not None else {**shown, "mnemonic": mnemonic}


def keep_key(
    directory: Path, label: str, kind: str, secret: bytearray, *, password: str, work: int
) -> str:
    """Takes `secret` over and wipes it -> its address. `work`: scrypt's n, `keystore.WORK` for
    real money, less for a sandbox. Raises Conflict, Invalid, Misconfigured."""
    from wallets.keystore import Keystore

    with _enter(directory) as house:
        register.check(house.store, label, kind)
        keystore = Keystore(house.place.keys, password, work=work)
        return _store(house, _New(label=label, kind=kind), secret, keystore.keep).address


def _keep(house: _House, new: _New, secret: bytearray) -> Entry:
    """Where `new` says."""
    from bezant import keyring
    from wallets.keystore import Keystore

    if new.vault is None:
        return _store(house, new, secret, Keystore(house.place.keys, keystore_password()).keep)

    from wallets import vaulted

    name, vault = new.vault, keyring.vault()

    async def wrap(secret: bytearray) -> str:
        try:
            return await vaulted.keep(house.place.keys, vault, name, secret)
        finally:
            await vault.close()

    return _store(house, new, secret, lambda secret: asyncio.run(wrap(secret)))


def _store(house: _House, new: _New, secret: bytearray, keep: Callable[[bytearray], str]) -> Entry:
    from wallets.keys import LocalKey

    key = LocalKey(bytearray(secret))
    address = key.address
    key.close()
    register.check_new(house.store, address)
    keep(secret)
    holder = register.KEYSTORE if new.vault is None else register.VAULT
    return _add(house, new, address, holder, new.vault or "")


def _from_kms(house: _House, new: _New, key_id: str) -> Entry:
    """Kept by its ARN, so that an alias that is moved later moves no wallet."""
    from wallets.kms import Kms

    arn, address = Kms().find(key_id)
    register.check_new(house.store, address)
    return _add(house, new, address, register.KMS, arn)


def _add(house: _House, new: _New, address: str, holder: str, reference: str) -> Entry:
    entry = Entry(
        address=address,
        label=new.label,
        kind=new.kind,
        path=new.path,
        created_at=unix_time(),
        holder=holder,
        reference=reference,
    )
    register.add(house.store, entry, in_place_of=new.old)
    house.log.write(
        "wallet",
        address=address,
        label=new.label,
        kind=new.kind,
        key=_key(entry),
        replaces=new.old.address if new.old else None,
    )
    return entry


def _key(entry: Entry) -> str | None:
    """Where its key is; None: not here."""
    return f"{entry.holder} {entry.reference}".strip() if entry.has_key else None


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "address": checksum(entry.address),
        "label": entry.label,
        "kind": entry.kind,
        "key": _key(entry),
        "path": entry.path,
        "retired": entry.retired_at is not None,
    }
