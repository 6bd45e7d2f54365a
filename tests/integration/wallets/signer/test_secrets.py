"""Canaries: a mnemonic, keys and passwords are looked for wherever they must not be."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from eth_account import Account

from bezant.cli import cli
from core.errors import BezantError
from tests.integration.wallets.signer.process import PASSWORD, WORK, SignerProcess
from tests.process_memory import search
from tests.settings import unable
from tests.unit.wallets.signer import world as w
from wallets.keys import LocalKey, derive
from wallets.keystore import Keystore, opened, read_secret

ROOT = Path(__file__).resolve().parents[4]
MNEMONIC = "legal winner thank year wave sausage worth useful legal winner thank yellow"
CANARY = "canary-c0ffee"


def shapes(secret: bytes) -> list[bytes]:
    """How a key might be written down."""
    return [
        secret,
        secret.hex().encode(),
        repr(secret).encode(),
        str(int.from_bytes(secret, "big")).encode(),
    ]


def unseen(directory: Path, wanted: Sequence[bytes]) -> None:
    for file in directory.rglob("*"):
        if file.is_file() and not file.is_socket():
            content = file.read_bytes()
            assert not any(one in content for one in wanted), file


async def test_files_and_output_hold_no_secret(signer: SignerProcess) -> None:
    """After everything that is usual, what is refused, and a crash."""
    client = signer.client()
    await client.sign(w.pay())
    await client.quote(w.quote())
    with pytest.raises(BezantError):
        await client.sign(w.order(wallet=w.MALLORY))
    with pytest.raises(BezantError):
        await signer.client(key=bytes(32)).wallets()
    await client.close()
    await signer.stop(signal.SIGABRT)
    wanted = [PASSWORD.encode(), *(s for k in (w.HOT_KEY, w.RELAYER_KEY) for s in shapes(k))]
    assert b"signer_ready" in signer.output()
    unseen(signer.place.directory.parent, wanted)


def core_allowed() -> None:
    """In a child before it starts: as large a core dump as its hard limit allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def aborted(process: subprocess.Popen[bytes]) -> bool:
    """Ends it by SIGABRT -> whether the kernel says that it dumped its core, wherever to."""
    process.send_signal(signal.SIGABRT)
    told = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process.wait() == -signal.SIGABRT
    assert told is not None
    return told.si_code == os.CLD_DUMPED


@pytest.fixture
def dumps(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A child without secrets does leave a core here: the control of the test below."""
    command = [sys.executable, "-ISc", "input()"]
    control = subprocess.Popen(
        command, cwd=tmp_path_factory.mktemp("control"), preexec_fn=core_allowed, stdin=-1
    )
    assert control.stdin is not None
    with control.stdin:
        if not aborted(control):
            unable("no process leaves a core dump here: its hard limit (ulimit -Hc) is 0, or its"
                   " pattern (kernel.core_pattern) leads nowhere")  # fmt: skip


def crash(signer: SignerProcess, cwd: Path) -> bool:
    """A signer with its password in its environment, ended by SIGABRT -> whether it dumped."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith("BEZANT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "bezant.cli", "signer", "--dir", str(signer.place.directory)],
        cwd=cwd,
        env={**kept, **signer.environment(), "PYTHONPATH": str(ROOT)},
        preexec_fn=core_allowed,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert b"signer_ready" in process.stderr.readline()
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert re.search(r"Max core file size\s+0\s+0", limits)
        needles = {"password": PASSWORD.encode(), "path": b"PYTHONPATH="}
        assert search(process.pid, needles)["environ"] == {"path"}
        return aborted(process)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.usefixtures("dumps")
async def test_a_crash_leaves_no_core(signer: SignerProcess, tmp_path: Path) -> None:
    """Its password is in its environment, and cores are allowed as far as they can be."""
    await signer.stop()
    assert not await asyncio.to_thread(crash, signer, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_hardened_process_is_not_dumpable() -> None:
    """The guard beside the limit: it also keeps the process's own user out of its memory."""
    script = (
        "import ctypes; from core.hardening import harden; get = ctypes.CDLL(None).prctl;"
        "before = get(3); harden(); print(before, get(3))"  # 3: PR_GET_DUMPABLE
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.split() == [b"1", b"0"]


def test_keys_that_cannot_be_locked_are_told_once() -> None:
    """As a user who may lock nothing."""
    script = (
        "import os, resource; from wallets.keys import LocalKey;"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0));"
        "os.geteuid() or os.setresuid(65534, 65534, 65534);"
        "[LocalKey(bytearray([1] * 32)) for _ in range(3)]"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert (done.stdout + done.stderr).count(b"keys_not_locked") == 1


def errors(tmp_path: Path) -> list[BaseException]:
    """Everything that goes wrong with a secret in hand."""
    keystore = Keystore(tmp_path, CANARY, work=WORK)
    address = keystore.keep(bytearray(w.HOT_KEY))
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"version": 3, "crypto": {"kdf": CANARY}}))
    raw = tmp_path / "raw"
    raw.write_text(CANARY)
    calls: list[Callable[[], object]] = [
        lambda: derive(f"{MNEMONIC} {CANARY}", "m/44'/60'/0'/0/0"),
        lambda: derive(MNEMONIC.replace("legal", CANARY), "m/44'/60'/0'/0/0"),
        lambda: derive(MNEMONIC, CANARY),
        lambda: Keystore(tmp_path, f"{CANARY}x").open(address),
        lambda: opened(keystore.file(address), f"{CANARY}x"),
        lambda: opened(other, CANARY),
        lambda: read_secret(raw, CANARY),
        lambda: LocalKey(bytearray(CANARY.encode())),
    ]
    found: list[BaseException] = []
    for call in calls:
        with pytest.raises(BezantError) as caught:
            call()
        found.append(caught.value)
    return found


