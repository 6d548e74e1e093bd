"""A file that is there whole or not at all: written under another name, to the disk, and then given its own."""

from __future__ import annotations

import os
from contextlib import suppress
from stat import S_IMODE
from typing import TYPE_CHECKING

from storage_admin.errors import FileExists, NotWrittenToFile

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE, USUAL = 0o600, 0o666  # before the umask


def part_of(path: Path) -> Path:
    """The name that a file has until all of it is there."""
    return path.with_name(f".{path.name}.part")


def refuse(path: Path, *, force: bool) -> None:
    """Refuse a name that a file must not get.

    Raises:
        FileExists: it is taken, and ``force`` is not given. NotWrittenToFile: by what is no ordinary file.
    """
    if path.exists() and not path.is_file():  # a rename would put a file in the place of /dev/null
        raise NotWrittenToFile(path=path, problem="it is there, and is no ordinary file")
    if path.exists() and not force:
        raise FileExists(path=path, otherwise=", or give --force to replace it (force=True in Python)")


def write_whole(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a small file. One that it replaces gives it its permissions.

    Raises:
        OSError: FileExistsError where the name is taken, and is not to be replaced.
    """
    part = part_of(path)
    known = S_IMODE(path.stat().st_mode) if replace and path.exists() else None
    try:
        write_synced(part, text.encode(), USUAL if known is None else known)
        if known is not None:
            part.chmod(known)  # what the umask took
        if replace:
            part.replace(path)
        else:
            os.link(part, path)  # unlike a rename it never takes the place of another file
    finally:
        with suppress(OSError):
            part.unlink()


def opened(path: Path, flags: int, mode: int = PRIVATE) -> int:
    """Open a file, or make it; return its number.

    Raises:
        OSError: also where there is a link, which in a folder like /tmp anybody may have laid.
    """
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), mode)


def write_synced(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Write a small file to the disk, under the name that it has. Raises as `opened`."""
    with os.fdopen(opened(path, os.O_WRONLY | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Let a new name outlast a loss of power. Raises OSError."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
