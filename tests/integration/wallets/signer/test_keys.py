"""One suite for every kind of key: in the keystore, under Vault, in AWS KMS."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.errors import KeyUnavailable, Misconfigured
from tests.integration.wallets.signer.holders import (
    ACCESS,
    ARN,
    SECRET,
    TOKEN,
    Holders,
    amazon,
    errors,
    open_holders,
    refusal,
)
from wallets.keys import Key
from wallets.keystore import Keystore
from wallets.kms import Kms, KmsKey
from wallets.signer.approvals import ORDER, address_of, recover
from wallets.vault import Vault, VaultSettings
from wallets.vaulted import VaultKey, file, keep

KINDS = ("keystore", "vault", "kms")
PRIVATE = bytes([0x31]) * 32
NAME = "payments"


@pytest.fixture
async def holders(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Holders]:
    async with open_holders() as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", found.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield found


@pytest.fixture
async def vault(holders: Holders) -> AsyncIterator[Vault]:
    found = Vault(VaultSettings(address=holders.url, token=TOKEN), timeout_seconds=5)
    yield found
    await found.close()


def shown(key: ec.EllipticCurvePrivateKey) -> str:
    """Its address, from the public key as `cryptography` writes it."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return address_of(point)


async def make(kind: str, holders: Holders, vault: Vault, place: Path) -> Key:
    """An open key."""
    if kind == "keystore":
        keystore = Keystore(place, "password", work=1 << 4)
        return keystore.open(keystore.keep(bytearray(PRIVATE)))
    if kind == "vault":
        address = await keep(place, vault, NAME, bytearray(PRIVATE))
        vaulted = VaultKey(place, vault, NAME, address)
        await vaulted.open()
        return vaulted
    kms = KmsKey(Kms(), ARN, shown(holders.kms_key))
    await kms.open()
    return kms


@pytest.fixture(params=KINDS)
async def key(
    request: pytest.FixtureRequest, holders: Holders, vault: Vault, tmp_path: Path
) -> AsyncIterator[Key]:
    found = await make(request.param, holders, vault, tmp_path)
    yield found
    found.close()


# -- every kind --------------------------------------------------------------------------------


async def test_it_signs_for_its_address(key: Key, holders: Holders) -> None:
    """Low s, right parity, over the digest itself; whatever half KMS drew."""
    for number in range(1, 41):
        digest = number.to_bytes(32, "big") if number % 2 else os.urandom(32)
        parity, r, s = await key.sign(digest)
        assert parity in (0, 1)
        assert 0 < s <= ORDER // 2
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
        assert recover(digest, "0x" + raw.hex()) == key.address
    assert set(holders.highs) in (set(), {True, False})


async def test_it_signs_digests_only(key: Key) -> None:
    for wrong in (b"", b"\1" * 31, b"\1" * 33):
        with pytest.raises(ValueError, match="32 bytes"):
            await key.sign(wrong)


async def test_it_shows_its_address_and_nothing_else(key: Key) -> None:
    assert repr(key) == f"{type(key).__name__}({key.address})"


async def test_a_closed_key_signs_no_more(key: Key) -> None:
    key.close()
    with pytest.raises((ValueError, RuntimeError)):
        await key.sign(b"\1" * 32)


# -- those that lie elsewhere ------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What the holder answers, and what is said of it."""

    says: str
    fault: Callable[[web.Request], web.Response]


