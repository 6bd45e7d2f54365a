"""Keys are where they belong: the signer's process has them, API and worker never had."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from eth_account import Account

from tests.e2e.town import Town
from tests.process_memory import search
from tests.settings import unable
from wallets.signer.place import Place

SIGNING_CODE = ("wallets/keys.py", "wallets/keystore.py", "wallets/signer/signing.py")
LIBRARIES = ("site-packages/ckzg", "site-packages/eth_account")


def keys_of(town: Town) -> dict[str, bytes]:
    password = (town.data / "keys" / "keystore.password").read_text().strip()
    return {
        file.name: bytes(Account.decrypt(json.loads(file.read_text()), password))
        for file in Place(town.data / "signer").keys.iterdir()
    }


def test_only_the_signer_ever_held_a_key(sandbox: Town) -> None:
    keys = keys_of(sandbox)
    assert len(keys) >= 3
    code = {n: n.encode() for n in (*SIGNING_CODE, "eth_account/account.py", *LIBRARIES)}
    known = {"known": b"core/hardening.py"}  # they do hold this, and the search finds it
    for name in ("api", "worker"):
        found = search(sandbox.pid(name), keys | code | known)
        found["memory"] -= {*LIBRARIES}  # only named there: what is loaded is mapped
        assert found == {"memory": {"known"}, "environ": set(), "maps": set()}, name
    texts = {f"{name} as text": key.hex().encode() for name, key in keys.items()}
    signer = search(sandbox.pid("signer"), keys | code | texts)
    assert signer["memory"] >= {*keys, *SIGNING_CODE}
    assert not {*texts} & signer["memory"]


@pytest.mark.parametrize("name", ["api", "worker", "signer"])
def test_no_process_with_secrets_leaves_a_core(sandbox: Town, name: str) -> None:
    pid = sandbox.pid(name)
    assert re.search(r"Max core file size\s+0\s+0", limits(pid))
    if os.geteuid() != 0:  # not dumpable: its files in /proc are root's, its own user has no way in
        assert Path(f"/proc/{pid}/mem").stat().st_uid == 0
        with pytest.raises(PermissionError):
            Path(f"/proc/{pid}/environ").read_bytes()


def test_keys_are_kept_out_of_swap(sandbox: Town) -> None:
    pid = sandbox.pid("signer")
    if re.search(r"Max locked memory\s+0 ", limits(pid)) and os.geteuid() != 0:
        unable("this user may not lock memory (ulimit -l is 0)")
    status = Path(f"/proc/{pid}/status").read_text()
    locked = re.search(r"VmLck:\s+(\d+) kB", status)
    assert locked is not None
    assert int(locked[1]) > 0


def limits(pid: int) -> str:
    return Path(f"/proc/{pid}/limits").read_text()
