"""[quotes] of bezant.toml: percent as text, exact."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bezant.sections import QuotesSection
from core.context import QuoteSettings


def test_what_is_left_out_is_the_default() -> None:
    assert QuotesSection().policy == QuoteSettings()


def test_percent_become_basis_points() -> None:
    section = QuotesSection(
        worst_percent="2.5", tolerance_percent="0.05", stablecoin_agreement_percent="0"
    )
    policy = section.policy
    assert (policy.worst, policy.tolerance, policy.stable_agreement) == (250, 5, 0)


@pytest.mark.parametrize("wrong", ["-1", "1.234", "100.5", "", "1,5", 1])
def test_what_is_no_percent_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        QuotesSection.model_validate({"worst_percent": wrong})
