"""Every status and exception has one stage, and an address is shown only while paying counts."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from tests.unit.web.samples import NOW, deposit, invoice, option
from web import texts
from web.stages import Stage, is_over, is_payable, seconds_left, stage_of

IN_TIME, TOO_LATE = NOW, NOW + timedelta(minutes=10)
ANY = ("none", "paid_partial", "paid_over", "paid_late", "reversed", "marked")


@pytest.mark.parametrize(
    ("status", "exceptions", "now", "stage"),
    [
        ("new", ("none", "paid_late"), IN_TIME, Stage.WAITING),
        ("new", ("none", "paid_late", "paid_partial"), TOO_LATE, Stage.CLOSING),
        ("new", ("reversed",), IN_TIME, Stage.REVERSED),
        ("new", ("reversed",), TOO_LATE, Stage.REVERSED),
        ("processing", ANY, IN_TIME, Stage.CONFIRMING),
        ("processing", ANY, TOO_LATE, Stage.CONFIRMING),
        ("settled", ANY, IN_TIME, Stage.PAID),
        ("settled", ANY, TOO_LATE, Stage.PAID),
        ("expired", ("none",), TOO_LATE, Stage.EXPIRED),
        ("expired", ("paid_partial",), TOO_LATE, Stage.EXPIRED_PARTIAL),
        ("expired", ("paid_late",), TOO_LATE, Stage.LATE),
        ("expired", ("reversed",), TOO_LATE, Stage.REVERSED),
        ("expired", ("marked",), IN_TIME, Stage.CANCELLED),
        ("invalid", ("none", "marked", "paid_late"), TOO_LATE, Stage.INVALID),
        ("invalid", ("reversed",), TOO_LATE, Stage.REVERSED),
    ],
)
def test_stage(status: str, exceptions: tuple[str, ...], now: object, stage: Stage) -> None:
    for exception in exceptions:
        assert stage_of(invoice(status=status, exception=exception), now) is stage  # type: ignore[arg-type]


def test_a_part_that_came_is_said_while_there_is_time() -> None:
    part = invoice(exception="paid_partial", amount_paid="0.01", amount_due="24.99")
    assert stage_of(part, IN_TIME) is Stage.PARTIAL
    assert stage_of(part, TOO_LATE) is Stage.CLOSING


def test_payable_only_while_new_in_time_and_due() -> None:
    statuses = ("new", "processing", "settled", "expired", "invalid")
    for status, exception, now in product(statuses, ANY, (IN_TIME, TOO_LATE)):
        payable = is_payable(invoice(status=status, exception=exception), now)
        assert payable is (status == "new" and now is IN_TIME)
    nothing_due = option(amount_due="0.000000000000000000")
    assert not is_payable(invoice(payment_options=[nothing_due]), IN_TIME)
    assert not is_payable(invoice(payment_options=[]), IN_TIME)


def test_seconds_left_are_zero_only_once_it_is_over() -> None:
    deadline = NOW + timedelta(minutes=10)
    assert seconds_left(invoice(), NOW) == 600
    assert seconds_left(invoice(), deadline - timedelta(microseconds=1)) == 1
    assert seconds_left(invoice(), deadline) == 0
    assert seconds_left(invoice(), deadline + timedelta(days=1)) == 0
    assert stage_of(invoice(), deadline) is Stage.CLOSING


def test_over_when_nobody_watches_and_nothing_is_pending() -> None:
    later = NOW + timedelta(days=2)
    assert is_over(invoice(status="settled"), later)
    assert not is_over(invoice(status="settled"), NOW), "the chain may take it back"
    assert not is_over(invoice(status="new"), later)
    assert not is_over(invoice(status="expired", deposits=[deposit()]), later)


def test_every_stage_has_its_words() -> None:
    assert set(texts.TITLE) == set(texts.EXPLANATION) == set(Stage)
