"""storage-admin repair."""

from __future__ import annotations

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
    from storage_admin.cli import plan as plan_command, upgrade
    from storage_admin.cli.output import say
    from storage_admin.cli.progress import progress
    from storage_admin.errors import UpgradeFailed
    from storage_admin.locking import Patience

    admin = open_admin(db_url, schema, role)
    if dry_run:
        survey = admin.plan(tables or None, only_indexes=True)
        plan_command.show(admin, survey, output=output)
        say("Nothing was changed.")
        return plan_command.exit_code(survey)
    try:
        with progress("repair") as told:
            report = admin.repair(tables or None, patience=Patience(lock_timeout, wait), jobs=jobs, progress=told)
        upgrade.show(report, output)
    except UpgradeFailed as error:
        upgrade.show(error.report, output)
        raise
    return 0
