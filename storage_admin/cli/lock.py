"""storage-admin lock."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import database_options, lock_file_option, lock_path, open_admin, tables_argument

if TYPE_CHECKING:
    from pathlib import Path

    from storage_admin.lockfile import LockFile
    from storage_admin.schema import TableName

SHOWN = 5  # tables of a sort


@click.command("lock")
@tables_argument
@database_options
@lock_file_option
@click.option("--check", is_flag=True, help="Write nothing; exit with 2 if the file is not what would be written.")
def command(tables: tuple[str, ...], db_url: str | None, schema: str | None, lock_file: str | None, check: bool) -> int:
    """Write down what the tables look like, into a lock file.

    It is to be committed: `check --against offline` compares it later. It has names, kinds, versions, columns and
    indexes; no row, no password. Nothing in the database is locked. It is the storage-admin.lock that is here or above
    in the repository; a first one goes beside the settings, else here.
    """
    from storage_admin.cli import output as out
    from storage_admin.lockfile import write_lock

    path = lock_path(lock_file)
    lock = open_admin(db_url, schema).lock(tables or None)
    found = out.count_text(len(lock.tables), "table")
    if not check:
        changed = write_lock(lock, path)
        out.say(f"{path}: {found}{'' if changed else ', unchanged'}")
        return 0
    different = _different(lock, path)
    if different is None:
        out.say(f"{path} is what the database holds: {found}")
        return 0
    again = shlex.join(["storage-admin", "lock", *(["--lock-file", lock_file] if lock_file else []), *tables])
    out.say(f"{path} is not what the database holds: {different}. To write it anew: {again}")
    return 2


def _different(lock: LockFile, path: Path) -> str | None:
    """What is different in a file, in words; None where nothing is."""
    from storage_admin.errors import LockFileError
    from storage_admin.lockfile import differences, lock_text, read_lock

    try:
        old = read_lock(path)
    except LockFileError as error:
        return str(error.facts["problem"])
    found = differences(old, lock)
    if found:
        return "; ".join(f"{word} {_listed(names)}" for word, names in found.items())
    if path.read_text(encoding="utf-8", errors="replace") == lock_text(lock):
        return None
    if old.head != lock.head:
        return f"it is of version {old.head}, and version {lock.head} is the newest now, with the same tables"
    return "the tables are the same, and its text is another one"


def _listed(names: list[TableName]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(map(str, names[:SHOWN]))}{more}"
