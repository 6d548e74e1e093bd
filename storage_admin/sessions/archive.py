"""A file that comes in parts, and is there whole or not at all: hashed, compressed, and with a manifest beside it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec
from typing_extensions import Self

from storage_admin.atomic import opened, part_of, refuse, sync_folder, write_synced
from storage_admin.errors import BadExport, FileInUse, NotWrittenToFile, ReaderGone, SomeLeftOut
from storage_admin.schema import TableName  # noqa: TC001 - msgspec reads the annotations
from storage_admin.sessions.formats import Header  # noqa: TC001 - as the one above

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHUNK = 4 << 20
AHEAD = 2  # chunks; fewer, larger ones, since the thread and the one that feeds it wait for each other at every one
BEHIND = 16 << 20  # bytes
NAMED = 20  # of many rows


class TableCount(msgspec.Struct, frozen=True):
    """A table in a file, and how many of its sessions."""

    header: Header
    sessions: int


class LeftOut(msgspec.Struct, frozen=True):
    """A session that could not be written, and why."""

    table: TableName
    session_id: str
    problem: str

    def __str__(self) -> str:
        return f"{self.table}, session {self.session_id!r}: {self.problem}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a file, beside it. ``snapshot``: all is as it was at one moment."""

    format: int = 1
    tool: str
    file: str
    made: str
    bytes: int
    sha256: str
    sessions: int
    snapshot: bool
    filter: dict[str, Any]
    tables: tuple[TableCount, ...]
    left_out: tuple[LeftOut, ...] = ()


def some_left_out(
    summary: str, left_out: Sequence[object], total: int, result: object, advice: str = ""
) -> SomeLeftOut:
    """The error for rows that were left out, which names the first of them."""
    listed = "".join(f"\n  {one}" for one in left_out[:NAMED])
    more = f"\n  and {total - NAMED:,} more" if total > NAMED else ""
    return SomeLeftOut(summary=summary, listed=listed + more + (f"\n{advice}" if advice else ""), result=result)


