"""Bloom, splitting, budget, socket framing, spans: small pure things."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain import bloom
from chain.balances import budget, split
from chain.heads import split_json
from chain.logs import suspicious
from chain.run import TAIL_BLOCKS, spans
from chain.watch import TRANSFER, Watch
from chain.wire import Log
from core.errors import Inconsistent, Misconfigured
from core.keccak import keccak
from core.money import crypto
from core.networks import NATIVE, Network, Token
from tests.unit.chain.test_decode import TOKEN, A, B, header, log, watch


def test_a_bloom_as_the_yellow_paper_makes_it() -> None:
    """The bits as geth's types.Bloom sets them, spelled out for one address."""
    digest = keccak(bytes.fromhex(TOKEN[2:]))
    expected = 0
    for i in (0, 2, 4):
        expected |= 1 << (int.from_bytes(digest[i : i + 2], "big") % 2048)
    assert bloom.bits(TOKEN) == expected
    assert bloom.bits(TOKEN).bit_count() <= 3


def bloom_of(*logs: Log) -> str:
    return hex(bloom.of_logs((one.address, one.topics) for one in logs))


@pytest.mark.parametrize(
    ("filled", "logs", "doubtful"),
    [
        ("0x0", [], False),
        (bloom_of(log()), [log()], False),
        (bloom_of(log()), [], True),
        (bloom_of(log(address="0x" + "55" * 20)), [], False),
        ("0x" + "f" * 512, [], True),
        ("0x0", [log()], False),  # a network that fills in no bloom
    ],
)
def test_an_answer_is_held_against_the_bloom(filled: str, logs: list[Log], doubtful: bool) -> None:
    assert suspicious(header("0x1", logsBloom=filled), logs, watch()) is doubtful


def test_a_log_that_the_bloom_denies_is_no_answer() -> None:
    filled = bloom_of(log(address="0x" + "55" * 20))
    with pytest.raises(Inconsistent):
        suspicious(header("0x1", logsBloom=filled), [log()], watch())


def test_the_approvals_of_a_token_do_not_stand_for_its_transfers() -> None:
    approval = log(topics=["0x" + "99" * 32, log().topics[1], log().topics[2]])
    filled = bloom_of(log(), approval)
    assert suspicious(header("0x1", logsBloom=filled), [approval], watch())


@pytest.mark.parametrize(
    ("arrived", "amounts", "shares"),
    [
        (99, [100], [99]),
        (198, [100, 100], [99, 99]),
        (10, [1, 1, 1], [3, 3, 4]),
        (0, [5, 5], [0, 0]),
        (-3, [5, 5], [0, 0]),
        (2**256 - 1, [2**255, 2**255], [2**255 - 1, 2**255]),
    ],
)
def test_split(arrived: int, amounts: list[int], shares: list[int]) -> None:
    assert split(arrived, amounts) == shares


@settings(deadline=None)
@given(st.integers(0, 2**256), st.lists(st.integers(1, 2**256), min_size=1, max_size=20))
def test_split_loses_and_makes_up_nothing(arrived: int, amounts: list[int]) -> None:
    shares = split(arrived, amounts)
    assert sum(shares) == arrived
    assert min(shares) >= 0


@pytest.mark.parametrize(
    ("addresses", "block_seconds", "each_block"),
    [(10, 12, 500), (25_000, 12, 500), (100_000, 12, 2000), (100_001, 12, 2001), (1, 0, 500)],
)
def test_budget_makes_a_round_in_ten_minutes(
    addresses: int, block_seconds: int, each_block: int
) -> None:
    assert budget(addresses, block_seconds) == each_block


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.integers()), max_size=5), st.data())
def test_socket_messages_may_come_in_any_pieces(
    messages: list[dict[str, int]], data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from(["", "\n"])).join(json.dumps(m) for m in messages)
    found: list[object] = []
    rest = ""
    while text:
        cut = data.draw(st.integers(1, len(text)))
        more, rest = split_json(rest + text[:cut])
        found += more
        text = text[cut:]
    assert found == messages
    assert rest == ""


@settings(deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000))
def test_spans_cover_everything_once_and_keep_the_tail_apart(
    first: int, count: int, beyond: int
) -> None:
    last = first + count
    top = last + beyond
    pieces = list(spans(first, last, top))
    assert [n for a, b in pieces for n in range(a, b + 1)] == list(range(first, last + 1))
    border = top - TAIL_BLOCKS
    assert not any(a <= border < b for a, b in pieces)


def network(**more: object) -> Network:
    made = {
        "id": "eip155:1", "chain_id": 1, "name": "", "rpc_urls": (), "block_seconds": 12,
        "poll_ms": 1, "tokens": (Token(asset=crypto("ETH", 18), address=NATIVE),),
    }  # fmt: skip
    return Network(**{**made, **more})  # type: ignore[arg-type]


def test_deposit_addresses_are_those_of_eip_1014() -> None:
    """The EIP's second example: deployer 0xdead..., salt of zeros, init code 0x00."""
    factory = "0xdeadbeef00000000000000000000000000000000"
    made = Watch.of(network(factory=factory, deposit_init_code_hash="0x" + keccak(b"\0").hex()))
    assert made.deposit_address("0x" + "00" * 32) == "0xb928f69bb1d91cd65274e3c79d8986362984fda3"


def test_a_factory_without_the_hash_of_its_code_is_refused() -> None:
    with pytest.raises(Misconfigured):
        Watch.of(network(factory=A))


def test_a_network_without_tokens_asks_for_no_logs() -> None:
    made = Watch.of(network())
    assert not made.masks
    assert not made.wants(msgspec.convert({"address": B, "topics": [TRANSFER], "data": ""}, Log))
