"""Lines into a file of some format."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import Self

from storage_admin.errors import ExtraMissing
from storage_admin.sessions.formats import End, Header, Trailer, line
from storage_admin.sessions.tabular import CSVWriter, ParquetWriter, pyarrow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage_admin.sessions.archive import Archive, Compressor
    from storage_admin.sessions.formats import Block
    from storage_admin.sessions.tables import SessionColumn

GZIP = 16 + zlib.MAX_WBITS


class Writer(Protocol):
    """Writes the tables of a file, one after the other, within its block."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def begin(self, header: Header, columns: Sequence[SessionColumn]) -> None:
        """The sessions of this table come next."""

    def write(self, block: Block) -> list[tuple[bytes, str]]:
        """Some of them. Gives back the lines that the format cannot hold, and why."""

    def end(self, sessions: int) -> None:
        """That was all of them."""


class JsonLines:
    """JSONL: for each table a header, a line for each session and a trailer; and the end of it all."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._headers = self._sessions = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[:1] == (None,):
            self._archive.write(line(End(headers=self._headers, sessions=self._sessions)))

    def begin(self, header: Header, _columns: Sequence[SessionColumn]) -> None:
        """As `Writer`, and so all else."""
        self._headers += 1
        self._archive.write(line(header))

    def write(self, block: Block) -> list[tuple[bytes, str]]:
        """As they are."""
        self._archive.write(block.data)
        return []

    def end(self, sessions: int) -> None:
        """With their number."""
        self._sessions += sessions
        self._archive.write(line(Trailer(sessions=sessions)))


def refuse_without_package(form: str, compression: str) -> None:
    """Refuse a format, by the suffixes of its files, before anything is done for it that counts on it.

    Raises:
        ExtraMissing: a package is needed that is not there.
    """
    if form == ".parquet":
        pyarrow()
    if compression == ".zst":
        zstd()


def writer_for(form: str, archive: Archive) -> Writer:
    """The writer of a format, by the suffix of its files.

    Raises:
        ExtraMissing: a package is needed that is not there.
    """
    if form == ".csv":
        return CSVWriter(archive)
    return ParquetWriter(archive) if form == ".parquet" else JsonLines(archive)


def compressor_for(compression: str) -> Compressor | None:
    """What compresses, by the suffix of the files.

    Raises:
        ExtraMissing: a package is needed that is not there.
    """
    if compression == ".gz":
        return zlib.compressobj(6, zlib.DEFLATED, GZIP)
    return zstd().ZstdCompressor(level=3).compressobj() if compression == ".zst" else None


def zstd() -> Any:
    """The package for Zstandard."""
    try:
        import zstandard
    except ImportError:
        raise ExtraMissing(what="A file in .zst", package="zstandard", extra="zstd") from None
    return zstandard
