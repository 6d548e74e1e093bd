"""storage-admin report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.cli.conftest import Result
from tests.conftest import Database
from tests.overview.pages import filled

Call = Callable[..., Result]
SCHEMA = Path(__file__).parents[2] / "docs" / "json" / "report.schema.json"


@pytest.fixture
def url(sqlite: Database) -> str:
    now = int(time.time())
    filled(sqlite, "old", 4, [0, 40, 400], now)
    filled(sqlite, "new", 10, [1], now)
    return sqlite.url


def test_report_writes_a_page_and_says_what_is_in_it(call: Call, url: str) -> None:
    result = call("report", "all.html", "--db-url", url)
    assert (result.code, result.out) == (0, "")
    assert result.err == "all.html: 2 tables: 1 current, 1 outdated\n"
    assert Path("all.html").read_text().endswith("</html>\n")
    again = call("report", "all.html", "--db-url", url)
    assert (again.code, "give --force to replace it" in again.err) == (64, True)
    assert call("report", "all.html", "--force", "--no-statistics", "--db-url", url).code == 0
    assert "rows were not to be read" in Path("all.html").read_text()


def test_what_programs_read_is_as_its_schema_says(call: Call, url: str) -> None:
    as_json = call("report", "-", "-o", "json", "--db-url", url)
    jsonschema.validate(as_json.json, json.loads(SCHEMA.read_text()))
    [old] = [row for row in as_json.json["tables"] if row["table"]["name"] == "old"]
    assert (old["table"]["status"], old["numbers"]["sessions"], old["numbers"]["users"]) == ("outdated", 3, 1)
    assert old["table"]["statements"]
    assert "canary" not in as_json.out
    as_yaml = call("report", "all.html", "-o", "yaml", "--db-url", url)
    assert len(yaml.safe_load(as_yaml.out)["tables"]) == 2
    assert Path("all.html").exists()


def test_the_page_may_go_to_standard_output_and_be_of_one_table(call: Call, url: str) -> None:
    result = call("report", "-", "new", "--db-url", url)
    assert result.out.startswith("<!doctype html>")
    assert result.out.count('class="row"') == 1
    assert result.err == "1 table: 1 current\n"


def test_a_table_in_the_place_of_the_file_is_no_file(call: Call, url: str) -> None:
    result = call("report", "ai.sessions", "--db-url", url)
    assert (result.code, "the first argument is FILE.html" in result.err) == (64, True)
    assert not Path("ai.sessions").exists()


def test_what_fails_leaves_no_file(call: Call, tmp_path: Path) -> None:
    result = call("report", "all.html", "--db-url", "postgresql://ai:canary-secret@127.0.0.1:1/ai")
    assert (result.code, "Cannot connect" in result.err, "canary" in result.err) == (1, True, False)
    assert not [file for file in tmp_path.iterdir() if "all" in file.name]
