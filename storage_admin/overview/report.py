"""The page of a report as a file: whole, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storage_admin.overview.gathering import COUNT_UP_TO, look
from storage_admin.overview.page import page
from storage_admin.sessions.archive import Archive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage_admin.admin import StorageAdmin
    from storage_admin.overview.gathering import Told
    from storage_admin.overview.values import Overview


def write_report(
    admin: StorageAdmin,
    path: str | Path | None,
    tables: Iterable[str] | None = None,
    *,
    count_up_to: int = COUNT_UP_TO,
    force: bool = False,
    told: Told | None = None,
) -> Overview:
    """Look at the named tables, or at all, and write the page of it into a file, or, with None, to standard output.

    The file has its name only when it is whole and on the disk, and may be read by nobody but its owner; one that has
    the name already is replaced only with ``force``, and refused before the database is asked. The other arguments are
    those of `look`.

    Raises:
        FileExists, FileInUse, NotWrittenToFile. And as `StorageAdmin.inspect`.
    """
    with Archive(Path(path) if path is not None else None, force=force) as archive:
        overview = look(admin, tables, count_up_to=count_up_to, told=told)
        archive.write(page(overview).encode())
        archive.finish()
        archive.commit(None)
    return overview
