from __future__ import annotations

import json
import logging

import pytest
import structlog

from core import log

KEY = f"sk_{'Ab3-_' * 8}xyz"  # the same in every process that collects these tests


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"key {KEY} refused", "key [hidden] refused"),
        (f"ok_{'a' * 43}", "[hidden]"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==", "[hidden]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [hidden]"),
        ("postgresql://user:pass@db:5432/x", "postgresql://[hidden]@db:5432/x"),
        ("https://node.example/path", "https://node.example/path"),
        ("mer_01h455vb4pex5vsknk084sn02q", "mer_01h455vb4pex5vsknk084sn02q"),
    ],
)
def test_secrets_are_told_by_their_shape(text: str, hidden: str) -> None:
    assert log.hide(text) == hidden


def test_secrets_are_told_by_the_name_of_their_field() -> None:
    event = {
        "event": "x",
        "password": "hunter2",
        "webhook_secret": b"raw",
        "headers": {"Authorization": "Basic abc", "Host": "shop"},
        "urls": [f"https://a:b@c/{KEY}"],
        "count": 3,
    }
    assert log.redact(None, "info", event) == {
        "event": "x",
        "password": "[hidden]",
        "webhook_secret": "[hidden]",
        "headers": {"Authorization": "[hidden]", "Host": "shop"},
        "urls": ["https://[hidden]@c/[hidden]"],
        "count": 3,
    }


@pytest.fixture
def configured() -> object:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = before[0], before[1]


@pytest.mark.usefixtures("configured")
def test_production_writes_json_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(json=True)
    logger = structlog.get_logger()
    logger.debug("below the level")
    logger.info("paid", invoice="inv_1", api_key=KEY)
    try:
        raise ValueError(f"bad key {KEY}")
    except ValueError:
        logger.exception("failed")
    logging.getLogger("somebody").warning("their %s", KEY)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["paid", "failed", "their [hidden]"]
    assert lines[0]["invoice"] == "inv_1"
    assert lines[0]["level"] == "info"
    assert lines[0]["timestamp"].endswith("Z")
    assert "ValueError: bad key [hidden]" in lines[1]["exception"]
    assert KEY not in json.dumps(lines)


@pytest.mark.usefixtures("configured")
def test_people_read_lines_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(json=False)
    structlog.get_logger().info("paid", text=KEY)
    output = capsys.readouterr().err
    assert "paid" in output
    assert KEY not in output
