"""A signer whose keys lie elsewhere: its commands, its start, and what an outage touches."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from eth_account import Account

from bezant.authority import wallet
from bezant.custody import keep_key
from core.errors import BezantError, Invalid, KeyUnavailable, Misconfigured
from tests.integration.wallets.signer.holders import (
    ACCESS,
    ARN,
    REGION,
    SECRET,
    TOKEN,
    Holders,
    errors,
    open_holders,
)
from tests.integration.wallets.signer.process import PASSWORD, WORK, SignerProcess
from tests.unit.wallets.signer import world as w
from tests.waiting import eventually

HOT, RELAYER = (bytes(key) for key in (w.HOT_KEY, w.RELAYER_KEY))


def curve(key: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(key, "big"), ec.SECP256K1())


class House(SignerProcess):
    """The hot wallet's key in KMS, the relayer's under Vault, the quote key in the keystore."""

    def __init__(self, directory: Path, holders: Holders) -> None:
        super().__init__(directory)
        self.holders = holders

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "AWS_ENDPOINT_URL_KMS": self.holders.url,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "VAULT_ADDR": self.holders.url,
            "VAULT_TOKEN": TOKEN,
        }

    async def command(self, *words: str) -> Any:
        """`bezant wallet ...` -> its JSON. Raises what it raises."""
        arguments = ["--dir", str(self.place.directory), *words, "--json"]
        result = await asyncio.to_thread(
            CliRunner().invoke, wallet, arguments, env=self.environment()
        )
        if isinstance(result.exception, BezantError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    async def furnish(self) -> None:
        place = self.place.directory
        file = place.parent / "key"
        file.write_text(RELAYER.hex())
        await self.command("import", "hot", "--kms", "alias/hot")
        await self.command(
            "import", "relayer", "--kind", "relayer", "--key", str(file), "--vault", "payments"
        )
        file.unlink()
        keep_key(place, "quote", "quote", bytearray(w.QUOTE_KEY), password=PASSWORD, work=WORK)
        self.apply(w.POLICY)


@pytest.fixture
async def holders() -> AsyncIterator[Holders]:
    async with open_holders() as found:
        found.kms_key = found.public = curve(HOT)
        yield found


@pytest.fixture
async def house(holders: Holders) -> AsyncIterator[House]:
    """Furnished, not started."""
    folder = Path(tempfile.mkdtemp(prefix="bz-"))
    found = House(folder / "s", holders)
    found.place.prepare()
    await found.furnish()
    yield found
    if found.process is not None:
        await found.stop()
    shutil.rmtree(folder)


async def test_it_signs_with_every_kind_of_key(house: House, holders: Holders) -> None:
    holders.lease = 3600
    await house.start()
    client = house.client()
    for intent in w.every_intent():
        order = w.order(intent)
        signed = await client.sign(order)
        assert Account.recover_transaction(signed.raw).lower() == order.wallet
        assert await client.sign(order) == signed
    assert await client.quote(w.quote())
    assert holders.calls.count("decrypt") == 1, "Vault is asked at the start only"
    assert holders.calls.count("token/renew-self") == 1
    listed = await house.command("list")
    assert {one["label"]: one["key"] for one in listed} == {
        "hot": f"kms {ARN}",
        "relayer": "vault payments",
        "quote": "keystore",
    }
    await client.close()
    await house.stop()
    assert_clean(house)


def assert_clean(house: House) -> None:
    """No key, data key, token or secret of AWS in anything that was written."""
    secrets = {
        "the relayer's key": RELAYER,
        "the hot wallet's key": HOT,
        "the token": TOKEN.encode(),
        "the secret of AWS": SECRET.encode(),
        "the password": PASSWORD.encode(),
        **{f"data key {n}": key for n, key in enumerate(house.holders.data_keys)},
    }
    written = [path for path in house.place.directory.parent.rglob("*") if path.is_file()]
    assert {"signer.db", "audit.jsonl", "stderr"} <= {path.name for path in written}
    for path in written:
        found = path.read_bytes()
        for name, secret in secrets.items():
            for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
                assert form not in found, f"{name} is in {path.name}"


async def test_one_keys_outage_is_its_wallets_alone(house: House, holders: Holders) -> None:
    """Through one client: KMS is asked for the hot wallet and answers only after the others did."""
    await house.start()
    client = house.client()
    holders.asked.clear()
    holders.stuck = asyncio.Event()
    order = w.pay()
    slow = asyncio.create_task(client.sign(order))
    await holders.asked.wait()
    await client.sign(w.order(w.sweep()))
    await client.quote(w.quote())
    assert (await client.check(w.pay())).allowed
    assert not slow.done()
    with pytest.raises(KeyUnavailable, match="did not sign within"):
        await slow
    holders.stuck.set()
    holders.stuck = None
    signed = await client.sign(order)
    assert Account.recover_transaction(signed.raw).lower() == w.HOT
    assert house.codes("sign") == ["signed", "key_unavailable", "signed"]
    assert house.rows("select count(*) from spends") == [(1,)]
    await client.close()


async def test_it_starts_without_those_who_are_away(house: House, holders: Holders) -> None:
    """Vault sealed, KMS failing: what is here signs, the others say so and sign once they can."""
    holders.fault = lambda _: errors(503, "Vault is sealed")
    await house.start()
    client = house.client()
    assert await client.quote(w.quote())
    sweep = w.order(w.sweep())
    with pytest.raises(KeyUnavailable, match="is sealed: unseal it"):
        await client.sign(sweep)
    with pytest.raises(KeyUnavailable, match="AWS KMS does not answer"):
        await client.sign(w.pay())
    said = house.output().decode()
    assert said.count("key_unavailable") == 2
    assert "vault_token_not_renewed" in said
    holders.fault = None
    await client.sign(sweep)
    await client.sign(w.pay())
    await client.close()
    await house.stop()
    assert_clean(house)


async def test_a_key_that_is_anothers_stops_it(house: House, holders: Holders) -> None:
    holders.public = curve(w.MALLORY_KEY)
    with pytest.raises(AssertionError, match="is the key of"):
        await house.start()
    holders.public = curve(HOT)
    file = house.place.keys / f"{w.RELAYER}.vault"
    kept = file.read_text()
    file.write_text(kept.replace('"ciphertext": "', '"ciphertext": "00'))
    with pytest.raises(AssertionError, match="does not open"):
        await house.start()
    file.write_text(kept)
    await house.start()


async def test_a_token_is_renewed_before_it_ends(house: House, holders: Holders) -> None:
    holders.lease = 1
    await house.start()

    async def renewed() -> bool:
        return holders.calls.count("token/renew-self") >= 3

    await eventually(renewed, 10)


async def test_rotation(house: House, holders: Holders) -> None:
    """The new key lies where the old one did, or where it is said."""
    made = await house.command("rotate", "relayer")
    assert made["key"] == "vault payments"
    assert len(made["mnemonic"].split()) == 24
    again = await house.command("rotate", "relayer", "--vault", "other")
    assert again["key"] == "vault other"
    with pytest.raises(Invalid, match="make a new one"):
        await house.command("rotate", "hot")
    holders.public = curve(w.EVE_KEY)
    moved = await house.command("rotate", "hot", "--kms", ARN)
    assert (moved["address"].lower(), moved["key"]) == (w.EVE, f"kms {ARN}")
    retired = [one for one in await house.command("list", "--retired") if one["retired"]]
    assert {one["address"].lower() for one in retired} >= {w.HOT, w.RELAYER}
    file = house.place.directory.parent / "key"
    file.write_text(bytes([0x77]).hex() * 32)
    kept = await house.command("import", "more", "--key", str(file))
    assert kept["key"] == "keystore"
    words = house.place.log.read_text()
    assert made["mnemonic"] not in words


async def test_what_commands_refuse(
    house: House, holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left behind by a command that failed."""
    before = sorted(os.listdir(house.place.keys))
    listed = await house.command("list")
    holders.described = {"KeySpec": "RSA_2048"}
    with pytest.raises(Misconfigured, match="ECC_SECG_P256K1"):
        await house.command("import", "cold", "--kms", ARN)
    holders.described = {}
    with pytest.raises(BezantError, match="is here already"):
        await house.command("import", "cold", "--kms", ARN)
    with pytest.raises(KeyUnavailable, match="is it there"):
        await house.command("new", "cold", "--vault", "nothing")
    holders.fault = lambda _: errors(503, "Vault is sealed")
    with pytest.raises(KeyUnavailable, match="is sealed"):
        await house.command("new", "cold", "--vault", "payments")
    environment = house.environment()
    del environment["VAULT_TOKEN"]
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    monkeypatch.setattr(house, "environment", lambda: environment)
    with pytest.raises(Misconfigured, match="VAULT_TOKEN"):
        await house.command("new", "cold", "--vault", "payments")
    for words in (
        ("import", "x", "--kms", ARN, "--address", w.ADA),
        ("import", "x", "--kms", ARN, "--vault", "payments"),
        ("rotate", "hot", "--kms", ARN, "--vault", "payments"),
    ):
        with pytest.raises(AssertionError, match="Usage"):
            await house.command(*words)
    assert sorted(os.listdir(house.place.keys)) == before
    assert await house.command("list") == listed
