"""The archive of a prune, the only copy of what was removed: whoever writes it may die at any line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from storage_admin.schema import TableName
from storage_admin.sessions.formats import Header
from storage_admin.sessions.growing import GrowingArchive

HEADER = Header(table=TableName(None, "agents"), kinds=("agent",), dialect="sqlite", columns={"session_id": "VARCHAR"})
LINES = [b'{"session_id":"%d"}\n' % number for number in range(6)]
SOURCE = {"database": "sqlite:///agents.db"}
AT_MOST = 60  # lines of code that take it back


class Death(BaseException):
    """The process ends here."""


def dying_at(line: int, work: Callable[[], None]) -> bool:
    """Do something, and end before that line of ours that is executed as the so-manieth; whether it came to that."""
    done = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal done
        if Path(frame.f_code.co_filename).name not in {"growing.py", "atomic.py"}:
            return None
        done += event == "line"
        if done == line:
            done += 1
            raise Death
        return trace

    sys.settrace(trace)
    try:
        work()
    except Death:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the dead close nothing
@pytest.mark.parametrize("line", range(1, AT_MOST))
def test_lines_whose_rows_are_gone_are_never_only_half_there(line: int, tmp_path: Path) -> None:
    path, partial = tmp_path / "old.jsonl", tmp_path / "old.jsonl.partial"
    with GrowingArchive(path, source=SOURCE) as archive:
        archive.append(HEADER, LINES[:2])
        archive.append(HEADER, LINES[2:])
        died = dying_at(line, lambda: archive.take_back(LINES[2:4]))  # as if these had been used meanwhile
        assert died or line > 20
    with GrowingArchive(path, source=SOURCE) as archive:
        if archive.sessions == len(LINES):  # as who goes on with a prune does, when it finds their rows
            assert died
            archive.take_back(LINES[2:4])
        assert (archive.sessions, archive.last_of(HEADER, 2)) == (4, LINES[4:])
    assert partial.read_bytes().splitlines(keepends=True)[1:] == [*LINES[:2], *LINES[4:]]
    assert {found.name for found in tmp_path.glob("old*")} == {partial.name, f"{partial.name}.json"}


def test_nothing_is_left_of_an_archive_of_which_all_was_taken_back(tmp_path: Path) -> None:
    with GrowingArchive(tmp_path / "old.jsonl", source=SOURCE) as archive:
        archive.append(HEADER, LINES)
        archive.take_back(LINES)
        assert archive.sessions == 0
    assert list(tmp_path.iterdir()) == []
