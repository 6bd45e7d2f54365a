"""Calls and answers of Multicall3, written by hand, against a general encoder."""

from __future__ import annotations

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from chain.multicall import decode, encode
from core.errors import Inconsistent
from core.networks import MULTICALL, NATIVE

ADDRESS = st.integers(0, 2**160 - 1).map(lambda n: f"0x{n:040x}")
ASKED = st.lists(st.tuples(ADDRESS, st.one_of(st.just(NATIVE), ADDRESS)), min_size=1, max_size=20)
WORD = st.integers(0, 2**256 - 1).map(lambda n: n.to_bytes(32, "big"))
# What contracts answer: a word, nothing, too little, or more than was asked for.
RESULTS = st.lists(
    st.tuples(st.booleans(), st.one_of(WORD, st.binary(max_size=70))), min_size=1, max_size=20
)


@given(ASKED)
def test_calldata(asked: list[tuple[str, str]]) -> None:
    data = encode(asked, MULTICALL)
    [calls] = abi_decode(["(address,bool,bytes)[]"], bytes.fromhex(data[10:]))
    assert data[:10] == "0x82ad56cb"  # aggregate3
    for (holder, token), (target, may_fail, call) in zip(asked, calls, strict=True):
        assert may_fail
        assert target == (MULTICALL if token == NATIVE else token)
        assert call[:4].hex() == ("4d2301cc" if token == NATIVE else "70a08231")
        assert abi_decode(["address"], call[4:]) == (holder,)


@given(RESULTS)
def test_answers(results: list[tuple[bool, bytes]]) -> None:
    answer = "0x" + abi_encode(["(bool,bytes)[]"], [results]).hex()
    expected = [
        int.from_bytes(told[:32], "big") if ok and len(told) >= 32 else None for ok, told in results
    ]
    assert decode(answer, len(results), "node") == expected


@pytest.mark.parametrize("answer", ["0x", "0x00", "0x" + "00" * 64, "0x" + "zz" * 64])
def test_an_answer_to_other_calls(answer: str) -> None:
    with pytest.raises(Inconsistent):
        decode(answer, 2, "node")


def test_an_answer_that_ends_early() -> None:
    whole = abi_encode(["(bool,bytes)[]"], [[(True, bytes(32))] * 3]).hex()
    for kept in range(64, len(whole) // 2 - 96, 32):
        with pytest.raises(Inconsistent):
            decode("0x" + whole[: 2 * kept], 3, "node")