def drop(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


VAULT_FAULTS = [
    Case("is sealed", lambda _: errors(503, "Vault is sealed")),
    Case(r"\(503\)", lambda _: errors(503, "standby")),
    Case(r"\(500\)", lambda _: errors(500, f"internal {TOKEN}")),
    Case(r"\(429\)", lambda _: errors(429, "rate limit")),
    Case("refuses VAULT_TOKEN", lambda _: errors(403, "permission denied", "invalid token")),
    Case("is it there", lambda _: errors(404)),
    Case(r"\(307\)", lambda r: web.Response(status=307, headers={"Location": "http://x.test"})),
    Case("none of Vault's", lambda _: web.Response(text="<html>")),
    Case("none of Vault's", lambda _: web.json_response([1])),
    Case("no key of 32 bytes", lambda _: web.json_response({"data": {"plaintext": "AAAA"}})),
    Case("no key of 32 bytes", lambda _: web.json_response({"data": {"plaintext": 7}})),
    Case("does not answer", drop),
]
KMS_FAULTS = [
    Case("ThrottlingException", lambda _: refusal("ThrottlingException")),
    Case("KMSInternalException", lambda _: refusal("KMSInternalException", 500)),
    Case("DisabledException", lambda _: refusal("DisabledException")),
    Case("KMSInvalidStateException", lambda _: refusal("KMSInvalidStateException")),
    Case("AccessDeniedException", lambda _: refusal("AccessDeniedException")),
    Case("without a code", lambda _: refusal(f"{SECRET} and more")),
    Case("502", lambda _: web.Response(status=502, text="<html>bad gateway")),
    Case("no DER", lambda _: amazon({"KeyId": ARN, "Signature": "Z2FyYmFnZQ=="})),
    Case("no DER", lambda _: amazon({"KeyId": ARN})),
    Case("no signature", lambda _: amazon({"Signature": "MAYCAQACAQE="})),  # r = 0
    Case("KMS", lambda _: web.Response(text="<html>", content_type="application/x-amz-json-1.1")),
    Case("does not answer", drop),
]


@pytest.mark.parametrize("case", VAULT_FAULTS)
async def test_vault_is_away(holders: Holders, vault: Vault, tmp_path: Path, case: Case) -> None:
    """One sentence without a secret; the key opens by itself once Vault is back."""
    address = await keep(tmp_path, vault, NAME, bytearray(PRIVATE))
    holders.fault = case.fault
    key = VaultKey(tmp_path, vault, NAME, address)
    for attempt in (key.open(), key.sign(b"\1" * 32)):
        with pytest.raises(KeyUnavailable, match=case.says) as caught:
            await attempt
        clean(caught.value)
    with pytest.raises(KeyUnavailable):
        await keep(tmp_path, vault, NAME, bytearray(bytes([0x32]) * 32))
    assert len(os.listdir(tmp_path)) == 1
    holders.fault = None
    await key.sign(b"\1" * 32)
    holders.fault = case.fault
    await key.sign(b"\2" * 32)  # it is open: nobody is asked
    assert holders.calls.count("decrypt") == 3


@pytest.mark.parametrize("case", KMS_FAULTS)
async def test_kms_is_away(holders: Holders, case: Case) -> None:
    key = KmsKey(Kms(), ARN, shown(holders.kms_key))
    await key.open()
    holders.fault = case.fault
    with pytest.raises(KeyUnavailable, match=case.says) as caught:
        await key.sign(b"\1" * 32)
    clean(caught.value)
    assert len(holders.calls) == 2, "it is asked once: the sender tries again by itself"
    holders.fault = None
    await key.sign(b"\1" * 32)
    key.close()


def clean(error: BaseException) -> None:
    said = f"{error} {error.args} {error.__cause__}"
    assert "\n" not in said
    for secret in (TOKEN, SECRET, PRIVATE.hex()):
        assert secret not in said


async def test_nobody_listens(holders: Holders, tmp_path: Path) -> None:
    away = replace(VaultSettings(address="http://127.0.0.1:9", token=TOKEN))
    vault = Vault(away)
    with pytest.raises(KeyUnavailable, match="does not answer"):
        await keep(tmp_path, vault, NAME, bytearray(PRIVATE))
    await vault.close()


async def test_what_hangs_is_given_up(holders: Holders, tmp_path: Path) -> None:
    holders.stuck = asyncio.Event()
    vault = Vault(VaultSettings(address=holders.url, token=TOKEN), timeout_seconds=0.05)
    with pytest.raises(KeyUnavailable, match="TimeoutError"):
        await keep(tmp_path, vault, NAME, bytearray(PRIVATE))
    await vault.close()
    key = KmsKey(Kms(), ARN, shown(holders.kms_key))
    with pytest.raises(KeyUnavailable, match="ReadTimeoutError"):
        await key.open()
    key.close()


async def test_a_hanging_key_is_in_nobodys_way(holders: Holders) -> None:
    """Two keys in one KMS: the first one's call is under way until the second has signed."""
    kms = Kms()
    slow, quick = (KmsKey(kms, ARN, shown(holders.kms_key)) for _ in range(2))
    holders.stuck = door = asyncio.Event()
    waiting = asyncio.create_task(slow.sign(b"\1" * 32))
    await holders.asked.wait()
    holders.stuck = None
    await quick.sign(b"\2" * 32)
    assert not waiting.done()
    door.set()
    await waiting
    slow.close()
    quick.close()


async def test_a_signature_by_another_key_is_worth_nothing(holders: Holders) -> None:
    key = KmsKey(Kms(), ARN, shown(holders.kms_key))
    holders.kms_key = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(KeyUnavailable, match="by another key"):
        await key.sign(b"\1" * 32)
    key.close()


def spki(key: ec.EllipticCurvePrivateKey) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ({"KeySpec": "ECC_NIST_P256"}, "no key of spec"),
        ({"KeyUsage": "KEY_AGREEMENT"}, "no key of spec"),
        ({"KeyId": "alias/hot"}, "names no ARN"),
        ({"SigningAlgorithms": ["ECDSA_SHA_384"]}, "no key of spec"),
        ({"PublicKey": spki(ec.generate_private_key(ec.SECP256R1()))}, "none of secp256k1"),
        ({"PublicKey": "Z2FyYmFnZQ=="}, "none of secp256k1"),
        ({"PublicKey": spki(ec.generate_private_key(ec.SECP256K1()))}, "is the key of"),
    ],
)
async def test_another_key_than_the_wallets(
    holders: Holders, described: dict[str, object], says: str
) -> None:
    holders.described = described
    key = KmsKey(Kms(), ARN, shown(holders.kms_key))
    with pytest.raises(Misconfigured, match=says):
        await key.open()
    key.close()


