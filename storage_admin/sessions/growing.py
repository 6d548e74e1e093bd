"""A file that grows while rows are deleted: what is in it is on the disk before the rows are gone.

It holds the only copy, so a process that is killed leaves it, as FILE.partial, and the next one goes on with it.
"""

from __future__ import annotations

import os
import shlex
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
from typing_extensions import Self

from storage_admin.atomic import opened, part_of, write_synced
from storage_admin.errors import (
    ArchiveNotWritten,
    BadExport,
    FileExists,
    FileInUse,
    NotTheSamePrune,
    NotWrittenToFile,
    UnfinishedArchive,
    UsageError,
)
from storage_admin.sessions.archive import CHUNK, Archive, Manifest, TableCount, lock
from storage_admin.sessions.formats import End, Header, Line, Trailer, form_of, header_of, line
from storage_admin.sessions.tables import SESSION_ID
from storage_admin.sessions.writers import compressor_for, refuse_without_package
from storage_admin.texts import time_text
from storage_admin.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PARTIAL = ".partial"
OPTIONS = {"user": "--user", "entity": "--entity", "kind": "--kind", "keep_last": "--keep-last"}
WORDS = {
    "user": "of the user {}",
    "entity": "of {}",
    "kind": "of the kind {}",
    "ids": "with the ids {}",
    "contains": "that have {} in them",
    "before": "used before {}",
    "after": "used since {}",
    "created_before": "created before {}",
    "created_after": "created since {}",
    "keep_last": "but the {} newest of a user",
}
KEPT = 2_000  # lines, of which the last transaction of a killed process cannot have had more


def compression_of(path: Path) -> str:
    """The compression of the archive of a prune, of which all that it needs is there.

    Raises:
        UsageError: its name does not say JSONL. ExtraMissing.
    """
    form, compression = form_of(path)
    if form != ".jsonl":
        raise UsageError(problem=f"An archive is JSONL (NAME.jsonl, .jsonl.gz or .jsonl.zst), not {path.name}.")
    refuse_without_package(form, compression)
    return compression


def refuse_unfinished(path: Path) -> None:
    """Refuse what a prune left that was cut off, by its own name or by the one that it is to have.

    Raises:
        UnfinishedArchive: with the command that finishes it.
    """
    partial = path if path.suffix == PARTIAL else path.with_name(f"{path.name}{PARTIAL}")
    if not _beside(partial).exists() or (path != partial and path.exists()):
        return
    source, archive = _source_of(partial), shlex.quote(str(partial.with_suffix("")))
    given = [f"{option} {shlex.quote(str(source[name]))}" for name, option in OPTIONS.items() if source.get(name)]
    command = " ".join(["storage-admin sessions prune --older-than AGE", *given, "--archive", archive])
    raise UnfinishedArchive(path=partial, archive=archive, command=command)


def _with_time(path: Path) -> Path:
    """The same name with the time of day in it: 2026-01-31-031500.jsonl.zst."""
    name, *suffixes = path.name.rsplit(".", 2 if form_of(path)[1] else 1)
    return path.with_name(".".join([f"{name}-{datetime.now():%H%M%S}", *suffixes]))  # noqa: DTZ005 - of the user's day


