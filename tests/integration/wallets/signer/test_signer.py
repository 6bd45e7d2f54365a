"""The signer as a process: what it signs and refuses over its socket, and what it remembers."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import stat
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from bezant.custody import verify
from core.errors import Misconfigured, NeedsApproval, SignerAway, SignerRefused
from tests.integration.wallets.signer.process import SignerProcess
from tests.settings import SEED, numbers
from tests.unit.wallets.signer import world as w
from wallets.encoding import plain
from wallets.intents import Order, Payout, transaction
from wallets.signer.approvals import recover
from wallets.signer.channel import Channel, Closed
from wallets.signer.client import SignerClient
from wallets.signer.router import quote_digest

KILLS = numbers(6, 100)


async def refused(client: SignerClient, order: Order) -> str:
    with pytest.raises(SignerRefused) as caught:
        await client.sign(order)
    return str(caught.value.code)


def large(**said: Any) -> Any:
    return w.payment(amount=5 * w.ETHER, **said)


async def test_it_signs_what_the_policy_names(client: SignerClient, signer: SignerProcess) -> None:
    for intent in w.every_intent():
        order = w.order(intent)
        signed = await client.sign(order)
        assert Account.recover_transaction(signed.raw).lower() == order.wallet
        call = transaction(order)
        assert call.data.hex() in signed.raw
    assert signer.codes("sign") == ["signed"] * len(w.every_intent())
    assert verify(signer.place.directory)["lines"] == len(signer.log())


async def test_it_quotes_with_a_key_of_its_own(client: SignerClient) -> None:
    quote = w.quote()
    assert recover(quote_digest(quote), await client.quote(quote)) == w.QUOTER
    with pytest.raises(SignerRefused) as caught:
        await client.quote(replace(quote, router=w.MALLORY))
    assert caught.value.code == "contract_refused"
    assert await refused(client, w.order(wallet=w.QUOTER)) == "unknown_wallet"
    assert {one.kind: one.address for one in await client.wallets()} == {
        "hot": w.HOT,
        "relayer": w.RELAYER,
        "quote": w.QUOTER,
    }


async def test_what_a_taken_api_would_ask_is_refused(
    client: SignerClient, signer: SignerProcess
) -> None:
    """With all rights at the socket: nothing outside the policy, and each try is in the log."""
    good = w.approved(large(), w.ADA_KEY, w.BOB_KEY)
    tries = [
        ("wrong_chain", w.order(chain_id=1)),
        ("unknown_network", w.order(network="eip155:1", chain_id=1)),
        ("fee_above_cap", w.order(gas=600_000)),
        ("unknown_asset", w.pay(token=w.FOREIGN, amount=1)),
        ("unknown_wallet", w.order(wallet=w.MALLORY)),
        ("destination_refused", w.order(w.move(to=w.MALLORY))),
        ("contract_refused", w.order(w.allowance(spender=w.MALLORY))),
        ("contract_refused", w.order(w.sweep(factory=w.MALLORY))),
        ("contract_refused", w.order(w.deploy(init_code="0xff"))),
        ("approval_invalid", w.order(Payout(payment=replace(good, amount=6 * w.ETHER)))),
        ("approval_invalid", w.order(Payout(payment=replace(good, to=w.MALLORY)))),
        ("amount_above_limit", w.pay(amount=51 * w.ETHER)),
    ]
    for code, order in tries:
        assert await refused(client, order) == code
    with pytest.raises(NeedsApproval) as caught:
        await client.sign(w.order(Payout(payment=large())))
    assert (caught.value.needed, caught.value.given) == (2, 0)
    assert signer.codes("sign") == [code for code, _ in tries] + ["approval_needed"]
    assert signer.rows("select count(*) from signatures") == [(0,)]


REQUESTS: tuple[Any, ...] = (
    {"do": "sign_hash", "hash": "0x" + "00" * 32},
    {"do": "sign", "order": {"to": w.MALLORY, "data": "0xdeadbeef", "value": "1"}},
    {"do": "sign", "order": None},
    {"do": "sign"},
    {"do": "personal_sign", "message": "hello"},
    {"do": "export", "address": w.HOT},
    {"do": "apply_policy", "text": ""},
    ["sign"],
    "sign",
    None,
)
KINDS = ("delegatecall", "raw_hash", "call", "multicall", "typed_data", "personal_message")


async def test_there_is_no_other_request(signer: SignerProcess) -> None:
    for request in REQUESTS:
        assert (await raw(signer, request))["refused"]["code"] == "malformed"
    for kind in KINDS:
        order = {**plain(w.order()), "intent": {"type": kind, "to": w.MALLORY, "data": "0xde"}}
        answer = await raw(signer, {"do": "sign", "order": order})
        assert answer["refused"]["code"] == "malformed"
    assert signer.codes("request") == ["malformed"] * (len(REQUESTS) + len(KINDS))


async def raw(signer: SignerProcess, request: Any) -> Any:
    channel = Channel(*await asyncio.open_unix_connection(signer.place.socket), is_server=False)
    await channel.greet(bytes(range(32)))
    await channel.send(request)
    answer = await channel.receive()
    await channel.close()
    return answer


async def test_approvals_open_a_limit_once(client: SignerClient, signer: SignerProcess) -> None:
    payment = w.approved(large(), w.ADA_KEY, w.BOB_KEY)
    order = w.order(Payout(payment=payment))
    verdict = await client.check(w.order(Payout(payment=replace(payment, approvals=()))))
    assert (verdict.allowed, verdict.needed, verdict.code) == (False, 2, "approval_needed")
    assert verdict.approvers == (w.ADA, w.BOB, w.EVE)
    assert (await client.check(order)).allowed
    first = await client.sign(order)
    assert await client.sign(order) == first
    for again in (
        w.order(Payout(payment=payment)),  # the same payment as another order
        replace(order, nonce=order.nonce + 1),  # and at another nonce
    ):
        assert await refused(client, again) == "approval_replayed"
    mine = replace(large(), initiator=w.ADA_API_KEY)
    own = w.order(Payout(payment=w.approved(mine, w.ADA_KEY, w.BOB_KEY)))
    assert await refused(client, own) == "own_approval"
    assert (await client.check(own)).approvers == (w.BOB, w.EVE)
    assert signer.rows("select count(*) from approvals") == [(1,)]


async def test_a_nonce_belongs_to_what_was_broadcast(client: SignerClient) -> None:
    first = w.pay()
    signed = await client.sign(first)
    second = replace(w.pay(), nonce=first.nonce)
    await client.sign(second)  # the first never left
    await client.broadcast(first.id, signed.tx_hash)
    assert await refused(client, replace(w.pay(), nonce=first.nonce)) == "nonce_in_use"
    bump = replace(first, max_fee=first.max_fee * 2, priority_fee=first.priority_fee * 2)
    assert await client.sign(bump) != signed
    assert await client.sign(first) == signed
    cancel = replace(bump, id="tx_end", intent=w.cancel())
    assert Account.recover_transaction((await client.sign(cancel)).raw).lower() == w.HOT
    with pytest.raises(SignerRefused) as caught:
        await client.broadcast(first.id, "0x" + "00" * 32)
    assert caught.value.code == "unknown_signature"


async def test_limits_survive_a_restart(signer: SignerProcess, client: SignerClient) -> None:
    for _ in range(3):
        await client.sign(w.pay(amount=w.ETHER))
    assert not (await client.check(w.pay(amount=1))).allowed
    assert await signer.stop() == 0
    await signer.start()
    with pytest.raises(NeedsApproval):
        await client.sign(w.pay(amount=1))  # over a connection made anew
    await client.sign(w.pay(token=w.USDC, amount=1))


async def test_killed_between_store_and_answer(signer: SignerProcess) -> None:
    """SIGKILL at drawn moments; the same order again gives the same bytes and counts once."""
    draw = random.Random(SEED)
    orders = [w.pay(token=w.USDC, amount=10**6) for _ in range(KILLS)]
    given: dict[str, str] = {}
    for order in orders:
        client = signer.client()
        asking = asyncio.create_task(client.sign(order))
        await asyncio.sleep(draw.uniform(0, 0.012))
        await signer.stop(signal.SIGKILL)
        try:
            given[order.id] = (await asking).raw
        except SignerAway:
            kept = dict(signer.rows("select order_id, raw from signatures where raw is not null"))
            given.update(kept)
        await client.close()
        await signer.start()
        client = signer.client()
        signed = await client.sign(order)
        assert given.setdefault(order.id, signed.raw) == signed.raw
        assert await client.sign(order) == signed
        await client.close()
    spent = signer.rows("select order_id, amount from spends")
    assert sorted(spent) == sorted((order.id, str(10**6)) for order in orders)
    assert signer.rows("select count(*) from signatures") == [(KILLS,)]
    verify(signer.place.directory)


async def test_peers_without_the_key(signer: SignerProcess) -> None:
    stranger = signer.client(key=bytes(32), timeout_seconds=5)
    with pytest.raises(SignerAway):
        await stranger.sign(w.pay())
    assert signer.codes("peer") == ["peer_refused"]
    assert signer.rows("select count(*) from signatures") == [(0,)]


async def test_a_recorded_request_is_worth_nothing(signer: SignerProcess) -> None:
    """Bytes of one connection, sent on another one or twice on their own."""
    reader, writer = await asyncio.open_unix_connection(signer.place.socket)
    sent: list[bytes] = []
    write = writer.write

    def record(data: bytes) -> None:
        sent.append(bytes(data))
        write(data)

    writer.write = record  # type: ignore[assignment,method-assign]
    channel = Channel(reader, writer, is_server=False)
    await channel.greet(bytes(range(32)))
    await channel.send({"do": "wallets"})
    assert "done" in await channel.receive()
    write(sent[1])  # the same frame again
    with pytest.raises(Closed):
        await channel.receive()
    await channel.close()
    reader, writer = await asyncio.open_unix_connection(signer.place.socket)
    writer.write(b"".join(sent))
    await reader.readexactly(32)
    assert await reader.read() == b""
    writer.close()
    assert signer.codes("peer") == ["peer_refused"] * 2


async def test_a_false_signer_is_not_believed(signer: SignerProcess) -> None:
    """Who sits at the socket's path without the key cannot answer."""

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer, is_server=True)
        await channel.greet(bytes(32))
        await channel.send({"done": {"raw": "0x", "tx_hash": "0x"}})

    await signer.stop()
    server = await asyncio.start_unix_server(pretend, signer.place.socket)
    async with server:
        with pytest.raises(SignerAway):
            await signer.client(timeout_seconds=2).sign(w.pay())


