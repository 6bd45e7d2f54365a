"""Keys are where they belong: the signer's process has them, API and worker never had."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from eth_account import Account

from tests.e2e.town import Town
from wallets.signer.place import Place

SIGNING_CODE = (b"wallets/keys.py", b"wallets/keystore.py", b"wallets/signer/signing.py")
LARGEST_REGION = 1 << 30


def memory(pid: int) -> list[bytes]:
    """What a process holds in memory that can be written: its heap, stacks and data."""
    found = []
    with Path(f"/proc/{pid}/maps").open() as maps, Path(f"/proc/{pid}/mem").open("rb") as mem:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(one, 16) for one in span.split("-"))
            if "w" not in rights or end - start > LARGEST_REGION:
                continue
            try:
                mem.seek(start)
                found.append(mem.read(end - start))
            except OSError:  # the kernel keeps some to itself
                continue
    return found


def holds(regions: list[bytes], *wanted: bytes) -> bool:
    return any(one in region for region in regions for one in wanted)


def libraries(pid: int) -> set[str]:
    return set(re.findall(r"site-packages/(\w+)", Path(f"/proc/{pid}/maps").read_text()))


def test_only_the_signer_ever_held_a_key(sandbox: Town) -> None:
    place = Place(sandbox.data / "signer")
    password = (sandbox.data / "keys" / "keystore.password").read_text().strip()
    keys = [
        bytes(Account.decrypt(json.loads(file.read_text()), password))
        for file in place.keys.iterdir()
    ]
    assert len(keys) >= 3
    try:
        signer = memory(sandbox.pid("signer"))
    except PermissionError:
        pytest.skip("reading another process's memory takes root")
    assert all(holds(signer, key) for key in keys)  # so the search finds what is there
    assert holds(signer, *SIGNING_CODE)
    for name in ("api", "worker"):
        pid = sandbox.pid(name)
        regions = memory(pid)
        assert holds(regions, b"wallets/intents.py") or name == "api"
        assert not holds(regions, *keys), name
        assert not holds(regions, *SIGNING_CODE), name
        assert not holds(regions, b"eth_account/account.py"), name
        assert not libraries(pid) & {"ckzg", "eth_account"}, name
    for key in keys:
        assert not holds(signer, key.hex().encode())  # no copy of it as text


def test_the_signer_leaves_no_core(sandbox: Town) -> None:
    pid = sandbox.pid("signer")
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", limits)
    # not dumpable: the files of its entry in /proc belong to root, so its own user has no way in
    assert Path(f"/proc/{pid}/mem").stat().st_uid == 0
    assert "BEZANT_KEYSTORE_PASSWORD=" not in Path(f"/proc/{pid}/environ").read_text()