def _beside(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _source_of(partial: Path) -> dict[str, Any]:
    """What was written down of a prune; empty where that cannot be read."""
    try:
        return msgspec.json.decode(_beside(partial).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return {}


class GrowingArchive:
    """A JSONL file, to which each `append` adds lines that are on the disk when it returns.

    ``compression`` is that of the final file: "", ".gz" or ".zst". ``source`` says what is removed, from where: what a
    killed process left is only gone on with for the same; it stands in FILE.partial.json meanwhile.

    Raises:
        FileExists, FileInUse, NotWrittenToFile, NotTheSamePrune, BadExport: what was left cannot be read.
    """

    def __init__(self, path: Path, compression: str = "", source: dict[str, Any] | None = None) -> None:
        self.path, self.compression, self.source = path, compression, source or {}
        self.partial = path.with_name(f"{path.name}{PARTIAL}")
        self._beside = _beside(self.partial)
        self._end = self.partial.with_name(f"{self.partial.name}.end")  # while the last lines are written anew
        self.counts: list[TableCount] = []
        self._open: Header | None = None
        self._sessions = 0
        self._last: list[bytes] = []

    def __enter__(self) -> Self:
        self.refuse()
        try:
            self._file: BinaryIO = os.fdopen(opened(self.partial, os.O_RDWR), "r+b")
        except OSError as error:
            raise NotWrittenToFile(path=self.path, problem=error.strerror) from error
        try:
            lock(self._file)
        except OSError:
            self._file.close()
            raise FileInUse(path=self.path) from None
        try:
            self._begin()
            self._resume()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self.sessions:
            self._remove()
        self._file.close()

    def refuse(self) -> None:
        """Refuse a name that is taken, and what another prune left.

        Raises:
            FileExists, NotTheSamePrune
        """
        if self.path.exists():  # a device too
            raise FileExists(path=self.path, otherwise=f" (--archive {_with_time(self.path)}); nothing was removed")
        if not self.partial.exists() or self.partial.stat().st_size == 0:
            return
        begun = _source_of(self.partial)
        if begun != self.source:
            raise NotTheSamePrune(path=self.partial, begun=_in_words(begun), this=_in_words(self.source))

    @property
    def sessions(self) -> int:
        """How many there are in it."""
        return sum(count.sessions for count in self.counts) + self._sessions

    def last_of(self, header: Header, number: int) -> list[bytes]:
        """The last lines that a killed process wrote for this table, at most so many."""
        return self._last[-number:] if self._open is not None and self._open.table == header.table else []

    def append(self, header: Header, lines: Sequence[bytes]) -> None:
        """Add the lines of some sessions of a table."""
        if not lines:
            return
        data = b""
        if self._open != header:
            data = self._closing() + line(header)
        self._write(data + b"".join(lines))
        if self._open != header:
            self._close()
            self._open = header
        self._sessions += len(lines)
        self._last = list(lines)

    def take_back(self, lines: Iterable[bytes]) -> None:
        """Drop lines from the end of the file: the rows are still in their table."""
        dropped = set(lines)
        if not dropped:
            return
        kept = [data for data in self._last if data not in dropped]
        at = self._file.seek(0, os.SEEK_END) - sum(map(len, self._last))
        self._sessions -= len(self._last) - len(kept)
        self._last = kept
        if not kept:
            self._file.truncate(at)
            return
        # Their rows are gone already: at no moment may they be only in a line that is half written.
        part = part_of(self._end)
        try:
            write_synced(part, b"%d\n%b" % (at, b"".join(kept)))
            part.replace(self._end)
        except OSError as error:
            raise ArchiveNotWritten(path=self.partial, problem=error.strerror) from error
        self._end_again()

    def finish(self, wanted: dict[str, Any]) -> Manifest | None:
        """Give the file its name and its manifest, which says what was wanted; None where nothing is in it."""
        if not self.sessions:
            return None
        self._write(self._closing())
        self._close()
        self._file.seek(0)
        # Through the way of every export: hashed, compressed, on the disk, renamed.
        with Archive(self.path, compressor=compressor_for(self.compression)) as archive:
            while chunk := self._file.read(CHUNK):
                archive.write(chunk)
            archive.write(line(End(headers=len(self.counts), sessions=self.sessions)))
            archive.finish()
            manifest = Manifest(
                tool=f"storage-admin {__version__}",
                file=self.path.name,
                made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                bytes=archive.bytes,
                sha256=archive.sha256,
                sessions=self.sessions,
                snapshot=False,
                filter=wanted,
                tables=_added_up(self.counts),
            )
            archive.commit(manifest)
        self._remove()
        return manifest

    # --- inside --------------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        at = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(at)  # half a line would be in the way of the next one
            raise ArchiveNotWritten(path=self.partial, problem=error.strerror) from error

    def _end_again(self) -> None:
        """Let the file end as was written down beside it."""
        at, _, data = self._end.read_bytes().partition(b"\n")
        self._file.truncate(int(at))
        self._write(data)
        self._end.unlink()

    def _remove(self) -> None:
        self.partial.unlink(missing_ok=True)
        self._end.unlink(missing_ok=True)
        self._beside.unlink(missing_ok=True)

    def _begin(self) -> None:
        """Write down what this is, or compare it with what was written down."""
        if self._file.seek(0, os.SEEK_END) > 0:
            self.refuse()
            return
        try:
            write_synced(self._beside, msgspec.json.encode(self.source))
        except OSError as error:
            raise ArchiveNotWritten(path=self.partial, problem=error.strerror) from error

    def _closing(self) -> bytes:
        return line(Trailer(sessions=self._sessions)) if self._open is not None else b""

    def _close(self) -> None:
        if self._open is not None:
            self.counts.append(TableCount(self._open, self._sessions))
        self._open, self._sessions, self._last = None, 0, []

    def _resume(self) -> None:
        """Read what a killed process left, and cut off the line that it did not finish."""
        if self._end.exists():
            self._end_again()
        end = 0
        self._file.seek(0)
        for number, data in enumerate(self._file, 1):
            if not data.endswith(b"\n"):
                break
            end += len(data)
            try:
                self._take(data)
            except (ValueError, msgspec.MsgspecError, RecursionError):
                problem = f"line {number:,} of what an earlier prune left cannot be read; mend it, or move it away"
                raise BadExport(file=self.partial, problem=problem) from None
        self._file.truncate(end)

    def _take(self, data: bytes) -> None:
        read = Line(0, data)
        found = header_of(read, str(self.partial))
        if isinstance(found, Trailer):
            self._close()
        elif isinstance(found, Header):
            self._close()
            self._open = found
        elif found is not None or self._open is None or SESSION_ID not in (read.parts or ()):
            raise ValueError("a session of no table, or without an id")
        else:
            self._sessions += 1
            self._last.append(data)
            del self._last[:-KEPT]


def _in_words(source: dict[str, Any]) -> str:
    """What is removed from where."""
    if "database" not in source:
        return "something of which nothing is known"
    words = []
    for name, value in source.items():
        if name in WORDS and value is not None:
            moment = name.endswith(("before", "after")) and isinstance(value, int)
            words.append(WORDS[name].format(time_text(value) if moment else repr(value)))
    return f"{' '.join(['sessions', *words])} in {source['database']}"


def _added_up(counts: Iterable[TableCount]) -> tuple[TableCount, ...]:
    found: dict[tuple[str | None, str], TableCount] = {}
    for count in counts:
        key = (count.header.table.schema, count.header.table.name)
        before = found[key].sessions if key in found else 0
        found[key] = TableCount(count.header, before + count.sessions)
    return tuple(found.values())
