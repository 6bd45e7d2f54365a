"""What nodes answer -> movements: every way that money moves, and every way that it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chain import decode
from chain.rpc import decode_deep
from chain.watch import TRANSFER, Watch
from chain.wire import (
    TRACE_BY_HASH,
    FullBlock,
    Header,
    Log,
    Receipt,
    Traced,
    TraceItem,
)
from core.errors import BlockUnknown, Inconsistent
from core.money import crypto
from core.networks import NATIVE, Network, Token

HASH, PARENT, OTHER = "0x" + "b1" * 32, "0x" + "b0" * 32, "0x" + "b2" * 32
TX1, TX2 = "0x" + "01" * 32, "0x" + "02" * 32
A, B, C, D = ("0x" + c * 40 for c in "abcd")
TOKEN = "0x" + "70" * 20


def header(*transactions: str, **more: Any) -> Header:
    made: dict[str, Any] = {
        "number": "0x10",
        "hash": HASH,
        "parentHash": PARENT,
        "timestamp": "0x5",
        "miner": "0x" + "00" * 20,
        "logsBloom": "0x0",
        "transactions": list(transactions),
    }
    return msgspec.convert({**made, **more}, Header)


def call(to: str | None, value: int, *calls: Any, kind: str = "CALL", **more: Any) -> Any:
    frame = {"type": kind, "from": A, "to": to, "value": hex(value), "calls": list(calls)}
    return {**frame, **more}


def traced(*roots: Any, hashes: tuple[str, ...] = (TX1, TX2)) -> list[Traced]:
    items = [{"txHash": h, "result": r} for h, r in zip(hashes, roots, strict=False)]
    return msgspec.convert(items, list[Traced])


def short(movements: Any) -> list[tuple[str, str, int]]:
    return [(m.position, m.recipient, m.amount) for m in movements]


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (call(B, 5), [("tx", B, 5)]),
        (call(B, 0), []),
        (call(B, 5, error="execution reverted"), []),
        (call(A, 5), []),  # to itself
        (call(B, 5, kind="CREATE"), [("tx", B, 5)]),
        (call(B, 0, call(C, 7)), [("trace:0", C, 7)]),
        (call(B, 5, call(C, 7, call(D, 8)), call(D, 9)),
         [("tx", B, 5), ("trace:0", C, 7), ("trace:0.0", D, 8), ("trace:1", D, 9)]),
        # an inner frame of a failed call carries value and no error of its own
        (call(B, 0, call(C, 7, call(D, 8), error="out of gas"), call(D, 9)), [("trace:1", D, 9)]),
        (call(B, 5, call(C, 7), error="execution reverted"), []),
        (call(B, 0, call(C, 1, kind="DELEGATECALL"), call(C, 2, kind="CALLCODE"),
              call(C, 3, kind="STATICCALL"), call(C, 4, kind="CREATE2"),
              call(C, 5, kind="SELFDESTRUCT"), call(C, 6, kind="CREATE")),
         [("trace:3", C, 4), ("trace:4", C, 5), ("trace:5", C, 6)]),
        # what a delegate call calls does move
        (call(B, 0, call(C, 3, call(D, 4), kind="DELEGATECALL")), [("trace:0.0", D, 4)]),
        ({"type": "CALL", "from": A, "to": B}, []),
    ],
)  # fmt: skip
def test_frames(root: Any, expected: list[tuple[str, str, int]]) -> None:
    found = decode.traces(header(TX1), traced(root))
    assert short(found) == expected
    assert all(m.tx_hash == TX1 and m.token == NATIVE and m.block_hash == HASH for m in found)


@pytest.mark.parametrize(
    "answer",
    [
        [],
        traced(call(B, 5)),
        traced(call(B, 5), call(B, 6), hashes=(TX2, TX1)),
        [*traced(call(B, 5)), Traced(txHash=TX2)],
        [*traced(call(B, 5)), Traced(error="state is not available", txHash=TX2)],
    ],
)
def test_a_trace_too_few_is_no_answer(answer: list[Traced]) -> None:
    with pytest.raises((Inconsistent, BlockUnknown)):
        decode.traces(header(TX1, TX2), answer)


def test_a_creation_that_failed_without_address_stops_nothing() -> None:
    assert decode.traces(header(TX1), traced(call(None, 5, kind="CREATE", error="x"))) == []


def test_nothing_is_too_deep() -> None:
    """1,024 nested calls, as many as the EVM allows: the innermost one still counts."""
    nested = b'{"type":"CALL","from":"%s","to":"%s","value":"0x1"' % (A.encode(), B.encode())
    frames = (nested + b',"calls":[') * 1024 + nested + b"}" + b"]}" * 1024
    answer = b'[{"id":0,"result":[{"txHash":"' + TX1.encode() + b'","result":' + frames + b"}]}]"
    [reply] = decode_deep(TRACE_BY_HASH.batch, answer)
    assert isinstance(reply.result, list)
    found = decode.traces(header(TX1), reply.result)
    assert len(found) == 1025
    assert found[-1].position == "trace:" + ".".join(["0"] * 1024)


def item(path: list[int], tx: str = TX1, **more: Any) -> dict[str, Any]:
    action = {"from": A, "to": B, "value": "0x5", "callType": "call"}
    made = {"action": action, "type": "call", "blockHash": HASH, "traceAddress": path}
    return {**made, "transactionHash": tx, **more}


def items(*made: dict[str, Any]) -> list[TraceItem]:
    return msgspec.convert(list(made), list[TraceItem])


DELEGATED = {"from": A, "to": B, "value": "0x5", "callType": "delegatecall"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([item([])], [("tx", B, 5)]),
        ([item([], error="Reverted"), item([0])], []),
        ([item([]), item([0], error="x"), item([0, 0]), item([0, 0, 1]), item([1])],
         [("tx", B, 5), ("trace:1", B, 5)]),
        ([item([]), item([0], action=DELEGATED), item([0, 3])],
         [("tx", B, 5), ("trace:0.3", B, 5)]),
        ([item([], type="create", action={"from": A, "value": "0x7"}, result={"address": C})],
         [("tx", C, 7)]),
        ([item([], type="create", action={"from": A, "value": "0x7"}, error="x")], []),
        ([item([]), item([0], type="suicide",
                         action={"address": A, "refundAddress": D, "balance": "0x9"})],
         [("tx", B, 5), ("trace:0", D, 9)]),
        ([item([]), item([], tx="", type="reward", action={}) | {"transactionHash": None}],
         [("tx", B, 5)]),
    ],
)  # fmt: skip
def test_trace_items(answer: list[dict[str, Any]], expected: list[tuple[str, str, int]]) -> None:
    assert short(decode.trace_items(header(TX1), items(*answer))) == expected


def test_an_error_ends_with_its_transaction() -> None:
    answer = items(item([], error="Reverted"), item([], TX2), item([0], TX2))
    assert short(decode.trace_items(header(TX1, TX2), answer)) == [("tx", B, 5), ("trace:0", B, 5)]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [item([])],
        [item([]), item([], TX2, blockHash=OTHER)],
        [item([], TX2), item([])],
        [item([0]), item([]), item([], TX2)],
        [item([]), item([], TX2), item([0], TX2, type="unheard-of")],
    ],
)
def test_trace_items_of_another_block_are_no_answer(answer: list[dict[str, Any]]) -> None:
    with pytest.raises(Inconsistent):
        decode.trace_items(header(TX1, TX2), items(*answer))


def receipt(tx: str, status: str | None = "0x1", **more: Any) -> Receipt:
    made = {"transactionHash": tx, "blockHash": HASH, "gasUsed": "0x1", "logs": []}
    return msgspec.convert({**made, "status": status, **more}, Receipt)


def full(*sent: tuple[str, str | None, int], block_hash: str = HASH) -> FullBlock:
    transactions = [{"hash": h, "from": A, "to": to, "value": hex(v)} for h, to, v in sent]
    return msgspec.convert({"hash": block_hash, "transactions": transactions}, FullBlock)


def test_without_traces_the_receipt_says_whether_it_moved() -> None:
    block = full((TX1, B, 5), (TX2, B, 6))
    answer = [receipt(TX1, "0x0"), receipt(TX2)]
    assert short(decode.transactions(header(TX1, TX2), block, answer)) == [("tx", B, 6)]
    made = decode.transactions(header(TX1), full((TX1, None, 5)), [receipt(TX1, contractAddress=C)])
    assert short(made) == [("tx", C, 5)]


def test_receipts_of_other_transactions_are_no_answer() -> None:
    decode.check_receipts(header(TX1, TX2), [receipt(TX1), receipt(TX2)])
    for wrong in (
        [receipt(TX1)],
        [receipt(TX2), receipt(TX1)],
        [receipt(TX1), receipt(TX2, blockHash=OTHER)],
    ):
        with pytest.raises(Inconsistent):
            decode.check_receipts(header(TX1, TX2), wrong)
    with pytest.raises(Inconsistent):
        decode.transactions(header(TX1), full((TX1, B, 1)), [receipt(TX1, None)])
    with pytest.raises(Inconsistent):
        decode.transactions(header(TX1), full((TX1, B, 1), block_hash=OTHER), [receipt(TX1)])


def test_withdrawals_come_in_gwei_and_have_no_transaction() -> None:
    block = header(
        withdrawals=[
            {"index": "0x2a", "validatorIndex": "0x1", "address": B, "amount": "0x3b9aca00"},
            {"index": "0x2b", "validatorIndex": "0x1", "address": C, "amount": "0x0"},
        ]
    )
    [found] = decode.withdrawals(block)
    assert (found.position, found.tx_hash, found.recipient) == ("withdrawal:42", "", B)
    assert found.amount == 10**18


def watch() -> Watch:
    tokens = (
        Token(asset=crypto("ETH", 18), address=NATIVE),
        Token(asset=crypto("USDC", 6), address=TOKEN),
    )
    return Watch.of(
        Network(id="eip155:1", chain_id=1, name="", rpc_urls=(), block_seconds=12, poll_ms=1,
                tokens=tokens)
    )  # fmt: skip


def word(address: str) -> str:
    return "0x" + address[2:].rjust(64, "0")


def log(index: int = 3, **more: Any) -> Log:
    made = {
        "address": TOKEN,
        "topics": [TRANSFER, word(A), word(B)],
        "data": "0x" + hex(5)[2:].rjust(64, "0"),
        "blockHash": HASH,
        "blockNumber": "0x10",
        "transactionHash": TX1,
        "logIndex": hex(index),
    }
    return msgspec.convert({**made, **more}, Log)


@pytest.mark.parametrize(
    ("logs", "expected"),
    [
        ([log()], [("log:3", B, 5)]),
        ([log(4), log(3)], [("log:3", B, 5), ("log:4", B, 5)]),
        ([log(data="0x" + "00" * 32)], []),
        ([log(address=OTHER[:42])], []),  # a contract that nobody configured
        ([log(topics=[TRANSFER, word(A), word(B), word(C)], data="0x")], []),  # an NFT
        ([log(data="0x05")], []),
        ([log(topics=[OTHER, word(A), word(B)])], []),
        ([log(data="0x" + "ff" * 32)], [("log:3", B, 2**256 - 1)]),
    ],
)
def test_transfers(logs: list[Log], expected: list[tuple[str, str, int]]) -> None:
    checked = decode.check_logs(header(TX1), logs)
    assert short(decode.transfers(header(TX1), checked, watch())) == expected


@pytest.mark.parametrize(
    "logs",
    [
        [log(removed=True)],
        [log(blockHash=OTHER)],
        [log(blockHash=None)],
        [log(transactionHash=TX2)],
        [log(logIndex=None)],
        [log(3), log(3)],
    ],
)
def test_logs_of_another_block_are_no_answer(logs: list[Log]) -> None:
    with pytest.raises(Inconsistent):
        decode.check_logs(header(TX1), logs)


def test_movements_stand_in_the_order_of_their_transactions() -> None:
    block = header(TX1, TX2)
    native = decode.traces(block, traced(call(B, 5), call(B, 6)))
    tokens = decode.transfers(block, [log(3), log(4, transactionHash=TX2)], watch())
    found = decode.in_order(block, native + tokens)
    assert [m.position for m in found] == ["tx", "log:3", "tx", "log:4"]


def test_text_that_is_no_number_is_no_answer() -> None:
    with pytest.raises(Inconsistent):
        decode.number("")
