"""storage-admin lock."""

from __future__ import annotations

import click

from storage_admin.cli.options import database_options, lock_file_option, open_admin, tables_argument


@click.command("lock")
@tables_argument
@database_options
@lock_file_option
@click.option("--check", is_flag=True, help="Write nothing; exit with 2 if the file is not what would be written.")
def command(tables: tuple[str, ...], db_url: str | None, schema: str | None, lock_file: str, check: bool) -> int:
    """Write down what the tables look like, into a file to be committed: `check --against offline` compares it later.

    The file has names, kinds, versions, columns and indexes; no row, no password. Nothing in the database is locked.
    """
    from pathlib import Path

    from storage_admin.cli import output as out
    from storage_admin.lockfile import lock_text, write_lock

    path = Path(lock_file)
    lock = open_admin(db_url, schema).lock(tables or None)
    found = out.count_text(len(lock.tables), "table")
    if check:
        current = path.is_file() and path.read_text(encoding="utf-8", errors="replace") == lock_text(lock)
        out.say(f"{lock_file} is {'' if current else 'not '}what the database holds: {found}")
        return 0 if current else 2
    changed = write_lock(lock, path)
    out.say(f"{lock_file}: {found}{'' if changed else ', unchanged'}")
    return 0
