"""Which wallets the signer knows: label, kind and age; keys lie elsewhere."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from core.errors import Conflict, Invalid, NotFound
from wallets.signer.store import Store

KINDS = ("hot", "relayer", "treasury", "watch", "quote")
KEYLESS = ("watch", "treasury")  # known by address only
KEYSTORE, VAULT, KMS = "keystore", "vault", "kms"
_LONGEST_LABEL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Times are unix seconds; `path` where the key was derived from a mnemonic.

    `holder` has the key: the keystore, Vault (`reference`: its Transit key) or KMS (its ARN).
    """

    address: str
    label: str
    kind: str
    path: str | None
    created_at: int
    retired_at: int | None = None
    holder: str = KEYSTORE
    reference: str = ""

    @property
    def has_key(self) -> bool:
        return self.kind not in KEYLESS


def entries(store: Store, *, retired: bool = False) -> list[Entry]:
    """Oldest first."""
    rows = store.rows(
        "select address, label, kind, path, created_at, retired_at, holder, reference"
        " from wallets left join holders using (address) order by created_at, wallets.rowid"
    )
    found = [
        Entry(
            address=a, label=n, kind=k, path=p, created_at=c, retired_at=r,
            holder=h or KEYSTORE, reference=f or "",
        )
        for a, n, k, p, c, r, h, f in rows
    ]  # fmt: skip
    return [one for one in found if retired or one.retired_at is None]


def labelled(store: Store, label: str) -> Entry:
    """Raises NotFound."""
    for one in entries(store):
        if label in (one.label, one.address):
            return one
    raise NotFound(f"no wallet is called {label!r}")


def check(store: Store, label: str, kind: str) -> None:
    """Before a key is made: may there be such a wallet? Raises Invalid, Conflict."""
    if kind not in KINDS:
        raise Invalid.of("kind", f"one of {', '.join(KINDS)} is allowed")
    if not label.strip() or len(label) > _LONGEST_LABEL:
        raise Invalid.of("label", f"1 to {_LONGEST_LABEL} characters are allowed")
    for one in entries(store):
        if one.label == label:
            raise Conflict(f"{label!r} is the label of {one.address}")
        if kind == one.kind == "quote":
            raise Conflict(f"{one.address} is the quote key: rotate it")


def check_new(store: Store, address: str) -> None:
    """Raises Conflict for a known address, a retired one too: its file must not be replaced."""
    for one in entries(store, retired=True):
        if one.address == address:
            raise Conflict(f"{address} is here already, as {one.label!r}")


def add(store: Store, entry: Entry, *, in_place_of: Entry | None = None) -> None:
    """Raises Conflict when the address or the label is taken."""
    try:
        with store.writing() as db:
            if in_place_of is not None:
                db.execute(
                    "update wallets set retired_at = ? where address = ?",
                    (entry.created_at, in_place_of.address),
                )
            db.execute(
                "insert into wallets (address, label, kind, path, created_at)"
                " values (?, ?, ?, ?, ?)",
                (entry.address, entry.label, entry.kind, entry.path, entry.created_at),
            )
            if entry.holder != KEYSTORE:
                db.execute(
                    "insert into holders values (?, ?, ?)",
                    (entry.address, entry.holder, entry.reference),
                )
    except sqlite3.IntegrityError:
        raise Conflict(f"{entry.address} or {entry.label!r} is here already") from None
