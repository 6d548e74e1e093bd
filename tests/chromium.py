"""A headless Chromium to open pages in: the installed one."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from tests.lacking import needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


def required() -> str:
    """The path of the browser; where there is none, a test is skipped, but not in CI."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    return needed(found, "no Chromium: apt-get install chromium, or set CHROMIUM")


@contextmanager
def started() -> Iterator[Browser]:
    """A browser, without the sandbox that root cannot have; it opens only what a test has written."""
    path = required()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
