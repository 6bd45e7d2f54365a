"""`bezant signer`: the one process that holds keys (CHAIN 4)."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import structlog

from bezant.environment import SignerSettings, keystore_password
from core import log as logs
from core.errors import Misconfigured
from wallets.keys import LocalKey, harden
from wallets.keystore import Keystore
from wallets.signer import register
from wallets.signer.audit import AuditLog
from wallets.signer.place import Place, private_directory
from wallets.signer.policy import parse
from wallets.signer.server import Server
from wallets.signer.signing import Signing
from wallets.signer.store import Store

log = structlog.get_logger()


def run(
    settings: SignerSettings,
    group: int | None,
    environment: MutableMapping[str, str] = os.environ,
) -> None:
    """Serves until SIGTERM or SIGINT. The password leaves the environment once it was used."""
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
        keystore = Keystore(place.keys, keystore_password(environment))
        environment.pop("BEZANT_KEYSTORE_PASSWORD", None)
        keys = _unlock(keystore, store)
        for key in keys.values():
            held.callback(key.close)
        quotes = {one.address for one in register.entries(store) if one.kind == "quote"}
        signing = Signing(
            store,
            audit,
            {address: key for address, key in keys.items() if address not in quotes},
            next((key for address, key in keys.items() if address in quotes), None),
        )
        audit.write("start", keys=sorted(keys), policy=store.policy_version())
        asyncio.run(_serve(Server(signing, settings.service_key), settings.socket, group))
    log.info("signer_stopped")


async def _serve(server: Server, socket: Path, group: int | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await server.run(socket, group, stopped)


def _unlock(keystore: Keystore, store: Store) -> dict[str, LocalKey]:
    """All keys that may be needed, side by side: scrypt takes its seconds for each.

    Raises Misconfigured.
    """
    found = store.policy()
    networks = parse(found[2]).networks.values() if found else ()
    named = {address for network in networks for address in network.wallets}
    addresses = [
        one.address
        for one in register.entries(store, retired=True)
        if one.has_key and (one.retired_at is None or one.address in named)
    ]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(zip(addresses, pool.map(keystore.open, addresses), strict=True))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One signer a directory. Raises Misconfigured."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Misconfigured(f"a signer runs in {path.parent} already") from None
        yield
