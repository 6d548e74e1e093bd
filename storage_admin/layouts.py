"""A plan as files of another migration tool: Flyway, Liquibase, dbmate. The statements are those of `plan --sql`.

A transaction is a migration there, or, in Liquibase, a change set. So is each statement that may not run in one: a tool
that fails between two of those could not go on. None of them is taken back by a rollback: what was added stays.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from storage_admin.atomic import write_whole
from storage_admin.errors import NoFolder, NotWrittenToFile, UnwritableName, WrittenAlready
from storage_admin.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from storage_admin.dialects import Dialect
    from storage_admin.render import Step

STAMP = "%Y%m%d%H%M%S"
NUMBER = re.compile(r"V?(\d+)")
# What a tool would read as its own, in a quoted name too: the end of a statement, a placeholder, a comment.
THEIRS = re.compile(r";|\$\{|--|/\*|[^\x20-\U0010ffff]|[\x7f-\x9f\u2028\u2029]")
NOTHING_BACK = "Nothing is taken back: what was added stays, and older releases work with it."


class File(Struct, frozen=True):
    """A file to be written."""

    name: str
    text: str


def write(folder: Path, layout: str, steps: Sequence[Step], dialect: Dialect, header: str, now: datetime) -> list[Path]:
    """Write steps as files of a layout (a key of `LAYOUTS`) into a folder that is there; return them.

    All are written or none, each whole, and none over one that is there. ``now`` gives the versions, unless the folder
    counts: then they go on from its highest one.

    Raises:
        NoFolder, UnwritableName, NotWrittenToFile
        WrittenAlready: a file of the folder holds the statements of a step already.
    """
    if not folder.is_dir():
        raise NoFolder(path=folder)
    for step in steps:
        for name in step.names:
            if found := THEIRS.search(name):
                raise UnwritableName(name=name, tool=layout, part=found[0])
    try:
        _refuse_again(folder, steps)
        files = LAYOUTS[layout](steps, dialect, header, _versions(folder, now)) if steps else []
        return _written(folder, files)
    except OSError as error:
        raise NotWrittenToFile(path=error.filename or folder, problem=error.strerror or error) from None


# --- the layouts -------------------------------------------------------------------------------------------


def _flyway(steps: Sequence[Step], dialect: Dialect, header: str, versions: Iterator[str]) -> list[File]:
    files = []
    for step in steps:
        name = f"V{next(versions)}__{_named(step)}.sql"
        if not step.transactional:  # first, so that Flyway never finds the other one without it
            files.append(File(f"{name}.conf", "executeInTransaction=false\n"))
        files.append(File(name, "".join([*_comments(header, dialect.remark, step.title), "\n", _sql(step)])))
    return files


def _liquibase(steps: Sequence[Step], dialect: Dialect, header: str, versions: Iterator[str]) -> list[File]:
    version = next(versions)
    products = "mysql,mariadb" if dialect.name == "mysql" else dialect.name
    parts = ["--liquibase formatted sql\n", *_comments(header, dialect.remark)]
    for number, step in enumerate(steps, 1):
        outside = "" if step.transactional else " runInTransaction:false"
        # Its own idea of a comment would be taken out of a name, too.
        parts.append(f"\n--changeset storage-admin:{version}-{number} dbms:{products} stripComments:false{outside}\n")
        parts += [f"--comment: {step.title}\n", _sql(step)]
    return [File(f"{version}_storage_admin.sql", "".join(parts))]


def _dbmate(steps: Sequence[Step], dialect: Dialect, header: str, versions: Iterator[str]) -> list[File]:
    files = []
    for step in steps:
        outside = "" if step.transactional else " transaction:false"
        above = _comments(header, dialect.remark, step.title)
        below = ["\n-- migrate:down\n", *_comments(NOTHING_BACK)]
        text = "".join([f"-- migrate:up{outside}\n", *above, _sql(step), *below])
        files.append(File(f"{next(versions)}_{_named(step)}.sql", text))
    return files


LAYOUTS: dict[str, Callable[[Sequence[Step], Dialect, str, Iterator[str]], list[File]]] = {
    "flyway": _flyway,
    "liquibase": _liquibase,
    "dbmate": _dbmate,
}


def _sql(step: Step) -> str:
    return "".join(f"{statement};\n" for statement in step.statements)


def _comments(*lines: str) -> list[str]:
    # With a word before it, so that no name begins a comment that a tool obeys; Flyway fills in comments, too.
    written = (one_line(line).removeprefix("storage-admin ").replace("${", "$ {") for line in lines if line)
    return [f"-- storage-admin: {line}\n" for line in written]


def _named(step: Step) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", str(step.table).lower()).strip("_")
    return f"storage_admin_{slug}{'' if step.transactional else '_index'}".replace("__", "_")


def _versions(folder: Path, now: datetime) -> Iterator[str]:
    """Versions that no file has, one after the other: times, or numbers where the files have numbers."""
    found = [match[1] for path in folder.iterdir() if (match := NUMBER.match(path.name))]
    longest = max(map(len, found), default=0)
    if found and longest < len(now.strftime(STAMP)):
        highest = max(map(int, found))
        while True:
            highest += 1
            yield str(highest).zfill(longest if all(len(number) == longest for number in found) else 0)
    while True:
        version = now.strftime(STAMP)
        if version not in found:
            yield version
        now += timedelta(seconds=1)


# --- the files ---------------------------------------------------------------------------------------------


def _refuse_again(folder: Path, steps: Sequence[Step]) -> None:
    known = [(path, path.read_text(encoding="utf-8", errors="replace")) for path in sorted(folder.glob("*.sql"))]
    for step in steps:
        for path, text in known:
            if _sql(step) in text:
                raise WrittenAlready(path=path)


def _written(folder: Path, files: Sequence[File]) -> list[Path]:
    written: list[Path] = []
    try:
        for file in files:
            path = folder / file.name
            write_whole(path, file.text, replace=False)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written