async def test_users_that_the_policy_does_not_name(signer: SignerProcess) -> None:
    signer.apply(f"peers = [{os.geteuid() + 1}]\n{w.POLICY}")
    with pytest.raises(SignerAway):
        await signer.client().wallets()
    assert signer.codes("peer") == ["peer_refused"]
    signer.apply(f"peers = [{os.geteuid()}]\n{w.POLICY}")
    assert len(await signer.client().wallets()) == 3


async def test_only_its_user_reaches_it(signer: SignerProcess) -> None:
    for path, mode in (
        (signer.place.directory, 0o700),
        (signer.place.keys, 0o700),
        (signer.place.socket.parent, 0o700),
        (signer.place.socket, 0o600),
        (signer.place.store, 0o600),
        (signer.place.log, 0o600),
        (next(signer.place.keys.iterdir()), 0o600),
    ):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    second = SignerProcess(signer.place.directory)
    with pytest.raises(AssertionError, match="runs in"):
        await second.start()
    signer.place.directory.chmod(0o755)
    with pytest.raises(Misconfigured, match="0755"):
        signer.place.prepare()
    signer.place.directory.chmod(0o700)


async def test_a_policy_holds_from_the_moment_it_is_applied(
    signer: SignerProcess, client: SignerClient
) -> None:
    await client.sign(w.pay())
    signer.apply("")
    assert await refused(client, w.pay()) == "unknown_network"
    with pytest.raises(Misconfigured):
        signer.apply("needed = 7")
    signer.apply(w.POLICY)
    await client.sign(w.pay())
    versions = [said["version"] for said in signer.log() if said["event"] == "policy"]
    assert versions == [1, 2, 3]
    assert [said["policy"] for said in signer.log() if said.get("code") == "signed"] == [1, 3]


