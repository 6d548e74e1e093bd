"""Where in the repository an annotation points: a file, and a line of it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from storage_admin.errors import LockFileError
from storage_admin.lockfile import read_lock
from storage_admin.settings.finding import LOCK, OWN, SHARED, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from storage_admin.changes import Plan
    from storage_admin.lockfile import LockFile

# In this order; the first that is there and says something of us counts.
USUAL = (OWN, SHARED, "requirements.txt")
OURS = (re.compile(r"^\s*\[tool\.storage-admin\b"), re.compile(r"storage[-_.]admin", re.IGNORECASE))
ROOTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")  # where GitHub and GitLab have the repository


class Place(msgspec.Struct, frozen=True):
    """A file, as a path from the root of the repository, and a line of it, from 1 on."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def in_lock(lock: LockFile, file: Path) -> Callable[[Plan], Place | None]:
    """The line of a lock file that names the table."""
    shown, lines = from_root(file), {table.live.name: table.line for table in lock.tables}
    return lambda plan: Place(shown, lines.get(plan.table, 1))


def in_file(file: Path) -> Callable[[Plan], Place | None]:
    """The first line of a file that has the name of the table; else the first that has ours; else the first."""
    lines = _lines(file)
    shown, otherwise = from_root(file), _ours(lines) or 1

    def place(plan: Plan) -> Place:
        name = re.compile(rf"(?<!\w){re.escape(plan.table.name)}(?!\w)")
        return Place(shown, next(_having(lines, name), otherwise))

    return place


def in_usual_files() -> Callable[[Plan], Place | None]:
    """The lock file, where it names the table; else what configures or requires storage-admin; else nowhere."""
    lock, path = None, nearest(Path.cwd(), LOCK)
    with suppress(LockFileError):  # a check of the database does not depend on it
        lock = read_lock(path) if path is not None else None
    known = {table.live.name for table in lock.tables} if lock else set()
    found = ((name, _ours(_lines(Path(name)))) for name in USUAL if Path(name).is_file())
    otherwise = next((Place(from_root(Path(name)), line) for name, line in found if line), None)
    locked = in_lock(lock, path) if lock is not None and path is not None else None
    return lambda plan: locked(plan) if locked and plan.table in known else otherwise


def from_root(file: Path) -> str:
    """The path of a file from the root of its repository, as CI services want it; as it is where there is none."""
    path = file.resolve()
    named = (Path(os.environ[name]).resolve() for name in ROOTS if os.environ.get(name))
    holding = (folder for folder in path.parents if (folder / ".git").exists())
    root = next((folder for folder in (*named, *holding, Path.cwd()) if path.is_relative_to(folder)), None)
    return (path.relative_to(root) if root else path).as_posix()


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").split("\n")


def _ours(lines: list[str]) -> int | None:
    return next((line for pattern in OURS for line in _having(lines, pattern)), None)


def _having(lines: Iterable[str], pattern: re.Pattern[str]) -> Iterator[int]:
    return (number for number, line in enumerate(lines, 1) if pattern.search(line))
