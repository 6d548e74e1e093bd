"""The page in a real browser: by keyboard, in light and dark, printed, and with a thousand tables."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from storage_admin.overview import Overview, look, page
from tests.chromium import started
from tests.overview.pages import file_of, filled, many


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def overview(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    now, database = int(time.time()), file_of(tmp_path_factory.mktemp("browser"))
    filled(database, "old_agents", 4, [0, 40, 400], now)
    filled(database, "new_agents", 10, [1, 2], now)
    filled(database, "old_teams", 6, [3], now, "team")
    database.run("CREATE TABLE keyless AS SELECT * FROM new_agents")
    return look(database.admin())


@pytest.fixture
def file(overview: Overview, tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(page(overview), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Page]:
    """The page in a browser. At the end it has to have complained about nothing, and asked nobody for anything."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        shown, said, asked = context.new_page(), [], []
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(file.as_uri())
        yield shown
        assert not said
        assert {url.partition("#")[0] for url in asked if not url.startswith("data:")} == {file.as_uri()}


def rows(shown: Page) -> list[str]:
    return [text.strip() for text in shown.locator("tbody:not([hidden]) > .row > th").all_inner_texts()]


def test_it_is_worked_with_by_keyboard_alone(opened: Page) -> None:
    opened.keyboard.press("Tab")
    expect(opened.get_by_role("link", name="Skip to the tables")).to_be_focused()
    opened.keyboard.press("Enter")
    opened.keyboard.press("Tab")
    expect(opened.get_by_label("Filter", exact=True)).to_be_focused()
    opened.keyboard.type("agents add")
    assert rows(opened) == ["old_agents"]
    expect(opened.locator("#shown")).to_have_text("1 of 4 shown")
    opened.keyboard.press("Escape")
    assert len(rows(opened)) == 4
    opened.keyboard.press("Tab")
    opened.keyboard.press("Tab")
    expect(opened.get_by_role("button", name="drifted 1")).to_be_focused()
    opened.keyboard.press("Space")
    assert rows(opened) == ["keyless"]
    expect(opened.get_by_role("button", name="drifted 1")).to_have_attribute("aria-pressed", "true")
    opened.get_by_role("button", name="all 4").press("Enter")
    head = opened.locator("#list").get_by_role("columnheader", name="Sessions", exact=True)
    head.get_by_role("button").press("Enter")
    assert (rows(opened)[0], head.get_attribute("aria-sort")) == ("old_agents", "descending")
    head.get_by_role("button").press("Enter")
    assert (rows(opened)[0], head.get_attribute("aria-sort")) == ("old_teams", "ascending")
    details = opened.locator("#list details").first
    details.locator("summary").press("Enter")
    expect(details.get_by_text("ALTER TABLE old_teams ADD COLUMN team_session_id")).to_be_visible()


def test_a_link_to_a_table_opens_it_whatever_the_filter_is(opened: Page) -> None:
    opened.get_by_label("Filter", exact=True).fill("nothing of this name")
    assert rows(opened) == []
    opened.get_by_role("link", name="old_agents").click()
    expect(opened.locator("tbody:not([hidden]) > .row")).to_have_count(4)
    expect(opened.get_by_text("ALTER TABLE old_agents ADD COLUMN team_session_id")).to_be_visible()


def test_a_row_opens_and_closes_with_a_click_and_all_of_them_together(opened: Page) -> None:
    opened.locator("#list").get_by_role("rowheader", name="old_teams").click()
    expect(opened.locator("#list details[open]")).to_have_count(1)
    opened.get_by_role("button", name="Close all").click()
    expect(opened.locator("#list details[open]")).to_have_count(0)
    opened.get_by_role("button", name="Open all").click()
    expect(opened.locator("#list details[open]")).to_have_count(4)


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_nothing_is_hard_to_read_or_to_reach(opened: Page, tmp_path: Path, theme: str, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    opened.emulate_media(color_scheme="light" if theme == "dark" else "dark", reduced_motion="reduce")
    opened.get_by_role("button", name=f"{theme} theme").click()  # the other one than what the system asks for
    opened.reload()  # the choice is remembered
    opened.get_by_role("button", name="Open all").click()
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in background[4:-1].split(",")) > 380) == (theme == "light")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture = opened.screenshot(path=tmp_path / f"{theme}-{width}.png", full_page=True)
    assert len(picture) > 20_000
    found = Axe().run(opened).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in grave]


def test_what_is_printed_is_open_and_light(opened: Page) -> None:
    opened.emulate_media(color_scheme="dark")
    printed = PdfReader(io.BytesIO(opened.pdf(format="A4")))
    text = " ".join(" ".join(sheet.extract_text() for sheet in printed.pages).split())
    assert "ALTER TABLE old_agents ADD COLUMN team_session_id" in text
    assert "Open all" not in text
    opened.emulate_media(media="print")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_it_can_be_read_where_no_script_runs(browser: Browser, file: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        shown = context.new_page()
        shown.goto(file.as_uri())
        expect(shown.locator(".tools")).to_be_hidden()
        expect(shown.locator(".row")).to_have_count(4)
        shown.locator("#list summary").nth(2).click()
        expect(shown.get_by_text("ALTER TABLE old_agents ADD COLUMN team_session_id")).to_be_visible()


def test_a_thousand_tables_can_be_filtered_and_sorted(opened: Page, overview: Overview, file: Path) -> None:
    file.write_text(page(many(overview, 1000)), encoding="utf-8")
    assert file.stat().st_size < 3_000_000
    opened.reload()
    expect(opened.locator("#shown")).to_have_text("1,000 shown")
    opened.get_by_label("Filter", exact=True).fill("tenant_01 outdated")
    expect(opened.locator("#shown")).to_have_text("50 of 1,000 shown")
    opened.get_by_role("columnheader", name="Table").get_by_role("button").click()
    opened.get_by_role("columnheader", name="Table").get_by_role("button").click()
    assert rows(opened)[0] == "tenant_0199_old_teams"