async def test_it_refuses_everything_without_a_policy(signer: SignerProcess) -> None:
    await signer.stop()
    signer.place.store.unlink()
    for leftover in signer.place.directory.glob("signer.db-*"):
        leftover.unlink()
    await signer.start()
    assert await refused(signer.client(), w.pay()) == "no_policy"


async def test_a_log_that_was_touched_is_found_out(
    signer: SignerProcess, client: SignerClient
) -> None:
    for _ in range(3):
        await client.sign(w.pay(amount=1))
    await signer.stop()
    verify(signer.place.directory)
    whole = signer.place.log.read_bytes().splitlines(keepends=True)
    changed = [line.replace(b'"amount":"1"', b'"amount":"2"') for line in whole]
    swapped = [*whole[:5], whole[6], whole[5], *whole[7:]]
    assert changed != whole
    for lines in (changed, swapped, whole[:5] + whole[6:], whole[:-1], [*whole, whole[-1]], []):
        signer.place.log.write_bytes(b"".join(lines))
        with pytest.raises(Misconfigured):
            verify(signer.place.directory)
    signer.place.log.write_bytes(b"".join(whole))
    verify(signer.place.directory)


async def test_a_cut_line_is_taken_back(signer: SignerProcess, client: SignerClient) -> None:
    """A crash in the middle of a line: it was never answered, the next line takes its place."""
    await client.sign(w.pay())
    await signer.stop(signal.SIGKILL)
    with signer.place.log.open("ab") as file:
        file.write(b'{"number":99,"at":"')
    await signer.start()
    await client.sign(w.pay())
    verify(signer.place.directory)


async def test_many_at_once_stay_within_the_window(signer: SignerProcess) -> None:
    clients = [signer.client() for _ in range(4)]
    orders = [w.pay(amount=w.ETHER // 4) for _ in range(24)]

    async def ask(number: int) -> bool:
        try:
            await clients[number % 4].sign(orders[number])
        except NeedsApproval:
            return False
        return True

    signed = await asyncio.gather(*[ask(number) for number in range(24)])
    assert sum(signed) == 12  # three ether in an hour
    for client in clients:
        await client.close()