def test_errors_hold_no_secret(tmp_path: Path) -> None:
    """Neither in their text nor in an exception that hangs on to them (eth-account's do)."""
    for error in errors(tmp_path):
        assert error.__context__ is None
        assert error.__cause__ is None
        text = "".join(traceback.format_exception(error))
        lines = [line for line in text.splitlines() if not line.startswith(" ")]
        assert CANARY not in "".join(lines)
        assert not any(word in "".join(lines) for word in ("sausage", "yellow"))


def test_a_wiped_key_is_gone() -> None:
    secret = bytearray(w.HOT_KEY)
    key = LocalKey(secret)
    assert w.HOT_KEY.hex() not in repr(key)
    key.close()
    assert secret == bytes(32)
    with pytest.raises(ValueError):
        key.sign_now(bytes(32))


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEZANT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BEZANT_KEYSTORE_PASSWORD", CANARY)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--json"])


def test_wallets_by_command(commands: Path) -> None:
    file = commands / "words"
    file.write_text(MNEMONIC)
    made = [
        json.loads(
            run("wallet", "new", f"hot{n}", "--mnemonic-file", str(file), "--index", str(n)).output
        )
        for n in range(1)
    ]
    Account.enable_unaudited_hdwallet_features()
    for number, shown in enumerate(made):
        path = f"m/44'/60'/0'/0/{number}"
        assert shown["address"] == Account.from_mnemonic(MNEMONIC, account_path=path).address
        assert "mnemonic" not in shown
    fresh = json.loads(run("wallet", "rotate", "hot0").output)
    assert Account.from_mnemonic(fresh["mnemonic"]).address == fresh["address"]
    key = commands / "key.json"
    key.write_text(json.dumps(Account.encrypt(w.ADA_KEY, "other", "scrypt", WORK)))
    imported = CliRunner().invoke(
        cli, ["wallet", "import", "ada", "--key", str(key), "--json"], input="other\n"
    )
    assert w.ADA in imported.output.lower()
    assert (
        json.loads(run("wallet", "import", "safe", "--address", w.TREASURY).output)["kind"]
        == "watch"
    )
    again = run("wallet", "import", "safe2", "--address", w.TREASURY)
    assert again.exit_code == 1
    assert isinstance(again.exception, BezantError)
    listed = json.loads(run("wallet", "list", "--retired").output)
    assert [(one["label"], one["retired"]) for one in listed] == [
        ("hot0", True), ("hot0", False), ("ada", False), ("safe", False),
    ]  # fmt: skip
    policy = commands / "policy.toml"
    policy.write_text(w.POLICY)
    assert json.loads(run("signer", "policy", "apply", str(policy)).output)["version"] == 1
    assert CliRunner().invoke(cli, ["signer", "policy", "show"]).output == w.POLICY
    assert json.loads(run("signer", "verify").output)["lines"] == 5
    words = [CANARY.encode(), *(s for s in shapes(w.ADA_KEY))]
    for phrase in (MNEMONIC, fresh["mnemonic"]):
        words += [" ".join(phrase.split()[n : n + 3]).encode() for n in range(0, 12, 3)]
    unseen(commands / "signer", words)


async def test_it_starts_as_an_operator_starts_it(signer: SignerProcess) -> None:
    """`bezant signer` itself, with a password from a file."""
    await signer.stop()
    file = signer.place.directory.parent / "password"
    file.write_text(f"{PASSWORD}\n")
    kept = {n: v for n, v in os.environ.items() if not n.startswith("BEZANT_")}
    own = signer.environment()
    own["BEZANT_KEYSTORE_PASSWORD_FILE"] = str(file)
    del own["BEZANT_KEYSTORE_PASSWORD"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bezant.cli", "signer", "--dir", str(signer.place.directory)),
        env={**kept, **own},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            assert b"signer_ready" in await process.stderr.readline()
        client = signer.client()
        assert len(await client.wallets()) == 3
        await client.sign(w.pay())
        await client.close()
    finally:
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize("module", ["bezant.services", "bezant.bootstrap", "bezant.worker"])
def test_services_import_no_key(module: str) -> None:
    """What is loaded, and what any function in it could load later (imports are read, not run)."""
    forbidden = {"wallets.keys", "wallets.keystore", "wallets.signer.signing"}
    script = f"import {module}, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True
    )
    assert not {*forbidden, "eth_account"} & set(loaded.stdout.decode().split())
    assert not closure(module) & {*forbidden, "eth_account"}
    assert forbidden <= closure("bezant.signer")  # so the walk finds what is there


def closure(start: str) -> set[str]:
    """Modules of ours reachable by any import statement, inside functions too; other packages are
    named and not entered."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        file = ROOT / (name.replace(".", "/") + ".py")
        if not file.exists():
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [one.name for one in node.names]
    return seen