async def test_kms_names_the_key_behind_an_alias(
    holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for name in ("alias/hot", ARN.partition("/")[2], ARN):
        assert await asyncio.to_thread(Kms().find, name) == (ARN, shown(holders.kms_key))
    with pytest.raises(KeyUnavailable, match="NotFoundException"):
        await asyncio.to_thread(Kms().find, "alias/none")
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(Misconfigured, match="AWS_REGION"):
        Kms().client("alias/hot")


async def test_a_vault_file_is_bound_to_its_address_and_key(
    holders: Holders, vault: Vault, tmp_path: Path
) -> None:
    mine = await keep(tmp_path, vault, NAME, bytearray(PRIVATE))
    my_data_key = holders.data_keys[-1]
    other = await keep(tmp_path, vault, NAME, bytearray(bytes([0x32]) * 32))
    written = json.loads(file(tmp_path, mine).read_text())
    assert file(tmp_path, mine).stat().st_mode & 0o777 == 0o600
    assert PRIVATE.hex() not in json.dumps(written)
    assert not any(k.hex() in json.dumps(written) for k in holders.data_keys)

    async def opens(document: object, *, name: str = NAME) -> None:
        file(tmp_path, mine).write_text(json.dumps(document))
        await VaultKey(tmp_path, vault, name, mine).open()

    await opens(written)
    wrongs: list[object] = [
        {**written, "version": 2},
        {**written, "nonce": "00" * 12},
        {**written, "ciphertext": "00" * 32},
        {**written, "tag": "00" * 16},
        {**written, "tag": written["tag"][:8]},
        {**written, "transit": "other"},
        {k: v for k, v in written.items() if k != "wrapped"},
        [],
    ]
    for wrong in wrongs:
        with pytest.raises(Misconfigured):
            await opens(wrong)
    for theirs, name in (
        (json.loads(file(tmp_path, other).read_text()), NAME),
        ({**written, "transit": "other", "wrapped": holders.wrap("other", my_data_key)}, "other"),
    ):
        with pytest.raises(Misconfigured, match="does not open"):
            await opens(theirs, name=name)
    with pytest.raises(KeyUnavailable, match="is it there"):  # unwrapped by another Transit key
        await opens({**written, "transit": "other"}, name="other")


def test_where_vault_may_be() -> None:
    for address in ("http://vault.example.com:8200", "ftp://127.0.0.1", "vault", "http://10.0.0.1"):
        with pytest.raises(Misconfigured, match="VAULT_ADDR"):
            Vault(VaultSettings(address=address, token=TOKEN))
    for address in ("https://vault.example.com", "http://localhost:8200", "http://[::1]:8200"):
        Vault(VaultSettings(address=address, token=TOKEN))
    with pytest.raises(Misconfigured, match="VAULT_CACERT"):
        Vault(VaultSettings(address="https://v.test", token=TOKEN, ca_file="/nonexistent"))
    assert TOKEN not in repr(VaultSettings(address="https://v.test", token=TOKEN))


async def test_a_token_is_renewed(holders: Holders, vault: Vault) -> None:
    assert await vault.renew() is None  # as a root token: it has no end
    holders.lease = 3600
    assert await vault.renew() == 3600


@pytest.mark.parametrize("name", ["", "../sys", "a/../b", "a b", "/a", "a/", "ä", "a?x=1"])
async def test_names_of_transit_keys(vault: Vault, tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="Transit key"):
        await keep(tmp_path, vault, name, bytearray(PRIVATE))
