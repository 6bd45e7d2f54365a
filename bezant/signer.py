"""`bezant signer`: the one process that holds keys (CHAIN 4)."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import structlog

from bezant.environment import SignerSettings
from bezant.keyring import Keyring
from core import log as logs
from core.errors import Misconfigured
from core.hardening import harden
from wallets.signer import register
from wallets.signer.audit import AuditLog
from wallets.signer.place import Place, private_directory
from wallets.signer.policy import parse
from wallets.signer.register import Entry
from wallets.signer.server import Server
from wallets.signer.signing import Signing
from wallets.signer.store import Store

log = structlog.get_logger()


def run(
    settings: SignerSettings,
    group: int | None,
    environment: MutableMapping[str, str] = os.environ,
) -> None:
    """Serves until SIGTERM or SIGINT. Password and token leave the environment once read."""
    harden()
    os.umask(0o077)
    logs.configure(json=not sys.stderr.isatty())
    place = Place(settings.directory)
    place.prepare()
    private_directory(settings.socket.parent, group=group)
    with ExitStack() as held:
        held.enter_context(_alone(place.lock))
        store = held.enter_context(closing(Store(place.store)))
        audit = held.enter_context(closing(AuditLog(place.log)))
        keyring = held.enter_context(closing(Keyring(place.keys, _needed(store), environment)))
        keys = keyring.keys
        quotes = {one.address for one in register.entries(store) if one.kind == "quote"}
        signing = Signing(
            store,
            audit,
            {address: key for address, key in keys.items() if address not in quotes},
            next((key for address, key in keys.items() if address in quotes), None),
        )
        audit.write("start", keys=sorted(keys), policy=store.policy_version())
        asyncio.run(_serve(Server(signing, settings.service_key), keyring, settings.socket, group))
    log.info("signer_stopped")


async def _serve(server: Server, keyring: Keyring, socket: Path, group: int | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tending = asyncio.create_task(keyring.tend())
    try:
        await keyring.reach()
        await server.run(socket, group, stopped)
    finally:
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)
        await keyring.leave()


def _needed(store: Store) -> list[Entry]:
    """Wallets with a key that may be asked for: a retired one while the policy names it."""
    found = store.policy()
    networks = parse(found[2]).networks.values() if found else ()
    named = {address for network in networks for address in network.wallets}
    return [
        one
        for one in register.entries(store, retired=True)
        if one.has_key and (one.retired_at is None or one.address in named)
    ]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One signer a directory. Raises Misconfigured."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured(f"a signer runs in {path.parent} already") from None
        yield
