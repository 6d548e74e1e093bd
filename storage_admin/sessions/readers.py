"""A file of some format as lines: what is a header, what a session, and what cannot be read."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from storage_admin.errors import BadExport
from storage_admin.sessions.formats import End, Header, Line, Trailer, first_line, form_of, header_of
from storage_admin.sessions.tabular import csv_lines, parquet_lines
from storage_admin.sessions.writers import zstd
from storage_admin.texts import count_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from storage_admin.sessions.archive import Manifest

BUFFER = 1 << 20
Item = TypeVar("Item")
Part = Line | Header | Trailer | End
READ = "what was read is in the table, and the whole file brings the rest"


class Section(NamedTuple):
    """The sessions of one table, to be read to their end before the next section. ``header`` is None in a file by
    somebody else.
    """

    header: Header | None
    lines: Iterator[Line]


@contextmanager
def reading(path: Path | None, manifest: Manifest | None) -> Iterator[Iterator[Section]]:
    """The sections of a file, or of JSONL from standard input.

    Raises:
        UsageError: the name says no format. ExtraMissing: it needs a package. BadExport: it cannot be read.
    """
    form, compression = form_of(path) if path is not None else (".jsonl", "")
    with _opened(path, compression) as file:
        where = str(path or "standard input")
        yield sections(_lines(form, file, manifest, where), where, ends=form == ".jsonl")


@contextmanager
def _opened(path: Path | None, compression: str) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb", buffering=BUFFER)
    except OSError as error:
        raise BadExport(file=path, problem=f"it cannot be opened: {error.strerror}") from None
    with file:
        if compression == ".gz":
            yield cast("BinaryIO", gzip.GzipFile(fileobj=file))
        elif compression == ".zst":
            yield cast("BinaryIO", io.BufferedReader(_Zstandard(file), BUFFER))
        else:
            yield file


class _Zstandard(io.RawIOBase):
    """A file of frames of Zstandard, decompressed. The reader of the package takes half a frame for the end of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._new = file, zstd().ZstdDecompressor().decompressobj
        self._frame, self._data, self._begun = self._new(), memoryview(b""), False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._data:
            rest = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._begun = self._new(), False
            compressed = rest or self._file.read(BUFFER >> 4)
            if not compressed:
                if self._begun:
                    raise EOFError("the last frame is not whole")
                return 0
            self._begun = True
            self._data = memoryview(self._frame.decompress(compressed))
        size = min(len(buffer), len(self._data))
        buffer[:size], self._data = self._data[:size], self._data[size:]
        return size


def _lines(form: str, file: BinaryIO, manifest: Manifest | None, where: str) -> Iterator[Part]:
    if form == ".csv":
        return _read_well(csv_lines(file, manifest, where), where)
    if form == ".parquet":
        return parquet_lines(file, where)
    return _json_lines(file, where)


def _json_lines(file: BinaryIO, where: str) -> Iterator[Part]:
    for number, data in enumerate(_read_well(file, where), 1):
        if not data.isspace():
            line = Line(number, data)
            yield header_of(line, where) or line


def _read_well(items: Iterable[Item], where: str) -> Iterator[Item]:
    """The same items; what a decompressor says becomes an error of ours."""
    try:
        yield from items
    except (EOFError, OSError, zlib.error) as error:
        raise BadExport(file=where, problem=f"it is damaged, or ends too early ({first_line(error)}); {READ}") from None
    except Exception as error:
        if type(error).__module__.startswith("zstandard"):
            raise BadExport(file=where, problem=f"it is damaged, or ends too early ({error}); {READ}") from None
        raise


def sections(items: Iterator[Part], where: str, *, ends: bool) -> Iterator[Section]:
    """Lines, grouped by their headers; where it ``ends``, behind these comes what there should have been.

    Raises:
        BadExport: a trailer or the end is missing, or says another number of sessions.
    """
    pending: list[Any] = [next(items, None)]
    found = _Found(where)

    def lines(header: Header | None) -> Iterator[Line]:
        count = 0
        item = pending.pop()
        while isinstance(item, Line):
            count += 1
            yield item
            item = next(items, None)
        if header is not None or isinstance(item, Trailer):
            found.refuse_another(header, count, item)
            item = next(items, None)
        pending.append(item)

    if pending[-1] is None:
        raise BadExport(file=where, problem="there is nothing in it")
    while (item := pending[-1]) is not None:
        if isinstance(item, End):
            found.refuse_another_end(item)
            pending[-1] = next(items, None)
        elif isinstance(item, Header):
            found.headers += 1
            pending[-1] = next(items, None)
            yield Section(item, lines(item))
        else:
            yield Section(None, lines(None))
    if ends and found.headers:
        raise BadExport(file=where, problem=f"it ends too early, after {found}: its last line is missing; {READ}")


class _Found:
    """What there was in a file since its beginning, or since the end of one before it."""

    def __init__(self, where: str) -> None:
        self.headers = self.sessions = 0
        self._where = where

    def __str__(self) -> str:
        return f"{count_text(self.headers, 'table')} with {count_text(self.sessions, 'session')}"

    def refuse_another(self, header: Header | None, count: int, item: Part | None) -> None:
        """Refuse a number that is another one in the trailer, and anything in the place of that."""
        self.sessions += count
        counted = count_text(count, "session")
        if not isinstance(item, Trailer):
            of = f" of {header.table}" if header is not None else ""
            raise BadExport(file=self._where, problem=f"it ends too early, after {counted}{of}; {READ}")
        if item.sessions != count:
            problem = f"it should have {count_text(item.sessions, 'session')} here, and has {count:,}; {READ}"
            raise BadExport(file=self._where, problem=problem)

    def refuse_another_end(self, end: End) -> None:
        """Refuse numbers that are others in the last line."""
        if (end.headers, end.sessions) != (self.headers, self.sessions):
            said = f"{count_text(end.headers, 'table')} with {count_text(end.sessions, 'session')}"
            raise BadExport(file=self._where, problem=f"its last line tells of {said}, and it has {self}; {READ}")
        self.headers = self.sessions = 0
