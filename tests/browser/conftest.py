"""Debian's Chromium, driven by Playwright; without one these tests are skipped in one sentence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any, Protocol

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from core import ids
from tests.browser.shop import Shop, open_shop
from tests.conftest import other_database

CHROMIUM = shutil.which("chromium")
PHONE = {"width": 390, "height": 844}


class Visit(Protocol):
    """Opens a page in a browser profile of its own; `options` are Playwright's for a context."""

    def __call__(self, url: str, **options: Any) -> Page: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("page tests need Debian's package chromium")
        pytest.skip("page tests need Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def open_all_day(server_url: str, template: str) -> Iterator[Shop]:
    """One shop for all tests of a file: an invoice of one is nobody else's business."""
    name = f"t_{ids.new().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}")
    with open_shop(other_database(server_url, name)) as shop:
        yield shop
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def shop(open_all_day: Shop) -> Shop:
    """The shop, at wall time, every network followed to HEAD."""
    open_all_day.reset()
    return open_all_day


@pytest.fixture
def visit(browser: Browser, shop: Shop) -> Iterator[Visit]:
    """Every page opened must stay on our host and say nothing on the console."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def go(url: str, **options: Any) -> Page:
        context = browser.new_context(**({"viewport": PHONE} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: problems.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(shop.url) else problems.append(asked.url),
        )
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()
    assert problems == []
