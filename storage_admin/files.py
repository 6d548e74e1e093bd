"""SQLite as a file: opened to be read or to be written, and never made by accident."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from storage_admin.errors import NoSuchFile, NotADatabase, ReadOnlyServer
from storage_admin.messages import displayed_url

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine


def in_memory(url: URL) -> bool:
    """Whether a URL names a SQLite database that ends with its connection."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def path_of(url: URL) -> Path:
    """The file that a URL names, as a path or, as SQLAlchemy has it too, as ``file:path?uri=true``."""
    text = url.database or ""
    return Path(unquote(text.removeprefix("file:"))) if text.startswith("file:") else Path(text)


def sqlite_engine(url: URL, *, writable: bool, create: bool) -> Engine:
    """An engine for a file, as `make_engine` gives it. Raises as that."""
    import sqlite3

    if in_memory(url):
        return create_engine(url, isolation_level="AUTOCOMMIT")
    path = path_of(url)
    if not _may_exist(path) and not create:
        raise NoSuchFile(database=displayed_url(url), path=path)
    if _may_exist(path) and os.access(path.parent, os.X_OK) and path.is_dir():
        raise NotADatabase(database=displayed_url(url), path=path)
    mode = "rwc" if create else "rw" if writable else "ro"
    timeout = 1 if writable else 10  # seconds in one attempt; who writes tries again and again
    address = f"{path.resolve().as_uri()}?mode={mode}{_immutable(path) if mode == 'ro' else ''}"
    # A creator instead of SQLAlchemy's own handling of file: URLs, which needs the path written in two ways.
    return create_engine(
        url.set(query={}),
        creator=lambda: sqlite3.connect(
            address, uri=True, isolation_level=None, timeout=timeout, check_same_thread=False
        ),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
    )


def _may_exist(path: Path) -> bool:
    """Whether there is such a file, as far as this user may know: in a folder that it may not enter, SQLite says so."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _immutable(path: Path) -> str:
    """What lets a WAL file be read in a folder that may not be written: nobody is writing there."""
    if os.access(path.resolve().parent, os.W_OK):
        return ""
    return "" if _may_exist(path.with_name(f"{path.name}-wal")) else "&immutable=1"


def refuse_unwritable(url: URL) -> None:
    """Refuse to change a SQLite file that cannot be written, or whose folder cannot: a journal is written there.

    Raises:
        ReadOnlyServer
    """
    if url.get_backend_name() != "sqlite" or in_memory(url):
        return
    if url.query.get("mode") == "ro" or "immutable" in url.query:
        problem, advice = "its URL says that it is only read", "Take mode and immutable out of the URL."
        raise ReadOnlyServer(database=displayed_url(url), problem=problem, advice=advice)
    path = path_of(url).resolve()
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            what = "its folder" if place == path.parent else "the file"
            advice = f"Give this user the right to write {place}; SQLite writes a journal beside the file."
            raise ReadOnlyServer(database=displayed_url(url), problem=f"{what} may not be written", advice=advice)
