"""Every refusal of eth_sendRawTransaction that we know, with who says it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.refusals import Refusal, classify

K, N, U, F = Refusal.KNOWN, Refusal.NONCE_USED, Refusal.UNDERPRICED, Refusal.NO_FUNDS
L, W, X, A = Refusal.FEE_TOO_LOW, Refusal.LATER, Refusal.FINAL, Refusal.UNKNOWN

TEXTS = [
    # go-ethereum: core/error.go, core/txpool/errors.go, internal/ethapi
    ("geth", "already known", K),
    ("geth", "nonce too low", N),
    ("geth", "nonce too low: next nonce 82, tx nonce 81", N),
    ("geth", "nonce too high", W),
    ("geth", "replacement transaction underpriced", U),
    ("geth", "replacement transaction underpriced: new tx gas fee cap 5 <= 5 queued", U),
    ("geth", "transaction underpriced", L),
    ("geth", "transaction underpriced: gas tip cap 1, minimum needed 1000000", L),
    ("geth", "max fee per gas less than block base fee: maxFeePerGas: 1, baseFee: 875000000", L),
    ("geth", "insufficient funds for gas * price + value", F),
    ("geth", "insufficient funds for gas * price + value: balance 0, tx cost 9, overshot 9", F),
    ("geth", "insufficient funds for transfer", F),
    ("geth", "insufficient balance for transfer", F),
    ("geth", "transaction would cause overdraft", F),
    ("geth", "txpool is full", W),
    ("geth", "account limit exceeded", W),
    ("geth", "future transaction tries to replace pending", W),
    ("geth", "address already reserved", W),
    ("geth", "in-flight transaction limit reached for delegated accounts", W),
    ("geth", "gapped-nonce tx from delegated accounts", W),
    ("geth", "intrinsic gas too low: gas 20000, minimum needed 21000", X),
    ("geth", "insufficient gas for floor data gas cost: gas 21000, minimum needed 31000", X),
    ("geth", "exceeds block gas limit", X),
    ("geth", "gas limit reached", X),
    ("geth", "gas uint64 overflow", X),
    ("geth", "invalid sender", X),
    ("geth", "invalid sender: invalid chain id for signer: have 1 want 31337", X),
    ("geth", "only replay-protected (EIP-155) transactions allowed over RPC", X),
    ("geth", "transaction type not supported", X),
    ("geth", "negative value", X),
    ("geth", "oversized data: transaction size 200000, limit 131072", X),
    ("geth", "rlp: value size exceeds available input length", X),
    ("geth", "typed transaction too short", X),
    ("geth", "sender not an eoa: address 0x00, codehash: 0x01", X),
    ("geth", "max priority fee per gas higher than max fee per gas: 2, maxFeePerGas: 1", X),
    ("geth", "max fee per gas higher than 2^256-1", X),
    ("geth", "tx fee (1.10 ether) exceeds the configured cap (1.00 ether)", X),
    ("geth before 1.9", "known transaction: 0x7f657507aee0511e36d2d1972a6b22e917cc89f92b6c12", K),
    # Nethermind: AcceptTxResult, by name until 1.3x and in geth's words after
    ("nethermind", "AlreadyKnown", K),
    ("nethermind", "OldNonce, Current nonce: 22, nonce of rejected tx: 17", N),
    ("nethermind", "call failed: OldNonce", N),
    ("nethermind", "NonceGap, Future nonce. Expected nonce: 10", W),
    ("nethermind", "NonceTooFarInFuture", W),
    ("nethermind", "nonce too far in future", W),
    ("nethermind", "ReplacementNotAllowed", U),
    ("nethermind", "OwnNonceAlreadyUsed", U),
    ("nethermind", "FeeTooLow, EffectivePriorityFeePerGas too low 10 < 20, BaseFee: 30", L),
    ("nethermind", "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 50, BaseFee: 100", L),
    ("nethermind", "FeeTooLowToCompete", L),
    ("nethermind", "InsufficientFunds, Account balance: 47, cumulative cost: 220", F),
    ("nethermind", "InsufficientFunds, Balance is 109 less than sending value + gas 716", F),
    ("nethermind", "Syncing", W),
    ("nethermind", "PendingTxsOfConflictingType", W),
    ("nethermind", "DelegatorHasPendingTx", W),
    ("nethermind", "GasLimitExceeded, Gas limit: 100, gas limit of rejected tx: 150", X),
    ("nethermind", "Int256Overflow", X),
    ("nethermind", "FailedToResolveSender", X),
    ("nethermind", "SenderIsContract", X),
    ("nethermind", "MaxTxSizeExceeded", X),
    ("nethermind", "call failed: Invalid, transaction Hash is null", X),
    # Besu: RpcErrorType, TransactionInvalidReason
    ("besu", "Known transaction", K),
    ("besu", "Nonce too low", N),
    ("besu", "Nonce too high", W),
    ("besu", "Replacement transaction underpriced", U),
    ("besu", "Upfront cost exceeds account balance", F),
    ("besu", "Gas price below configured minimum gas price", L),
    ("besu", "Gas price below current base fee", L),
    ("besu", "Max priority fee per gas greater than max fee per gas", X),
    ("besu", "Transaction fee cap exceeded", X),
    ("besu", "Intrinsic gas exceeds gas limit", X),
    ("besu", "Transaction gas limit exceeds block gas limit", X),
    ("besu", "Wrong chainId", X),
    ("besu", "ChainId not supported", X),
    ("besu", "Invalid signature", X),
    ("besu", "Sender account not authorized to send transactions", X),
    ("besu", "Initial sync is still in progress", W),
    ("besu", "Transaction pool not enabled. (Either txpool explicitly disabled, ...)", W),
    ("besu", "An invalid transaction with a lower nonce exists", W),
    # Erigon, and what Polygon's say through it
    ("erigon", "INTERNAL_ERROR: existing tx with same hash", K),
    ("erigon", "block already known", K),
    ("erigon", "INTERNAL_ERROR: nonce too low", N),
    ("erigon", "INTERNAL_ERROR: could not replace existing tx", U),
    ("erigon", "INTERNAL_ERROR: underpriced", L),
    ("erigon", "INTERNAL_ERROR: insufficient funds", F),
    ("erigon", "fee cap less than block base fee", L),
    # Reth: RpcPoolError in geth's words
    ("reth", "already known", K),
    ("reth", "insufficient gas price to replace existing transaction", U),
    ("reth", "txpool is full", W),
    ("reth", "discarded tx 0xab (pool size exceeded)", W),
    ("reth", "gas required exceeds allowance (0)", X),
    ("reth", "transaction nonce is not consistent: next nonce 7, tx nonce 6: nonce too low", N),
    # Anvil 1.7
    ("anvil", "transaction already imported", K),
    ("anvil", "[0xab] already Imported", K),
    ("anvil", "Insufficient funds for gas * price + value", F),
    ("anvil", "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", X),
    ("anvil", "Out of gas: gas required exceeds allowance: 0", X),
    ("anvil", "nonce too low", N),
    # OpenEthereum, Gnosis' older nodes
    ("openethereum", "Transaction with the same hash was already imported.", K),
    ("openethereum", "Transaction nonce is too low. Try incrementing the nonce.", N),
    (
        "openethereum",
        (
            "Transaction gas price 100wei is too low. There is another transaction with same"
            " nonce in the queue with gas price 150wei. Try increasing the gas price or"
            " incrementing the nonce."
        ),
        U,
    ),
    (
        "openethereum",
        (
            "Transaction gas price is too low. It does not satisfy your node's minimal gas price"
            " (minimal: 100 got: 50). Try increasing the gas price."
        ),
        L,
    ),
    (
        "openethereum",
        (
            "Insufficient funds. The account you tried to send transaction from does not"
            " have enough funds. Required 200.50 and got: 100.25."
        ),
        F,
    ),
    ("openethereum", "Supplied gas is beyond limit.", X),
    ("openethereum", "Sender is banned in local queue.", X),
    ("openethereum", "Transaction cost exceeds current gas limit. Limit: 50, got: 100.", X),
    # Arbitrum, zkSync, Metis, Moonbeam, Klaytn
    ("arbitrum", "nonce too low: address 0x336394A3219e71D9d9bd, tx: 8089 state: 8090", N),
    ("arbitrum", "invalid transaction nonce", N),
    ("arbitrum", "not enough funds for gas", F),
    ("arbitrum", "gas price too low", L),
    ("arbitrum", "sequencer pending tx pool full, please try again", W),
    ("arbitrum", "queue full", W),
    ("arbitrum", "tx dropped due to L2 congestion", W),
    ("arbitrum", "forbidden sender address", X),
    ("arbitrum", "execution reverted: stale report", X),
    ("zksync", "known transaction. transaction with hash 0x6013 is already in the system", K),
    ("zksync", "nonce too low. allowed nonce range: 427 - 447, actual: 426", N),
    ("zksync", "nonce too high. allowed nonce range: 427 - 477, actual: 527", W),
    ("zksync", "max fee per gas less than block base fee", L),
    ("zksync", "The operator included transaction with an unacceptable gas price", L),
    ("metis", "gas price too low: 18000000000 wei, use at least tx.gasPrice = 19500000000 wei", L),
    ("moonbeam", "submit transaction to pool failed: Pool(Stale)", N),
    ("moonbeam", "submit transaction to pool failed: Pool(AlreadyImported)", K),
    ("klaytn", "there is another tx which has the same nonce in the tx pool", U),
    ("harmony", "transaction already finalized", N),
    # Providers in front of nodes
    ("alchemy", "Your app has exceeded its compute units per second capacity.", W),
    ("infura", "daily request count exceeded, request rate limited", W),
    ("quicknode", "50/second request limit reached - reduce calls per second", W),
    ("ankr", "Too many requests, reason: call rate limit exhausted", W),
    ("polkadot hub", "Priority is too low: (1 vs 1)", U),
    ("polkadot hub", "Transaction is temporarily banned", W),
    ("ethers", "nonce has already been used", N),
    # What says nothing of the bytes
    ("any", "Internal error", A),
    ("any", "header not found", A),
    ("any", "", A),
    ("any", "some old reason", A),
]


@pytest.mark.parametrize(("who", "text", "expected"), TEXTS)
def test_refusals_are_told_apart_by_their_text(who: str, text: str, expected: Refusal) -> None:
    assert classify(text) is expected, who
    assert classify(text.upper()) is expected


@pytest.mark.parametrize(("who", "text", "expected"), TEXTS)
def test_a_provider_may_wrap_the_text(who: str, text: str, expected: Refusal) -> None:
    if text.startswith("call failed: Invalid,"):
        return  # this word alone says something only where it begins the text
    wrapped = f"failed with 2 errors: rpc error: {text}\n"
    assert classify(wrapped) is expected, who


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert classify(text) in Refusal


@given(st.text(alphabet="0123456789abcdefx \n{}:", max_size=80))
def test_what_nobody_listed_is_asked_about(text: str) -> None:
    assert classify(text) is Refusal.UNKNOWN
