"""What did not go in, set aside in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import Self

from storage_admin.sessions.archive import Archive
from storage_admin.sessions.formats import COMPRESSIONS, End, Trailer, line
from storage_admin.sessions.writers import compressor_for, refuse_without_package

if TYPE_CHECKING:
    from pathlib import Path

    from storage_admin.sessions.formats import Header


class Rejects:
    """The file of what did not go in, as it was read, behind the headers: once mended, it can be imported."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._compression = path.suffix.lower() if path.suffix.lower() in COMPRESSIONS else ""
        refuse_without_package("", self._compression)
        self._archive: Archive | None = None
        self._written: Header | None = None
        self._headers = self._sessions = self._count = 0
        self.header: Header | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            self._archive.__exit__(None, None, None)

    def add(self, data: bytes) -> None:
        """Set a line aside."""
        if self._archive is None:
            self._archive = Archive(self._path, force=True, compressor=compressor_for(self._compression)).__enter__()
        if self.header is not None and self.header is not self._written:
            self._end_section()
            self._archive.write(line(self.header))
            self._headers += 1
            self._written = self.header
        self._archive.write(data if data.endswith(b"\n") else data + b"\n")
        self._count += 1

    def finish(self) -> Path | None:
        """Give the file its name. None where there is nothing in it."""
        if self._archive is None:
            return None
        self._end_section()
        if self._headers:
            self._archive.write(line(End(headers=self._headers, sessions=self._sessions)))
        self._archive.finish()
        self._archive.commit(None)
        return self._path

    def left(self) -> Path | None:
        """The file of this name, which is not ours, and may be all that there is of what somebody sent us."""
        return self._path if self._path.is_file() else None

    def _end_section(self) -> None:
        if self._written is not None and self._archive is not None:
            self._archive.write(line(Trailer(sessions=self._count)))
            self._sessions += self._count
        self._count = 0
