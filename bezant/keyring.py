"""The keys that the signer holds or reaches, by the wallets that it knows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bezant.environment import keystore_password, secret
from core.errors import KeyUnavailable, Misconfigured
from core.hardening import forget
from wallets.keys import Key
from wallets.keystore import Keystore
from wallets.signer.register import KEYSTORE, KMS, VAULT, Entry

if TYPE_CHECKING:  # loaded where a key lies there
    from wallets.kms import KmsKey
    from wallets.vault import Vault
    from wallets.vaulted import VaultKey

log = structlog.get_logger()

AGAIN_SECONDS = 60  # a token that could not be renewed is tried again


class Keyring:
    """`keys` by address. Those of the keystore are open; `reach` opens the others.

    Raises Misconfigured when the environment lacks what one of them needs.
    """

    def __init__(
        self, directory: Path, entries: Sequence[Entry], environment: MutableMapping[str, str]
    ) -> None:
        self._vault: Vault | None = None
        self._remote: list[VaultKey | KmsKey] = []
        self.keys: dict[str, Key] = {}
        by_holder = {h: [e for e in entries if e.holder == h] for h in (KEYSTORE, VAULT, KMS)}
        if under_vault := by_holder[VAULT]:
            from wallets.vaulted import VaultKey

            self._vault = vault(environment)
            for one in under_vault:
                self._remote.append(VaultKey(directory, self._vault, one.reference, one.address))
        if in_kms := by_holder[KMS]:
            from wallets.kms import Kms, KmsKey

            kms = Kms()
            self._remote += [KmsKey(kms, one.reference, one.address) for one in in_kms]
        if local := [one.address for one in by_holder[KEYSTORE]]:
            keystore = Keystore(directory, keystore_password(environment))
            # Side by side: scrypt takes its seconds for each.
            with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
                self.keys |= zip(local, pool.map(keystore.open, local), strict=True)
        self.keys |= {one.address: one for one in self._remote}
        for name in ("BEZANT_KEYSTORE_PASSWORD", "VAULT_TOKEN"):
            forget(environment, name)

    async def reach(self) -> None:
        """Opens what lies elsewhere. A holder that is away holds up nobody: its wallets' orders
        wait, and open it later. Raises Misconfigured for a key that is not its wallet's."""
        await asyncio.gather(*[self._reach(one) for one in self._remote])

    async def _reach(self, key: VaultKey | KmsKey) -> None:
        try:
            await key.open()
        except KeyUnavailable as away:
            log.warning(away.code, wallet=key.address, detail=str(away))

    async def tend(self) -> None:
        """For as long as the token for Vault has an end to move."""
        while self._vault is not None:
            try:
                seconds = await self._vault.renew()
            except KeyUnavailable as away:
                log.warning("vault_token_not_renewed", detail=str(away))
                seconds = AGAIN_SECONDS
            if seconds is None:
                return
            await asyncio.sleep(seconds / 2)

    async def leave(self) -> None:
        if self._vault is not None:
            await self._vault.close()

    def close(self) -> None:
        for key in self.keys.values():
            key.close()


def vault(environment: Mapping[str, str] = os.environ) -> Vault:
    """By Vault's own variables, as its own tools read them. Raises Misconfigured."""
    from wallets.vault import Vault, VaultSettings

    address, token = environment.get("VAULT_ADDR"), secret(environment, "VAULT_TOKEN")
    if not address or token is None:
        raise Misconfigured(
            "a key under Vault needs VAULT_ADDR, its URL, and VAULT_TOKEN, or VAULT_TOKEN_FILE with"
            " a file's name"
        )
    return Vault(
        VaultSettings(
            address=address,
            token=token,
            namespace=environment.get("VAULT_NAMESPACE") or None,
            ca_file=environment.get("VAULT_CACERT") or None,
        )
    )
