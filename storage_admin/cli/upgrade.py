"""storage-admin upgrade."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from storage_admin.cli.options import (
    database_options,
    jobs_option,
    lock_timeout_option,
    open_admin,
    output_option,
    role_option,
    tables_argument,
    to_option,
    wait_option,
)
from storage_admin.cli.settings import Setting
from storage_admin.cli.targets import OverTargets
from storage_admin.errors import Interrupted, NotBegun

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage_admin.admin import StorageAdmin
    from storage_admin.reports import Outcome, Survey, UpgradeReport


@click.command("upgrade", cls=OverTargets)
@tables_argument
@database_options
@to_option
@click.option("--dry-run", is_flag=True, help="Show what would be done, like plan, and change nothing.")
@lock_timeout_option
@wait_option
@jobs_option
@role_option
@click.option(
    "--allow-copy", cls=Setting, is_flag=True, help="Let MySQL copy a table where it must; its writers wait meanwhile."
)
@output_option
def command(
    tables: tuple[str, ...],
    db_url: str | None,
    schema: str | None,
    to: int | None,
    dry_run: bool,
    lock_timeout: int,
    wait: float,
    jobs: int,
    role: str | None,
    allow_copy: bool,
    output: str,
) -> int:
    """Bring the tables to the newest version. Only adds; create a missing table by naming its kind: NAME=KIND."""
    from storage_admin.cli.progress import waiting
    from storage_admin.locking import Patience

    admin = open_admin(db_url, schema, role)
    if dry_run:
        return preview(admin, admin.plan(tables or None, to=to), output)
    patience = Patience(lock_timeout, wait, allow_copy, waiting)
    return carry_out("upgrade", partial(admin.upgrade, tables or None, to=to, patience=patience, jobs=jobs), output)


def preview(admin: StorageAdmin, survey: Survey, output: str) -> int:
    """Print what would be done."""
    from storage_admin.cli import plan
    from storage_admin.cli.output import say

    plan.show(admin, survey, output=output)
    say("Nothing was changed.")
    return plan.exit_code(survey)


def carry_out(name: str, work: Callable[..., UpgradeReport], output: str) -> int:
    """Do it, and print what was done, where some of it failed too. Raises as the work."""
    from storage_admin.cli.progress import progress
    from storage_admin.errors import UpgradeFailed, UpgradeInterrupted

    try:
        with progress(name) as told:
            report = work(progress=told)
        show(report, output)
    except (UpgradeFailed, UpgradeInterrupted) as error:
        show(error.report, output)
        raise
    return 0


def show(report: UpgradeReport, output: str) -> None:
    """Print what was done."""
    from storage_admin.cli import output as out
    from storage_admin.cli.documents import upgrade_document

    if output != "table":
        out.emit(upgrade_document(report), output)
    else:
        rows = [
            (
                str(o.plan.table),
                ", ".join(o.plan.kinds),
                out.status_text(_word(o)),
                out.steps_text(o.plan.version, o.version),
                "" if o.error else out.changes_text(o.plan.changes),
                "" if o.error else f"{o.seconds * 1000:.0f} ms",
            )
            for o in report.outcomes
            if (o.changed or o.error) and not isinstance(o.error, NotBegun)
        ]
        if rows:
            out.show_table(("Table", "Kinds", "Result", "Version", "Done", "Time"), rows, right=("Time",))
    out.show_notes(report.notes)
    out.say(out.summary(map(_word, report.outcomes)))


def _word(outcome: Outcome) -> str:
    """What became of a table, for a person, who need not take what was cut off for a failure."""
    from storage_admin.cli.documents import result_of

    words: dict[type, str] = {Interrupted: "interrupted", NotBegun: "not begun"}
    return words.get(type(outcome.error)) or result_of(outcome)
