"""x402's shapes, both versions, and what must hold of a payment before a node is asked."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from core.money import crypto
from core.networks import NATIVE, Catalog, Eip3009, Network, Token
from payments.x402_terms import NotPaid, judge, kinds, read

NOW = 1_800_000_000
USDC, OURS, NONCE = "0x" + "c0" * 20, "0x" + "aa" * 20, "0x" + "0e" * 32
PAYER = Account.from_key("0x" + "51" * 32)
FIELDS = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]
DOMAIN = {"name": "USD Coin", "version": "2"}


def network(**changes: Any) -> Network:
    tokens = (
        Token(asset=crypto("ETH", 18), address=NATIVE),
        Token(asset=crypto("USDC", 6), address=USDC, eip3009=Eip3009(**DOMAIN)),
    )
    usual: dict[str, Any] = {
        "id": "eip155:8453", "chain_id": 8453, "name": "Base", "rpc_urls": ("http://127.0.0.1:1",),
        "block_seconds": 2, "poll_ms": 1000, "tokens": tokens, "factory": "0x" + "fa" * 20,
    }  # fmt: skip
    return Network(**{**usual, **changes})


CATALOG = Catalog({"eip155:8453": network()})


def payload() -> dict[str, Any]:
    """Signed by eth-account, so not by our own digest."""
    signed = {
        "from": PAYER.address, "to": OURS, "value": 5_000_000, "validAfter": 0,
        "validBefore": NOW + 300, "nonce": NONCE,
    }  # fmt: skip
    domain = {**DOMAIN, "chainId": 8453, "verifyingContract": USDC}
    made = Account.sign_message(
        encode_typed_data(domain, {"TransferWithAuthorization": FIELDS}, signed), PAYER.key
    )
    told = {k: v if isinstance(v, str) else str(v) for k, v in signed.items()}
    return {"authorization": told, "signature": "0x" + bytes(made.signature).hex()}


def body(version: int) -> tuple[int, dict[str, Any], dict[str, Any]]:
    common = {"scheme": "exact", "asset": USDC, "payTo": OURS, "maxTimeoutSeconds": 300}
    if version == 2:
        wanted = {**common, "network": "eip155:8453", "amount": "5000000", "extra": DOMAIN}
        given = {"x402Version": 2, "accepted": wanted, "payload": payload()}
        return 2, {**given, "resource": {"url": "https://shop.example/report"}}, wanted
    told = {"resource": "https://shop.example/report", "description": "", "mimeType": ""}
    wanted = {**common, **told, "network": "base", "maxAmountRequired": "5000000", "extra": DOMAIN}
    given = {"x402Version": 1, "scheme": "exact", "network": "base", "payload": payload()}
    return 1, given, wanted


@pytest.mark.parametrize("version", [1, 2])
def test_both_versions_say_the_same(version: int) -> None:
    found = read(CATALOG, *body(version))
    judge(found, OURS, NOW)
    assert (found.network.id, found.token.address) == ("eip155:8453", USDC)
    assert (found.amount, found.pay_to) == (5_000_000, OURS)
    assert found.authorization.payer == PAYER.address.lower()
    assert found.resource == "https://shop.example/report"
    assert found.said == ("base" if version == 1 else "eip155:8453")


@pytest.mark.parametrize("own", [None, "0x" + "ab" * 20])
def test_only_to_the_merchants_own_address(own: str | None) -> None:
    with pytest.raises(NotPaid) as refused:
        judge(read(CATALOG, *body(2)), own, NOW)
    assert refused.value.reason == "invalid_exact_evm_payload_recipient_mismatch"


@pytest.mark.parametrize(("now", "good"), [(NOW + 294, True), (NOW + 295, False)])
def test_what_is_left_is_enough_to_be_mined(now: int, good: bool) -> None:
    found = read(CATALOG, *body(2))
    if good:
        judge(found, OURS, now)
        return
    with pytest.raises(NotPaid, match="too soon"):
        judge(found, OURS, now)


def test_every_signed_word_counts() -> None:
    """Whatever is changed after signing is refused, in requirements and payload alike."""
    for key, other in (
        ("value", "5000001"), ("to", "0x" + "ab" * 20), ("validAfter", "1"),
        ("validBefore", str(NOW + 301)), ("nonce", "0x" + "0f" * 32), ("from", "0x" + "ab" * 20),
    ):  # fmt: skip
        version, given_, wanted = body(2)
        given_["payload"]["authorization"][key] = other
        wanted = {**wanted, "amount": given_["payload"]["authorization"]["value"]}
        wanted["payTo"] = given_["payload"]["authorization"]["to"]
        found = read(CATALOG, version, given_, wanted)
        with pytest.raises(NotPaid) as refused:
            judge(found, found.pay_to, NOW)
        assert refused.value.reason == "invalid_exact_evm_payload_signature"


def test_an_asset_is_taken_where_it_is_settled() -> None:
    assert [t.asset.symbol for _, t in kinds(CATALOG)] == ["USDC"]
    for off in (network(x402=None), network(factory=None)):
        assert kinds(Catalog({off.id: off})) == []


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*at, key))
    return found


JSON = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=80), st.just({}), st.just([]),
    st.sampled_from(["0x", "-1", "1e3", "१", "0x" + "g" * 40, "9" * 79, "5000000.0"]),
)  # fmt: skip


@settings(deadline=None)
@given(version=st.sampled_from([1, 2]), data=st.data(), value=JSON)
def test_whatever_is_sent_is_taken_or_refused(
    version: int, data: st.DataObject, value: Any
) -> None:
    """Nothing else is raised, and nothing that was not signed passes."""
    _, given_, wanted = copy.deepcopy(body(version))
    root: Any = [given_, wanted][data.draw(st.integers(0, 1))]
    *way, last = data.draw(st.sampled_from(paths(root)))
    place = root
    for key in way:
        place = place[key]
    place[last] = value
    try:
        found = read(CATALOG, version, given_, wanted)
        judge(found, OURS, NOW)
    except NotPaid:
        return
    assert (found.amount, found.pay_to) == (5_000_000, OURS)
    assert found.authorization.amount == 5_000_000
