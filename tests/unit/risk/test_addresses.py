"""Every reason why money may not go to an address, and that nothing else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.addresses import checksum
from core.errors import Invalid
from core.networks import MULTICALL
from risk.addresses import BURNS, DEPLOYER, check, kind_of, look_alike
from tests.unit.risk.world import (
    CATALOG,
    DAI,
    FACTORY,
    FEED,
    MULTISEND,
    NETWORK,
    ORACLE,
    OTHER,
    ROUTER,
    USDC,
)

HERE = CATALOG.networks[NETWORK]
THERE = CATALOG.networks[OTHER]
# EIP-55's own examples
MIXED = (
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)
UPPER = "0x52908400098527886E0F7030069857D2E4169EE7"
LOWER = "0xde709f2102306220921060314715629080e2fb77"
PAID = "0x1234aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa5678"
PLANTED = "0x1234bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb5678"
HEX = "0123456789abcdef"
ADDRESSES = st.text(HEX, min_size=40, max_size=40).map("0x{}".format)


def code_of(address: str, **known: object) -> str | None:
    try:
        check(HERE, address, **known)  # type: ignore[arg-type]
    except Invalid as error:
        return error.code if [e.field for e in error.errors] == ["address"] else "another field"
    return None


@pytest.mark.parametrize("address", [*MIXED, UPPER, LOWER, "0x" + UPPER[2:].lower()])
def test_an_address_passes_in_lower_case(address: str) -> None:
    assert check(HERE, address) == address.lower()


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("", "not_an_address"),
        ("0x", "not_an_address"),
        (LOWER[:-1], "not_an_address"),
        (LOWER + "0", "not_an_address"),
        (LOWER + "\n", "not_an_address"),
        (" " + LOWER, "not_an_address"),
        (LOWER[2:], "not_an_address"),
        ("0X" + LOWER[2:], "not_an_address"),
        ("0x" + "g" * 40, "not_an_address"),
        ("0x" + "１" * 40, "not_an_address"),
        ("vitalik.eth", "not_an_address"),
        (MIXED[0].swapcase().replace("0X", "0x"), "wrong_checksum"),
        (MIXED[0][:-1] + "D", "wrong_checksum"),
        ("0x" + MIXED[1][2:].replace("B", "b", 1), "wrong_checksum"),
        ("0x" + "0" * 40, "zero_address"),
        ("0x" + "0" * 39 + "1", "precompile"),
        ("0x" + "0" * 37 + "100", "precompile"),
        ("0x" + "0" * 36 + "ffff", "precompile"),
        ("0x" + "0" * 36 + "dEaD", "burn_address"),
        ("0x" + "0" * 36 + "DeAd", "wrong_checksum"),
        (checksum("0x" + "0" * 35 + "1dead"), None),
        *((burn, "burn_address") for burn in sorted(BURNS)),
        ("0x" + "f" * 40, "burn_address"),
        ("0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE", "burn_address"),
        ("0x" + "1" * 40, "burn_address"),
        (FACTORY, "own_address"),
        (ROUTER, "own_address"),
        (MULTISEND, "own_address"),
        (USDC, "token_contract"),
        (DAI, None),
        (MULTICALL, "system_contract"),
        (FEED, "system_contract"),
        (ORACLE, "system_contract"),
        (DEPLOYER, "system_contract"),
    ],
)
def test_each_refusal_has_its_code(address: str, code: str | None) -> None:
    assert code_of(address) == code


def test_our_own_addresses_are_refused() -> None:
    assert code_of(LOWER, own={LOWER}) == "own_address"
    assert code_of(UPPER, own={UPPER.lower()}) == "own_address"
    assert code_of(LOWER, own={MIXED[0].lower()}) is None


@pytest.mark.parametrize(
    ("address", "recent", "code"),
    [
        (PLANTED, [PAID], "looks_like_recent"),
        (PLANTED.upper().replace("X", "x"), [PAID], "looks_like_recent"),
        (PAID, [PAID], None),
        (PLANTED, [PAID, PLANTED], None),
        (PLANTED, [LOWER], None),
        (PLANTED, [], None),
        ("0x1235bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb5678", [PAID], None),
        ("0x1234bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb5679", [PAID], None),
    ],
)
def test_look_alikes(address: str, recent: list[str], code: str | None) -> None:
    assert code_of(address, recent=recent) == code


def test_several_networks_refuse_what_one_of_them_refuses() -> None:
    assert check([HERE, THERE], LOWER) == LOWER
    for token in (USDC, DAI):
        with pytest.raises(Invalid) as refused:
            check([HERE, THERE], token)
        assert refused.value.code == "token_contract"


@given(ADDRESSES, st.lists(st.booleans(), min_size=40, max_size=40))
def test_any_other_mixture_of_cases_is_refused(lower: str, raised: list[bool]) -> None:
    """EIP-55 told by its own definition: a wrong case of any letter is found."""
    mixed = "0x" + "".join(c.upper() if up else c for c, up in zip(lower[2:], raised, strict=True))
    digits = mixed[2:]
    right = digits in (digits.lower(), digits.upper()) or mixed == checksum(lower)
    assert (code_of(mixed) == "wrong_checksum") == (not right)


@given(ADDRESSES, st.sets(ADDRESSES, max_size=5))
def test_a_look_alike_shares_both_ends_and_nothing_paid_is_one(
    address: str, recent: set[str]
) -> None:
    twin = look_alike(address, recent)
    if address in recent:
        assert twin is None
    else:
        alike = {r for r in recent if r[:6] == address[:6] and r[-4:] == address[-4:]}
        assert (twin in alike) if alike else (twin is None)


@given(ADDRESSES, ADDRESSES)
def test_a_poisoned_address_is_always_found(paid: str, middle: str) -> None:
    planted = paid[:6] + middle[6:-4] + paid[-4:]
    assert (look_alike(planted, [paid]) is None) == (planted == paid)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("0x", "account"),
        ("0x00", "contract"),
        ("0xef0100" + "ab" * 20, "delegated"),
        ("0xEF0100" + "AB" * 20, "delegated"),
        ("0xef0100" + "ab" * 21, "contract"),
        ("0xef0100" + "ab" * 19, "contract"),
        ("0x60006000fd", "contract"),
    ],
)
def test_what_stands_at_an_address(code: str, kind: str) -> None:
    assert kind_of(code) == kind
