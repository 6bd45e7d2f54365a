"""What follows an attempt."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from core.clock import wall
from webhooks.schedule import SCHEDULE, Verdict, judge
from webhooks.signing import headers

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def after(status: int | None, attempt: int = 1, retry_after: int | None = None) -> Verdict:
    return judge(status, retry_after, attempt, NOW, luck=0)


def test_the_whole_schedule() -> None:
    hours = timedelta(hours=1)
    assert SCHEDULE == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    assert timedelta(seconds=sum(SCHEDULE)) == 75 * hours + timedelta(minutes=35, seconds=5)
    for attempt in range(1, 10):
        verdict = after(500, attempt)
        assert verdict == Verdict("pending", NOW + timedelta(seconds=SCHEDULE[attempt]))
    assert after(500, 10) == Verdict("failed", disable="10 attempts failed")


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_done(status: int) -> None:
    assert after(status, 10) == Verdict("delivered")


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 302, 307, 308, 400, 404, 500, 599])
def test_all_else_fails(status: int | None) -> None:
    assert after(status).status == "pending"
    assert after(status, 10).status == "failed"


def test_410_disables_at_once() -> None:
    assert after(410) == Verdict("disabled", disable="the endpoint answered 410 Gone")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retry_after_is_honoured_when_told_to_slow_down(status: int) -> None:
    assert after(status, retry_after=120).due_at == NOW + timedelta(seconds=120)
    assert after(status, retry_after=1).due_at == NOW + timedelta(seconds=5)
    assert after(status, retry_after=10**8).due_at == NOW + timedelta(days=1)
    assert after(500, retry_after=120).due_at == NOW + timedelta(seconds=5)


def test_jitter_comes_early_and_little() -> None:
    due = [judge(500, None, 2, NOW, luck).due_at or NOW for luck in range(101)]
    assert due == sorted(due, reverse=True)
    assert due[0] == NOW + timedelta(seconds=300)
    assert due[100] == NOW + timedelta(seconds=285)


def test_signatures_verify_with_the_standards_library_and_by_hand() -> None:
    new, old = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    at, body = wall(), '{"id":"evt_1","amount":"1.00"}'
    made = headers("evt_1", body, [new, old], at)
    assert made["webhook-id"] == "evt_1"
    assert made["webhook-timestamp"] == str(int(at.timestamp()))
    for secret in (new, old):
        Webhook(secret).verify(body, made)
    signed = f"evt_1.{made['webhook-timestamp']}.{body}".encode()
    by_hand = [
        "v1," + base64.b64encode(hmac.digest(bytes([n]) * 32, signed, hashlib.sha256)).decode()
        for n in (1, 2)
    ]
    assert made["webhook-signature"] == " ".join(by_hand)