class Compressor(Protocol):
    """What zlib and zstd have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """A part of the compressed bytes."""

    def flush(self) -> bytes:
        """The last part."""


def manifest_path(path: Path) -> Path:
    """Where the manifest of a file is."""
    return path.with_name(f"{path.name}.manifest.json")


class Archive:
    """A file to be written. Its bytes are hashed and sent to the disk by a thread, while the next ones come.

    Leaving the block without `commit` leaves nothing behind. Without a path it is standard output.

    Raises:
        FileExists, FileInUse, NotWrittenToFile, ReaderGone, SomeLeftOut
    """

    def __init__(self, path: Path | None, *, force: bool = False, compressor: Compressor | None = None) -> None:
        self.path = path
        self.bytes = 0
        self._force = force
        self._compressor = compressor
        self._hash = sha256()
        self._waiting: Queue[bytes | None] = Queue(AHEAD)
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._begun = 0  # bytes that the disk has, or will have soon
        self._failed: OSError | None = None

    @property
    def sha256(self) -> str:
        """The hash of what was written, once that is finished."""
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._work, daemon=True)
        try:
            self._file = self._opened(self.path) if self.path is not None else sys.stdout.buffer
            self._thread.start()
        except KeyboardInterrupt:
            if self.path is not None:
                self._temporary.unlink(missing_ok=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end_thread()
        if self.path is not None:
            with suppress(OSError):
                self._temporary.unlink()  # gone already where it was renamed
            self._file.close()

    def write(self, *parts: bytes) -> None:
        """Write, soon."""
        self._buffer += parts
        self._buffered += sum(map(len, parts))
        if self._buffered >= CHUNK:
            self._pass_on()

    def finish(self) -> None:
        """Wait until everything is on the disk. After that `bytes` and `sha256` are known."""
        self._pass_on()
        self._end_thread()
        self._check()
        try:
            if self._compressor is not None:
                self._put(self._compressor.flush())
            self._file.flush()
            if self.path is not None:
                os.fsync(self._file.fileno())
        except OSError as error:
            self._failed = error
        self._check()

    def commit(self, manifest: Manifest | None) -> None:
        """Give the file its name, and its manifest. To be called after `finish`."""
        if self.path is None:
            return
        beside = manifest_path(self.path)
        new = part_of(beside)
        try:
            if manifest is not None:
                write_synced(new, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
            # An old manifest must never stand beside a new file, and a file has its name only when all of it is there.
            beside.unlink(missing_ok=True)
            self._temporary.replace(self.path)
            if manifest is not None:
                new.replace(beside)
            sync_folder(self.path.parent)
        except OSError as error:
            raise NotWrittenToFile(path=self.path, problem=error.strerror) from error

    # --- inside --------------------------------------------------------------------------------------------

    @property
    def _temporary(self) -> Path:
        return part_of(self.path or Path("-"))

    def _opened(self, path: Path) -> BinaryIO:
        refuse(path, force=self._force)
        try:
            # One name, so that what a killed process leaves is used again, and a lock, so that nobody else uses it.
            file = os.fdopen(opened(self._temporary, os.O_RDWR), "wb")
        except OSError as error:
            raise NotWrittenToFile(path=path, problem=error.strerror) from error
        try:
            lock(file)
            file.truncate(0)
        except OSError:
            file.close()
            raise FileInUse(path=path) from None
        return file

    def _pass_on(self) -> None:
        self._check()
        if self._buffer:
            self._waiting.put(b"".join(self._buffer))
            self._buffer, self._buffered = [], 0

    def _check(self) -> None:
        if isinstance(self._failed, BrokenPipeError) and self.path is None:
            raise ReaderGone(path=None)
        if self._failed is not None:
            raise NotWrittenToFile(path=self.path or "standard output", problem=self._failed.strerror)

    def _work(self) -> None:
        while (data := self._waiting.get()) is not None:
            if self._failed is None:
                try:
                    self._put(self._compressor.compress(data) if self._compressor is not None else data)
                except OSError as error:
                    self._failed = error

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.bytes += len(data)
        if self.path is not None and self.bytes - self._begun >= BEHIND:
            self._begin_to_sync()

    def _begin_to_sync(self) -> None:
        """Let the system bring to the disk what it would otherwise keep until the end, when it is waited for."""
        if hasattr(os, "posix_fadvise"):
            self._file.flush()
            os.posix_fadvise(self._file.fileno(), self._begun, self.bytes - self._begun, os.POSIX_FADV_DONTNEED)
        self._begun = self.bytes

    def _end_thread(self) -> None:
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()


def lock(file: BinaryIO) -> None:
    """Keep everybody else from writing a file, where the system has such locks.

    Raises:
        BlockingIOError: somebody else does.
    """
    with suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_manifest(path: Path) -> Manifest | None:
    """The manifest beside a file, None where there is none.

    Raises:
        BadExport: it cannot be read.
    """
    try:
        data = manifest_path(path).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise BadExport(file=manifest_path(path), problem=f"it cannot be read ({error})") from None


def verify(path: Path, manifest: Manifest, told: Callable[[int], None] = lambda _: None) -> None:
    """Read a file, and compare it with its manifest, before anything of it is used.

    Raises:
        BadExport: it is not the file that was written.
    """
    if path.stat().st_size != manifest.bytes:
        sizes = f"it has {path.stat().st_size:,} bytes, and its manifest says {manifest.bytes:,}"
        raise BadExport(file=path, problem=f"{sizes}: {_changed(path)}")
    found = sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
            told(len(chunk))
    if found.hexdigest() != manifest.sha256:
        raise BadExport(file=path, problem=f"its SHA-256 is not the one in its manifest: {_changed(path)}")


def _changed(path: Path) -> str:
    beside = manifest_path(path).name
    return f"it is damaged, or was changed; if you changed it, and mean it, take {beside} away"
