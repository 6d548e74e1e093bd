"""The page of a picture: one file that needs nothing else, and in which every name is only a name."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from storage_admin import StorageAdmin
from storage_admin.doctor import Finding, Level
from storage_admin.errors import FileExists, NoTablesFound, NotWrittenToFile
from storage_admin.overview import Overview, look, page, write_report
from tests.conftest import Database
from tests.overview.pages import Parsed, file_of, filled, many
from tests.shapes import ODD_NAMES

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</style><b>",
    "&amp;",
    "`ticks`",
    "{0}{name}",
    "\u202egnp.exe",
]


@pytest.fixture(scope="module")
def overview(tmp_path_factory: pytest.TempPathFactory) -> Overview:
    now, database = int(time.time()), file_of(tmp_path_factory.mktemp("page"))
    filled(database, "old", 4, [0, 40, 400], now)
    filled(database, "new", 10, [1, 2], now)
    return look(database.admin())


def test_the_page_is_sound_and_loads_nothing(overview: Overview) -> None:
    parsed = Parsed(page(overview))
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    links = [value for name in ("href", "src", "action", "srcset", "data") for value in parsed.values(name)]
    assert {value.partition(":")[0] for value in links if not value.startswith("#")} == {"data"}
    assert {value[1:] for value in links if value.startswith("#")} <= set(ids)
    for attribute in ("aria-labelledby", "for"):
        assert {id_ for value in parsed.values(attribute) for id_ in value.split()} <= set(ids)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", page(overview))


def test_the_policy_allows_the_one_script_and_the_one_style_and_nothing_else(overview: Overview) -> None:
    parsed = Parsed(page(overview))
    [policy] = [a["content"] for _, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for directive, element in (("script-src", "script"), ("style-src", "style")):
        digest = b64encode(sha256(parsed.text(element).encode()).digest()).decode()
        assert rules[directive] == f"'sha256-{digest}'"
        assert [tag for tag, _ in parsed.elements].count(element) == 1
    assert (rules["default-src"], rules["base-uri"], rules["form-action"]) == ("'none'", "'none'", "'none'")
    assert not [name for _, a in parsed.elements for name in a if name == "style" or name.startswith("on")]


def test_every_table_has_caption_and_scopes(overview: Overview) -> None:
    parsed = Parsed(page(overview))
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("table") == tags.count("caption") > 5
    assert all("scope" in attributes for tag, attributes in parsed.elements if tag == "th")


def test_no_session_is_in_it_and_no_user(overview: Overview) -> None:
    assert sum(each.users for each in overview.counted) == 2
    assert "canary" not in page(overview)
    assert "canary" not in repr(overview)


def test_names_are_only_names(sqlite: Database) -> None:
    sqlite.admin().upgrade(["plain=agent"], to=4)
    for number, name in enumerate([*ODD_NAMES[2:5], *HOSTILE]):
        quoted = '"' + name.replace('"', '""') + '"'
        sqlite.run(f"CREATE TABLE {quoted} AS SELECT * FROM plain")
        sqlite.run(f'ALTER TABLE {quoted} ADD COLUMN "<b onclick=x>{number}" "<u>"')
    overview = look(sqlite.admin())
    evil = Finding("notes", Level.PROBLEM, "<i>seen</i>", "run `<i>advice</i>` ` alone", ("<i>",))
    text = page(msgspec.structs.replace(overview, findings=(evil,), notes=("<i>note</i>",)))
    parsed = Parsed(text)
    tags = [tag for tag, _ in parsed.elements]
    assert len(overview.tables) == 3 + len(HOSTILE) + 1
    assert (tags.count("script"), tags.count("style")) == (1, 1)
    assert not {"img", "i", "u"} & set(tags)
    assert "<script>alert(1)</script>" in "".join(text for _, text in parsed.texts)
    assert "\u202e" not in text


def test_a_page_of_very_many_tables_stays_small_and_says_what_it_left_out(
    overview: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage_admin.overview.rows.DETAILS_BYTES", 20_000)
    text = page(many(overview, 60))
    detailed = [row for row in text.split("<tbody id=")[1:] if 'class="more"' in row]
    assert text.count('class="row"') == 60
    assert 5 < len(detailed) < 20
    assert f"only {len(detailed)} have details here" in text
    assert all('data-status="outdated"' in row for row in detailed)  # the graver half


def test_the_file_is_there_when_it_is_whole_and_never_in_the_place_of_another(sqlite: Database, tmp_path: Path) -> None:
    filled(sqlite, "new", 10, [1], int(time.time()))
    folder = tmp_path
    path = folder / "report.html"
    overview = write_report(sqlite.admin(), path)
    assert path.read_text() == page(overview)
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExists):
        write_report(sqlite.admin(), path)
    path.write_text("mine")
    write_report(sqlite.admin(), path, force=True)
    assert path.read_text().startswith("<!doctype html>")
    with pytest.raises(NotWrittenToFile):
        write_report(sqlite.admin(), folder / "no" / "report.html")
    (folder / "empty.db").touch()
    with pytest.raises(NoTablesFound):
        write_report(StorageAdmin(f"sqlite:///{folder}/empty.db"), folder / "empty.html")
    assert {file.name for file in folder.iterdir()} == {"report.html", "sessions.db", "empty.db"}


def test_findings_of_one_rule_are_shown_three_times_wherever_they_stand(overview: Overview) -> None:
    pairs = [Finding(rule, Level.NOTE, f"seen-{n}") for n in range(9) for rule in ("duplicate-indexes", "triggers")]
    text = page(msgspec.structs.replace(overview, findings=tuple(pairs)))
    assert text.count("<p><code>triggers</code> seen-") == 3
    assert text.count("6 more of <code>duplicate-indexes</code>") == 1


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (1_795_564_740, "on the day of"),  # 2026-11-24 23:59, a minute before the report
        (1_795_478_400, "on the day of"),
        (1_795_478_399, "1 day before"),
        (1_795_392_001, "1 day before"),
        (1_795_391_999, "2 days before"),
    ],
)
def test_days_before_the_report_are_those_between_two_dates(overview: Overview, last: int, said: str) -> None:
    now = 1_795_564_799  # 2026-11-24 23:59:59
    tables = []
    for view in overview.tables:
        assert view.statistics is not None
        tables.append(msgspec.structs.replace(view, statistics=msgspec.structs.replace(view.statistics, newest=last)))
    text = page(msgspec.structs.replace(overview, tables=tuple(tables), made=now))
    assert f"<small>{said} " in text


def test_a_share_is_as_long_as_it_says(overview: Overview) -> None:
    text = page(overview)
    [ages] = re.findall(r"<caption>Sessions by their last use</caption>.*?</table>", text, flags=re.DOTALL)
    widths = [float(width) for width in re.findall(r'width="([\d.]+)%"', ages)]
    numbers = [int(cell) for cell in re.findall(r"</th><td>([\d,]+)</td>", ages)]
    assert sum(numbers) == 5
    assert widths == [100 * number / 5 for number in numbers]
    assert re.search(r"<dt>Last used</dt><dd><time>\d{4}-\d\d-\d\d</time>", text)
