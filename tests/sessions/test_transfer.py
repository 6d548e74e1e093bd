"""What export and import have in common: engines, progress, roundings, what is ready ahead."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage_admin.cli.sessions import transfer
from storage_admin.sessions import Sessions
from storage_admin.sessions.ahead import ahead
from storage_admin.sessions.parsing import Unfit
from storage_admin.sessions.row_loading import refuse_rounded
from tests.conftest import Database
from tests.sessions.tables import agents, stored


def test_an_engine_of_an_application_will_do(database: Database, tmp_path: Path) -> None:
    table = agents(database, "s1", "s2")
    before = stored(database, table)
    engine = database.engine()
    sessions = Sessions(engine)
    sessions.export(tmp_path / "out.jsonl")
    sessions.export(tmp_path / "pages.jsonl", snapshot=False)
    database.run(f"DELETE FROM {table}")
    assert sessions.load(tmp_path / "out.jsonl").tables[0].inserted == 2
    assert sessions.load(tmp_path / "pages.jsonl").tables[0].unchanged == 2
    assert stored(database, table) == before
    with engine.connect() as connection:  # as the application left it
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_a_session_of_mysql_is_left_as_it_was(mariadb: Database, tmp_path: Path) -> None:
    agents(mariadb, "s1")
    engine = mariadb.engine()
    Sessions(engine).export(tmp_path / "out.jsonl")
    with engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = 'ANSI_QUOTES'")
    Sessions(engine).load(tmp_path / "out.jsonl")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT @@SESSION.sql_mode").scalar() == "ANSI_QUOTES"


def test_progress_is_told_with_what_is_known(database: Database, tmp_path: Path) -> None:
    agents(database, "s1", "s2", "s3")
    told: list[tuple[int, int | None, int]] = []
    sessions = Sessions(database.url)
    sessions.export(tmp_path / "out.jsonl", told=lambda *facts: told.append(facts))
    assert told[-1][0] == 3
    assert told[-1][2] > 100
    told.clear()
    sessions.load(tmp_path / "out.jsonl", told=lambda *facts: told.append(facts))
    assert told[-1][:2] == (3, 3)


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    moments = iter([0.0, 0.0, 5.0, 20.0, 21.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    with transfer.transfer_progress("export") as told:
        for done in (100, 400, 500):
            told(done, 1000, done * 2048)
    assert capsys.readouterr().err == "export: 400 of about 1,000 sessions, 800.0 kB, 20 per second, about 30 s left\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(transfer, "SHORT", 0.0)
    with transfer.transfer_progress("export") as told:
        told(1, None, 10)
        told(500, 1000, 2048)
    assert "per second" in screen.getvalue()


@pytest.mark.parametrize(
    "text", ["[18446744073709551615]", "[-9223372036854775808]", "[0.1, 1.50, 1e22]", '["' + "9" * 30 + '"]']
)
def test_numbers_that_mysql_keeps(text: str) -> None:
    refuse_rounded(text.encode())


@pytest.mark.parametrize(
    "text", ["[18446744073709551616]", "[-9223372036854775809]", "[0.10000000000000000001]", "[1e400]"]
)
def test_numbers_that_mysql_would_round(text: str) -> None:
    with pytest.raises(Unfit):
        refuse_rounded(text.encode())


def test_an_error_ahead_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    seen: list[int] = []
    with pytest.raises(KeyError), ahead(items()) as found:
        seen.extend(found)
    with ahead(iter(range(1000))) as found:
        assert next(found) == 0
