"""storage-admin repair."""

from __future__ import annotations

from functools import partial

import click

from storage_admin.cli.options import (
    database_options,
    jobs_option,
    lock_timeout_option,
    open_admin,
    output_option,
    role_option,
    tables_argument,
    wait_option,
)


@click.command("repair")
@tables_argument
@database_options
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@lock_timeout_option
@wait_option
@jobs_option
@role_option
@output_option
def command(
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    dry_run: bool,
    lock_timeout: int,
    wait: float,
    jobs: int,
    role: str | None,
    output: str,
) -> int:
    """Build missing indexes and rebuild invalid ones. Nothing else: no column, no default, no table.

    An index on a column that is missing is left, as is all else that upgrade would do; a note says so.
    """
    from storage_admin.cli.progress import waiting
    from storage_admin.cli.upgrade import carry_out, preview
    from storage_admin.locking import Patience

    admin = open_admin(db_url, schema, role)
    if dry_run:
        return preview(admin, admin.plan(tables or None, only_indexes=True), output)
    patience = Patience(lock_timeout, wait, told=waiting)
    return carry_out("repair", partial(admin.repair, tables or None, patience=patience, jobs=jobs), output)
