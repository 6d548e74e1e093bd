"""Spans of upgrade, export and prune, seen by OpenTelemetry's own SDK; and no trace of it where nobody uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from storage_admin import Patience, UpgradeFailed
from storage_admin.sessions import Old, Sessions
from tests.conftest import Database

CANARY = "canary7f3e9"
exporter = InMemorySpanExporter()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    if not isinstance(trace.get_tracer_provider(), TracerProvider):  # it can be set once in a process
        trace.set_tracer_provider(TracerProvider())
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    exporter.clear()
    yield exporter
    exporter.clear()
    others = tuple(each for each in provider._active_span_processor._span_processors if each is not processor)
    provider._active_span_processor._span_processors = others


def by_name(spans: InMemorySpanExporter) -> dict[str, Any]:
    return {each.name: each for each in spans.get_finished_spans()}


def database_of(database: Database) -> str:
    return database.dsn if database.dialect.name == "sqlite" else database.url.rpartition("/")[2].partition("?")[0]


def test_an_upgrade_is_a_span_with_one_for_each_table(database: Database, spans: InMemorySpanExporter) -> None:
    names = [database.table(name) for name in ("a", "b")]
    database.admin().upgrade([f"{name}=agent" for name in names], to=4)
    spans.clear()
    report = database.admin().upgrade(jobs=2)
    found = by_name(spans)
    whole = found[f"upgrade {database_of(database)}"]
    assert set(found) == {whole.name, *(f"upgrade {name}" for name in names)}
    assert whole.attributes["storage_admin.tables"] == 2
    for name, outcome in zip(names, report.outcomes, strict=True):
        each = found[f"upgrade {name}"]
        assert each.parent.span_id == whole.context.span_id  # also across threads
        wanted = {
            "db.system.name": "mariadb" if database.dialect.name == "mysql" else database.dialect.name,
            "db.operation.name": "upgrade",
            "db.namespace": database_of(database),
            "db.collection.name": name,
            "storage_admin.kinds": ("agent",),
            "storage_admin.from_version": 4,
            "storage_admin.to_version": 10,
            "storage_admin.statements": len(outcome.statements),
        }
        if database.dialect.name != "sqlite":
            wanted["server.address"] = "127.0.0.1"
            wanted["server.port"] = int(database.url.rpartition(":")[2].partition("/")[0])
        assert dict(each.attributes) == wanted
        assert each.status.status_code is StatusCode.UNSET
    spans.clear()
    database.admin().upgrade()
    assert [each.name for each in spans.get_finished_spans()] == [whole.name]  # nothing was to be done


def test_a_failure_is_a_status_and_a_type_in_our_own_words(postgres: Database, spans: InMemorySpanExporter) -> None:
    postgres.admin().upgrade(["ai.sessions=agent"], to=4)
    postgres.run(f"INSERT INTO ai.sessions (session_id) VALUES ('{CANARY}')")
    spans.clear()
    import psycopg

    with psycopg.connect(postgres.dsn) as reader:
        reader.execute(f"SELECT * FROM ai.sessions WHERE session_id = '{CANARY}'")
        with pytest.raises(UpgradeFailed) as failed:
            postgres.admin().upgrade(patience=Patience(20, 0.05))
    found = by_name(spans)["upgrade ai.sessions"]
    assert found.status.status_code is StatusCode.ERROR
    assert found.attributes["error.type"] == "LockNotObtained"
    assert found.status.description == str(failed.value.failures[0])
    assert not found.events
    assert CANARY not in found.to_json()


def test_an_export_and_a_prune_are_spans_that_count_sessions(
    database: Database, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    name = database.table("sessions")
    database.admin().upgrade([f"{name}=agent"])
    for number in range(3):
        values = f"'{CANARY}-{number}', '{CANARY}', {number + 1}"
        database.run(f"INSERT INTO {name} (session_id, user_id, created_at) VALUES ({values})")
    spans.clear()
    sessions = Sessions(database.admin())
    sessions.export(tmp_path / "out.jsonl")
    sessions.prune(Old(3), archive=None)
    found = by_name(spans)
    where = database_of(database)
    assert set(found) == {f"{what} {at}" for what in ("export", "prune") for at in (where, name)}
    assert found[f"export {name}"].attributes["storage_admin.sessions"] == 3
    assert found[f"export {where}"].attributes["storage_admin.bytes"] == (tmp_path / "out.jsonl").stat().st_size
    assert found[f"prune {name}"].attributes["storage_admin.sessions"] == 2
    assert found[f"prune {where}"].attributes["storage_admin.left"] == 0
    assert found[f"export {name}"].parent.span_id == found[f"export {where}"].context.span_id
    assert not any(CANARY in each.to_json() for each in spans.get_finished_spans())


PROGRAM = """
import sys
from storage_admin import StorageAdmin
StorageAdmin(sys.argv[1]).upgrade(["sessions=agent"])
print(*(name for name in sys.modules if name.startswith("opentelemetry")))
"""
TRACED = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
from storage_admin.cli import main
main()
"""


def test_nothing_of_it_is_imported_where_nobody_uses_it(sqlite: Database) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, sqlite.url], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_program_does_not_end_before_its_spans_have_left(sqlite: Database) -> None:
    arguments = ["upgrade", "sessions=agent", "-q", "-o", "json", "--db-url", sqlite.url]
    done = subprocess.run([sys.executable, "-c", TRACED, *arguments], capture_output=True, text=True, check=True)
    decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value.get("name", "the document"))
        text = text[end:].lstrip()
    assert found == ["the document", "upgrade sessions", f"upgrade {sqlite.dsn}"]
